"""Edits on the published models' own layouts: the null edit is the round trip on each, another target is not."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

Run = Callable[..., SimpleNamespace]
Song = Callable[..., Path]


@pytest.mark.parametrize("solver", ["ddpm-inversion", "flow-edit"])
@pytest.mark.parametrize("kind", ["audioldm2", "stable_audio", "stable_audio_3", "ace_step"])
def test_null_edit_is_the_same_at_every_strength(
    kind: str, solver: str, built: Callable[[str], Path], song: Song, run: Run, tmp_path: Path
) -> None:
    path = song(seconds=0.5, rate=44100, channels=2)

    def edited(name: str, *words: object) -> np.ndarray:
        out = tmp_path / name
        result = run("edit", path, "--model", built(kind), "--solver", solver, "--source", "a drum", *words, "-o", out)
        assert result.code == 0, result.err
        return np.asarray(soundfile.read(out, dtype="int16")[0])

    def null(name: str, strength: float) -> np.ndarray:
        words = ("--target", "a drum", "--guidance", 2, "--source-guidance", 2, "--steps", 3, "--strength", strength)
        return edited(name, *words)

    low, high = null("low.wav", 1.0), null("high.wav", 4.0)
    other = edited("other.wav", "--target", "a harp", "--steps", 3, "--strength", 4.0)
    assert low.shape == (22050, 2)
    assert np.abs(low.astype(int) - high).max() <= 2  # of 32768: nothing but rounding is left of the path
    assert np.abs(other.astype(int) - high).max() > 20
