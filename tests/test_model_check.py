"""``diffmusic models check``: its measures where the answers are known, its verdict, and what solve makes of it."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from diffmusic.bench.fake_backbone import FakeBackbone
from diffmusic.errors import InputError
from diffmusic.jobs import kept_checks
from diffmusic.jobs.model_check import CheckSettings, _best, _fewest, excerpts
from diffmusic.models.load import load_model
from diffmusic.tasks.prior_quality import denoising, free_sample
from diffmusic.tasks.prior_race import _scored, candidates

Run = Callable[..., SimpleNamespace]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@dataclass(frozen=True)
class Linear(FakeBackbone):
    """``D(z) = M z``, over the latent's values."""

    matrix: Any = None

    def denoise(self, z: Tensor, sigma: float, condition: Any = None) -> Tensor:
        return (z.flatten(1) @ self.matrix.T).reshape(z.shape)


def test_the_jacobians_eigenvalue_and_asymmetry_are_those_of_a_known_matrix() -> None:
    values = torch.linspace(0.1, 0.3, 16)
    values[-1] = 0.9
    turn = torch.linalg.qr(torch.randn(16, 16, generator=torch.Generator().manual_seed(0))).Q
    symmetric = turn @ values.diag() @ turn.T
    clean = [torch.zeros(1, 1, 16, 1)]
    found = denoising(Linear(matrix=symmetric), clean, 2.0)
    assert found.eigenvalue == pytest.approx(0.9, abs=0.01)
    assert found.asymmetry < 1e-4
    skew = torch.triu(torch.ones(16, 16), 1)
    found = denoising(Linear(matrix=symmetric + 0.3 * (skew - skew.T)), clean, 2.0)
    assert found.asymmetry > 0.5


def test_a_posterior_mean_claims_what_it_errs() -> None:
    # FakeBackbone denoises standard normal latents: the error is sigma / sqrt(1 + sigma^2).
    clean = [torch.randn(1, 1, 4096, 1, generator=torch.Generator().manual_seed(n)) for n in range(2)]
    found = denoising(FakeBackbone(), clean, 2.0)
    assert found.error == pytest.approx(2 / math.sqrt(5), rel=0.05)
    assert found.claimed == pytest.approx(found.error, rel=0.05)
    assert found.eigenvalue == pytest.approx(1 / 5, rel=1e-3)


def test_free_samples_have_the_priors_own_spread() -> None:
    audio = free_sample(FakeBackbone(), 640 * 4096, 25, 0)
    assert float(audio.std()) == pytest.approx(1, rel=0.05)


def test_the_score_is_least_for_the_truths_own_distribution() -> None:
    draw = np.random.default_rng(0)
    truth = draw.standard_normal((400, 64))

    def score(spread: float) -> float:
        return _scored(truth, [spread * draw.standard_normal(truth.shape) for _ in range(2)], 0.0).crps

    honest, narrow, wide = score(1.0), score(0.2), score(2.0)
    assert honest < narrow
    assert honest < wide
    assert honest == pytest.approx(1 / math.sqrt(math.pi), rel=0.03)  # E|x - y| / 2 of standard normal x and y


def row(*crps: float, error: str = "", one: float = 0.7) -> dict[str, Any]:
    return {"of_clips": list(crps), "crps": float(np.mean(crps)), "error": error, "one": one}


def test_the_default_stays_unless_another_is_better_on_every_clip() -> None:
    assert _best({"mmps": row(0.5, 0.5), "repaint": row(0.2, 0.6)}, "mmps") == "mmps"
    assert _best({"mmps": row(0.5, 0.5), "repaint": row(0.4, 0.4)}, "mmps") == "repaint"
    assert _best({"mmps": row(0.5, error="silent"), "repaint": row(0.9, 0.9)}, "mmps") == "repaint"
    assert _best({"mmps": row(0.5, error="silent")}, "mmps") is None
    # One sample too loud and one too quiet: their scatter hides how far off both are.
    assert _best({"mmps": row(0.5), "dsg": row(0.1, one=3.6)}, "mmps") == "mmps"


def test_the_fewest_levels_are_taken_that_do_as_well_as_the_best() -> None:
    assert _fewest({12: row(0.50, 0.30, 0.42), 25: row(0.49, 0.32, 0.40)}) == 12
    assert _fewest({12: row(0.60, 0.60, 0.61), 25: row(0.49, 0.50, 0.51)}) == 25


def test_every_solver_that_walks_a_prior_is_a_candidate() -> None:
    assert {"diffmusic", "dps", "mmps", "repaint"} <= set(candidates())
    assert not {"auto", "sinc", "sdedit"} & set(candidates())


def test_clips_are_cut_in_turn_and_spread(song: Callable[..., Path]) -> None:
    paths = [song("a.wav", 4.0), song("b.wav", 2.0, rate=8000, channels=2)]
    clips = excerpts(paths, FakeBackbone(), CheckSettings(clips=3, seconds=1.0))
    assert list(clips) == ["a.wav 0.50:1.50", "b.wav 0.50:1.50", "a.wav 2.50:3.50"]
    assert {clip.shape for clip in clips.values()} == {(1, 16000)}
    with pytest.raises(InputError, match=r"b\.wav lasts 2\.00 s"):
        excerpts(paths, FakeBackbone(), CheckSettings(clips=3, seconds=3.0))


FEW = ("--count", 1, "--seconds", 1, "--steps", 2, "--levels", "2,3", "--samples", 1)


def test_check_reports_keeps_its_word_and_solve_takes_it(
    run: Run, tiny: Path, song: Callable[..., Path], tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in ("whole", "in_passages"):  # a prior of random weights is off anywhere
        monkeypatch.setattr(f"diffmusic.tasks.{path}.doubts", lambda *_: [])
    clips, report, plot = song("clip.wav", 1.0), tmp_path / "check.json", tmp_path / "check.png"
    words = ("--damage", "gap", "--solver", "repaint", "--solver", "mpgd", "-o", report, "--plot", plot)
    done = run("models", "check", tiny, "--clips", clips, *FEW, *words)
    assert done.code == 0, done.err
    best = json.loads(report.read_text())["advice"]["gap"]["solver"]
    assert f"use {best} with" in done.out
    assert plot.read_bytes().startswith(b"\x89PNG")
    found = json.loads(report.read_text())
    assert [len(found["denoiser"]), len(found["levels"]["gap"])] == [6, 2]
    assert {each["solver"] for each in found["solvers"]["gap"]} == {"repaint", "mpgd", "straight line"}
    (kept,) = (cache / "diffmusic" / "checks").glob("*.json")
    assert kept.stem == found["model"]["sha256"] == load_model(str(tiny)).describe()["sha256"]

    def solved(*flags: object) -> tuple[dict[str, Any], str]:
        out = tmp_path / "out.wav"
        told = run("solve", "inpainting", clips, "--gap", "0.4:0.6", "--model", tiny, "-o", out, *flags)
        assert told.code == 0, told.err
        return json.loads(out.with_name("out.wav.json").read_text()), told.out

    document, out = solved()
    job, steps = document["job"], found["advice"]["gap"]["steps"]
    assert job["solver"] == "auto"
    assert job["solver_parameters"]["prior"] == best
    assert job["steps"] == steps
    assert document["advice"] == {"solver": best, "steps": steps, "check": str(kept)}
    assert "as diffmusic models check found best" in out
    document, _ = solved("--solver", "mmps", "--steps", 1)
    assert (document["job"]["solver"], document["job"]["steps"], document["advice"]) == ("mmps", 1, None)
    document, out = solved("--steps", 1)
    assert (document["job"]["solver_parameters"]["prior"], document["job"]["steps"]) == (best, 1)
    kept.unlink()
    document, out = solved("--steps", 1)
    assert document["job"]["solver_parameters"]["prior"] == "mmps"
    assert "found best" not in out


def test_a_check_that_is_broken_is_no_advice(cache: Path) -> None:
    assert not kept_checks.any_kept()
    kept_checks.keep({"model": {"sha256": "ab"}, "advice": {"gap": None}})
    assert kept_checks.any_kept()
    assert kept_checks.advice("ab", "gap") is None
    assert kept_checks.advice("ab", "band") is None
    assert kept_checks.keep({"model": {}}) is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--solver", "nosuch"), "unknown solver 'nosuch'"),
        (("--levels", "a,b"), "numbers of noise levels"),
        (("--steps", 0), "--steps 0: it is 1 to 1000"),
        (("--plot", "x.jpg"), "ends in .png"),
        (("--clips", "nowhere"), "nowhere: no such file"),
        (("--seconds", 0.1), "it is 0.5 to 60"),
    ],
)
def test_bad_input_is_one_line(run: Run, tiny: Path, cache: Path, words: tuple[object, ...], message: str) -> None:
    done = run("models", "check", tiny, *words)
    assert done.code == 2
    assert message in done.err
    assert len(done.err.splitlines()) == 1
    assert not cache.exists()
