"""The shipped checks catch what they are for: each broken component fails the check that names its fault."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from diffmusic.solver import State, Step, transition
from diffmusic.testing import check_operator, check_solver


@dataclass(frozen=True)
class Half:
    """A sound operator."""

    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * x

    adjoint = forward


@dataclass(frozen=True)
class RedrawnReverb:
    """The fault of a published implementation: a new impulse response on every call."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rand(())


@dataclass(frozen=True)
class Noisy:
    def forward(self, x: Tensor) -> Tensor:
        return x + 0.01 * torch.randn_like(x)


@dataclass(frozen=True)
class Mutating:
    def forward(self, x: Tensor) -> Tensor:
        return x.data.mul_(0.5) + 0 * x


@dataclass(frozen=True)
class Mixing:
    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(0, keepdim=True)


@dataclass(frozen=True)
class Detached:
    def forward(self, x: Tensor) -> Tensor:
        return x.detach() * 1.0


@dataclass(frozen=True)
class WrongGradient:
    def forward(self, x: Tensor) -> Tensor:
        return x + (x * x).detach()


@dataclass(frozen=True)
class FalseAdjoint:
    def forward(self, x: Tensor) -> Tensor:
        return x.cumsum(-1)

    def adjoint(self, y: Tensor) -> Tensor:
        return y.cumsum(-1)


@dataclass(frozen=True)
class Clipper:
    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(-0.1, 0.1)

    def adjoint(self, y: Tensor) -> Tensor:
        return y


@dataclass(frozen=True)
class NeedsLength:
    def forward(self, x: Tensor) -> Tensor:
        return x.unfold(-1, 512, 256).mean(-1)


@dataclass(frozen=True)
class PeekingGap:
    sample_rate: int = 16000
    offset: float = 0.0

    def damage(self, samples: int) -> list[tuple[int, int]]:
        return [(samples // 4, samples // 2)]

    def forward(self, x: Tensor) -> Tensor:
        return 0.9 * x


@dataclass(frozen=True)
class Unplaced:
    def damage(self, samples: int) -> list[tuple[int, int]]:
        return []

    def forward(self, x: Tensor) -> Tensor:
        return x


@dataclass(frozen=True)
class Unfinished(Half):
    def finish(self, estimate: Tensor, measurement: Tensor) -> Tensor:
        return -2 * estimate


@dataclass
class Thawed:
    def forward(self, x: Tensor) -> Tensor:
        return x


FAULTS = [
    (RedrawnReverb, "repeatable"),
    (Noisy, "repeatable"),
    (Mutating, "pure"),
    (Mixing, "batch"),
    (Detached, "differentiable"),
    (WrongGradient, "differentiable"),
    (FalseAdjoint, "adjoint"),
    (Clipper, "linear"),
    (NeedsLength, "any length"),
    (PeekingGap, "damage"),
    (Unplaced, "excerpt"),
    (Unfinished, "finish"),
    (Thawed, "contract"),
]


def test_a_sound_operator_passes() -> None:
    check_operator(Half())


@pytest.mark.parametrize(("broken", "check"), FAULTS)
def test_a_faulty_operator_fails_the_check_that_names_its_fault(broken: Callable[[], object], check: str) -> None:
    with pytest.raises(AssertionError, match=f"{check}: "):
        check_operator(broken())


@dataclass(frozen=True)
class Blind:
    """Never looks at the measurement."""

    def step(self, state: State, step: Step) -> State:
        return State(transition(state.z, step.prior.denoise(state.z, step.sigma), step, 1.0))


@dataclass(frozen=True)
class Careless:
    """Draws outside the generators it is given."""

    def step(self, state: State, step: Step) -> State:
        return State(step.prior.denoise(state.z, step.sigma) + step.sigma_next * torch.randn_like(state.z))


@dataclass(frozen=True)
class Overwriting:
    def step(self, state: State, step: Step) -> State:
        state.z.mul_(0.9)
        return State(state.z)


@dataclass(frozen=True)
class Averaging:
    scale: float = field(default=1.0)

    def step(self, state: State, step: Step) -> State:
        return State(0.5 * state.z + 0.5 * state.z.mean(0, keepdim=True))


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (Blind, "posterior mean: error"),
        (Careless, "same seeds give different"),
        (Overwriting, "changed the state"),
        (Averaging, "differs from the item alone"),
    ],
)
def test_a_faulty_solver_fails(broken: Callable[[], object], complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        check_solver(broken())
