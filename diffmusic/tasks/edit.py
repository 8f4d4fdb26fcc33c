"""From a recording to edited ones: find the stretch that changes, encode it, let an editor work, put the rest back."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from diffmusic.editor.contract import Edit, Editor, Region
from diffmusic.errors import Diverged, InputError
from diffmusic.prior.backbone import Backbone, Costs
from diffmusic.prior.guidance import Embedder, Text, Tick
from diffmusic.prior.levels import frame_rate, levels
from diffmusic.tasks import segments as places
from diffmusic.tasks.latents import Passage, denoiser, encode
from diffmusic.tasks.segments import Segment

STRENGTH = 2.73
"""The noise level that an edit starts from: T_start 100 of 200 on AudioLDM2's schedule (arXiv:2402.10009)."""
GUIDANCE = 5.0
SOURCE_GUIDANCE = 3.0
FADE = 0.1
"""Seconds over which an edit enters and leaves its segment."""


@dataclass(frozen=True)
class Edited:
    """What came out of a run.

    audio: (samples * targets, channels, time), float64: the first target's samples, then those of the second.
    sigmas: the noise levels walked. stretch: what of the recording was edited, (start, stop) in seconds.
    """

    audio: np.ndarray
    sample_rate: int
    sigmas: tuple[float, ...]
    stretch: tuple[float, float]
    costs: Costs
    seconds: float


def edit(
    audio: np.ndarray,
    sample_rate: int,
    editor: Editor,
    backbone: Backbone,
    *,
    targets: Sequence[str] = ("",),
    source: str = "",
    negative_prompt: str = "",
    strength: float = STRENGTH,
    steps: int = 50,
    guidance: float = GUIDANCE,
    source_guidance: float = SOURCE_GUIDANCE,
    segments: Sequence[Segment] = (),
    hold: float = 1.0,
    fade: float = FADE,
    seed: int = 0,
    samples: int = 1,
    batch: int | None = None,
    progress: Tick | None = None,
) -> Edited:
    """Edit a recording, (channels, time) at ``sample_rate`` Hz, full scale 1.

    targets: what it is to become; each gives a result of its own. source: what it is; both may be empty.
    strength: the noise level that the edit starts from; more changes more. steps: levels from there down.
    guidance, source_guidance: weight of the targets and of the source; 1 is none.
    segments: the stretches that may change, each with a prompt and a strength of its own where it has them. Outside of
        them the result is the input. hold: how firmly the latents outside are held at each step (``Edit.keep``).
        fade: seconds of an edge, which lies inside.
    samples: different edits to draw for each target, each a function of ``seed`` and its number.
    batch: latents that go through the network together; by default one on a CPU, where more change the last bits.
    Raises InputError for what does not fit together, Diverged if the run blows up.
    """
    started, costs = time.perf_counter(), Costs()
    if not targets:
        raise InputError("say what the music is to become: give a target")
    setup = Setup.of(
        audio, sample_rate, backbone, costs, targets=targets, source=source, negative_prompt=negative_prompt,
        strength=strength, steps=steps, guidance=guidance, source_guidance=source_guidance, segments=segments,
        hold=hold, fade=fade, batch=batch,
    )  # fmt: skip
    results = np.repeat(audio[None].astype(float), len(targets) * samples, axis=0)
    for draw in range(samples):

        def tick(done: float, draw: int = draw) -> None:
            if progress:
                progress((draw + done) / samples)

        with torch.no_grad():
            z = editor.edit(setup.task(seed, draw, tick))
        for number, latents in enumerate(z.split(len(setup.passage.z))):
            setup.put_back(latents, results[number * samples + draw])
    if not np.isfinite(results).all():
        raise Diverged("the edited audio is not finite")
    stretch = setup.first / sample_rate, setup.last / sample_rate
    return Edited(results, sample_rate, setup.edit.sigmas, stretch, costs, time.perf_counter() - started)


@dataclass(frozen=True)
class Setup:
    """A recording made ready for editors: the stretch ``[first, last)``, in samples, that is edited, its latents, and
    how much of an edit is heard at each of its samples."""

    edit: Edit
    passage: Passage
    first: int
    last: int
    heard: np.ndarray

    @classmethod
    def of(
        cls,
        audio: np.ndarray,
        sample_rate: int,
        backbone: Backbone,
        costs: Costs,
        *,
        targets: Sequence[str],
        source: str,
        negative_prompt: str,
        strength: float,
        steps: int,
        guidance: float,
        source_guidance: float,
        segments: Sequence[Segment],
        hold: float,
        fade: float,
        batch: int | None,
    ) -> Setup:
        """See ``edit`` for what the names mean."""
        seconds = audio.shape[-1] / sample_rate
        places.check(segments, seconds)
        strengths = [strength if each.strength is None else each.strength for each in segments]
        sigmas = levels(backbone, max(strengths, default=strength), steps)
        start, stop = places.excerpt(segments, seconds, backbone.excerpt_seconds / 2)
        first, last = round(start * sample_rate), round(stop * sample_rate)
        passage = Passage.of(audio[:, first:last], sample_rate, backbone, costs)
        rate, frames = frame_rate(backbone), passage.z.shape[2]
        masks = [places.frames(each, frames, rate, start, fade) for each in segments]
        embed = Embedder(backbone, start, seconds)
        task = Edit(
            passage.z,
            sigmas,
            embed.text(source, None, source_guidance),
            tuple(_text(embed, target, negative_prompt, guidance, segments, masks) for target in targets),
            denoiser(backbone, costs, batch),
            noise=lambda number: torch.zeros_like(passage.z),
            regions=tuple(Region(*each) for each in zip(masks, strengths, strict=True)),
            hold=hold,
            frame_rate=rate,
            encode=lambda x: encode(backbone, x.to(passage.audio), costs),
            audio=passage.audio,
            sample_rate=backbone.sample_rate,
            offset=start,
        )
        times = (first + np.arange(last - first) + 0.5) / sample_rate
        return cls(task, passage, first, last, places.mask(segments, times, fade))

    def task(self, seed: int, draw: int = 0, tick: Tick = lambda done: None) -> Edit:
        """What an editor is given for one draw."""
        return dataclasses.replace(self.edit, noise=lambda number: self.passage.noise(seed, draw, number), tick=tick)

    def put_back(self, z: Tensor, audio: np.ndarray) -> None:
        """Write what latents sound like into the recording, (channels, time), as far as it is to be heard."""
        made, stretch = self.passage.audio_of(z), audio[:, self.first : self.last]
        # Exact at both ends: nothing but the edit where it is heard alone, nothing of it outside.
        stretch[:] = self.heard * made + (1 - self.heard) * stretch


def _text(
    embed: Embedder, target: str, negative: str, guidance: float, segments: Sequence[Segment], masks: Sequence[Tensor]
) -> Text:
    """A target with the prompts that segments have of their own."""
    base = embed.text(target, negative, guidance)
    own = [(segment.prompt, mask) for segment, mask in zip(segments, masks, strict=True) if segment.prompt is not None]
    if not own:
        return base
    conditions = (*base.conditions, *(embed(prompt) for prompt, _ in own))
    parts = torch.stack([mask for _, mask in own])
    contrast = base.contrast
    if contrast is None and any((prompt or "") != negative for prompt, _ in own):
        contrast = embed(negative)
    return Text(conditions, contrast, guidance, torch.cat([(1 - parts.sum(0)).clamp(0, 1)[None], parts]))
