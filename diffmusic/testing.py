"""The contract tests that every operator, solver and backbone has to pass, a third party's too.

``check_operator(MyOperator())`` in a plugin's own test raises AssertionError with the failing numbers;
``diffmusic check NAME`` prints every result.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from diffmusic import problem as problems
from diffmusic.oracle import Oracle
from diffmusic.parameters import bind
from diffmusic.plugins import reason
from diffmusic.prior import Backbone, Costs, Prior
from diffmusic.problem import Operator, Problem
from diffmusic.sampling import generator, iterate
from diffmusic.solver import DirectSolver, Solver

RATE = 16000
SAMPLES = 1601


@dataclass(frozen=True)
class Result:
    """One check: its name, whether it passed, and the number or reason it goes by."""

    name: str
    passed: bool
    detail: str


Check = Callable[[Any], str]


def examine(component: Any, checks: Iterable[Check]) -> list[Result]:
    """Run every check; one that raises has failed, with what it raised as its detail."""
    results = []
    for check in checks:
        name = check.__name__.removeprefix("_").replace("_", " ")
        try:
            results.append(Result(name, True, check(component)))
        except Exception as error:  # a component under test may raise anything
            detail = str(error) if isinstance(error, AssertionError) else reason(error)
            results.append(Result(name, False, detail))
    return results


def _demand(results: list[Result], component: Any) -> None:
    failed = [f"{result.name}: {result.detail}" for result in results if not result.passed]
    assert not failed, f"{type(component).__name__} fails {len(failed)} of {len(results)} checks: " + "; ".join(failed)


def check_operator(operator: Any) -> None:
    """Assert that an operator is repeatable, pure, treats items alone, is differentiable, takes any length and any
    number of channels, has the adjoint it claims, and damages and finishes what it says."""
    _demand(examine(operator, operator_checks(operator)), operator)


def check_solver(solver: Any, tolerance: float = 0.5, steps: int = 50) -> None:
    """Assert that a solver is pure, repeatable, treats items alone, and on the Gaussian oracle (see
    ``diffmusic.oracle``) has a relative error of the posterior mean below ``tolerance``; unguided it is about 1."""
    _demand(examine(solver, solver_checks(solver, tolerance, steps)), solver)


def check_backbone(backbone: Any) -> None:
    """Assert that a backbone's latents, levels, gradients and denoiser are what ``diffmusic.prior`` says."""
    _demand(examine(backbone, backbone_checks(backbone)), backbone)


def example(component: type) -> Any:
    """An instance to check: ``component.example()`` where the defaults alone would not do anything."""
    return component.example() if hasattr(component, "example") else component()


def _audio(batch: int = 2, channels: int = 1, samples: int = SAMPLES, seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(batch, channels, samples, generator=generator(seed), dtype=torch.float64)


def _relative(a: Tensor, b: Tensor) -> float:
    assert a.shape == b.shape, f"shapes differ: {tuple(a.shape)} and {tuple(b.shape)}"
    return float((a - b).norm() / b.norm().clamp(min=1e-30))


def _frozen(component: Any) -> None:
    params = getattr(component, "__dataclass_params__", None)
    assert params is not None, "it is not a dataclass"
    assert params.frozen, "it is a dataclass, but not a frozen one"


# --- operators


def operator_checks(operator: Any) -> list[Check]:
    """The checks that apply to this operator."""
    checks: list[Check] = [_contract, _repeatable, _pure, _batch, _differentiable, _any_length]
    if hasattr(operator, "adjoint"):
        checks += [_linear, _adjoint]
    if hasattr(operator, "damage"):
        checks += [_damage, _excerpt]
    if hasattr(operator, "finish"):
        checks += [_finish]
    return checks


def _contract(operator: Any) -> str:
    assert isinstance(operator, Operator), "it has no method forward"
    _frozen(operator)
    return "frozen dataclass with forward"


def _repeatable(operator: Any) -> str:
    x = _audio()
    first, again = operator.forward(x), bind(operator, sample_rate=RATE).forward(x)
    assert bool(torch.isfinite(first).all()), "the measurement of finite audio is not finite"
    different = _relative(again, first)
    assert different == 0, f"two calls on the same audio differ by {different:.1e} (noise is not the operator's)"
    return "bit-identical"


def _pure(operator: Any) -> str:
    x = _audio()
    kept, before = x.clone(), repr(operator)
    operator.forward(x)
    assert torch.equal(x, kept), "forward changed its input"
    assert repr(operator) == before, "forward changed the operator"
    return "input and operator unchanged"


def _batch(operator: Any) -> str:
    x = _audio(3)
    together = operator.forward(x)
    alone = torch.cat([operator.forward(x[i : i + 1]) for i in range(3)])
    different = _relative(together, alone)
    assert different < 1e-10, f"an item in a batch differs from the item alone by {different:.1e}"
    return f"difference {different:.0e}"


def _differentiable(operator: Any) -> str:
    # A directional derivative in float64: as telling as gradcheck here, at any length.
    x, direction = _audio(1).requires_grad_(), _audio(1, seed=1)
    y = operator.forward(x)
    assert y.requires_grad, "the measurement carries no gradient"
    weight = torch.randn(y.shape, generator=generator(2), dtype=torch.float64).to(y.dtype)
    (gradient,) = torch.autograd.grad((weight * y).sum().real, x)
    claimed = float((gradient * direction).sum())
    with torch.no_grad():
        step = 1e-6
        ahead, behind = (operator.forward(x + side * step * direction) for side in (1, -1))
        measured = float((weight * (ahead - behind)).sum().real) / (2 * step)
    assert claimed != 0 or measured != 0, "the gradient is zero everywhere"
    error = abs(claimed - measured) / max(abs(measured), 1e-12)
    assert error < 1e-5, f"gradient {claimed:.6g}, by finite differences {measured:.6g}"
    return f"gradient agrees to {error:.0e}"


def _any_length(operator: Any) -> str:
    for samples in (1, 2, 37, SAMPLES, 4000):
        for channels in (1, 2, 5):
            y = operator.forward(_audio(1, channels, samples))
            where = f"{channels} channels of {samples} samples"
            assert y.shape[0] == 1, f"{where}: the batch is not the first axis of {tuple(y.shape)}"
            assert bool(torch.isfinite(y).all()), f"{where}: not finite"
    return "1 to 4000 samples, 1 to 5 channels"


def _linear(operator: Any) -> str:
    a, b = _audio(seed=3), _audio(seed=4)
    error = _relative(operator.forward(2 * a - 3 * b), 2 * operator.forward(a) - 3 * operator.forward(b))
    assert error < 1e-10, f"it has an adjoint but is not linear: relative error {error:.1e}"
    return f"relative error {error:.0e}"


def _adjoint(operator: Any) -> str:
    x = _audio(1, seed=5)
    ax = operator.forward(x)
    y = torch.randn(ax.shape, generator=generator(6), dtype=ax.dtype)
    aty = operator.adjoint(y)
    assert aty.shape == x.shape, f"adjoint gives {tuple(aty.shape)}, not {tuple(x.shape)}"
    left, right = float((ax * y).sum()), float((x * aty).sum())
    error = abs(left - right) / float(ax.norm() * y.norm())
    assert error < 1e-10, f"<Ax, y> = {left:.8g} but <x, A'y> = {right:.8g}"
    return f"<Ax, y> = <x, A'y> to {error:.0e}"


def _damage(operator: Any) -> str:
    operator = bind(operator, sample_rate=RATE)
    intervals = problems.damage(operator, SAMPLES)
    ends = [end for interval in intervals for end in interval]
    assert ends == sorted(ends), f"intervals are not sorted and disjoint: {intervals}"
    assert not ends or (ends[0] >= 0 and ends[-1] <= SAMPLES), f"intervals leave the recording: {intervals}"
    assert all(start < stop for start, stop in intervals), f"an interval is empty: {intervals}"
    x, garbage = _audio(), _audio(seed=7)
    for start, stop in intervals:
        x[..., start:stop] += garbage[..., start:stop]
    seen = _relative(operator.forward(x), operator.forward(_audio()))
    assert seen == 0, f"what lies inside the damage changes the measurement by {seen:.1e}"
    return f"{len(intervals)} intervals, unseen by forward"


def _excerpt(operator: Any) -> str:
    names = {field.name for field in dataclasses.fields(operator)}
    assert {"sample_rate", "offset"} <= names, "an operator with damage needs the fields sample_rate and offset"
    x = _audio(1)
    whole = bind(operator, sample_rate=RATE, offset=0.0).forward(x)
    part = bind(operator, sample_rate=RATE, offset=400 / RATE).forward(x[..., 400:1200])
    error = _relative(part, whole[..., 400:1200])
    assert error < 1e-10, f"an excerpt is measured differently from the whole: {error:.1e}"
    return "an excerpt is measured like the whole"


def _finish(operator: Any) -> str:
    operator = bind(operator, sample_rate=RATE)
    x, estimate = _audio(1), _audio(1, seed=8)
    y = operator.forward(x)
    finished = operator.finish(estimate, y)
    assert finished.shape == estimate.shape, f"finish gives {tuple(finished.shape)}, not {tuple(estimate.shape)}"
    assert bool(torch.isfinite(finished).all()), "the finished estimate is not finite"
    before, after = _relative(operator.forward(estimate), y), _relative(operator.forward(finished), y)
    assert after <= before, f"finish moves the estimate away from the measurement: misfit {before:.2g} to {after:.2g}"
    return f"misfit {before:.2g} before, {after:.2g} after"


# --- solvers


def solver_checks(solver: Any, tolerance: float = 0.5, steps: int = 50) -> list[Check]:
    """The checks that apply to this solver."""
    if isinstance(solver, DirectSolver):
        return [_solver_contract, _direct]

    def posterior_mean(solver: Any) -> str:
        oracle = Oracle.make()
        estimates = oracle.draw(solver, steps)
        error, spread = oracle.mean_error(estimates), oracle.spread_ratio(estimates)
        assert error < tolerance, f"error of the posterior mean {error:.3f}, limit {tolerance:g} (unguided: about 1)"
        return f"error {error:.3f} of at most {tolerance:g}, spread {spread:.2f} of the posterior's"

    return [_solver_contract, _steps, posterior_mean]


def _solver_contract(solver: Any) -> str:
    assert isinstance(solver, Solver | DirectSolver), "it has neither a method step nor a method estimate"
    _frozen(solver)
    return "frozen dataclass"


def _steps(solver: Any) -> str:
    oracle = Oracle.make(dim=16, rows=8)
    sigmas = oracle.prior.sigmas(6).tolist()

    def run(seeds: list[int]) -> Tensor:
        problem = Problem(oracle.operator, oracle.measured.expand(len(seeds), 1, -1), features=oracle.prior.mel)
        prior = Prior(oracle.prior, 16, Costs())
        states = []
        for step, state in iterate(solver, problem, prior, sigmas, [generator(seed) for seed in seeds]):
            states.append((state.z, state.z.clone()))
            assert step.index + 1 == len(states)
        assert all(torch.equal(now, then) for now, then in states), "a step changed the state it was given"
        return states[-1][0]

    together = run([1, 2])
    assert torch.equal(together, run([1, 2])), "the same seeds give different results"
    different = _relative(torch.cat([run([1]), run([2])]), together)
    assert different < 1e-6, f"an item in a batch differs from the item alone by {different:.1e}"
    assert together[0].sub(together[1]).abs().max() > 0, "two seeds give the same result"
    return f"repeatable; batch and alone differ by {different:.0e}"


@dataclass(frozen=True)
class _Gap:
    """A lost stretch in the middle, for solvers that only look at where the damage is."""

    def damage(self, samples: int) -> list[tuple[int, int]]:
        return [(samples // 2, samples // 2 + samples // 20)]

    def forward(self, x: Tensor) -> Tensor:
        y = x.clone()
        for start, stop in self.damage(x.shape[-1]):
            y[..., start:stop] = 0
        return y


def _direct(solver: Any) -> str:
    solver = bind(solver, sample_rate=RATE)
    y = _Gap().forward(_audio(2, 2))
    kept = y.clone()
    first, again = (solver.estimate(Problem(_Gap(), y)) for _ in range(2))
    assert torch.equal(y, kept), "it changed the measurement"
    assert first.shape == y.shape, f"the estimate has shape {tuple(first.shape)}, not {tuple(y.shape)}"
    assert bool(torch.isfinite(first).all()), "the estimate is not finite"
    assert torch.equal(first, again), "two calls give different results"
    return "pure, repeatable, finite"


# --- backbones


def backbone_checks(backbone: Any) -> list[Check]:
    """The checks of a backbone."""
    return [_backbone_contract, _levels, _round_trip, _gradient, _identity_without_noise, _items_alone]


def _backbone_contract(backbone: Any) -> str:
    members = [name for name in vars(Backbone) if not name.startswith("_")]
    missing = [name for name in members if not hasattr(backbone, name)]
    assert not missing, f"it lacks {', '.join(missing)}"
    return "all members of diffmusic.prior.Backbone"


def _levels(backbone: Any) -> str:
    sigmas = backbone.sigmas(20)
    assert len(sigmas) == 21, f"20 steps have {len(sigmas)} levels, not 21"
    assert float(sigmas[-1]) == 0, f"the last level is {float(sigmas[-1]):g}, not 0"
    assert bool((sigmas.diff() < 0).all()), "the levels do not decrease"
    return f"from {float(sigmas[0]):.3g} down to {float(sigmas[-2]):.3g}, then 0"


def _some_audio(backbone: Any, samples: int, batch: int = 1) -> Tensor:
    tone = torch.sin(torch.arange(samples) * 0.17)
    noise = torch.randn(batch, backbone.channels, samples, generator=generator(0))
    return (0.2 * tone + 0.02 * noise).to(backbone.device)


def _round_trip(backbone: Any) -> str:
    for samples in (1600, 8191, backbone.sample_rate):
        x = _some_audio(backbone, samples)
        with torch.no_grad():
            z = backbone.encode(x)
            shape = (1, *backbone.latent_shape(samples))
            assert tuple(z.shape) == shape, f"{samples} samples encode to {tuple(z.shape)}, not {shape}"
            back = backbone.decode(z, samples)
        assert back.shape == x.shape, f"{samples} samples decode to {tuple(back.shape)}"
        assert bool(torch.isfinite(back).all()), f"{samples} samples do not decode to finite audio"
    return "1600 to a second of samples"


def _latents(backbone: Any, batch: int) -> Tensor:
    shape = backbone.latent_shape(8000)
    return torch.stack([torch.randn(shape, generator=generator(seed)) for seed in range(batch)]).to(backbone.device)


def _gradient(backbone: Any) -> str:
    z = _latents(backbone, 1).requires_grad_()
    (gradient,) = torch.autograd.grad(backbone.mel(backbone.decode(z, 8000)).square().mean(), z)
    assert bool(torch.isfinite(gradient).all()), "the gradient of the mel of the decoded audio is not finite"
    assert float(gradient.norm()) > 0, "no gradient reaches the latent"
    return f"norm {float(gradient.norm()):.2g} through decoder and mel"


def _identity_without_noise(backbone: Any) -> str:
    z, low = _latents(backbone, 1), float(backbone.sigmas(20)[-2])
    with torch.no_grad():
        condition = backbone.embed(None)
        errors = [_relative(backbone.denoise(z, sigma, condition), z) for sigma in (low, low / 100)]
    assert errors[1] < 0.01, f"denoise at sigma {low / 100:.2g} moves the latent by {errors[1]:.2g} of its norm"
    return f"moves by {errors[0]:.1e} at sigma {low:.2g}, {errors[1]:.1e} at a hundredth of it"


def _items_alone(backbone: Any) -> str:
    z = _latents(backbone, 2)
    with torch.no_grad():
        condition = backbone.embed(None)
        together = torch.cat([backbone.denoise(z, 1.0, condition).flatten(), backbone.decode(z, 8000).flatten()])
        alone = [
            torch.cat([part(z[i : i + 1]) for i in range(2)]).flatten()
            for part in (lambda z: backbone.denoise(z, 1.0, condition), lambda z: backbone.decode(z, 8000))
        ]
    different = _relative(together, torch.cat(alone))
    assert different < 1e-4, f"an item in a batch differs from the item alone by {different:.1e}"
    return f"difference {different:.0e}"
