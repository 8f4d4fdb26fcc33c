"""Contract checks for operators."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from diffmusic.errors import InputError
from diffmusic.parameters import bind
from diffmusic.problem.differentiable import is_differentiable
from diffmusic.problem.operator import (
    HasAdjoint,
    HasDamage,
    HasFinish,
    Operator,
    damage,
    is_linear,
    sources,
)
from diffmusic.solver.noise import generator
from diffmusic.testing.checks import RATE, SAMPLES, Check, audio, frozen, relative


def operator_checks(operator: Operator) -> list[Check]:
    """Return the checks that apply to this operator."""
    checks: list[Check] = [_contract, _repeatable, _silent, _pure, _batch, _precision, _any_length]
    checks += [_differentiable if is_differentiable(operator) else _refuses_gradients]
    if is_linear(operator):
        checks += [_linear]
    if isinstance(operator, HasAdjoint):
        checks += [_adjoint]
    if isinstance(operator, HasDamage):
        checks += [_damage, _excerpt]
    if isinstance(operator, HasFinish):
        checks += [_finish]
    return checks


def _input(operator: Operator, batch: int = 2, samples: int = SAMPLES, seed: int = 0) -> Tensor:
    """Return audio that the operator takes: a channel for each source."""
    return audio(batch, sources(operator), samples, seed)


def _contract(operator: object) -> str:
    assert isinstance(operator, Operator), "it has no method forward"
    frozen(operator)
    return "frozen dataclass with forward"


def _repeatable(operator: Operator) -> str:
    x, operator = _input(operator), bind(operator, sample_rate=RATE)
    state = torch.get_rng_state()
    first, again = operator.forward(x), dataclasses.replace(operator).forward(x)  # type: ignore[type-var]
    drawn = not torch.equal(state, torch.get_rng_state())
    assert bool(torch.isfinite(first).all()), "the measurement of finite audio is not finite"
    different = relative(again, first)
    assert different == 0, f"two calls on the same audio differ by {different:.1e} (noise is not the operator's)"
    assert not drawn, "forward draws from torch's own generator, or seeds it: make what is random once, from a seed"
    return "bit-identical"


def _silent(operator: Operator) -> str:
    # Additive noise belongs to the problem (--noise-std), not to the operator.
    loudest = float(operator.forward(torch.zeros_like(_input(operator))).abs().max())
    assert loudest < 1e-9, f"silence is measured as {loudest:.1e}: the operator adds something of its own"
    return "silence stays silence"


def _pure(operator: Operator) -> str:
    x = _input(operator)
    kept, before = x.clone(), repr(operator)
    y = operator.forward(x)
    assert torch.equal(x, kept), f"forward changed its input by {relative(x, kept):.1e}"
    assert repr(operator) == before, "forward changed the operator"
    if isinstance(operator, HasAdjoint):
        measured = y.detach().clone()
        operator.adjoint(measured)
        assert torch.equal(measured, y), f"adjoint changed its input by {relative(measured, y):.1e}"
    return "input and operator unchanged"


def _batch(operator: Operator) -> str:
    x = _input(operator, 3)
    together = operator.forward(x)
    alone = torch.cat([operator.forward(x[i : i + 1]) for i in range(3)])
    different = relative(together, alone)
    assert different < 1e-10, f"an item in a batch differs from the item alone by {different:.1e}"
    return f"difference {different:.0e}"


def _precision(operator: Operator) -> str:
    x = _input(operator)
    exact, single = operator.forward(x), operator.forward(x.float())
    assert single.dtype == torch.float32, f"float32 audio is measured in {single.dtype}"
    different = relative(single.to(exact.dtype), exact)
    assert different < 1e-4, f"measured in float32 it differs by {different:.1e}"
    return f"float32 differs by {different:.0e}"


def _differentiable(operator: Operator) -> str:
    # A directional derivative in float64 is as telling as gradcheck here, at any length.
    x, direction = _input(operator, 1).requires_grad_(), _input(operator, 1, seed=1)
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


def _refuses_gradients(operator: Operator) -> str:
    try:
        operator.forward(_input(operator, 1).requires_grad_())
    except InputError as error:
        return str(error)
    raise AssertionError("it says that it is not differentiable, and takes what is to be differentiated without a word")


def _any_length(operator: Operator) -> str:
    count = sources(operator)
    for samples in (1, 2, 37, SAMPLES, 4000):
        for channels in (1, 2, 5) if count == 1 else (count,):
            y = operator.forward(audio(1, channels, samples))
            where = f"{channels} channels of {samples} samples"
            assert y.shape[0] == 1, f"{where}: the batch is not the first axis of {tuple(y.shape)}"
            assert bool(torch.isfinite(y).all()), f"{where}: not finite"
    return f"1 to 4000 samples, {'1 to 5 channels' if count == 1 else f'{count} sources'}"


def _linear(operator: Operator) -> str:
    a, b = _input(operator, seed=3), _input(operator, seed=4)
    error = relative(operator.forward(2 * a - 3 * b), 2 * operator.forward(a) - 3 * operator.forward(b))
    assert error < 1e-10, f"it says it is linear and is not: relative error {error:.1e}"
    return f"relative error {error:.0e}"


def _adjoint(operator: Operator) -> str:
    assert isinstance(operator, HasAdjoint)
    x = _input(operator, 1, seed=5)
    ax = operator.forward(x)
    y = torch.randn(ax.shape, generator=generator(6), dtype=ax.dtype)
    aty = operator.adjoint(y)
    assert aty.shape == x.shape, f"adjoint gives {tuple(aty.shape)}, not {tuple(x.shape)}"
    left, right = float((ax * y).sum()), float((x * aty).sum())
    error = abs(left - right) / float(ax.norm() * y.norm())
    assert error < 1e-10, f"<Ax, y> = {left:.8g} but <x, A'y> = {right:.8g}"
    return f"<Ax, y> = <x, A'y> to {error:.0e}"


def _damage(operator: Operator) -> str:
    operator = bind(operator, sample_rate=RATE)
    intervals = damage(operator, SAMPLES)
    ends = [end for interval in intervals for end in interval]
    assert ends == sorted(ends), f"intervals are not sorted and disjoint: {intervals}"
    assert not ends or (ends[0] >= 0 and ends[-1] <= SAMPLES), f"intervals leave the recording: {intervals}"
    assert all(start < stop for start, stop in intervals), f"an interval is empty: {intervals}"
    x, garbage = audio(), audio(seed=7)
    for start, stop in intervals:
        x[..., start:stop] += garbage[..., start:stop]
    seen = relative(operator.forward(x), operator.forward(audio()))
    assert seen == 0, f"what lies inside the damage changes the measurement by {seen:.1e}"
    return f"{len(intervals)} intervals, unseen by forward"


def _excerpt(operator: Operator) -> str:
    names = {field.name for field in dataclasses.fields(operator)}  # type: ignore[arg-type]
    assert {"sample_rate", "offset"} <= names, "an operator with damage needs the fields sample_rate and offset"
    x = audio(1)
    whole = bind(operator, sample_rate=RATE, offset=0.0).forward(x)
    part = bind(operator, sample_rate=RATE, offset=400 / RATE).forward(x[..., 400:1200])
    error = relative(part, whole[..., 400:1200])
    assert error < 1e-10, f"an excerpt is measured differently from the whole: {error:.1e}"
    return "an excerpt is measured like the whole"


def _finish(operator: Operator) -> str:
    operator = bind(operator, sample_rate=RATE)
    assert isinstance(operator, HasFinish)
    x, estimate = _input(operator, 1), _input(operator, 1, seed=8)
    y = operator.forward(x)
    kept = estimate.clone(), y.clone()
    finished = operator.finish(estimate, y)
    assert torch.equal(estimate, kept[0]), f"finish changed the estimate by {relative(estimate, kept[0]):.1e}"
    assert torch.equal(y, kept[1]), f"finish changed the measurement by {relative(y, kept[1]):.1e}"
    assert finished.shape == estimate.shape, f"finish gives {tuple(finished.shape)}, not {tuple(estimate.shape)}"
    assert bool(torch.isfinite(finished).all()), "the finished estimate is not finite"
    before, after = relative(operator.forward(estimate), y), relative(operator.forward(finished), y)
    assert after <= before, f"finish moves the estimate away from the measurement: misfit {before:.2g} to {after:.2g}"
    return f"misfit {before:.2g} before, {after:.2g} after"
