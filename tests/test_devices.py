"""No solver makes a float64 tensor of what is on the device while it walks: accelerators such as Apple's have none."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from diffmusic.models.load import load_model
from diffmusic.plugins import registry
from diffmusic.prior import Costs, Prior
from diffmusic.problem import Problem
from diffmusic.problem.operator import Operator
from diffmusic.solver import Solver
from diffmusic.solver.noise import generator
from diffmusic.solver.sampling import sample
from diffmusic_operators.clipping import Clipping
from diffmusic_operators.inpainting import Inpainting
from diffmusic_operators.lowpass import Lowpass
from diffmusic_operators.resampling import Resampling
from diffmusic_operators.reverb import Reverb
from diffmusic_operators.stft_magnitude import StftMagnitude
from diffmusic_solvers.diffmusic import DiffMusic

KINDS = ("musicldm", "audioldm2", "stable_audio", "stable_audio_3")


def place(backbone: Any) -> Operator:
    return Inpainting(gap=((0.2, 0.25),), sample_rate=backbone.sample_rate)


def others(backbone: Any) -> list[Operator]:
    rate = backbone.sample_rate
    low = Resampling(sample_rate=rate, measured_rate=rate // 2)
    magnitudes = StftMagnitude(sample_rate=rate, measured_rate=rate)
    linear: list[Operator] = [Reverb(decay=0.1, sample_rate=rate), Lowpass(sample_rate=rate)]
    return [low, magnitudes, Clipping(level=0.05, sample_rate=rate), *linear]


LEFT: list[torch.Tensor] = []
"""What has been taken to the CPU, where double precision is."""
DOUBLE = (torch.float64, torch.complex128)


class NoFloat64(TorchDispatchMode):
    """Refuses what an accelerator without double precision refuses: that single precision becomes double.

    Tables that are computed in double precision and then rounded never leave the CPU; they begin as double.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        left = {id(each) for each in LEFT}
        given, made = (
            [
                each.dtype
                for each in tree_leaves(tree)
                if isinstance(each, torch.Tensor) and each.ndim and id(each) not in left
            ]
            for tree in ((args, kwargs), found)
        )
        if any(dtype in DOUBLE for dtype in made) and any(dtype not in DOUBLE for dtype in given):
            raise TypeError(f"{func} makes float64 of {given}")
        return found


@pytest.fixture(autouse=True)
def device(monkeypatch: pytest.MonkeyPatch) -> None:
    def cpu(tensor: torch.Tensor) -> torch.Tensor:
        LEFT.append(tensor.clone())
        return LEFT[-1]

    LEFT.clear()
    monkeypatch.setattr(torch.Tensor, "cpu", cpu)


def walked(backbone: Any, solver: Any, operator: Operator) -> torch.Tensor:
    samples = backbone.sample_rate // 2
    clean = 0.1 * torch.randn(1, backbone.channels, samples, generator=generator(0))
    features = torch.log1p if isinstance(operator, StftMagnitude) else backbone.mel
    problem = Problem(operator, operator.forward(clean), features=features)
    prior = Prior(backbone, samples, Costs(), (backbone.embed(None),))
    sigmas = backbone.sigmas(2).tolist()
    with NoFloat64():
        return sample(solver, problem, prior, sigmas, [generator(1)])


def test_no_solver_needs_double_precision(tiny: Path) -> None:
    backbone = load_model(str(tiny))
    for name, spec in registry().components("solver").items():
        solver = registry().load("solver", name)() if spec.role == "prior" else None
        if isinstance(solver, Solver):
            walked(backbone, solver, place(backbone))


@pytest.mark.parametrize("kind", KINDS)
def test_no_backbone_and_no_operator_need_it(kind: str, built: Callable[[str], Path]) -> None:
    backbone = load_model(str(built(kind)))
    for operator in (place(backbone), *others(backbone)):
        walked(backbone, DiffMusic(), operator)


def test_it_would_be_noticed(tiny: Path) -> None:
    class Doubles(Inpainting):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x).double().to(x.dtype)

    backbone = load_model(str(tiny))
    with pytest.raises(TypeError, match="float64"):
        walked(backbone, DiffMusic(), Doubles(gap=((0.2, 0.25),), sample_rate=backbone.sample_rate))
