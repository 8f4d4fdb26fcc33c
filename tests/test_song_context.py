"""What the song says again, as evidence for a prior: believed as far as its surroundings are alike."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from diffmusic.audio.song import Song
from diffmusic.tasks import song_context
from diffmusic.tasks.restore import Restoration, restore
from diffmusic.tasks.settings import RestoreSettings
from diffmusic.tasks.song_context import SongContext
from diffmusic.testing.oracle import GaussianPrior
from diffmusic_operators.inpainting import Inpainting
from diffmusic_solvers.auto import Auto
from diffmusic_solvers.diffmusic import DiffMusic
from diffmusic_solvers.dps import DPS
from diffmusic_solvers.mmps import MMPS
from diffmusic_solvers.repaint import RePaint
from tests.test_repeat import RATE, song

GAP = (8.0, 8.6)
INSIDE = slice(8 * RATE, round(8.6 * RATE))


class White(GaussianPrior):
    """White noise at the level that priors know: it says nothing of what the song does, and keeps what it is told."""

    def denoise(self, z: Tensor, sigma: float, condition: Any = None) -> Tensor:
        return z * 0.01 / (0.01 + sigma**2)

    def sigmas(self, steps: int) -> Tensor:
        return torch.tensor([1.0, 0.3, 0.1, 0.03, 0.01, 0.0], dtype=torch.float64)


def restored(clean: np.ndarray, solver: Any, *gaps: tuple[float, float], **settings: Any) -> Restoration:
    prior = White(torch.zeros(1), torch.eye(1), excerpt_seconds=4.0)
    return restore(clean, RATE, Inpainting(gap=gaps), solver, prior, RestoreSettings(**settings))


def error(clean: np.ndarray, result: Restoration) -> float:
    """Of the energy in the gap, the part that is wrong."""
    truth, made = clean[:, INSIDE], result.audio[0][:, INSIDE]
    return float(np.square(made - truth).sum() / np.square(truth).sum())


@pytest.mark.parametrize("solver", [MMPS(deviation=1e-3), RePaint(repeats=1)])
def test_what_the_song_says_again_is_told_to_a_prior(solver: Any) -> None:
    clean = song(odd=0)
    heard = restored(clean, solver, GAP)
    (note,) = heard.notes
    assert "the prior hears" in note["text"]
    assert note["distance"] < 1e-3
    assert error(clean, heard) < 0.1  # finishing fades it in from the sound around it
    alone = restored(clean, solver, GAP, context="excerpt")
    assert alone.notes == ()
    assert error(clean, alone) > 0.8


def test_it_is_believed_as_far_as_its_surroundings_are_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    clean = song(odd=0)
    clean[:, 10 * RATE :] += 0.0003 * np.random.default_rng(0).standard_normal(clean[:, 10 * RATE :].shape)
    errors = []
    for slope in (0.01, 0.1, 1.0):
        monkeypatch.setattr(song_context, "DEVIATION", slope)
        errors.append(error(clean, restored(clean, MMPS(deviation=1e-3), GAP)))
    assert errors[0] < 0.05 < errors[1] < 0.5 < errors[2]


def test_each_gap_has_a_deviation_of_its_own() -> None:
    clean, gaps = song(odd=0), [(RATE, RATE + 400), (8 * RATE, 9 * RATE)]
    found = SongContext.of(Song.of(clean, RATE, gaps), gaps)
    assert found is not None
    assert found.deviation(RATE + 200) == float("inf")  # shorter than what is searched for
    assert found.deviation(8.5 * RATE) < 1e-3
    measured = torch.zeros(2, RATE, dtype=torch.float64)
    heard = found.within(measured, 8 * RATE + RATE // 2).numpy()
    np.testing.assert_allclose(heard[:, : RATE // 2], clean[:, 8 * RATE + RATE // 2 : 9 * RATE], atol=1e-9)
    assert not heard[:, RATE // 2 :].any()
    assert not measured.any()


def test_auto_tells_it_of_what_it_leaves_to_the_prior() -> None:
    result = restored(song(odd=0), Auto(near=0.0), GAP)
    assert [note["solver"] for note in result.notes] == ["mmps", "prior"]


def test_solvers_that_take_no_evidence_do_not_search() -> None:
    assert restored(song(odd=0), DPS(), GAP).notes == ()
    assert not DiffMusic(gamma=0.1).hears
    assert DiffMusic().hears


def test_the_command_line(run: Callable[..., SimpleNamespace], tiny: Path, tmp_path: Path) -> None:
    path, out = tmp_path / "song.flac", tmp_path / "out.flac"
    soundfile.write(path, song(odd=0).T, RATE)
    words = ("solve", "inpainting", path, "--gap", "8:8.6", "--solver", "repaint", "--model", tiny, "--steps", "2")
    result = run(*words, "-o", out)
    assert result.code == 0, result.err
    assert "the prior hears" in result.out
    result = run(*words, "-o", out, "--context", "excerpt")
    assert result.code == 0, result.err
    assert "hears" not in result.out
    assert json.loads((tmp_path / "out.flac.json").read_text())["job"]["context"] == "excerpt"
    assert run(*words, "-o", out, "--context", "album").code == 2
