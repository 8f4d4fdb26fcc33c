"""What ``make demo`` does, with fewer levels, on the prior that ships: the clip, its gap, its sound."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

CLIP = Path(__file__).parents[1] / "examples" / "clip.flac"
START, STOP = 4, 5


def octaves(audio: np.ndarray, rate: int) -> np.ndarray:
    """Energy of (time, channels) in the octaves from 62.5 Hz to 8 kHz, where the prior ends, in dB a sample."""
    power = np.square(np.abs(np.fft.rfft(audio, axis=0))).mean(1) / len(audio) ** 2
    hertz = np.fft.rfftfreq(len(audio), 1 / rate)
    edges = 62.5 * 2.0 ** np.arange(8)
    return np.array([10 * np.log10(power[(hertz >= a) & (hertz < 2 * a)].sum()) for a in edges[:-1]])


@pytest.fixture(scope="module")
def restored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from diffmusic.cli import main

    out = tmp_path_factory.mktemp("demo") / "restored.flac"
    words = ["solve", "inpainting", str(CLIP), "--gap", f"{START}:{STOP}", "--solver", "diffmusic", "--steps", "6",
             "--simulate", "-o", str(out)]  # fmt: skip
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 0
    return out


def test_what_was_observed_is_returned_sample_for_sample(restored: Path) -> None:
    (before, rate), (after, _) = (soundfile.read(path, dtype="int16") for path in (CLIP, restored))
    assert np.array_equal(before[: START * rate], after[: START * rate])
    assert np.array_equal(before[STOP * rate :], after[STOP * rate :])
    assert not np.array_equal(before, after)


def test_the_gap_is_neither_silent_nor_noise(restored: Path) -> None:
    audio, rate = soundfile.read(restored)
    gap = audio[START * rate : STOP * rate]
    around = np.concatenate([audio[(START - 1) * rate : START * rate], audio[STOP * rate : (STOP + 1) * rate]])
    difference = np.abs(octaves(gap, rate) - octaves(around, rate))
    # The aim is 6 dB in every octave; version 0 of the prior is measured, octave by octave, in its model card. A sample
    # of it moves by some dB with the rounding of the machine, hence the room in a single octave.
    assert difference.mean() < 6.0
    assert difference.max() < 12.0


def test_the_gap_sounds_nearer_to_the_truth_than_a_classical_bridge(
    restored: Path, run: Callable[..., SimpleNamespace], tmp_path: Path
) -> None:
    words = ("--gap", f"{START}:{STOP}", "--simulate", "--solver", "interpolate", "-o", tmp_path / "bridge.flac")
    assert run("solve", "inpainting", CLIP, *words).code == 0
    records = [
        json.loads(path.with_name(f"{path.name}.json").read_text()) for path in (restored, tmp_path / "bridge.flac")
    ]
    for metric in ("lsd", "mel_l1"):
        prior, bridge = (record["metrics"][0][metric]["restored_in_damage"] for record in records)
        assert prior < 0.5 * bridge


def test_the_song_is_filled_from_itself(run: Callable[..., SimpleNamespace], tmp_path: Path) -> None:
    words = ("--gap", "12:14", "--simulate", "-o", tmp_path / "repeat.flac")
    assert run("solve", "inpainting", CLIP.with_name("song.flac"), *words).code == 0
    record = json.loads((tmp_path / "repeat.flac.json").read_text())
    assert [note["solver"] for note in record["notes"]] == ["repeat"]
    assert record["metrics"][0]["mel_l1"]["restored_in_damage"] < 0.4
