"""Each gap by what is best for it: short ones predicted, repeated ones copied, the rest left to a prior."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from diffmusic.audio.linear_prediction import bridge
from diffmusic.audio.signal import Patched, whole
from diffmusic.audio.song import Song
from diffmusic.errors import InputError
from diffmusic.prior.backbone import Backbone
from diffmusic.tasks.restore import restore
from diffmusic_operators.inpainting import Inpainting
from diffmusic_solvers.auto import Auto
from diffmusic_solvers.diffmusic import DiffMusic
from tests.test_repeat import RATE, song

BAR = 2 * RATE + 37
SHORT, COPIED, REST = (1.0, 1.02), (8.0, 8.6), (14.0, 14.4)


@pytest.fixture
def clean() -> np.ndarray:
    """Bars that repeat, and one of noise within them, which does not."""
    audio = song(bars="abcdeabcdeab")
    audio[:, 13 * RATE : 15 * RATE + RATE // 2] = 0.3 * np.random.default_rng(0).standard_normal((2, 5 * RATE // 2))
    return audio


def begun(clean: np.ndarray, far: float = 3.0) -> tuple[np.ndarray, list, list]:
    gaps = [(round(a * RATE), round(b * RATE)) for a, b in (SHORT, COPIED, REST)]
    song = Song.of(clean, RATE, gaps)
    found = Auto(far=far).fill(song)
    return whole(Patched(song.signal, found.patches)), list(found.left), list(found.notes)


def test_each_gap_gets_its_solver_and_the_reason_is_said(clean: np.ndarray) -> None:
    filled, left, notes = begun(clean)
    assert [note["solver"] for note in notes] == ["interpolate", "repeat", "mmps"]
    assert left == [(round(REST[0] * RATE), round(REST[1] * RATE))]
    assert "shorter than" in notes[0]["text"]
    assert "copied from" in notes[1]["text"]
    assert "away" in notes[2]["text"]
    a, b = (round(each * RATE) for each in SHORT)
    expected = bridge(clean[0, a - RATE // 4 : a], clean[0, b : b + RATE // 4], b - a, 512)
    np.testing.assert_allclose(filled[0, a:b], expected, atol=1e-12)
    a, b = (round(each * RATE) for each in COPIED)
    np.testing.assert_array_equal(filled[:, a:b], clean[:, a:b])
    assert not filled[:, left[0][0] : left[0][1]].any()


def test_a_gap_that_no_prior_bridges_is_copied(clean: np.ndarray) -> None:
    _, left, notes = begun(clean, far=0.3)
    assert not left
    assert notes[2]["distance"] > Auto().near


def test_the_prior_solves_the_rest_and_all_else_is_kept(clean: np.ndarray, tiny: Path) -> None:
    from diffmusic.models.load import load_model
    from diffmusic.tasks.settings import RestoreSettings

    operator = Inpainting(gap=(SHORT, COPIED, REST))
    loaded = []

    def load() -> Backbone:
        loaded.append(load_model(str(tiny), "cpu"))
        return loaded[0]

    result = restore(clean, RATE, operator, Auto(), load, RestoreSettings(steps=2))
    filled, left, _ = begun(clean)
    rest = slice(*left[0])
    kept = np.ones(clean.shape[1], dtype=bool)
    kept[rest] = False
    np.testing.assert_array_equal(result.audio[0][:, kept], filled[:, kept])
    assert np.abs(result.audio[0][:, rest]).max() > 0
    assert len(result.damage) == 3
    assert len(loaded) == 1

    nothing = restore(clean, RATE, Inpainting(gap=(COPIED,)), Auto(), lambda: pytest.fail("a prior was loaded"))
    assert nothing.windows == ()


def test_little_context_is_not_trusted() -> None:
    audio = song(bars="aa")[:, : 2 * RATE]
    found = Auto().fill(Song.of(audio[:, : round(1.8 * RATE)], RATE, [(round(0.9 * RATE), round(1.1 * RATE))]))
    assert found.left
    assert "context" in found.notes[0]["text"] or "long enough" in found.notes[0]["text"]


def test_the_prior_is_a_solver_with_one_and_takes_parameters() -> None:
    assert Auto(prior="diffmusic rate=0.25").rest() == DiffMusic(rate=0.25)
    with pytest.raises(InputError, match="no solver with a prior"):
        Auto(prior="repeat").rest()


def test_it_is_the_default_and_the_record_says_what_it_chose(
    run: Callable[..., SimpleNamespace], clean: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "song.flac"
    soundfile.write(path, clean.T, RATE, subtype="PCM_24")
    words = ("--gap", "8:8.6", "--gap", "1:1.02", "-o", tmp_path / "out.flac")
    result = run("solve", "inpainting", path, *words)
    assert result.code == 0, result.err
    assert "8.00-8.60 s: copied from" in result.out
    record = json.loads((tmp_path / "out.flac.json").read_text())
    assert record["job"]["solver"] == "auto"
    assert record["model"] is None
    assert [note["solver"] for note in record["notes"]] == ["interpolate", "repeat"]
