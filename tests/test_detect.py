"""Faults whose places are known are found, and music that has none is left alone."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from diffmusic.audio import signal
from diffmusic.audio.defects import Defect
from diffmusic.audio.signal import Samples
from diffmusic.jobs import detect
from diffmusic.jobs.detect import Scan, gaps
from tests.test_passages import Counting
from tests.test_repeat import song

RATE = 44100


def defects(audio: np.ndarray, rate: int) -> list[Defect]:
    return detect.defects(Samples(audio), rate, confidence=0.0)


def of_kind(*kinds: str) -> Callable[[np.ndarray, int], list[Defect]]:
    return lambda audio, rate: [each for each in defects(audio, rate) if each.kind in kinds]


dropouts, clicks, clipping, dull = of_kind("dropout"), of_kind("click", "skip"), of_kind("clipping"), of_kind("dull")


@pytest.fixture(scope="module")
def music() -> np.ndarray:
    """Twelve seconds, stereo, rounded to 16 bits."""
    draws = np.random.default_rng(0)
    audio = song(RATE, bars="abcdef", odd=0) + 0.003 * draws.standard_normal((2, 12 * RATE))
    return np.rint(audio * 2**15) / 2**15


def test_intact_music_has_no_dropouts_whatever_is_at_its_ends(music: np.ndarray) -> None:
    fade = np.ones(music.shape[1])
    fade[: RATE // 50] = np.linspace(0, 1, RATE // 50)
    fade[-2 * RATE :] = np.linspace(1, 0, 2 * RATE) ** 2
    ended = np.rint(np.pad(music * fade, ((0, 0), (RATE, RATE))) * 2**15) / 2**15
    paused = ended.copy()
    edge = np.hanning(RATE // 5)[RATE // 10 :]
    paused[:, 4 * RATE - len(edge) : 4 * RATE] *= edge
    paused[:, 4 * RATE : 5 * RATE] = 0
    paused[:, 5 * RATE : 5 * RATE + len(edge)] *= edge[::-1]
    for audio in (music, ended, np.rint(paused * 2**15) / 2**15, np.zeros((1, RATE))):
        assert dropouts(audio, RATE) == []


@pytest.mark.parametrize("milliseconds", [2, 30, 400])
@pytest.mark.parametrize("held", [False, True])
def test_dropouts_are_found_to_the_sample(music: np.ndarray, milliseconds: int, held: bool) -> None:
    audio, start, count = music.copy(), 3 * RATE + 1234, milliseconds * RATE // 1000
    audio[:, start : start + count] = audio[:, start - 1 : start] if held else 0
    (found,) = dropouts(audio, RATE)
    assert abs(found.start - start) <= 1
    assert abs(found.stop - start - count) <= 1
    assert found.confidence > 0.9


def test_square_waves_are_no_dropouts() -> None:
    time = np.arange(2 * RATE) / RATE
    square = 0.3 * np.sign(np.sin(2 * np.pi * 110 * time)) + 0.1 * np.sign(np.sin(2 * np.pi * 7 * time))
    assert dropouts(square[None], RATE) == []


def test_a_slow_quiet_wave_that_stands_still_is_no_dropout() -> None:
    wave = np.rint(3000 * np.random.default_rng(0).standard_normal(32000))
    wave[16000:18400] = np.rint(40 * np.sin(2 * np.pi * 30 * np.arange(2400) / 16000))
    wave /= 2**15
    assert dropouts(wave[None], 16000) == []


def test_clicks_are_found_and_intact_music_has_none(music: np.ndarray) -> None:
    assert clicks(music, RATE) == []
    audio, places = music.copy(), [2 * RATE + 999, 5 * RATE + 7777, 9 * RATE + 15000]
    for number, place in enumerate(places):
        audio[:, place : place + 1 + 10 * number] += (-1) ** number * 0.4
    found = clicks(audio, RATE)
    assert {each.kind for each in found} == {"click"}
    assert len(found) == 3
    for each, place in zip(found, places, strict=True):
        assert each.start <= place < each.stop
        assert each.stop - each.start < RATE // 200


def test_a_skip_is_told_from_a_click() -> None:
    time = np.arange(4 * RATE) / RATE
    tones = sum(np.sin(2 * np.pi * hertz * time + hertz) for hertz in (110.0, 277.2, 415.3)) / 6
    audio = tones + 1e-4 * np.random.default_rng(0).standard_normal(len(time))
    cut = np.delete(audio, slice(2 * RATE, 2 * RATE + 5000))
    assert [each.kind for each in clicks(cut[None], RATE)] == ["skip"]
    audio[2 * RATE] += 0.4
    assert [each.kind for each in clicks(audio[None], RATE)] == ["click"]


def test_clipping_is_found_with_its_level_and_on_purpose_said(music: np.ndarray) -> None:
    assert clipping(music, RATE) == []
    level = 0.5 * np.abs(music).max()
    (*found,) = clipping(np.clip(music, -level, level), RATE)
    assert found[0].value == pytest.approx(level)
    loud = np.clip(20 * music, -1, 1)
    (found_loud,) = clipping(loud, RATE)
    assert "on purpose" in found_loud.detail
    assert (found_loud.start, found_loud.stop) == (0, music.shape[1])


def test_a_missing_band_is_found(music: np.ndarray) -> None:
    assert dull(music, RATE) == []
    bins = np.fft.rfft(music)
    bins[:, np.fft.rfftfreq(music.shape[1], 1 / RATE) > 6000] *= 1e-4
    (found,) = dull(np.fft.irfft(bins, music.shape[1]), RATE)
    assert found.value == pytest.approx(6000, abs=600)


def test_gaps_are_what_is_lost(music: np.ndarray) -> None:
    audio = music.copy()
    audio[:, 3 * RATE : 3 * RATE + 2000] = 0
    audio[:, 7 * RATE + 5000] += 0.5
    first, second = gaps(defects(audio, RATE), RATE)
    assert first[0] == pytest.approx(3, abs=1e-4)
    assert second[0] <= 7 + 5000 / RATE < second[1]


def test_the_command_line(run: Callable[..., SimpleNamespace], music: np.ndarray, tmp_path: Path) -> None:
    audio = music.copy()
    audio[:, 3 * RATE : 3 * RATE + 2000] = 0
    path, labels = tmp_path / "song.flac", tmp_path / "faults.txt"
    soundfile.write(path, audio.T, RATE, subtype="PCM_16")
    result = run("detect", path, "--labels", labels)
    assert result.code == 0
    assert "1 dropout" in result.out
    assert "--gap auto" in result.out
    start, stop, label = labels.read_text().split("\t")
    assert (float(start), float(stop)) == (pytest.approx(3, abs=1e-4), pytest.approx(3 + 2000 / RATE, abs=1e-4))
    assert label.startswith("dropout")
    assert json.loads(run("detect", path, "--json").out)["counts"] == {"dropout": 1}
    mended = run("solve", "inpainting", path, "--gap", "auto", "--solver", "interpolate", "-o", tmp_path / "out.flac")
    assert mended.code == 0, mended.err
    record = json.loads((tmp_path / "out.flac.json").read_text())
    assert record["job"]["operator_parameters"]["gap"][0][0] == pytest.approx(3, abs=1e-4)


def test_what_cannot_be_done_is_refused(run: Callable[..., SimpleNamespace], music: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "song.flac"
    soundfile.write(path, music.T, RATE, subtype="PCM_16")
    refused = run("solve", "inpainting", path, "--gap", "auto", "-o", tmp_path / "out.flac")
    assert (refused.code, "no dropout, no click" in refused.err) == (2, True)
    refused = run("solve", "inpainting", path, "--gap", "auto", "--simulate", "-o", tmp_path / "out.flac")
    assert (refused.code, "which stretch is to be lost" in refused.err) == (2, True)
    refused = run("detect", path, path, "--labels", tmp_path / "labels.txt")
    assert (refused.code, "one input at a time" in refused.err) == (2, True)
    assert not (tmp_path / "out.flac").exists()


def test_whatever_the_blocks_are_the_same_faults_are_found(monkeypatch: pytest.MonkeyPatch, music: np.ndarray) -> None:
    audio = music.copy()
    for number in range(6):
        audio[:, 1 + number : 1 + number + 400 * number] = 0
        start = (2 * number + 1) * RATE - 77 * number
        audio[number % 2, start : start + 300 * (number + 1)] = 0
    audio[:, 5 * RATE : 6 * RATE + 500] = 0
    audio = np.clip(audio, -0.3, 0.3)
    audio[:, [2 * RATE + 999, 9 * RATE + 15000]] += 0.4
    audio[:, 4 * RATE : 4 * RATE + 2000] = np.clip(20 * audio[:, 4 * RATE : 4 * RATE + 2000], -0.9, 0.9)
    whole = defects(audio, RATE)
    assert {each.kind for each in whole} == {"dropout", "click", "clipping"}
    monkeypatch.setattr("diffmusic.audio.clicks._PIECE", 9_000)
    for size in (1000, 33_333):
        monkeypatch.setattr(signal, "BLOCK", size)
        assert defects(audio, RATE) == whole


def test_of_a_long_recording_only_places_are_read_again(music: np.ndarray) -> None:
    audio = np.tile(music, 8)
    audio[:, 20 * RATE : 20 * RATE + 2000] = 0
    audio[:, 50 * RATE + 999] += 0.4  # not on the beat
    given = Counting(audio)
    lost, click = Scan(RATE, given.blocks()).points(given)
    assert (lost.start, click.kind, len(given.passes)) == (20 * RATE, "click", 1)
    assert sum(stop - start for start, stop in given.stretches) < 3 * RATE
