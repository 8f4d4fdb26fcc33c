"""Guidance by a prompt: plain, and adaptive projected (arXiv:2410.02416)."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import soundfile
import torch

from diffmusic.prior.guidance import Projection, Text

Run = Callable[..., SimpleNamespace]
SHAPE = (4, 8, 6)


def pair() -> tuple[torch.Tensor, torch.Tensor]:
    """``D_c`` and ``D_u`` of one latent, float64."""
    draws = torch.Generator().manual_seed(0)
    clean, change = (torch.randn(SHAPE, generator=draws, dtype=torch.float64) for _ in range(2))
    return clean, clean - 0.5 * change


@pytest.mark.parametrize("parallel", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("limit", [None, 0.2, 5.0])
def test_it_is_what_diffusers_computes(parallel: float, limit: float | None) -> None:
    guiders = pytest.importorskip("diffusers.guiders.adaptive_projected_guidance")
    (clean, contrast), weight = pair(), 7.0
    expected = guiders.normalized_guidance(
        clean[None], contrast[None], weight - 1, eta=parallel, use_original_formulation=True,
        norm_threshold=0.0 if limit is None else limit * math.sqrt(math.prod(SHAPE)),
    )[0]  # fmt: skip
    torch.testing.assert_close(Projection(parallel, limit).combine(clean, contrast, weight), expected)


def test_what_is_added_is_orthogonal_and_bounded() -> None:
    clean, contrast = pair()
    added = Projection(0.0, 0.1).combine(clean, contrast, 3.0) - clean
    assert abs(float((added * clean).sum())) < 1e-10
    assert float(added.square().mean().sqrt()) <= 2 * 0.1
    kept = Projection(1.0, 0.1).combine(clean, contrast, 3.0) - clean
    assert float(kept.square().mean().sqrt()) == pytest.approx(2 * 0.1)


def test_all_of_the_parallel_part_and_no_limit_is_plain_guidance() -> None:
    clean, contrast = pair()
    plain = Text(("c",), "u", 4.0).combine([clean, contrast])
    torch.testing.assert_close(Projection(1.0).combine(clean, contrast, 4.0), plain)
    assert Projection.of(1.0, None) is None


def test_equal_passes_leave_a_finite_gradient() -> None:
    leaf = pair()[0].requires_grad_()
    made = Projection(0.0, 0.1).combine(leaf, leaf * 1.0, 4.0)
    (gradient,) = torch.autograd.grad(made.sum(), leaf)
    torch.testing.assert_close(gradient, torch.ones_like(gradient))


@pytest.mark.parametrize("command", ["solve", "edit"])
def test_the_command_line_has_it_and_plain_guidance_is_as_it_was(
    command: str, tiny: Path, song: Any, run: Run, tmp_path: Path
) -> None:
    source = song()
    words = ["solve", "inpainting", source, "--gap", "0.6:0.8", "--prompt", "a harp", "--solver", "repaint"]
    if command == "edit":
        words = ["edit", source, "--target", "a harp", "--source", "a drum"]
    words += ["--model", tiny, "--steps", 2]

    def made(name: str, *more: object) -> Any:
        done = run(*words, *more, "-o", tmp_path / name)
        assert done.code in (0, None), done.err
        return soundfile.read(tmp_path / name)[0]

    plain = made("plain.wav")
    assert (made("same.wav", "--guidance-parallel", 1) == plain).all()
    projected = made("projected.wav", "--guidance-parallel", 0)
    assert (projected != plain).any()
    assert (made("limited.wav", "--guidance-parallel", 0, "--guidance-limit", 1e-4) != projected).any()
    job = json.loads((tmp_path / "projected.wav.json").read_text())["job"]
    assert (job["guidance_parallel"], job["guidance_limit"]) == (0.0, None)
    refused = run(*words, "--guidance-parallel", 2, "-o", tmp_path / "none.wav")
    assert refused.code == 2
    assert "--guidance-parallel" in refused.err
