"""``import diffmusic``: one import restores, edits, explores and fuses; nothing of the caller's is touched."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import diffmusic
from diffmusic_operators.inpainting import Inpainting
from diffmusic_solvers.diffmusic import DiffMusic

RATE = 16000
FAST: dict[str, Any] = {"steps": 2, "seed": 3}


@pytest.fixture
def audio() -> np.ndarray:
    return 0.1 * np.random.default_rng(0).standard_normal((1, 8000))


def test_the_import_is_light_and_offers_all_its_names() -> None:
    code = (
        "import sys; before = {*sys.modules}; import diffmusic; new = {*sys.modules} - before\n"
        "print(sorted({name.split('.')[0] for name in new} - sys.stdlib_module_names), len(new))\n"
        "assert set(diffmusic.__all__) <= set(dir(diffmusic))\n"
        "print([name for name in diffmusic.__all__ if not hasattr(diffmusic, name)])"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    imported, lacking = out.splitlines()
    # No torch, no numpy: what takes a tenth of a second at most is told by what is imported, not by a clock.
    assert imported.startswith("['diffmusic', 'pluggy'] ")
    assert int(imported.split()[-1]) < 200
    assert lacking == "[]"
    with pytest.raises(AttributeError, match="no attribute 'restores'"):
        _ = diffmusic.restores  # type: ignore[attr-defined]


def test_text_and_instances_give_the_same(audio: np.ndarray, tiny: Path) -> None:
    told = diffmusic.restore(
        audio, RATE, "inpainting gap=0.1:0.15 gap=0.3:0.35", solver="diffmusic repeats=1", model=tiny, **FAST
    )
    made = diffmusic.restore(
        audio[0], RATE, Inpainting(gap=((0.1, 0.15), (0.3, 0.35))), solver=DiffMusic(repeats=1),
        model=diffmusic.load_model(tiny), **FAST,
    )  # fmt: skip
    np.testing.assert_array_equal(told.audio, made.audio)
    assert told.record["operator"] == "inpainting"
    assert told.record["operator_parameters"]["gap"] == [[0.1, 0.15], [0.3, 0.35]]
    assert made.record["solver"] == "diffmusic_solvers.diffmusic:DiffMusic"
    assert told.record["settings"]["steps"] == 2
    assert told.record["model"]["sha256"] == made.record["model"]["sha256"]
    assert told.marks == ((1600, 2400), (4800, 5600))


def test_a_solver_without_a_prior_loads_none(audio: np.ndarray) -> None:
    result = diffmusic.restore(audio, RATE, "inpainting gap=0.1:0.15", solver="interpolate", model="/no/such/model")
    assert result.record["model"] is None
    np.testing.assert_array_equal(result.audio[0][:, :1600], audio[:, :1600])


def test_a_solver_that_may_need_a_prior_loads_it_then(audio: np.ndarray) -> None:
    result = diffmusic.restore(audio, RATE, "inpainting gap=0.1:0.12", model="/no/such/model")
    assert [note["solver"] for note in result.notes] == ["interpolate"]
    assert result.record["solver"] == "auto"
    with pytest.raises(diffmusic.InputError, match="no/such/model"):
        diffmusic.restore(audio, RATE, "inpainting gap=0.1:0.2", model="/no/such/model")


def test_what_does_not_exist_is_named(audio: np.ndarray, tiny: Path) -> None:
    with pytest.raises(diffmusic.InputError, match=r"no setting 'stepz'.*'steps'"):
        diffmusic.restore(audio, RATE, "inpainting gap=0.1:0.2", model=tiny, stepz=3)
    with pytest.raises(diffmusic.InputError, match="`steps`: input should be greater than or equal to 1"):
        diffmusic.restore(audio, RATE, "inpainting gap=0.1:0.2", model=tiny, steps=0)
    with pytest.raises(diffmusic.InputError, match="edits recordings and restores none"):
        diffmusic.restore(audio, RATE, "inpainting gap=0.1:0.2", solver="sdedit", model=tiny)
    with pytest.raises(diffmusic.InputError, match="restores recordings and edits none"):
        diffmusic.edit(audio, RATE, "rock", solver="dps", model=tiny)
    with pytest.raises(diffmusic.InputError, match="which stretch is lost"):
        diffmusic.restore(audio, RATE, "inpainting", model=tiny)


def test_editing_exploring_and_fusing_are_one_call_each(audio: np.ndarray, tiny: Path) -> None:
    edited = diffmusic.edit(audio, RATE, ["a harp", "a drum"], model=tiny, source="a piano", steps=2, strength=1.0)
    assert edited.audio.shape == (2, 1, 8000)
    assert edited.record["settings"]["targets"] == ["a harp", "a drum"]
    explored = diffmusic.explore(audio, RATE, model=tiny, steps=2, components=1, products=2, strength=1.0)
    assert explored.audio.shape == (2, 1, 8000)
    fused = diffmusic.fuse(audio, RATE, None, prompt="an organ", level=[0.5, 2.0], model=tiny, steps=3)
    assert fused.audio.shape == (2, 1, 8000)


def test_a_callback_sees_every_step_and_the_clean_estimate(audio: np.ndarray, tiny: Path) -> None:
    seen: list[tuple[int, int, float]] = []
    estimates: list[np.ndarray] = []
    done: list[float] = []

    def look(snapshot: diffmusic.Snapshot) -> None:
        seen.append((snapshot.step, snapshot.steps, snapshot.sigma))
        estimates.append(snapshot.estimate())

    def run(**watched: Any) -> diffmusic.Restoration:
        return diffmusic.restore(
            audio, RATE, "inpainting gap=0.1:0.15", solver="diffmusic repeats=1", model=tiny, **FAST, **watched
        )

    watched = run(on_step=look, progress=done.append)
    assert [each[:2] for each in seen] == [(1, 2), (2, 2)]
    assert seen[-1][2] == 0
    assert done == [0.5, 1.0]
    assert all(each.shape == (1, 1, 8000) and np.isfinite(each).all() for each in estimates)
    plain = run()
    np.testing.assert_array_equal(watched.audio, plain.audio)
    assert watched.costs.decoder_forward == plain.costs.decoder_forward + 2


def test_the_caller_is_left_alone(audio: np.ndarray, tiny: Path, capfd: pytest.CaptureFixture[str]) -> None:
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    grad = torch.is_grad_enabled()
    diffmusic.load_model(tiny)
    capfd.readouterr()
    diffmusic.restore(audio, RATE, "inpainting gap=0.1:0.15", solver="dps", model=tiny, **FAST)
    diffmusic.edit(audio, RATE, "rock", model=tiny, steps=2, strength=1.0)
    assert torch.equal(torch.get_rng_state(), state)
    assert (torch.get_num_threads(), torch.is_grad_enabled()) == (threads, grad)
    printed = capfd.readouterr()
    assert printed.out == ""


def test_a_result_shows_itself(audio: np.ndarray) -> None:
    result = diffmusic.restore(audio, RATE, "inpainting gap=0.1:0.15", solver="interpolate")
    page = result._repr_html_()
    assert page.count("<audio controls") == 1
    assert "data:image/png;base64," in page
    assert len(result.plot().axes) == 2  # the spectrogram and its scale


def test_audio_is_read_and_written(song: Callable[..., Path], tmp_path: Path) -> None:
    path, out = song("song.flac", channels=2, subtype="PCM_24"), tmp_path / "out.flac"
    x, rate = diffmusic.read(path)
    assert x.shape == (2, 24000)
    diffmusic.write(out, x, rate, like=path)
    assert soundfile.info(out).subtype == "PCM_24"
    np.testing.assert_array_equal(diffmusic.read(out)[0], x)
    with pytest.raises(diffmusic.InputError, match="cannot be written"):
        diffmusic.write(tmp_path / "no" / "out.wav", x, rate)
