"""The listening page: gains that match loudness, and the page itself in headless Chromium."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diffmusic.reports.listening_page import Question, Track, matched, page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
RATE = 16000


def tone(loudness: float, hz: float = 220.0) -> np.ndarray:
    return loudness * np.sin(2 * np.pi * hz * np.arange(RATE) / RATE)[None]


def test_gains_match_loudness_and_never_clip() -> None:
    recordings = [tone(0.5), tone(0.1), np.zeros((1, RATE)), 0.9 * np.eye(1, RATE)]
    gains = matched(recordings)
    loud = [gain * float(np.sqrt(np.mean(np.square(x)))) for gain, x in zip(gains, recordings, strict=True)]
    assert loud[1] == pytest.approx(loud[0])
    assert loud[3] == pytest.approx(loud[0])
    peaks = [gain * float(np.abs(x).max()) for gain, x in zip(gains, recordings, strict=True)]
    assert max(peaks) == pytest.approx(1.0)  # a single spike has to be made much louder, and so all get softer
    assert matched(recordings[:2]) == pytest.approx([1.0, 5.0], rel=1e-3)


def test_a_page_is_whole_and_escapes_what_it_is_told() -> None:
    made = page("<b>", "a & b", [Track("x", tone(0.5), RATE, {"n": 1.0}), Track("y", tone(0.1), RATE)], b"png").decode()
    assert "<b>" not in made.split("<style>")[0]
    assert made.count("data:audio/flac;base64,") == 2
    assert "data:image/png;base64," in made
    assert "http" not in made


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, list[str]]]:
    """A page with a blind test in Chromium, and what it logs."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="tests in a browser need pip install playwright")
    if CHROMIUM is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    tracks = [Track("the recording", tone(0.5), RATE), *(Track("+2", tone(0.1, 330), RATE, group=g) for g in "AB")]
    question = Question("Which one is random?", "B", ["A is the first component", "B is random"])
    path: Path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_bytes(page("song", "three sounds", tracks, question=question))
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        shown, told = browser.new_page(), list[str]()
        shown.on("console", lambda message: told.append(message.text))
        shown.on("pageerror", lambda error: told.append(str(error)))
        shown.on("request", lambda request: None if request.url[:4] in ("file", "data") else told.append(request.url))
        shown.goto(path.as_uri())
        yield shown, told
        browser.close()


def test_the_page_switches_and_subtracts_at_one_loudness(opened: tuple[Any, list[str]]) -> None:
    shown, told = opened

    def sounding() -> list[float]:
        return shown.eval_on_selector_all("tr[data-gain]", "rows => rows.map(row => Number(row.dataset.sounding))")

    assert sounding() == [0, 0, 0]
    shown.click("#play")
    shown.wait_for_function("document.getElementById('play').textContent === 'Pause'")
    assert sounding() == [1, 0, 0]
    shown.check("tr[data-gain]:nth-of-type(4) input")  # after the head and the heading of group A
    assert sounding() == pytest.approx([0, 5, 0], rel=1e-3)
    shown.select_option("#base", "0")
    assert sounding() == pytest.approx([-1, 5, 0], rel=1e-3)
    shown.uncheck("#match")
    assert sounding() == [-1, 1, 0]
    # It comes to its end by itself, and a click on a waveform goes there.
    shown.wait_for_function("document.getElementById('play').textContent === 'Play'")
    shown.click("tr[data-gain] .wave", position={"x": 40, "y": 10})
    assert shown.inner_text("#time") != "0.0 s"
    assert told == []


def test_the_answer_comes_after_the_guess(opened: tuple[Any, list[str]]) -> None:
    shown, told = opened
    assert not shown.is_visible("#verdict")
    shown.check("input[value=B]")
    shown.click("summary")
    shown.wait_for_function("document.getElementById('verdict').textContent !== ''")
    assert shown.inner_text("#verdict") == "It is B. Your guess was right."
    assert told == []
