"""The page of ``diffmusic app`` in headless Chromium: the whole way from opening a file to the download."""

import json
import shlex
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import soundfile

pytest.importorskip("starlette", reason="the page needs pip install 'diffmusic[app]'")
pytest.importorskip("playwright", reason="tests in a browser need pip install playwright")

from playwright import sync_api

from tests.app_server import PLUGIN, Served, serving

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")
SECONDS = 8.0
WAIT = 120_000  # ms

Run = Callable[..., SimpleNamespace]


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving("--plugin", PLUGIN) as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--mute-audio"]
        )
        yield started
        started.close()


@pytest.fixture(scope="module")
def tab(browser: Any, served: Served) -> Iterator[tuple[Any, list[str]]]:
    """A page, and what it should not have done: logged an error, or asked another host for anything."""
    context = browser.new_context(viewport={"width": 1100, "height": 700}, accept_downloads=True)
    page = context.new_page()
    told: list[str] = []
    page.on("console", lambda message: told.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("request", lambda request: told.append(request.url) if foreign(request.url, served) else None)
    yield page, told
    context.close()


@pytest.fixture
def page(tab: tuple[Any, list[str]], served: Served) -> Iterator[Any]:
    """The page as it opens for the first time; its test fails for what it should not have done."""
    opened, told = tab
    opened.goto(served.address)
    opened.evaluate("sessionStorage.clear()")
    opened.reload()
    yield opened
    wrong, told[:] = list(told), []
    for recording in served.json("GET", "state")["recordings"]:
        served.ask("DELETE", f"files/{recording['key']}")
    opened.goto("about:blank")
    assert wrong == []


def foreign(url: str, served: Served) -> bool:
    parts = urlsplit(url)
    return parts.scheme != "blob" and (parts.netloc != served.host or not parts.path.startswith(served.token))


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of notes, four times over, in stereo."""
    rate, rng = 22050, np.random.default_rng(0)
    time = np.arange(rate // 2) / rate
    notes = [np.sin(2 * np.pi * hz * time) * np.exp(-4 * time) for hz in (220, 330, 277.2, 440)]
    bar = np.concatenate(notes) + 0.003 * rng.standard_normal(2 * rate)
    path = tmp_path_factory.mktemp("loop") / "loop.wav"
    soundfile.write(path, 0.4 * np.tile(bar, 4)[:, None] * [1.0, 0.6], rate, subtype="PCM_24")
    return path


def until(page: Any, expression: str) -> None:
    """Wait until an expression is true. Playwright's own way evaluates text in the page, which its policy forbids."""
    end = time.monotonic() + WAIT / 1000
    while not page.evaluate(expression):
        assert time.monotonic() < end, expression
        page.wait_for_timeout(50)


def opened(page: Any, path: Path) -> None:
    page.set_input_files("#file", path)
    page.wait_for_selector("#stage:not([hidden])", timeout=WAIT)
    page.wait_for_selector("#start:not([disabled])", timeout=WAIT)


def drag(page: Any, start: float, end: float, heights: tuple[float, float] = (0.2, 0.25)) -> None:
    """Drag over the first lane, which shows all of the recording, at these shares of its height."""
    box = page.locator("#before canvas").bounding_box()
    place = [box["x"] + 44 + (box["width"] - 44) * seconds / SECONDS for seconds in (start, end)]
    page.mouse.move(place[0], box["y"] + heights[0] * box["height"])
    page.mouse.down()
    page.mouse.move(sum(place) / 2, box["y"] + heights[1] * box["height"])
    page.mouse.move(place[1], box["y"] + heights[1] * box["height"])
    page.mouse.up()


def started(page: Any) -> Any:
    """Start the job of the form; returns its row."""
    rows = page.locator("#jobs > li").count()
    page.click("#start")
    until(page, f"document.querySelectorAll('#jobs > li').length > {rows}")
    key = page.locator("#jobs > li").first.get_attribute("data-job")
    return page.locator(f"[data-job={key}]")


def awaited(page: Any, row: Any, state: str) -> None:
    key = row.get_attribute("data-job")
    page.wait_for_selector(f'[data-job={key}][data-state="{state}"]', timeout=WAIT)


def gains(page: Any) -> dict[str, float]:
    """Gains that are set, by version."""
    script = """async () => { const { player, state } = await import(document.baseURI + 'page/app.js');
      const gain = version => player.tracks.get(version.recording.key).node.gain.value;
      return Object.fromEntries(state.versions.map(each => [each.name, gain(each)])) }"""
    return dict(page.evaluate(script))


def test_the_whole_way(page: Any, served: Served, loop: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Open, mark by dragging, correct by typing, solve, compare, download: the command line's file, byte for byte."""
    opened(page, loop)
    assert page.inner_text("#before .label span").startswith("WAV PCM_24 · 22.05 kHz · stereo · 0:08.000")
    drag(page, 4.5, 5.0)
    start, end = page.locator("#marks input").all()
    assert float(start.input_value()) == pytest.approx(4.5, abs=0.02)
    end.fill("0:05.25")
    end.press("Tab")
    assert end.input_value() == "5.25"
    start.fill("4.75")
    start.press("Tab")
    page.select_option("[name='solve.solver']", "repeat")
    line = "diffmusic solve inpainting loop.wav --gap 4.75:5.25 --solver repeat"
    until(page, f"document.querySelector('#line').textContent === {json.dumps(line)}")

    row = started(page)
    awaited(page, row, "done")
    page.wait_for_selector("#after:not([hidden])", timeout=WAIT)
    with page.expect_download() as download:
        row.get_by_text("Download").click()
    assert download.value.suggested_filename == "loop.restored.wav"
    with page.expect_download() as record:
        row.get_by_text("Record").click()
    monkeypatch.chdir(loop.parent)
    assert run(*shlex.split(line)[1:]).code == 0
    own = loop.with_name("loop.restored.wav")
    assert Path(download.value.path()).read_bytes() == own.read_bytes()
    assert (
        json.loads(Path(record.value.path()).read_text())["job"] == json.loads(Path(f"{own}.json").read_text())["job"]
    )

    # A/B: one clock, and only what is chosen is heard.
    page.click("#play")
    until(page, "parseFloat(document.querySelector('#clock').textContent.slice(2)) > 0.3")
    for name in ("before", "difference", "after"):
        page.keyboard.press({"before": "1", "after": "2", "difference": "3"}[name])
        page.wait_for_timeout(120)
        heard = {each: gain > 0.5 for each, gain in gains(page).items()}
        assert heard == {each: each == name for each in ("before", "after", "difference")}
    page.keyboard.press(" ")
    page.wait_for_timeout(150)  # a frame that was under way still moves the clock
    at = page.inner_text("#clock")
    page.wait_for_timeout(150)
    assert page.inner_text("#clock") == at

    # The player's schedule, rendered: pieces meet without a seam, and begin where they should.
    script = """async () => {
      const { compare, player, state } = await import(document.baseURI + 'page/app.js');
      compare(null);
      const recorded = [];
      const begin = AudioBufferSourceNode.prototype.start;
      AudioBufferSourceNode.prototype.start = function (at) {
        recorded.push([at, Array.from(this.buffer.getChannelData(0))]); begin.call(this, at); };
      const playing = player.play(1.0, 4.2);
      while (recorded.length < 3) await new Promise(later => setTimeout(later, 50));
      player.stop(); await playing;
      const rate = state.before.rate;
      const all = [];
      for (const [at, samples] of recorded) {
        const from = Math.round((at - recorded[0][0]) * rate);
        if (Math.abs((at - recorded[0][0]) * rate - from) > 1e-3) return 'between two samples';
        samples.forEach((value, k) => { all[from + k] = value; });
      }
      return all;
    }"""
    played = page.evaluate(script)
    true, rate = soundfile.read(loop, dtype="float32")
    assert isinstance(played, list), played
    assert len(played) == round(3.2 * rate)
    assert np.array_equal(np.array(played, np.float32), true[rate : rate + len(played), 0])


def test_a_rectangle_and_a_reload(page: Any, loop: Path) -> None:
    """A rectangle of the spectrogram is `--region`; marks and form are there after a reload."""
    opened(page, loop)
    page.click("#tools label:last-of-type")
    drag(page, 2.0, 3.0, (0.6, 0.8))
    until(page, "document.querySelector('#line').textContent.includes('--region 2')")
    line = page.inner_text("#line")
    time_, _, band = line.split("--region ")[1].partition("@")
    assert [float(each) for each in time_.split(":")] == pytest.approx([2, 3], abs=0.03)
    low, high = (float(each) for each in band.split(":"))
    assert 0 < low < high < 11025
    page.reload()
    page.wait_for_selector("#start:not([disabled])", timeout=WAIT)
    until(page, f"document.querySelector('#line').textContent === {json.dumps(line)}")
    page.get_by_role("button", name="Remove mark 1").click()
    until(page, "!document.querySelector('#line').textContent.includes('--region')")
    assert page.locator("#marks tbody tr").count() == 0


def test_mini_at_two_steps(page: Any, served: Served, loop: Path) -> None:
    opened(page, loop)
    drag(page, 4.0, 4.4)
    page.select_option("[name='solve.solver']", "repaint")
    page.fill("[name='solve.steps']", "2")
    page.fill("[name='solve.samples']", "2")
    page.click("#ask")
    until(
        page, "/^about .*, \\d\\.\\d GB · 1 window, \\d+ passes$/.test(document.querySelector('#estimate').textContent)"
    )
    row = started(page)
    awaited(page, row, "done")
    record = served.json("GET", f"jobs/{row.get_attribute('data-job')}/record")
    assert record["model"]["name"] == "mini"
    assert record["job"]["steps"] == 2
    page.wait_for_selector("#after:not([hidden])")
    told = row.locator(".spread canvas")
    assert told.get_attribute("width") == str(len(record["samples"]["seconds"]))
    assert f"differ by {record['samples']['overall_db']:.1f} dB" in told.get_attribute("aria-label")


def test_a_long_run_shows_its_estimate_outlives_a_reload_and_ends_within_a_step(
    page: Any, served: Served, loop: Path
) -> None:
    """Ten minutes and more of work are cancelled within one step, and nothing of them is left."""
    opened(page, loop)
    drag(page, 4.0, 4.4)
    page.select_option("[name='solve.solver']", "repaint")
    page.fill("[name='solve.steps']", "1000")
    page.fill("[name='solve.samples']", "10")
    row = started(page)
    waiting = started(page)
    key = row.get_attribute("data-job")
    page.wait_for_selector(f"[data-job={key}] .estimate:not([hidden]) img", timeout=WAIT)
    script = """async () => { const img = document.querySelector('.estimate img');
      await img.decode(); return img.naturalHeight }"""
    assert page.evaluate(script) == 256
    assert "step 1 of 1000" in row.locator("figcaption").inner_text()
    page.reload()
    row = page.locator(f"[data-job={key}]")
    until(page, f"document.querySelector('[data-job={key}] progress')?.value > 0")
    page.locator(f"[data-job={waiting.get_attribute('data-job')}]").get_by_text("Cancel").click()
    awaited(page, waiting, "cancelled")
    assert row.get_attribute("data-state") == "running"

    told = next(job for job in served.json("GET", "state")["jobs"] if job["key"] == key)
    assert told["left"] is None or told["left"] > 600
    step = told["seconds"] / (told["progress"] * 20_000)  # ten versions of two channels; with loading, more than a step
    (folder,) = served.temporary.glob("diffmusic-app-*")
    running = children(served.process.pid)
    began = time.monotonic()
    served.ask("POST", f"jobs/{key}/cancel")
    assert time.monotonic() - began < max(4.0, 2 * step)  # what does not stop by itself is killed after 3 s
    awaited(page, row, "cancelled")
    assert len(running & children(served.process.pid)) <= 1  # the spare, which was there and waits for the next job
    assert not list(folder.glob("job-*.estimate.wav"))
    assert not [path for place in folder.glob("job-*") for path in place.iterdir()]


def children(process: int) -> set[str]:
    """The processes that one has started and that are still there."""
    return set(Path(f"/proc/{process}/task/{process}/children").read_text().split())


def test_directions_that_are_found_have_sliders(page: Any, served: Served, loop: Path, tiny: Path) -> None:
    opened(page, loop)
    (recording,) = served.json("GET", "state")["recordings"]
    flags = {"components": "2", "steps": "1", "segment": ["2:2.4"], "model": str(tiny)}
    form = {"task": "explore", "file": recording["key"], "flags": flags}
    job = served.finished(served.json("POST", "jobs", form)["key"], WAIT / 1000)
    assert job["state"] == "done", job["error"]
    assert len(job["results"]) == 4
    page.check("[name=task][value=edit]", force=True)
    page.wait_for_selector(f"[name='edit.directions'] option[value={job['key']}]", state="attached", timeout=WAIT)
    page.select_option("[name='edit.directions']", job["key"])
    page.locator("[name='edit.weight.1']").fill("-1.5")
    line = f"diffmusic edit loop.wav --segment 2:2.4 --model {tiny} --directions loop.directions/directions.safetensors"
    line += " --amount 1 -s weights=0,-1.5"
    until(page, f"document.querySelector('#line').textContent === {json.dumps(line)}")
    row = started(page)
    awaited(page, row, "done")
    record = served.json("GET", f"jobs/{row.get_attribute('data-job')}/record")
    assert record["job"]["solver_parameters"]["weights"] == [0.0, -1.5]
    assert record["job"]["solver"] == "posterior-pc"


def test_a_plugins_operator_has_its_form_and_versions_are_heard_at_one_loudness(page: Any, loop: Path) -> None:
    opened(page, loop)
    option = page.locator("[name=operator] option", has_text="telephone")
    assert option.inner_text() == f"telephone ({PLUGIN.name})"
    page.select_option("[name=operator]", "telephone")
    low = page.get_by_label("low", exact=True)
    assert low.get_attribute("placeholder") == "300"
    assert page.inner_text("#no-marks") == "This damage has no place."
    low.fill("500")
    until(page, "document.querySelector('#line').textContent.endsWith('--low 500')")
    assert f"--plugin {PLUGIN}" in page.inner_text("#line")

    page.select_option("[name='solve.solver']", "wiener")
    row = started(page)
    awaited(page, row, "done")
    script = """async () => { const { player, state } = await import(document.baseURI + 'page/app.js');
      const after = state.recordings.find(each => each.key === state.after.key);
      return [player.tracks.get(after.key).gain, state.before.loudness, after.loudness] }"""
    until(page, f"async () => (await ({script})())[2] !== null")
    page.wait_for_timeout(500)
    gain, before, after = page.evaluate(script)
    assert gain == pytest.approx(10 ** ((before - after) / 20), rel=1e-3)
    page.click("#level")
    assert page.evaluate(script)[0] == 1


def test_found_damage_becomes_marks(page: Any, loop: Path, tmp_path: Path) -> None:
    audio, rate = soundfile.read(loop)
    audio[round(3.1 * rate) : round(3.15 * rate)] = 0
    soundfile.write(tmp_path / "broken.wav", audio, rate, subtype="PCM_16")
    opened(page, tmp_path / "broken.wav")
    page.click("#find")
    page.wait_for_selector("#found li", timeout=WAIT)
    row = page.locator("#found li", has_text="dropout")
    row.get_by_role("button", name="Mark dropout").click()
    start, end = (float(each.input_value()) for each in page.locator("#marks input").all())
    assert (start, end) == (pytest.approx(3.1, abs=1e-3), pytest.approx(3.15, abs=1e-3))


def test_everything_has_a_name_and_a_key(page: Any, loop: Path) -> None:
    """What can be used has a name for a screen reader, and the keyboard reaches it."""
    opened(page, loop)
    page.keyboard.press("m")
    nameless = page.evaluate("""() => [...document.querySelectorAll('button, input, select, textarea, canvas')]
      .filter(each => each.offsetParent !== null)
      .filter(each => !each.getAttribute('aria-label') && !each.labels?.length && !each.textContent.trim())
      .map(each => each.outerHTML)""")
    assert nameless == []
    assert page.locator("#marks tbody tr").count() == 1
    page.focus("#before canvas")
    scale = "async () => (await import(document.baseURI + 'page/app.js')).view.perPixel"
    whole = page.evaluate(scale)
    page.keyboard.press("+")
    assert page.evaluate(scale) < whole
    page.keyboard.press("Delete")
    assert page.locator("#marks tbody tr").count() == 0


def test_an_edit_by_text_changes_the_marks_and_damage_comes_in_chains(page: Any, loop: Path) -> None:
    opened(page, loop)
    drag(page, 2.0, 4.0)
    page.get_by_label("Start, seconds, of mark 1").fill("2")
    page.get_by_label("End, seconds, of mark 1").fill("4")
    page.check("[name=task][value=edit]", force=True)
    assert page.inner_text("#start") == "Edit"
    page.get_by_label("it becomes").fill("a banjo")
    page.get_by_label("it is", exact=True).fill("a piano")
    line = "diffmusic edit loop.wav --target 'a banjo' --source 'a piano' --segment 2:4"
    until(page, f"document.querySelector('#line').textContent === {json.dumps(line)}")

    page.check("[name=task][value=solve]", force=True)
    page.select_option("[name='then.0']", "clipping")
    page.fill("[name='solve.clipping.level']", "0.5")
    line = "diffmusic solve 'inpainting gap=2:4 | clipping level=0.5' loop.wav"
    until(page, f"document.querySelector('#line').textContent === {json.dumps(line)}")
    page.select_option("[name='then.1']", "resampling")
    until(page, "document.querySelector('#line').textContent.includes('level=0.5 | resampling')")
    page.select_option("[name='then.0']", "")
    until(page, "document.querySelector('#line').textContent.includes(\"'inpainting gap=2:4 | resampling'\")")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_light_and_dark(browser: Any, served: Served, scheme: str) -> None:
    """Contrast of text with its ground is 4.5 at least (WCAG 2.2, 1.4.3)."""
    context = browser.new_context(color_scheme=scheme)
    page = context.new_page()
    page.goto(served.address)
    page.wait_for_selector(f"html[data-theme={scheme}]")
    script = """() => { const style = getComputedStyle(document.documentElement);
      const names = ['ground', 'sheet', 'field', 'ink', 'faint', 'accent', 'accent-ink', 'bad', 'good', 'found'];
      return Object.fromEntries(names.map(name => [name, style.getPropertyValue('--' + name).trim()])); }"""
    colours = page.evaluate(script)
    context.close()
    pairs = [
        (ink, ground) for ink in ("ink", "faint", "accent", "bad", "good", "found") for ground in ("ground", "sheet")
    ]
    for ink, ground in [*pairs, ("ink", "field"), ("accent-ink", "accent")]:
        high, low = sorted((luminance(colours[ink]), luminance(colours[ground])), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 4.5, (ink, ground)


def luminance(colour: str) -> float:
    """Relative luminance of #rgb or #rrggbb."""
    digits = colour.lstrip("#")
    digits = "".join(each * 2 for each in digits) if len(digits) == 3 else digits
    parts = [int(digits[k : k + 2], 16) / 255 for k in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
