"""Priors that see what is known around a gap: as diffusers' own pipelines tell them, and only where they can."""

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from diffusers import AceStepPipeline, StableAudio3InpaintPipeline

from diffmusic.backbones.ace_step import AceStep
from diffmusic.backbones.stable_audio_3 import StableAudio3
from diffmusic.models.load import load_model
from diffmusic.prior import Costs, Prior
from diffmusic.prior.backbone import HasContext
from diffmusic.solver.noise import generator
from diffmusic.tasks import excerpts

Built = Callable[[str], Path]
Run = Callable[..., SimpleNamespace]
Song = Callable[..., Path]


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=generator(seed))


def test_stable_audio_3_is_told_as_its_inpainting_pipeline_tells_it(built: Built) -> None:
    backbone: Any = load_model(str(built("stable_audio_3")))
    z0, x, t = noise(4, 20), noise(1, 4, 20, seed=1), 0.75
    known = torch.ones(20)
    known[7:12] = 0
    told = StableAudio3InpaintPipeline._build_local_add_cond(None, z0[None], known[None, None], 20)
    condition = backbone.placed(backbone.embed("a harp"), 0.0, 3.0)
    prompt = condition.text
    with torch.no_grad():
        seconds = backbone.projection(torch.tensor([3.0]))
        velocity = backbone.transformer(
            x,
            torch.tensor([t]),
            encoder_hidden_states=torch.cat([prompt.states, seconds[:, None]], dim=1),
            global_hidden_states=seconds,
            encoder_attention_mask=torch.nn.functional.pad(prompt.mask, (0, 1), value=1),
            local_add_cond=told,
        ).sample
        clean = backbone.denoise(x / (1 - t), t / (1 - t), backbone.given(condition, z0, known))
        blind = backbone.denoise(x / (1 - t), t / (1 - t), condition)
    torch.testing.assert_close(clean, x - t * velocity)
    assert not torch.allclose(clean, blind)


def test_ace_step_repaints_as_its_pipeline(built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone: Any = load_model(str(built("ace_step")))
    pipeline = AceStepPipeline.from_pretrained(built("ace_step"))
    wave, frames = 0.1 * noise(2, 1920 * 50), 50
    # The pipeline draws a latent; here it is the mode of the same distribution.
    distribution = type(backbone.vae.encode(wave[None]).latent_dist)
    monkeypatch.setattr(distribution, "sample", lambda self, generator=None: self.mode())
    x, times = noise(1, frames, 4, seed=1), [0.9, 0.5, 0.2]
    part = {"task_type": "repaint", "src_audio": wave, "repainting_start": 0.4, "repainting_end": 1.2}
    walk = {"latents": x, "timesteps": times, "guidance_scale": 1.0, "output_type": "latent"}
    expected = pipeline("a slow harp", audio_duration=2.0, **part, **walk).audios
    known = torch.ones(frames)
    known[10:30] = 0
    z = x.mT / (1 - times[0])
    with torch.no_grad():
        z0 = backbone.vae.encode(wave[None]).latent_dist.mode()[0]
        condition = backbone.given(backbone.placed(backbone.embed("a slow harp"), 0.0, 2.0), z0, known)
        for t, t_next in pairwise([*times, 0.0]):
            clean = backbone.denoise(z, t / (1 - t), condition)
            z = clean + t_next / (1 - t_next) / (t / (1 - t)) * (z - clean)
    torch.testing.assert_close(z.mT, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["stable_audio_3", "ace_step"])
def test_each_item_sees_its_own_context(kind: str, built: Built) -> None:
    backbone: Any = load_model(str(built(kind)))
    samples = 12 * backbone.sample_rate // 25
    prior = Prior(backbone, samples, Costs(), (backbone.embed("a harp"),), (backbone.embed(None),), 3.0)
    z0, z = noise(2, *prior.latent_shape), noise(2, *prior.latent_shape, seed=1)
    known = torch.ones(prior.latent_shape[1])
    known[3:5] = 0
    with torch.no_grad():
        both = prior.given(z0, known).denoise(z, 2.0)
        for item in range(2):
            alone = prior.given(z0[item : item + 1], known).denoise(z[item : item + 1], 2.0)
            torch.testing.assert_close(both[item : item + 1], alone)
        assert not torch.allclose(both, prior.denoise(z, 2.0))


def test_a_prior_that_sees_nothing_is_left_as_it_is(tiny: Path) -> None:
    backbone = load_model(str(tiny))
    assert not isinstance(backbone, HasContext)
    prior = Prior(backbone, 8000, Costs())
    assert prior.given(noise(1, *prior.latent_shape), torch.ones(prior.latent_shape[1])) is prior


@pytest.mark.parametrize("kind", ["stable_audio_3", "ace_step"])
def test_solving_a_gap_shows_the_context_and_without_the_hook_does_not(
    kind: str, built: Built, song: Song, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = song(seconds=1.0, rate=48000, channels=2)
    words = ("--gap", "0.5:0.6", "--model", built(kind), "--steps", 2, "--prompt", "a harp",
             "--solver", "diffmusic", "-s", "repeats=1")  # fmt: skip
    seen: list[torch.Tensor] = []
    for own in (StableAudio3, AceStep):

        def given(self: Any, condition: Any, z: Any, known: Any, own: Any = own.given) -> Any:
            seen.append(known)
            return own(self, condition, z, known)

        monkeypatch.setattr(own, "given", given)
    told, blind = tmp_path / "told.wav", tmp_path / "blind.wav"
    assert run("solve", "inpainting", path, *words, "-o", told).code == 0
    assert len(seen) == 2  # under the prompt and under none
    assert 0 < float(seen[0].mean()) < 1
    monkeypatch.setattr(excerpts, "HasContext", type("Nothing", (), {}))
    assert run("solve", "inpainting", path, *words, "-o", blind).code == 0
    first, second = (soundfile.read(each)[0] for each in (told, blind))
    gap = slice(round(0.5 * 48000), round(0.6 * 48000))
    assert np.abs(first[gap] - second[gap]).max() > 1e-4
    costs = [json.loads(Path(f"{each}.json").read_text())["costs"] for each in (told, blind)]
    assert costs[0]["network_forward"] == costs[1]["network_forward"]
    assert costs[0]["encoder_forward"] == costs[1]["encoder_forward"] + 1
