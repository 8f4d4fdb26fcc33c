"""The closed form of the unconditioned inversion against the paper's recursions as printed, in float64."""

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from diffmusic.editor.unconditioned_inversion import Kind, inverted, noise_map, retained_deviation
from diffmusic.solver.dpm_solver import Estimate, dpm_step

Schedule = Callable[[float], tuple[float, float]]


def vp(s: float) -> tuple[float, float]:
    return 1 / math.sqrt(1 + s**2), s / math.sqrt(1 + s**2)


def ve(s: float) -> tuple[float, float]:
    return 1.0, s


def normal(seed: int) -> Tensor:
    return torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def recursion(x0: Tensor, levels: list[float], schedule: Schedule, kind: str) -> list[Tensor]:
    """Eq. 6 and 8, from ``x_0`` at ``levels[0]`` upwards; ``x_t`` at every level."""
    states = [x0]
    for low, high in pairwise(levels):
        (alpha_p, sigma_p), (alpha, sigma) = schedule(low), schedule(high)
        lambda_p, lambda_t, x = math.log(alpha_p / sigma_p), math.log(alpha / sigma), states[-1]
        if kind == "sde":
            drift = alpha_p * (1 - math.exp(-2 * (lambda_p - lambda_t))) * x0
            states.append(sigma / sigma_p * math.exp(lambda_p - lambda_t) * (x - drift))
        else:
            states.append(sigma / sigma_p * (x - sigma_p * (math.exp(lambda_p) - math.exp(lambda_t)) * x0))
    return states


LEVELS = {"vp": np.geomspace(0.04, 12, 40).tolist(), "ve": np.geomspace(0.3, 500, 40).tolist()}


@pytest.mark.parametrize("kind", ["sde", "ode"])
def test_closed_form_is_the_recursion_for_vp(kind: Kind) -> None:
    levels, x0 = LEVELS["vp"], normal(1)
    for level, x in zip(levels, recursion(x0, levels, vp, kind), strict=True):
        torch.testing.assert_close(inverted(x0, level, kind, levels[0]) * vp(level)[0], x, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", ["sde", "ode"])
def test_for_ve_the_inverted_latent_is_the_clean_one(kind: Kind) -> None:
    levels, x0 = LEVELS["ve"], normal(1)
    for level, x in zip(levels, recursion(x0, levels, ve, kind), strict=True):
        assert inverted(x0, level, kind) is x0
        torch.testing.assert_close(x, x0, rtol=1e-7, atol=1e-9)


def test_in_float32_the_recursion_itself_is_noise() -> None:
    x0 = normal(1).float()
    worst = recursion(x0, LEVELS["ve"], ve, "sde")[-1]
    assert float((worst - x0).norm() / x0.norm()) > 0.05


@pytest.mark.parametrize(("kind", "other", "start"), [("sde", "ode", 0.04), ("ode", "sde", 0.04), ("ode", "ode", 0.3)])
def test_a_mistake_is_noticed(kind: Kind, other: Kind, start: float) -> None:
    x = recursion(normal(1), LEVELS["vp"], vp, kind)[-1]
    wrong = inverted(normal(1), 12.0, other, start) * vp(12.0)[0]
    assert (wrong - x).norm() > 0.1 * x.norm()


@pytest.mark.parametrize("kind", ["sde", "ode"])
def test_the_samplers_step_with_its_noise_left_out_undoes_the_inversion(kind: Kind) -> None:
    x0, (low, high) = normal(1), (0.5, 2.0)
    noise = torch.zeros_like(x0) if kind == "sde" else None
    back = dpm_step(inverted(x0, high, kind, 0.04), [Estimate(high, x0)], low, noise)
    torch.testing.assert_close(back, inverted(x0, low, kind, 0.04), rtol=1e-12, atol=1e-12)


def test_noise_map_is_equation_9_and_makes_the_clean_latent_the_models_output() -> None:
    x0, level = normal(1), 3.0
    alpha, sigma = vp(level)
    z = inverted(x0, level, "sde", 0.04)
    epsilon = noise_map(z, x0, level)
    torch.testing.assert_close(epsilon, (z * alpha - alpha * x0) / sigma)
    torch.testing.assert_close((z * alpha - sigma * epsilon) / alpha, x0)  # eq. 5
    assert noise_map(inverted(x0, level), x0, level).abs().max() == 0


def test_retained_noise_adds_up_to_one_step_from_the_start() -> None:
    """``V_t = (s_t / s_(t-1))^4 V_(t-1) + s_t^2 ((s_t / s_(t-1))^2 - 1)``, from nothing at the lowest level."""
    levels, variance = LEVELS["ve"], 0.0
    for low, high in pairwise(levels):
        variance = (high / low) ** 4 * variance + retained_deviation(high, low) ** 2
        assert math.sqrt(variance) == pytest.approx(retained_deviation(high, levels[0]), rel=1e-9)
    assert retained_deviation(levels[0], 0.0) == 0


def test_retained_noise_is_that_of_the_reversed_sde_step() -> None:
    """Eq. 2 to first order from ``x`` with noise ``n`` lands on ``z_0`` when ``x`` holds ``-deviation n``."""
    x0, n, (low, high) = normal(1), normal(2), (0.5, 2.0)
    x = x0 - retained_deviation(high, low) * n
    torch.testing.assert_close(dpm_step(x, [Estimate(high, x0)], low, n), x0, rtol=1e-12, atol=1e-12)
