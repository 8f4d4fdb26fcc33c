"""DPM-Solver++ against diffusers' schedulers on the same latents, levels and noise, and against exact integrals."""

import math
import sys
from collections.abc import Callable
from importlib import import_module
from itertools import pairwise
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler
from torch import Tensor

from diffmusic.solver import dpm_solver
from diffmusic.solver.dpm_solver import Estimate, dpm_step, order_at, remember
from tests.mutation import changed

SHAPE = (2, 4, 6)
MIXING = torch.randn(6, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64) / 3


def normal(seed: int) -> Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def network(x: Tensor, level: float) -> Tensor:
    """A toy with no likeness to a denoiser, so that nothing cancels by luck."""
    return torch.tanh(x @ MIXING) * (0.5 + level)


class Float64DPM(DPMSolverMultistepScheduler):
    """The scheduler casts its samples to float32; here everything is float64."""

    def set_timesteps(self, steps: int) -> None:
        super().set_timesteps(steps)
        abar = self.alphas_cumprod.double().numpy()
        levels = np.interp(self.timesteps.numpy(), np.arange(len(abar)), np.sqrt((1 - abar) / abar))
        self.sigmas = torch.from_numpy(np.append(levels, 0.0))


def walk(
    sigmas: list[float],
    z: Tensor,
    denoise: Callable[[Tensor, float], Tensor],
    order: int,
    kind: str,
    module: Any = dpm_solver,
    **rules: int,
) -> list[Tensor]:
    """Our own walk; the latent after every move."""
    history: tuple[Estimate, ...] = ()
    steps, states = len(sigmas) - 1, []
    for index in range(steps):
        history = remember(history, Estimate(sigmas[index], denoise(z, sigmas[index])), order)
        now = module.order_at(index, steps, order, **rules)
        noise = normal(100 + index) if kind == "sde" else None
        z = module.dpm_step(z, history[:now], sigmas[index + 1], noise, published=True)
        states.append(z)
    return states


def vp_deviation(order: int, kind: str, steps: int, module: Any = dpm_solver) -> float:
    """How far our walk and the scheduler's come apart, relative to the latter, at the worst level."""
    scheduler = Float64DPM(
        beta_start=0.0015, beta_end=0.0195, beta_schedule="scaled_linear", solver_order=order,
        algorithm_type="dpmsolver++" if kind == "ode" else "sde-dpmsolver++", prediction_type="epsilon",
        final_sigmas_type="zero",
    )  # fmt: skip
    scheduler.set_timesteps(steps)
    sigmas = scheduler.sigmas.tolist()
    x = normal(7)
    z = x * math.sqrt(1 + sigmas[0] ** 2)

    def denoise(z: Tensor, sigma: float) -> Tensor:
        return z - sigma * network(z / math.sqrt(1 + sigma**2), sigma)

    states = walk(sigmas, z, denoise, order, kind, module)
    worst = 0.0
    for index, timestep in enumerate(scheduler.timesteps):
        eps = network(x, sigmas[index])
        x = scheduler.step(eps, timestep, x, variance_noise=normal(100 + index)).prev_sample
        ours = states[index] / math.sqrt(1 + sigmas[index + 1] ** 2)
        worst = max(worst, float((ours - x).norm() / x.norm()))
    return worst


@pytest.mark.parametrize("steps", [8, 30])
@pytest.mark.parametrize("kind", ["ode", "sde"])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_vp_walk_is_the_schedulers_own(order: int, kind: str, steps: int) -> None:
    assert vp_deviation(order, kind, steps) < 1e-5


class Noises:
    """In place of the Brownian tree, which needs torchsde: the same draws as ours."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.drawn = 99

    def __call__(self, sigma: Tensor, sigma_next: Tensor) -> Tensor:
        self.drawn += 1
        return normal(self.drawn)


@pytest.mark.parametrize("steps", [8, 30])
@pytest.mark.parametrize("order", [1, 2])
def test_ve_walk_is_the_cosine_schedulers_own(monkeypatch: pytest.MonkeyPatch, order: int, steps: int) -> None:
    # The scheduler's module wants torchsde for the Brownian tree, which is replaced here, and for nothing else.
    monkeypatch.setitem(sys.modules, "torchsde", ModuleType("torchsde"))
    cosine = import_module("diffusers.schedulers.scheduling_cosine_dpmsolver_multistep")
    monkeypatch.setattr(cosine, "BrownianTreeNoiseSampler", Noises)
    scheduler = cosine.CosineDPMSolverMultistepScheduler(solver_order=order)  # Stable Audio Open: sigma 500 to 0.3, v
    scheduler.set_timesteps(steps)
    scheduler.sigmas = scheduler.sigmas.double()
    sigmas = scheduler.sigmas.tolist()
    z = sigmas[0] * normal(7)

    def denoise(z: Tensor, sigma: float) -> Tensor:
        v = network(z / math.sqrt(1 + sigma**2), math.atan(sigma))
        return z / (1 + sigma**2) - sigma / math.sqrt(1 + sigma**2) * v

    x = z
    states = walk(sigmas, z, denoise, order, "sde")
    for index, timestep in enumerate(scheduler.timesteps):
        v = network(x / math.sqrt(1 + sigmas[index] ** 2), math.atan(sigmas[index]))
        x = scheduler.step(v, timestep, x).prev_sample
        torch.testing.assert_close(states[index], x, rtol=1e-5, atol=1e-8)


# A line of the solver as it should be, and as it should not; the order and kind that notice it.
MUTANTS = [
    (1, "sde", "power = 1 if noise is None else 2", "power = 1"),
    (1, "sde", "moved + sigma_next *", "moved + sigma *"),
    (1, "ode", "z + left * (now - z)", "z - left * (now - z)"),
    (2, "ode", "0.5 * left * first", "left * first"),
    (2, "sde", "(now - history[1].clean) / r0", "(now - history[1].clean) * r0"),
    (2, "sde", "math.log(history[1].sigma / sigma) / h", "math.log(history[1].sigma / sigma_next) / h"),
    (3, "ode", "first + r0 * curve", "first - r0 * curve"),
    (3, "ode", "curve_weight / 2", "curve_weight"),
    (3, "sde", " - (noise is not None)", ""),
    (3, "ode", "steps - index if steps < 15 else order", "order"),
    (2, "ode", "index < warm_up or", "index <= warm_up or"),
]


@pytest.mark.parametrize(("order", "kind", "right", "wrong"), MUTANTS)
def test_a_mistake_is_noticed(order: int, kind: str, right: str, wrong: str) -> None:
    assert vp_deviation(order, kind, 8, changed(dpm_solver, right, wrong)) > 1e-3


def history(function: Callable[[float], Tensor], *sigmas: float) -> list[Estimate]:
    return [Estimate(sigma, function(-math.log(sigma))) for sigma in sigmas]


@pytest.mark.parametrize("kind", ["ode", "sde"])
def test_third_order_is_exact_for_a_parabola_in_log_sigma(kind: str) -> None:
    """``z' = g z + p int exp(-p (h - tau)) D dtau`` by quadrature, with ``D`` a parabola."""
    a, b, c = normal(1), normal(2), normal(3)

    def clean(position: float) -> Tensor:
        return a + b * position + c * position**2

    power, sigma, sigma_next = (1 if kind == "ode" else 2), 3.0, 1.1
    h = math.log(sigma / sigma_next)
    nodes, weights = np.polynomial.legendre.leggauss(40)
    tau = (nodes + 1) * h / 2
    integral = sum(
        float(w * h / 2 * power * math.exp(-power * (h - t))) * clean(-math.log(sigma) + t)
        for t, w in zip(tau, weights, strict=True)
    )
    z, noise = normal(4), (torch.zeros(SHAPE).double() if kind == "sde" else None)
    expected = (sigma_next / sigma) ** power * z + integral
    estimates = history(clean, sigma, 4.5, 9.0)
    torch.testing.assert_close(dpm_step(z, estimates, sigma_next, noise), expected, rtol=1e-12, atol=1e-12)
    assert (dpm_step(z, estimates, sigma_next, noise, published=True) - expected).norm() > 0.05 * expected.norm()


def rate(order: int, published: bool) -> float:
    """By what power of the step the error falls, on the ODE of a Gaussian of variance 1: ``D = z / (1 + sigma^2)``, and
    ``z / sqrt(1 + sigma^2)`` stays what it is. The walk starts with a true history: a first-order start costs order."""

    def error(steps: int) -> float:
        sigmas = np.geomspace(5.0, 0.2, steps + 1)
        start, ratio = normal(5), sigmas[0] / sigmas[1]

        def exact(sigma: float) -> Tensor:
            return start * math.sqrt((1 + sigma**2) / (1 + sigmas[0] ** 2))

        before = [float(sigmas[0] * ratio**k) for k in (1, 2)]
        known = tuple(Estimate(sigma, exact(sigma) / (1 + sigma**2)) for sigma in before)
        z = start
        for sigma, sigma_next in pairwise(sigmas.tolist()):
            known = remember(known, Estimate(sigma, z / (1 + sigma**2)), order)
            z = dpm_step(z, known, sigma_next, published=published)
        return float((z - exact(0.2)).norm())

    return math.log2(error(100) / error(200))


@pytest.mark.parametrize("order", [1, 2, 3])
def test_halving_the_steps_divides_the_error_by_two_to_the_order(order: int) -> None:
    assert rate(order, published=False) > order - 0.1


def test_published_third_order_is_second_order() -> None:
    assert rate(3, published=True) == pytest.approx(2, abs=0.1)


def test_orders_rise_and_fall() -> None:
    assert [order_at(i, 20, 3) for i in range(20)] == [1, 2, *[3] * 17, 1]
    assert [order_at(i, 6, 3) for i in range(6)] == [1, 2, 3, 3, 2, 1]
    assert [order_at(i, 8, 2, warm_up=3, cool_down=2) for i in range(8)] == [1, 1, 1, 2, 2, 2, 1, 1]


def test_at_no_noise_only_the_clean_estimate_is_left() -> None:
    estimates = history(lambda position: normal(1) * position, 0.3, 0.5)
    assert torch.equal(dpm_step(normal(2), estimates, 0.0, normal(3)), estimates[0].clean)
