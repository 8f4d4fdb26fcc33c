"""The noise frame of each kind of network, held against diffusers' own schedulers at every training timestep."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, EDMDPMSolverMultistepScheduler, FlowMatchEulerDiscreteScheduler, PNDMScheduler

from diffmusic.backbones import noise as known
from diffmusic.backbones.noise import EDMNoise, FlowNoise, Noise, VPNoise, read_noise
from diffmusic.errors import InputError
from diffmusic.solver import deviations

AUDIOLDM2 = {"beta_start": 0.0015, "beta_end": 0.0195, "beta_schedule": "scaled_linear", "clip_sample": False}
X = torch.randn(4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def network(x: torch.Tensor, t: float) -> torch.Tensor:
    return torch.sin(3 * x) + 0.1 * t


def saved(scheduler: Any, folder: Path, process: type[Noise] = VPNoise) -> Any:
    scheduler.save_pretrained(folder / "scheduler")
    return read_noise(folder, process)


def written(config: dict[str, Any], folder: Path) -> Path:
    (folder / "scheduler").mkdir()
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_vp_equals_pred_original_sample_at_every_training_timestep(prediction: str, tmp_path: Path) -> None:
    scheduler = DDIMScheduler(**AUDIOLDM2, prediction_type=prediction, set_alpha_to_one=False, steps_offset=1)
    noise = saved(scheduler, tmp_path)
    scheduler.set_timesteps(500)
    for t in range(1000):
        expected = scheduler.step(network(X, t), t, X).pred_original_sample
        sigma = float(noise.grid[t])
        assert noise.timestep(sigma) == pytest.approx(t, abs=1e-6)
        # The scheduler keeps its own abar in float32.
        torch.testing.assert_close(
            noise.denoise(network, X * np.sqrt(1 + sigma**2), sigma), expected, rtol=2e-5, atol=2e-5
        )


@pytest.mark.parametrize("final", [True, False])
def test_ddim_of_the_frame_is_that_of_the_scheduler_down_to_its_final_alpha(final: bool, tmp_path: Path) -> None:
    scheduler = DDIMScheduler(**AUDIOLDM2, set_alpha_to_one=final)
    noise = saved(scheduler, tmp_path)
    scheduler.set_timesteps(20)
    abar = [float(scheduler.alphas_cumprod[t]) for t in scheduler.timesteps] + [float(scheduler.final_alpha_cumprod)]
    x, sigmas = X, [float(np.sqrt((1 - each) / each)) for each in abar]
    z = X * np.sqrt(1 + sigmas[0] ** 2)
    for t, sigma, sigma_next in zip(scheduler.timesteps.tolist(), sigmas, sigmas[1:], strict=False):
        x = scheduler.step(network(x, t), t, x).prev_sample
        clean = noise.denoise(network, z, sigma)
        z = clean + deviations(sigma, sigma_next, 0.0)[0] / sigma * (z - clean)
    torch.testing.assert_close(z / np.sqrt(1 + sigmas[-1] ** 2), x, rtol=1e-4, atol=1e-4)
    assert (sigmas[-1] == 0) is final


def test_any_scheduler_of_the_same_betas_describes_the_same_noise(tmp_path: Path) -> None:
    ddim = saved(DDIMScheduler(**AUDIOLDM2), tmp_path / "ddim")
    betas = {name: value for name, value in AUDIOLDM2.items() if name.startswith("beta")}
    pndm = saved(PNDMScheduler(**betas), tmp_path / "pndm")
    np.testing.assert_array_equal(ddim.grid, pndm.grid)


def test_without_any_signal_left_there_is_no_level(tmp_path: Path) -> None:
    scheduler = DDIMScheduler(**AUDIOLDM2, rescale_betas_zero_snr=True, prediction_type="v_prediction")
    noise = saved(scheduler, tmp_path)
    assert len(noise.grid) == 999
    assert np.isfinite(noise.sigmas(10).numpy()).all()


@pytest.fixture
def cosine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Stable Audio's scheduler. It imports torchsde, for a noise that nothing here asks it for."""
    fake: Any = ModuleType("torchsde")
    monkeypatch.setitem(sys.modules, "torchsde", fake)
    from diffusers.schedulers.scheduling_cosine_dpmsolver_multistep import CosineDPMSolverMultistepScheduler

    made: Callable[..., Any] = CosineDPMSolverMultistepScheduler
    return made


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("kind", ["cosine", "edm"])
def test_edm_equals_the_schedulers_own_preconditioning_on_its_whole_grid(
    kind: str, prediction: str, cosine: Callable[..., Any], tmp_path: Path
) -> None:
    make = cosine if kind == "cosine" else EDMDPMSolverMultistepScheduler
    scheduler = make(sigma_min=0.3, sigma_max=500.0, sigma_data=0.7, prediction_type=prediction)
    noise = saved(scheduler, tmp_path, EDMNoise)
    scheduler.set_timesteps(1000)
    for t, sigma in zip(scheduler.timesteps, scheduler.sigmas, strict=False):
        sigma = sigma.double()
        output = network(scheduler.precondition_inputs(X, sigma), float(scheduler.precondition_noise(sigma)))
        expected = scheduler.precondition_outputs(X, output, sigma)
        torch.testing.assert_close(noise.denoise(network, X, float(sigma)), expected, rtol=1e-10, atol=1e-10)
        assert noise.c_noise(float(sigma)) == pytest.approx(float(t), abs=1e-6)


@pytest.mark.parametrize("unit", [1, 1000])
def test_flow_equals_the_schedulers_step_to_no_noise_at_every_training_timestep(unit: int, tmp_path: Path) -> None:
    scheduler = FlowMatchEulerDiscreteScheduler(num_train_timesteps=unit)
    noise = saved(scheduler, tmp_path, FlowNoise)
    for t in np.arange(1, 1000) / 1000:
        scheduler.set_timesteps(sigmas=[float(t)])
        (timestep,) = scheduler.timesteps
        expected = scheduler.step(network(X, float(timestep)), timestep, X).prev_sample
        sigma = float(t / (1 - t))
        # The scheduler steps in float32.
        torch.testing.assert_close(
            noise.denoise(network, X * (1 + sigma), sigma), expected.double(), rtol=1e-4, atol=1e-4
        )


@pytest.mark.parametrize("steps", [1, 2, 50, 1000])
def test_levels_without_a_grid_fall_from_the_highest_to_zero(steps: int) -> None:
    for noise in (FlowNoise(1.0), EDMNoise(0.3, 500.0, 1.0, "v_prediction", float)):
        sigmas = noise.sigmas(steps).numpy()
        assert len(sigmas) == steps + 1
        assert (np.diff(sigmas) < 0).all()
        assert sigmas[0] == pytest.approx(noise.highest)
        assert steps == 1 or sigmas[-2] == pytest.approx(noise.lowest)
        with pytest.raises(InputError, match="steps must be"):
            noise.sigmas(0)


BETAS = {"beta_start": 0.001, "beta_end": 0.02, "beta_schedule": "linear"}
EDM = {"sigma_min": 0.3, "sigma_max": 500, "sigma_data": 1.0, "prediction_type": "v_prediction"}


@pytest.mark.parametrize(
    ("config", "process", "message"),
    [
        ({"_class_name": "EDMEulerScheduler", "prediction_type": "v_prediction"}, EDMNoise, "sigma_min"),
        ({"_class_name": "EDMEulerScheduler", "prediction_type": "sample"}, EDMNoise, "'sample' is not known"),
        ({"_class_name": "DDIMScheduler", **BETAS, "prediction_type": "flow"}, VPNoise, "'flow' is not known"),
        ({"_class_name": "DDIMScheduler", **BETAS, "beta_schedule": "other"}, VPNoise, "NotImplementedError"),
        ({}, VPNoise, "_class_name"),
        ({"_class_name": ["DDIMScheduler"], **BETAS}, VPNoise, "no process that is known"),
        ({"_class_name": "DDIMScheduler"}, VPNoise, "does not state beta_start and beta_end and beta_schedule"),
        ({"_class_name": "KarrasVeScheduler", **BETAS}, VPNoise, "'KarrasVeScheduler' describes no process"),
        ({"_class_name": "ScoreSdeVeScheduler"}, VPNoise, "'ScoreSdeVeScheduler' describes no process"),
        ({"_class_name": "CogVideoXDDIMScheduler", **BETAS}, VPNoise, "no process that is known"),
        ({"_class_name": "CMStochasticIterativeScheduler"}, VPNoise, "distilled to a few steps"),
        ({"_class_name": "LCMScheduler", **BETAS}, VPNoise, "distilled .* take the checkpoint that it was distilled"),
        ({"_class_name": "TCDScheduler", **BETAS}, VPNoise, "distilled to a few steps"),
        ({"_class_name": "FlowMatchLCMScheduler", "num_train_timesteps": 1}, FlowNoise, "distilled to a few steps"),
        ({"_class_name": "UniPCMultistepScheduler", **BETAS, "use_flow_sigmas": True}, VPNoise, "use_flow_sigmas True"),
        ({"_class_name": "EulerDiscreteScheduler", **BETAS, "timestep_type": "continuous"}, VPNoise, "'continuous'"),
        ({"_class_name": known.FLOW[0], "num_train_timesteps": 1, "invert_sigmas": True}, FlowNoise, "invert_sigmas"),
        ({"_class_name": known.FLOW[0], "num_train_timesteps": 1, "stochastic_sampling": True}, FlowNoise, "distilled"),
        ({"_class_name": "EDMEulerScheduler", **EDM}, VPNoise, "EDM's preconditioning, where .* with betas"),
        ({"_class_name": "DDIMScheduler", **BETAS}, EDMNoise, "describes betas, where .* with EDM's preconditioning"),
        ({"_class_name": known.FLOW[0], "num_train_timesteps": 1000}, VPNoise, "a rectified flow, where"),
    ],
)
def test_a_schedule_that_is_not_certain_is_refused(
    config: dict[str, Any], process: type[Noise], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_noise(written(config, tmp_path), process)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", known.VP)
def test_every_known_class_of_betas_has_the_grid_of_its_betas(name: str, tmp_path: Path) -> None:
    noise = read_noise(written({"_class_name": name, **BETAS, "num_train_timesteps": 1000}, tmp_path), VPNoise)
    made = getattr(diffusers, name)(**BETAS) if name != "DPMSolverSDEScheduler" else DDIMScheduler(**BETAS)
    abar = made.alphas_cumprod.double().numpy()
    np.testing.assert_allclose(noise.grid, np.sqrt((1 - abar) / abar), rtol=1e-12)


def test_stated_betas_need_no_schedule(tmp_path: Path) -> None:
    betas = np.linspace(0.001, 0.02, 50)
    config = {"_class_name": "DDIMScheduler", "trained_betas": betas.tolist(), "num_train_timesteps": 50}
    abar = np.cumprod(1 - betas)
    grid = read_noise(written(config, tmp_path), VPNoise).grid
    np.testing.assert_allclose(grid, np.sqrt((1 - abar) / abar), rtol=1e-5)
