"""Make the pictures of docs/app.md: python docs/screenshots.py. It needs the extra `app`, playwright and Chromium.

`examples/song.flac` has lost a second, which `repeat` fills.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import soundfile
from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.app_server import serving  # noqa: E402

LOST = (12.0, 13.0)
SEEN = (9.5, 16.0)
WAIT = 120_000  # ms
SIZE = {"width": 1200, "height": 750}


def broken(folder: Path) -> str:
    """Write the song with its lost second into a folder, and go there: the command names it as a user would."""
    audio, rate = soundfile.read(ROOT / "examples" / "song.flac")
    audio[round(LOST[0] * rate) : round(LOST[1] * rate)] = 0
    os.chdir(folder)
    soundfile.write("song.flac", audio, rate, subtype="PCM_16")
    return "song.flac"


def module(page: Page, script: str) -> Any:
    """Run a script with the page's own objects."""
    names = "const { marks, view, hear } = await import(document.baseURI + 'page/app.js');"
    return page.evaluate(f"async () => {{ {names} {script} }}")


def small(png: bytes) -> bytes:
    """The same picture with 64 colours."""
    out = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(64, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
    return out.getvalue()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, serving(broken(Path(folder))) as served, sync_playwright() as started:
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, scheme in (("app", "light"), ("app-dark", "dark")):
            page = browser.new_page(viewport=SIZE, color_scheme=scheme)
            page.goto(served.address)
            page.wait_for_selector("#start:not([disabled])", timeout=WAIT)
            module(page, f"marks.add({{ start: {LOST[0]}, end: {LOST[1]} }});")
            page.select_option("[name='solve.solver']", "repeat")
            if scheme == "light":
                page.click("#start")
            page.wait_for_selector("[data-state=done]", timeout=WAIT)
            module(page, f"view.set({SEEN[0]}, {SEEN[1] - SEEN[0]} / view.width); hear('after');")
            page.wait_for_timeout(3000)
            (ROOT / "docs" / "images" / f"{name}.png").write_bytes(small(page.screenshot()))
        browser.close()


if __name__ == "__main__":
    main()
