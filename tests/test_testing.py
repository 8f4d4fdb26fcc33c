"""The shipped checks catch what they are for: each broken component fails the check that names its fault."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import Tensor

from diffmusic.solver import State, Step, transition
from diffmusic.testing import check_metric, check_operator, check_solver, parametrize_with_checks


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


@dataclass(frozen=True)
class FixedNoise:
    """The same noise on every call: repeatable, and noise all the same."""

    def forward(self, x: Tensor) -> Tensor:
        draw = torch.randn(x.shape[1:], generator=torch.Generator().manual_seed(0), dtype=x.dtype)
        return x + 0.01 * draw


@dataclass(frozen=True)
class Seeding:
    """Repeatable, because it seeds the generator that everybody shares."""

    def forward(self, x: Tensor) -> Tensor:
        torch.manual_seed(0)
        return x * torch.rand(())


@dataclass(frozen=True)
class Counting:
    """A hidden state: the first call differs from the second."""

    calls: list[int] = field(default_factory=list)

    def forward(self, x: Tensor) -> Tensor:
        self.calls.append(1)
        return x / len(self.calls)


@dataclass(frozen=True)
class InPlace:
    def forward(self, x: Tensor) -> Tensor:
        x *= 0.5
        return x


@dataclass(frozen=True)
class Doubling:
    """Constants in double precision: what is measured is no longer float32."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.ones(x.shape[-1], dtype=torch.float64)


@dataclass(frozen=True)
class Rounding:
    """As through NumPy's 8-bit integers: no gradient that is true."""

    def forward(self, x: Tensor) -> Tensor:
        return x + ((x * 128).round() / 128 - x).detach()


@dataclass(frozen=True)
class ScaledAdjoint(Half):
    def adjoint(self, y: Tensor) -> Tensor:  # type: ignore[override]
        return y


@dataclass(frozen=True)
class ShiftedAdjoint:
    def forward(self, x: Tensor) -> Tensor:
        return x.roll(1, -1)

    adjoint = forward


@dataclass(frozen=True)
class SpoilingAdjoint(Half):
    def adjoint(self, y: Tensor) -> Tensor:  # type: ignore[override]
        return y.mul_(0.5)


@dataclass(frozen=True)
class Bent:
    linear: bool = True

    def forward(self, x: Tensor) -> Tensor:
        return x.tanh()


@dataclass(frozen=True)
class SpoilingFinish(Half):
    def finish(self, estimate: Tensor, measurement: Tensor) -> Tensor:
        measurement.mul_(2)
        return measurement


@dataclass
class Thawed:
    def forward(self, x: Tensor) -> Tensor:
        return x


FAULTS = [
    (RedrawnReverb, "repeatable: two calls on the same audio differ by [0-9.]+e"),
    (Noisy, "repeatable: two calls on the same audio differ by [0-9.]+e"),
    (FixedNoise, r"silent: silence is measured as [0-9.]+e-02"),
    (Seeding, "repeatable: forward draws from torch's own generator"),
    (Counting, "repeatable: two calls on the same audio differ by 5.0e-01"),
    (Mutating, "pure: forward changed its input by 5.0e-01"),
    (InPlace, "pure: forward changed its input by 5.0e-01"),
    (Doubling, "precision: float32 audio is measured in torch.float64"),
    (Mixing, "batch: an item in a batch differs from the item alone by [0-9.]+e"),
    (Detached, "differentiable: the measurement carries no gradient"),
    (WrongGradient, "differentiable: gradient .*, by finite differences"),
    (Rounding, "differentiable: gradient .*, by finite differences"),
    (FalseAdjoint, "adjoint: <Ax, y> = .* but <x, A'y> = "),
    (ScaledAdjoint, "adjoint: <Ax, y> = .* but <x, A'y> = "),
    (ShiftedAdjoint, "adjoint: <Ax, y> = .* but <x, A'y> = "),
    (SpoilingAdjoint, "pure: adjoint changed its input by 5.0e-01"),
    (Clipper, "linear: it says it is linear and is not: relative error"),
    (Bent, "linear: it says it is linear and is not: relative error"),
    (NeedsLength, "any length"),
    (PeekingGap, "damage"),
    (Unplaced, "excerpt"),
    (Unfinished, "finish"),
    (SpoilingFinish, "finish: finish changed the measurement by 1.0e"),
    (Thawed, "contract"),
]


def test_a_sound_operator_passes() -> None:
    check_operator(Half())


@pytest.mark.parametrize(("broken", "check"), FAULTS)
def test_a_faulty_operator_fails_the_check_that_names_its_fault(broken: Callable[[], object], check: str) -> None:
    with pytest.raises(AssertionError, match=check if ": " in check else f"{check}: "):
        check_operator(broken())  # type: ignore[arg-type]


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


def _difference(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    """A sound metric."""
    return float(np.square(reference - estimate).mean())


def _blind(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    return float(np.square(reference).mean())


def _spoiling(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    reference -= estimate
    return float(np.square(reference).mean())


def _array(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> np.ndarray:
    return (reference - estimate).mean(-1)


def _one_rate(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    return _difference(reference, estimate, sample_rate) if sample_rate == 16000 else float("nan")


def _told(
    reference: np.ndarray, estimate: np.ndarray, sample_rate: int, damage: Sequence[tuple[int, int]] | None = None
) -> float:
    """A sound metric of what was lost."""
    lost = np.zeros(reference.shape[-1], dtype=bool)
    for start, stop in damage or [(0, len(lost))]:
        lost[start:stop] = True
    return _difference(reference[:, lost], estimate[:, lost], sample_rate)


def _told_in_vain(
    reference: np.ndarray, estimate: np.ndarray, sample_rate: int, damage: Sequence[tuple[int, int]] | None = None
) -> float:
    return _difference(reference, estimate, sample_rate) + (damage is None)


@dataclass(frozen=True)
class Onset:
    """When the first loud sample comes: noise says nothing of it, and soft audio has none."""

    wrong: bool = False

    def __call__(self, reference: np.ndarray, estimate: np.ndarray, sample_rate: int, /) -> float:
        loud = [np.flatnonzero(np.abs(x).max(0) > 0.9) for x in (reference, estimate)]
        return abs(float(loud[0][0] - loud[1][0])) / sample_rate if all(map(len, loud)) else float("nan")

    def probe(self) -> tuple[np.ndarray, list[np.ndarray], int]:
        onsets = np.eye(1000)[[100, 110, 900, 200] if self.wrong else [100, 110, 200, 900], None]
        return onsets[0], list(onsets[1:]), 1000


def test_a_sound_metric_passes() -> None:
    check_metric(_difference)
    check_metric(_told)
    check_metric(Onset())


def test_a_metric_fails_on_what_it_brings_itself() -> None:
    with pytest.raises(AssertionError, match=r"ordered: a worse estimate is not steadily worse: 0.01, 0.8, 0.1"):
        check_metric(Onset(wrong=True))


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (_blind, "ordered: it does not tell little noise from much"),
        (_spoiling, "pure metric: "),
        (_array, "number: it gives a ndarray"),
        (_told_in_vain, "whole: it gives .* without damage, and .* where all of it is damage"),
        (_one_rate, "any shape: .* at 8000 Hz give NaN"),
    ],
)
def test_a_faulty_metric_fails(broken: Callable[..., object], complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        check_metric(broken)


def test_a_check_is_a_test_with_an_id_of_its_own() -> None:
    cases = parametrize_with_checks([Half(), Half(), _difference]).mark.args[1]
    ids = [case.id for case in cases]
    assert {"Half0-adjoint", "Half1-adjoint", "Half0-any length", "_difference-ordered"} <= set(ids)
    assert "_difference-adjoint" not in ids
    assert not [case for case in cases if case.marks]
    for component, check in (case.values for case in cases if case.id.startswith("Half0")):
        check(component)
    assert parametrize_with_checks({"mine": Half()}).mark.args[1][0].id == "mine-contract"


def test_an_expected_failure_is_named_with_its_reason_and_may_not_pass() -> None:
    mark = parametrize_with_checks([Bent()], expected_failures={"Bent": {"linear": "it bends"}})
    (case,) = [each for each in mark.mark.args[1] if each.marks]
    assert case.id == "Bent-linear"
    assert case.marks[0].kwargs == {"reason": "it bends", "strict": True}
    with pytest.raises(AssertionError, match="is not: relative error"):
        case.values[1](case.values[0])
    with pytest.raises(ValueError, match="Bent has no check called 'linaer'"):
        parametrize_with_checks([Bent()], expected_failures={"Bent": {"linaer": "misspelt"}})
    with pytest.raises(ValueError, match="no component 'Half'"):
        parametrize_with_checks([Bent()], expected_failures={"Half": {"linear": "it is not here"}})
    with pytest.raises(TypeError, match="no contract"):
        parametrize_with_checks([3])
