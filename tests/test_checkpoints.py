"""Checkpoints of every kind in the hub's layout: the contract, the text, and a file restored by the command line."""

import json
import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from diffmusic.backbones import memory
from diffmusic.models.load import load_model, registry
from diffmusic.prior import Costs, Prior
from diffmusic.problem import Problem
from diffmusic.solver import Step, misfit_gradient
from diffmusic.tasks.restore import restore
from diffmusic.tasks.settings import RestoreSettings
from diffmusic.testing import check_backbone
from diffmusic_operators.inpainting import Inpainting
from diffmusic_operators.mixing import Mixing
from diffmusic_solvers.dps import DPS

Song = Callable[..., Path]
Run = Callable[..., SimpleNamespace]
Built = Callable[[str], Path]

KINDS = ["musicldm", "audioldm", "audioldm2", "stable_audio", "stable_audio_3", "ace_step"]


@pytest.fixture(scope="session")
def loaded(built: Built) -> Callable[[str], Any]:
    """The backbone of a kind, loaded once."""
    known: dict[str, Any] = {}

    def load(kind: str) -> Any:
        if kind not in known:
            known[kind] = load_model(str(built(kind)))
        return known[kind]

    return load


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_keeps_the_contract(kind: str, loaded: Callable[[str], Any]) -> None:
    check_backbone(loaded(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_inpainting_by_the_command_line(kind: str, built: Built, song: Song, run: Run, tmp_path: Path) -> None:
    rate, channels = {"ace_step": (48000, 2)}.get(kind, (44100, 2) if kind.startswith("stable") else (16000, 1))
    path, out = song(seconds=0.6, rate=rate, channels=channels), tmp_path / "out.wav"
    words = ("--prompt", "a harp", "--negative-prompt", "a drum", "--steps", 2, "-s", "repeats=1")
    result = run(
        "solve",
        "inpainting",
        path,
        "--gap",
        "0.2:0.3",
        "--solver",
        "diffmusic",
        "--model",
        built(kind),
        *words,
        "-o",
        out,
    )
    assert result.code == 0, result.err
    before, after = (soundfile.read(each, always_2d=True)[0] for each in (path, out))
    gap = slice(round(0.2 * rate), round(0.3 * rate))
    assert before.shape == after.shape
    changed = np.abs(before - after).max(1) > 0
    assert not changed[: gap.start].any()
    assert not changed[gap.stop :].any()
    assert changed[gap].mean() > 0.9
    document = json.loads(Path(f"{out}.json").read_text())
    assert document["model"]["sample_rate"] == rate
    assert document["model"]["dtype"] == "float32"
    # Stereo goes through a stereo prior at once: two steps, two prompts.
    assert document["costs"]["network_forward"] == 4


def test_a_run_in_half_precision_is_recorded_and_repeated(tiny: Path, song: Song, run: Run, tmp_path: Path) -> None:
    out, again = tmp_path / "out.wav", tmp_path / "again.wav"
    words = ("--gap", "0.2:0.3", "--model", tiny, "--dtype", "bfloat16", "--steps", 1, "-s", "repeats=1")
    assert run("solve", "inpainting", "--solver", "diffmusic", song(seconds=0.5), *words, "-o", out).code == 0
    document = json.loads(Path(f"{out}.json").read_text())
    assert document["job"]["dtype"] == document["model"]["dtype"] == "bfloat16"
    assert run("solve", "--config", f"{out}.json", "-o", again).code == 0
    assert out.read_bytes() == again.read_bytes()


@pytest.mark.parametrize(("channels", "passes"), [(1, 2), (3, 4)])
def test_any_number_of_channels_goes_through_a_stereo_prior(
    channels: int, passes: int, built: Built, song: Song, run: Run, tmp_path: Path
) -> None:
    path, out = song(seconds=0.5, rate=48000, channels=channels), tmp_path / "out.wav"
    words = ("--gap", "0.2:0.3", "--model", built("stable_audio"), "--steps", 2, "-s", "repeats=1", "-o", out)
    result = run("solve", "inpainting", "--solver", "diffmusic", path, *words)
    assert result.code == 0, result.err
    assert soundfile.info(out).channels == channels
    assert json.loads(Path(f"{out}.json").read_text())["costs"]["network_forward"] == passes


def test_each_channel_gets_its_own_and_a_single_one_the_mean(loaded: Callable[[str], Any]) -> None:
    x = 0.1 * np.random.default_rng(0).standard_normal((2, 20000))

    def raw(audio: np.ndarray) -> np.ndarray:
        operator, settings = Inpainting(gap=((0.1, 0.2),)), RestoreSettings(steps=1, finish=False)
        return restore(audio, 44100, operator, DPS(), loaded("stable_audio"), settings).audio[0]

    left, right = raw(x)
    assert np.abs(left - right).max() > 0.1 * np.abs(left).max()
    mono = raw(x[:1])
    np.testing.assert_allclose(mono[0], raw(x[[0, 0]]).mean(0), atol=1e-12)


def test_the_channels_of_a_mixture_share_one_misfit(loaded: Callable[[str], Any]) -> None:
    backbone = loaded("stable_audio")
    prior = Prior(backbone, 3000, Costs(), sources=2)
    measured = torch.randn(2, 1, 3000, generator=torch.Generator().manual_seed(0))
    problem = Problem(Mixing(), measured, noise=0.01)
    z = torch.randn(2, *prior.latent_shape, generator=torch.Generator().manual_seed(1)).requires_grad_()
    excess, _ = misfit_gradient(z, z, Step(0, 1.0, 0.5, problem, prior, torch.randn_like), "waveform")
    with torch.no_grad():
        misfits = problem.misfit(prior.decode(z), "waveform")
    assert misfits.shape == (2,)
    expected = misfits.sum() - torch.as_tensor(problem.floor("waveform")).sum()
    torch.testing.assert_close(excess, expected.expand(2, 1, 1))


def test_a_stereo_mixture_keeps_its_sum(built: Built, song: Song, run: Run, tmp_path: Path) -> None:
    path = song(seconds=0.4, rate=44100, channels=2, subtype="DOUBLE")
    words = ("--model", built("stable_audio"), "--steps", 2, "-s", "repeats=1", "-o", tmp_path / "out.wav")
    assert run("solve", "mixing", path, *words).code == 0
    sources = [soundfile.read(tmp_path / f"out-source{number}.wav")[0] for number in (1, 2)]
    np.testing.assert_allclose(sources[0] + sources[1], soundfile.read(path)[0], atol=1e-6)
    assert np.abs(sources[0] - sources[1]).max() > 1e-3


@pytest.mark.parametrize("prompt", ["a slow harp", ""])
def test_audioldm2_reads_prompts_as_diffusers_does(prompt: str, built: Built, loaded: Callable[[str], Any]) -> None:
    from diffusers import AudioLDM2Pipeline
    from transformers import ClapFeatureExtractor, GPT2LMHeadModel

    folder = built("audioldm2")
    language = GPT2LMHeadModel.from_pretrained(folder / "language_model")
    parts = {"feature_extractor": ClapFeatureExtractor(), "language_model": language}
    pipeline = AudioLDM2Pipeline.from_pretrained(folder, **parts)
    with torch.no_grad():
        states, mask, generated = pipeline.encode_prompt(prompt, "cpu", 1, False, max_new_tokens=3)
    condition = loaded("audioldm2").embed(prompt)
    torch.testing.assert_close(condition.generated, generated)
    torch.testing.assert_close(condition.states, states)
    torch.testing.assert_close(condition.mask, mask)


@pytest.mark.parametrize("prompt", ["a slow harp", ""])
def test_audioldm_reads_prompts_as_diffusers_does(prompt: str, built: Built, loaded: Callable[[str], Any]) -> None:
    from diffusers import AudioLDMPipeline

    pipeline = AudioLDMPipeline.from_pretrained(built("audioldm"))
    with torch.no_grad():
        expected = pipeline._encode_prompt(prompt, "cpu", 1, False)
    torch.testing.assert_close(loaded("audioldm").embed(prompt), expected)


@pytest.mark.parametrize("prompt", ["a slow harp", ""])
def test_stable_audio_conditions_as_diffusers_does(prompt: str, built: Built, loaded: Callable[[str], Any]) -> None:
    from diffusers import EDMDPMSolverMultistepScheduler, StableAudioPipeline
    from transformers import AutoTokenizer, T5EncoderModel

    folder, backbone = built("stable_audio"), loaded("stable_audio")
    pipeline = StableAudioPipeline(
        vae=backbone.vae,
        text_encoder=T5EncoderModel.from_pretrained(folder / "text_encoder"),
        projection_model=backbone.projection,
        tokenizer=AutoTokenizer.from_pretrained(folder / "tokenizer"),
        transformer=backbone.transformer,
        scheduler=EDMDPMSolverMultistepScheduler(),  # its own needs torchsde, and is not asked
    )
    attended, told = backbone._conditioning(backbone.placed(backbone.embed(prompt), 3.0, 40.0))
    with torch.no_grad():
        text = pipeline.encode_prompt(prompt, "cpu", False)
        start, end = pipeline.encode_duration(3.0, 40.0, "cpu", False, 1)
    torch.testing.assert_close(told, torch.cat([start, end], dim=2))
    # Without a prompt the pipeline attends to zeros, however many: they say nothing.
    expected = torch.cat([text, start, end], dim=1) if prompt else torch.zeros_like(start)
    torch.testing.assert_close(attended, expected)


@pytest.mark.parametrize("prompt", ["a slow harp", ""])
def test_stable_audio_3_says_what_diffusers_does(prompt: str, built: Built, loaded: Callable[[str], Any]) -> None:
    from diffusers import StableAudio3Pipeline
    from transformers import AutoTokenizer, T5GemmaEncoderModel

    folder, backbone = built("stable_audio_3"), loaded("stable_audio_3")
    pipeline = StableAudio3Pipeline(
        vae=backbone.vae,
        text_encoder=T5GemmaEncoderModel.from_pretrained(folder / "text_encoder"),
        tokenizer=AutoTokenizer.from_pretrained(folder / "tokenizer"),
        duration_embedder=backbone.projection,
        transformer=backbone.transformer,
        scheduler=FlowMatchEulerDiscreteScheduler.from_pretrained(folder / "scheduler"),
    )
    x, t = torch.randn(1, 4, 16, generator=torch.Generator().manual_seed(0)), 0.75
    with torch.no_grad():
        told = pipeline.encode_duration(8.0, "cpu", 1, 1)
        text, mask = pipeline.prepare_cross_attention(*pipeline.encode_prompt(prompt, "cpu", 1), told)
        velocity = backbone.transformer(
            x,
            torch.tensor([t]),
            encoder_hidden_states=text,
            global_hidden_states=told,
            encoder_attention_mask=mask,
        ).sample
        sigma = t / (1 - t)
        clean = backbone.denoise((1 + sigma) * x, sigma, backbone.placed(backbone.embed(prompt), 0.0, 8.0))
    torch.testing.assert_close(clean, x - t * velocity)


@pytest.mark.parametrize(("guidance", "duration"), [(1.0, 0.4), (3.0, 0.4), (3.0, 0.391)])
def test_stable_audio_3_walks_as_the_diffusers_pipeline(
    guidance: float, duration: float, built: Built, loaded: Callable[[str], Any]
) -> None:
    from diffusers import StableAudio3Pipeline

    folder, backbone = built("stable_audio_3"), loaded("stable_audio_3")
    pipeline = StableAudio3Pipeline.from_pretrained(folder)
    x = torch.randn(1, *backbone.latent_shape(math.ceil(duration * 44100)), generator=torch.Generator().manual_seed(0))
    latents = []

    def seen(_pipeline: Any, _step: int, _time: Any, given: dict[str, Any]) -> dict[str, Any]:
        latents.append(given["latents"])
        return given

    # Of equal length: the pipeline pads the shorter of the two.
    expected = pipeline(
        "a slow harp", negative_prompt="a loud drum", duration=duration, latents=x, num_inference_steps=4,
        guidance_scale=guidance, output_type="pt", callback_on_step_end=seen,
    ).audios  # fmt: skip
    # It begins at time 1, pure noise, where sigma is infinite: the frame goes on from its first step.
    times = pipeline.scheduler.sigmas.tolist()[1:]
    condition, contrast = (
        backbone.placed(backbone.embed(text), 0.0, duration) for text in ("a slow harp", "a loud drum")
    )
    z = latents[0] / (1 - times[0])
    with torch.no_grad():
        for t, t_next in pairwise(times):
            clean, other = (backbone.denoise(z, t / (1 - t), each) for each in (condition, contrast))
            clean = other + guidance * (clean - other)
            z = clean + t_next / (1 - t_next) / (t / (1 - t)) * (z - clean)
        audio = backbone.decode(z, int(duration * 44100))
    torch.testing.assert_close(audio.clamp(-1, 1), torch.as_tensor(expected), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("guidance", "duration"), [(1.0, 1.3), (1.0, 2.0), (3.0, 1.3)])
def test_ace_step_walks_as_the_diffusers_pipeline(
    guidance: float, duration: float, built: Built, loaded: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from diffusers import AceStepPipeline
    from diffusers.pipelines.ace_step import pipeline_ace_step

    def plain(pred_cond: Any, pred_uncond: Any, guidance_scale: float, **_: Any) -> Any:
        return pred_cond + guidance_scale * (pred_cond - pred_uncond)  # which is w - 1 there

    # The pipeline's own guidance is adaptive projected, over time, with a momentum: plain guidance takes its place.
    monkeypatch.setattr(pipeline_ace_step, "normalized_guidance", plain)
    backbone, pipeline = loaded("ace_step"), AceStepPipeline.from_pretrained(built("ace_step"))
    x = torch.randn(1, math.ceil(25 * duration), 4, generator=torch.Generator().manual_seed(0))
    times = [0.9, 0.5, 0.2]
    expected = pipeline(
        "a slow harp", audio_duration=duration, latents=x, timesteps=times, guidance_scale=guidance,
        output_type="latent",
    ).audios  # fmt: skip
    condition = backbone.placed(backbone.embed("a slow harp"), 0.0, duration)
    z = x.mT / (1 - times[0])
    with torch.no_grad():
        for t, t_next in pairwise([*times, 0.0]):
            clean, other = (backbone.denoise(z, t / (1 - t), each) for each in (condition, backbone.embed(None)))
            clean = other + guidance * (clean - other)
            z = clean + t_next / (1 - t_next) / (t / (1 - t)) * (z - clean)
    torch.testing.assert_close(z.mT, expected, rtol=1e-4, atol=1e-5)


def test_ace_step_without_a_prompt_attends_to_its_learned_vector(loaded: Callable[[str], Any]) -> None:
    backbone, t = loaded("ace_step"), 0.75
    x = torch.randn(2, 4, 31, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        velocity = backbone.transformer(
            x.mT,
            torch.full((2,), t),
            torch.full((2,), t),
            encoder_hidden_states=backbone.null.expand(2, 37, -1),
            context_latents=backbone._context(31).mT.expand(2, -1, -1),
        ).sample.mT
        clean = backbone.denoise(x / (1 - t), t / (1 - t), backbone.embed(None))
    torch.testing.assert_close(clean, x - t * velocity)


def test_ace_step_reads_the_duration_in_the_prompt(loaded: Callable[[str], Any]) -> None:
    backbone = loaded("ace_step")
    short, long = (backbone.placed(backbone.embed("a harp"), 0.0, seconds) for seconds in (1.0, 3.0))
    z = torch.randn(1, 4, 75, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        one, three, unplaced = (backbone.denoise(z, 5.0, each) for each in (short, long, backbone.embed("a harp")))
    torch.testing.assert_close(three, unplaced)
    assert not torch.allclose(one, three)


@pytest.mark.parametrize(("guidance", "seconds"), [(1.0, 0.32), (3.0, 0.32), (3.0, 0.347)])
@pytest.mark.parametrize("kind", ["audioldm2", "musicldm", "audioldm"])
def test_a_walk_from_noise_is_that_of_the_diffusers_pipeline(
    kind: str, guidance: float, seconds: float, built: Built, loaded: Callable[[str], Any]
) -> None:
    from diffusers import AudioLDM2Pipeline, AudioLDMPipeline, MusicLDMPipeline
    from transformers import ClapFeatureExtractor, GPT2LMHeadModel

    folder, backbone = built(kind), loaded(kind)
    # Of equal length: the pipelines pad the shorter of the two, and the network sees it.
    condition, contrast = backbone.embed("a slow harp"), backbone.embed("a loud drum")
    parts: dict[str, Any] = {"unet": backbone.unet}
    given: dict[str, Any]
    if kind == "audioldm2":
        language = GPT2LMHeadModel.from_pretrained(folder / "language_model")
        parts |= {"feature_extractor": ClapFeatureExtractor(), "language_model": language}
        pipeline = AudioLDM2Pipeline.from_pretrained(folder, **parts)
        names = {"prompt_embeds": "states", "attention_mask": "mask", "generated_prompt_embeds": "generated"}
        given = {name: getattr(condition, field) for name, field in names.items()}
        given |= {f"negative_{name}": getattr(contrast, field) for name, field in names.items()}
    else:
        kinds: dict[str, Any] = {"musicldm": MusicLDMPipeline, "audioldm": AudioLDMPipeline}
        parts |= {"feature_extractor": ClapFeatureExtractor()} if kind == "musicldm" else {}
        pipeline = kinds[kind].from_pretrained(folder, **parts)
        given = {"prompt_embeds": condition, "negative_prompt_embeds": contrast}
    x = torch.randn(1, *backbone.latent_shape(round(16000 * seconds)), generator=torch.Generator().manual_seed(0))
    expected = pipeline(
        **given, latents=x, audio_length_in_s=seconds, num_inference_steps=3, guidance_scale=guidance, output_type="np"
    ).audios
    # The frame's walk on the scheduler's own timesteps, down to its final alpha.
    pipeline.scheduler.set_timesteps(3)
    abar = [float(pipeline.scheduler.alphas_cumprod[t]) for t in pipeline.scheduler.timesteps]
    sigmas = [((1 - each) / each) ** 0.5 for each in (*abar, float(pipeline.scheduler.final_alpha_cumprod))]
    z = x * (1 + sigmas[0] ** 2) ** 0.5
    with torch.no_grad():
        for sigma, sigma_next in pairwise(sigmas):
            clean, other = (backbone.denoise(z, sigma, each) for each in (condition, contrast))
            clean = other + guidance * (clean - other)
            z = clean + sigma_next / sigma * (z - clean)
        audio = backbone.decode(z / (1 + sigmas[-1] ** 2) ** 0.5, expected.shape[-1])
    assert expected.shape[-1] == round(16000 * seconds)
    torch.testing.assert_close(audio[:, 0], torch.from_numpy(expected), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_is_its_items_at_odd_lengths_and_under_guidance(kind: str, loaded: Callable[[str], Any]) -> None:
    backbone = loaded(kind)
    samples = 7 * backbone.sample_rate // 25 + 13
    prior = Prior(backbone, samples, Costs(), (backbone.embed("a harp"),), (backbone.embed("a drum"),), 3.0)
    z = torch.randn(3, *prior.latent_shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        both = prior.denoise(z, 2.0)
        condition, contrast = (backbone.denoise(z[:1], 2.0, each[0]) for each in (prior.conditions, prior.contrasts))
        torch.testing.assert_close(both[:1], contrast + 3.0 * (condition - contrast), rtol=1e-4, atol=1e-5)
        for item in range(3):
            torch.testing.assert_close(
                both[item : item + 1], prior.denoise(z[item : item + 1], 2.0), rtol=1e-4, atol=1e-5
            )
        assert prior.decode(z[:1]).shape[-1] == samples


@pytest.mark.parametrize("guidance", [1.0, 4.0])
def test_stable_audio_walks_as_the_diffusers_pipeline(
    guidance: float, built: Built, loaded: Callable[[str], Any]
) -> None:
    from diffusers import EDMDPMSolverMultistepScheduler, StableAudioPipeline
    from transformers import AutoTokenizer, T5EncoderModel

    folder, backbone = built("stable_audio"), loaded("stable_audio")
    # Of order 1 it is the ODE of the frame; it tells the network the level as Stable Audio's own does.
    scheduler = EDMDPMSolverMultistepScheduler(
        sigma_min=0.3, sigma_max=500, sigma_data=1.0, prediction_type="v_prediction", solver_order=1,
        sigma_schedule="exponential",
    )  # fmt: skip
    scheduler.precondition_noise = lambda sigma: torch.atan(torch.as_tensor(sigma)) / math.pi * 2
    pipeline = StableAudioPipeline(
        vae=backbone.vae,
        text_encoder=T5EncoderModel.from_pretrained(folder / "text_encoder"),
        projection_model=backbone.projection,
        tokenizer=AutoTokenizer.from_pretrained(folder / "tokenizer"),
        transformer=backbone.transformer,
        scheduler=scheduler,
    )
    x, seconds = torch.randn(1, 4, 256, generator=torch.Generator().manual_seed(0)), 256 * 256 / 44100
    expected = pipeline(
        "a slow harp", negative_prompt="a loud drum", audio_end_in_s=seconds, latents=x, num_inference_steps=3,
        guidance_scale=guidance, output_type="latent",
    ).audios  # fmt: skip
    condition, contrast = (
        backbone.placed(backbone.embed(text), 0.0, seconds) for text in ("a slow harp", "a loud drum")
    )
    sigmas = [*scheduler.sigmas.tolist()[:3], 0.0]
    z = x * float(scheduler.init_noise_sigma)
    with torch.no_grad():
        for sigma, sigma_next in pairwise(sigmas):
            clean, other = (backbone.denoise(z, sigma, each) for each in (condition, contrast))
            clean = other + guidance * (clean - other)
            z = clean + sigma_next / sigma * (z - clean)
    torch.testing.assert_close(z, expected, rtol=1e-3, atol=1e-3)


def test_attending_to_one_zero_is_attending_to_many(loaded: Callable[[str], Any]) -> None:
    backbone = loaded("stable_audio")
    x, t, told = torch.randn(1, 4, 16), torch.tensor([0.5]), torch.randn(1, 1, 32)

    def network(tokens: int) -> torch.Tensor:
        return backbone.transformer(
            x, t, encoder_hidden_states=torch.zeros(1, tokens, 16), global_hidden_states=told
        ).sample

    with torch.no_grad():
        torch.testing.assert_close(network(1), network(9))


@pytest.mark.parametrize("kind", KINDS)
def test_a_prompt_changes_what_the_network_says(kind: str, loaded: Callable[[str], Any]) -> None:
    backbone = loaded(kind)
    z = torch.randn(1, *backbone.latent_shape(8000), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        harp, drum, none = (backbone.denoise(z, 5.0, backbone.embed(text)) for text in ("a harp", "a drum", None))
    assert not torch.allclose(harp, drum)
    torch.testing.assert_close(none, backbone.denoise(z, 5.0, None))


def test_where_in_the_recording_it_is_changes_what_stable_audio_says(loaded: Callable[[str], Any]) -> None:
    backbone = loaded("stable_audio")
    z = torch.randn(1, *backbone.latent_shape(8000), generator=torch.Generator().manual_seed(0))
    condition = backbone.embed("a harp")
    whole = z.shape[-1] * 256 / 44100
    with torch.no_grad():
        unplaced, first, later = (
            backbone.denoise(z, 5.0, each)
            for each in (condition, backbone.placed(condition, 0.0, whole), backbone.placed(condition, 30.0, 200.0))
        )
    torch.testing.assert_close(unplaced, first)
    assert not torch.allclose(first, later)


@pytest.mark.parametrize("kind", KINDS)
def test_encoders_are_freed_before_sampling_and_a_prompt_is_read_once(
    kind: str, built: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone: Any = load_model(str(built(kind)))
    reads: list[int] = []
    encoders = backbone.texts._load

    def load() -> Any:
        reads.append(1)
        return encoders()

    monkeypatch.setattr(backbone.texts, "_load", load)
    condition = backbone.embed("a harp")
    assert backbone.texts.loaded
    with torch.no_grad():
        backbone.denoise(torch.zeros(1, *backbone.latent_shape(800)), 1.0, condition)
    assert not backbone.texts.loaded
    backbone.embed("a harp")
    assert len(reads) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_forgetting_activations_changes_no_gradient(kind: str, built: Built) -> None:
    def gradients(checkpointing: bool) -> list[torch.Tensor]:
        spec = registry().components("backbone")[kind.replace("_", "-")]
        backbone = spec.load()(built(kind), checkpointing=checkpointing)
        z = torch.randn(1, *backbone.latent_shape(9000), generator=torch.Generator().manual_seed(0)).requires_grad_()
        parts = (backbone.denoise(z, 2.0, backbone.embed("a harp")), backbone.decode(z, 9000))
        return [torch.autograd.grad(part.square().sum(), z)[0] for part in parts]

    for forgotten, kept in zip(gradients(True), gradients(False), strict=True):
        assert float(kept.norm()) > 0
        torch.testing.assert_close(forgotten, kept, rtol=1e-6, atol=1e-7)


def test_pieces_are_what_the_whole_is(loaded: Callable[[str], Any]) -> None:
    generator = torch.Generator().manual_seed(0)
    vocoder, vae = loaded("musicldm").vocoder, loaded("stable_audio").vae
    hop, wave = vae.hop_length, torch.randn(1, 2, 120 * vae.hop_length, generator=generator)
    cases: list[tuple[Any, torch.Tensor, int, int, int]] = [
        (lambda m: vocoder(m.mT), torch.randn(1, 64, 120, generator=generator), memory.hifigan_context(vocoder.config),
         1, 160),
        (lambda z: vae.decode(z).sample, torch.randn(1, 4, 120, generator=generator),
         memory.oobleck_context(vae.config), 1, hop),
        (lambda x: vae.encode(x).latent_dist.mode(), wave, memory.oobleck_context(vae.config), hop, 1),
    ]  # fmt: skip
    with torch.no_grad():
        for function, x, context, inward, outward in cases:
            whole = function(x)
            pieces = memory.in_pieces(function, x, 16, context, inward, outward)
            torch.testing.assert_close(pieces, whole, rtol=1e-5, atol=1e-5 * float(whole.abs().max()))
            # The context is needed: without it the seams are heard.
            seams = memory.in_pieces(function, x, 16, 0, inward, outward)[..., : whole.shape[-1]]
            assert float((seams - whole[..., : seams.shape[-1]]).abs().max()) > 1e-3 * float(whole.abs().max())


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_is_the_networks_alone(
    kind: str, dtype: str, built: Built, loaded: Callable[[str], Any]
) -> None:
    half: Any = load_model(str(built(kind)), dtype=dtype)
    full = loaded(kind)
    z = torch.randn(1, *full.latent_shape(8000), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        close = half.denoise(z, 2.0, half.embed("a harp"))
        exact = full.denoise(z, 2.0, full.embed("a harp"))
        assert close.dtype == torch.float32
        assert 0 < float((close - exact).norm() / exact.norm()) < 0.05
        torch.testing.assert_close(half.decode(z, 8000), full.decode(z, 8000))
    assert half.describe()["dtype"] == dtype
