"""The page of a benchmark in a real browser: it plays, it sorts, it complains of nothing and asks nobody."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from diffmusic.bench.plan import REFERENCES
from tests.test_bench import small  # noqa: F401

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)

PROBE = """
<script>
window.addEventListener("load", async () => {
  const column = () => [...document.querySelectorAll("tbody:not(.reference) td:first-child")].map(e => e.textContent);
  const button = [...document.querySelectorAll("th button")].find(e => e.textContent === "lsd");
  const found = {rows: [column()], requests: performance.getEntriesByType("resource").map(e => e.name)};
  for (let time = 0; time < 2; time++) {
    button.focus(); button.click(); found.rows.push(column());
  }
  found.sorted = button.parentElement.getAttribute("aria-sort");
  found.focused = document.activeElement === button;
  const raw = document.querySelector("th.raw");
  found.hidden = getComputedStyle(raw).display;
  document.getElementById("raws").click();
  found.shown = getComputedStyle(raw).display;
  found.seconds = await Promise.all([...document.querySelectorAll("audio")].map(audio => new Promise(done => {
    if (audio.readyState) done(audio.duration);
    audio.addEventListener("loadedmetadata", () => done(audio.duration));
    audio.addEventListener("error", () => done(null));
  })));
  found.pictures = [...document.querySelectorAll("img")].map(image => image.naturalWidth);
  const result = document.createElement("pre");
  result.id = "result";
  result.textContent = JSON.stringify(found);
  document.body.append(result);
});
</script>
"""


def browse(page: Path, tmp_path: Path) -> tuple[dict[str, Any], str]:
    """What the probe saw, and what the browser's console said."""
    probed = tmp_path / "probed.html"
    probed.write_text(page.read_text().replace("</body>", f"{PROBE}</body>"))
    done = subprocess.run(
        [
            str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
            "--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr", "--timeout=20000",
            "--virtual-time-budget=20000", "--dump-dom", probed.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    match = re.search(r'<pre id="result">(.*?)</pre>', done.stdout, flags=re.DOTALL)
    assert match, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(match[1].replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">"))
    return found, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")
def test_the_page_in_a_browser(
    run: Callable[..., SimpleNamespace],
    small: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    assert run("bench", small, "-o", tmp_path / "out").code == 0
    page = tmp_path / "out" / "index.html"
    found, console = browse(page, tmp_path)
    assert console == ""
    assert found["requests"] == []
    assert len(found["seconds"]) == 6, "clean, measured, round trip and three rows, of one clip"
    assert found["seconds"] == pytest.approx([0.4] * 6, abs=1e-3)
    assert all(width > 10 for width in found["pictures"])
    before, up, down = found["rows"]
    lines = [json.loads(line) for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]
    mean = {
        row: sum(line["finished"]["lsd"] for line in lines if line["row"] == row) for row in {l_["row"] for l_ in lines}
    }
    right = sorted((row for row in mean if row not in REFERENCES), key=lambda row: mean[row])
    assert [text.removesuffix(" (2)") for text in up] == right
    assert down == up[::-1]
    assert sorted(before) == sorted(up)
    assert found["sorted"] == "descending"
    assert found["focused"]
    assert (found["hidden"], found["shown"]) == ("none", "table-cell")


def test_the_page_names_nothing_outside_itself(
    run: Callable[..., SimpleNamespace],
    small: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    small.write_text(small.read_text().replace("A small one", "'<script>alert(1)</script>'"))
    assert run("bench", small, "-o", tmp_path / "out").code == 0
    text = (tmp_path / "out" / "index.html").read_text()
    assert "<script>alert" not in text
    assert {value.split(",")[0] for value in re.findall(r'(?:src|href)="([^"#]+)"', text)} == {
        "data:audio/flac;base64", "data:image/png;base64", "data:",
    }  # fmt: skip
    assert "url(" not in text
    assert "@import" not in text
