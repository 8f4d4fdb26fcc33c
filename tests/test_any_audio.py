"""The audio that people have: any format, rate, length and number of channels; folders; failures among many."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from diffmusic.cli import terminal
from diffmusic.problem import Problem
from diffmusic.tasks.restore import restore
from diffmusic.tasks.settings import RestoreSettings

Song = Callable[..., Path]
Run = Callable[..., SimpleNamespace]


@pytest.fixture
def solve(run: Run, tiny: Path) -> Run:
    """Two steps of the tiny prior over a gap in the first tenth of a second."""

    def call(*words: object) -> SimpleNamespace:
        common = ("--gap", "0.04:0.06", "--model", tiny, "--steps", 2, "-s", "repeats=1")
        return run("solve", "inpainting", "--solver", "diffmusic", *words, *common)

    return call


@pytest.mark.parametrize(
    ("name", "subtype", "rate", "channels", "seconds"),
    [
        ("a.wav", "PCM_16", 11127, 1, 0.1),
        ("a.wav", "PCM_U8", 8000, 2, 0.1),
        ("a.wav", "PCM_32", 37800, 3, 0.1),
        ("a.wav", "FLOAT", 44100, 8, 0.1),
        ("a.flac", "PCM_24", 96000, 6, 0.1),
        ("a.aiff", "PCM_16", 22050, 4, 0.1),
        ("a.wav", "PCM_24", 12001, 5, 0.25),
    ],
)
def test_odd_files_keep_everything_outside_the_gap(
    song: Song, solve: Run, tmp_path: Path, name: str, subtype: str, rate: int, channels: int, seconds: float
) -> None:
    path, out = song(name, seconds=seconds, rate=rate, channels=channels, subtype=subtype), tmp_path / f"out{name}"
    result = solve(path, "-o", out)
    assert result.code == 0, result.err
    before, after = soundfile.info(path), soundfile.info(out)
    assert (before.samplerate, before.channels, before.frames, before.subtype) == (
        after.samplerate, after.channels, after.frames, after.subtype,
    )  # fmt: skip
    x, y = (soundfile.read(each, always_2d=True)[0] for each in (path, out))
    kept = np.r_[0 : round(0.04 * rate) - 1, round(0.06 * rate) + 1 : len(x)]
    assert np.array_equal(x[kept], y[kept])
    assert np.isfinite(y).all()


@pytest.mark.parametrize("name", ["a.ogg", "a.mp3"])
def test_a_tenth_of_a_second_of_a_lossy_file(song: Song, solve: Run, tmp_path: Path, name: str) -> None:
    path = song(name, seconds=0.1, rate=44100, channels=2)
    assert solve(path, "-o", tmp_path / "out.flac").code == 0
    assert soundfile.info(tmp_path / "out.flac").frames == soundfile.info(path).frames


@pytest.mark.parametrize("level", [1e-4, 0.9])
def test_levels_are_kept(solve: Run, tmp_path: Path, level: float) -> None:
    noise = level / 4 * np.random.default_rng(0).standard_normal((16000, 2)).clip(-4, 4)
    soundfile.write(tmp_path / "a.wav", noise, 16000, subtype="FLOAT")
    assert solve(tmp_path / "a.wav", "-o", tmp_path / "out.wav", "--no-finish").code == 0
    gap = soundfile.read(tmp_path / "out.wav")[0][640:960]
    assert level / 40 < np.sqrt(np.mean(gap**2)) < level


def test_what_is_clipped_on_writing_is_told(solve: Run, tmp_path: Path) -> None:
    """A restoration louder than full scale: the 16-bit file cannot hold it, and says so; a float file can."""
    square = 0.999 * np.sign(np.random.default_rng(0).standard_normal(16000))
    soundfile.write(tmp_path / "a.wav", square, 16000, subtype="PCM_16")
    words = (tmp_path / "a.wav", "--no-finish")
    result = solve(*words, "-o", tmp_path / "out.wav")
    restored = soundfile.read(tmp_path / "out.wav")[0]
    assert ("exceed full scale and are clipped" in result.err) == bool((abs(restored) >= 1 - 2**-15).any())
    assert "exceed full scale" in result.err


def test_a_float_file_over_full_scale_is_kept_or_its_clipping_is_told(run: Run, tmp_path: Path) -> None:
    """All of it, the observed samples too."""
    loud = np.random.default_rng(0).uniform(-1.8, 1.8, 8000)
    soundfile.write(tmp_path / "a.wav", loud, 16000, subtype="FLOAT")
    words = ("solve", "inpainting", tmp_path / "a.wav", "--gap", "0.1:0.12", "--solver", "interpolate")
    assert run(*words, "-o", tmp_path / "same.wav").err == ""
    kept = np.r_[0:1600, 1920:8000]
    assert np.array_equal(soundfile.read(tmp_path / "same.wav")[0][kept], loud[kept].astype(np.float32))
    told = re.search(r"note: .*: (\d+) samples exceed full scale", run(*words, "-o", tmp_path / "out.flac").err)
    assert told
    assert int(told[1]) >= (abs(loud[kept]) > 1).sum() > 3000


def test_a_folder_is_restored_with_one_summary(song: Song, solve: Run, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    for name in ("in/b.wav", "in/a.flac", "in/c.wav"):
        song(name, seconds=0.2)
    (tmp_path / "in" / "notes.txt").write_text("not music")
    result = solve(tmp_path / "in", "-o", tmp_path / "out")
    assert result.code == 0, result.err
    assert result.out.splitlines()[-1] == "3 of 3 files restored"
    assert sorted(path.name for path in (tmp_path / "out").glob("*.restored.*") if path.suffix != ".json") == [
        "a.restored.flac", "b.restored.wav", "c.restored.wav",
    ]  # fmt: skip
    # Beside the inputs, and again: what was restored is not restored once more.
    assert solve(tmp_path / "in").code == 0
    assert solve(tmp_path / "in").out.splitlines()[-1] == "3 of 3 files restored"


def test_a_failure_among_many_is_named_at_the_end(song: Song, solve: Run, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    song("in/a.wav", seconds=0.2)
    (tmp_path / "in" / "b.wav").write_text("no wave at all")
    song("in/c.wav", seconds=0.2)
    result = solve(tmp_path / "in")
    assert result.code == 2
    assert result.out.splitlines()[-1] == "2 of 3 files restored"
    assert "1 of 3 files failed" in result.err.splitlines()[-1]
    assert "b.wav" in result.err.splitlines()[-1]
    (first, _) = (line for line in result.err.splitlines() if line.startswith("error"))
    assert first.count("b.wav") == 1
    assert (tmp_path / "in" / "c.restored.wav").exists()


def test_one_bar_counts_all_files(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    from rich.progress import Progress

    original = Progress.update

    def update(self: Progress, task: object, **changed: float) -> None:
        if "completed" in changed:
            seen.append(changed["completed"])
        original(self, task, **changed)  # type: ignore[arg-type]

    monkeypatch.setattr(Progress, "update", update)
    with terminal.progress_bar(2) as bar:
        for number in range(2):
            progress = bar(number, "x.wav")
            assert progress is not None
            progress(0.5)
    assert seen == [0, 0.5, 1, 1.5]


def test_the_band_above_the_priors_is_filled_inside_a_gap_and_kept_outside(
    run: Run, tiny: Path, tmp_path: Path
) -> None:
    noise = 0.05 * np.random.default_rng(0).standard_normal(2 * 44100)
    soundfile.write(tmp_path / "a.wav", noise, 44100, subtype="DOUBLE")
    words = ("solve", "inpainting", tmp_path / "a.wav", "--gap", "0.9:1.2", "--model", tiny, "--steps", 2,
             "--solver", "diffmusic")  # fmt: skip

    def above(name: str, *more: str) -> float:
        result = run(*words, "-o", tmp_path / name, *more)
        assert result.code == 0, result.err
        restored = soundfile.read(tmp_path / name)[0]
        assert np.array_equal(np.delete(restored, np.s_[39690:52920]), np.delete(noise, np.s_[39690:52920]))
        middle = restored[41895:50715]
        power = np.square(np.abs(np.fft.rfft(middle * np.hanning(len(middle)))))
        return float(power[np.fft.rfftfreq(len(middle), 1 / 44100) > 9000].sum())

    assert above("filled.wav") > 1e4 * above("empty.wav", "--no-extend")


def test_what_only_the_measurement_tells_reaches_the_operator() -> None:
    """An operator that takes its level from the recording is fitted to it before it is solved and finished."""

    @dataclass(frozen=True)
    class Limited:
        level: float = 0.0

        def fitted(self, measurement: Tensor) -> "Limited":
            return Limited(float(measurement.abs().max()))

        def forward(self, x: Tensor) -> Tensor:
            return x.clamp(-self.level, self.level)

        def finish(self, estimate: Tensor, measurement: Tensor) -> Tensor:
            return torch.full_like(estimate, self.level)

    @dataclass(frozen=True)
    class Same:
        def estimate(self, problem: Problem) -> Tensor:
            return problem.operator.forward(problem.measured)

    measured = np.array([[0.1, -0.7, 0.3]])
    assert (
        restore(measured, 8000, Limited(), Same(), None, RestoreSettings(finish=False)).audio[0].tolist()
        == measured.tolist()
    )
    assert restore(measured, 8000, Limited(), Same()).audio[0].tolist() == [[0.7, 0.7, 0.7]]
