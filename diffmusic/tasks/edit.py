"""Editing of a recording: find the stretch that changes, encode it, run an editor, put the rest back."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from diffmusic.audio.signal import Patch, Patched, Samples, Signal
from diffmusic.editor.contract import AnyEditor, AudioEditor, Edit, Region
from diffmusic.errors import Diverged, InputError
from diffmusic.prior.backbone import Backbone, Costs
from diffmusic.prior.guidance import Embedder, Text
from diffmusic.prior.levels import frame_rate, levels
from diffmusic.prior.progress import ProgressCallback
from diffmusic.tasks import segments as places
from diffmusic.tasks.edit_audio import edited_audio
from diffmusic.tasks.edit_result import Edited, EditedSignals
from diffmusic.tasks.encoded_recording import EncodedRecording, denoiser, encode
from diffmusic.tasks.segments import Segment
from diffmusic.tasks.settings import EditSettings, several


def edit(
    audio: np.ndarray,
    sample_rate: int,
    editor: AnyEditor,
    backbone: Backbone | None,
    settings: EditSettings,
    *,
    progress: ProgressCallback | None = None,
) -> Edited:
    """Edit a recording.

    Args:
        audio: (channels, time), full scale 1.
        sample_rate: Hz.
        editor: the method.
        backbone: the prior; None for an editor with a model of its own.
        settings: targets, segments, strength, and everything else.
        progress: callback for the share of the work that is done, 0 to 1.

    Raises:
        InputError: something does not fit together.
        Diverged: the run blew up.
    """
    return edited(Samples(audio), sample_rate, editor, backbone, settings, progress=progress).in_memory


def edited(
    signal: Signal,
    sample_rate: int,
    editor: AnyEditor,
    backbone: Backbone | None,
    settings: EditSettings,
    *,
    round_trip: bool = False,
    progress: ProgressCallback | None = None,
) -> EditedSignals:
    """The same of a recording of which only the stretch that changes is read; with its round trip if asked for."""
    if isinstance(editor, AudioEditor):
        return edited_audio(signal, sample_rate, editor, settings, progress=progress)
    if backbone is None:
        raise InputError("this editor needs a prior: give `model`")
    started, costs = time.perf_counter(), Costs()
    if not several(settings.targets):
        raise InputError("say what the music is to become: give a target")
    setup, samples = EditSetup.of(signal, sample_rate, backbone, costs, settings), settings.samples
    made: dict[int, Patch] = {}
    for draw in range(samples):

        def tick(done: float, draw: int = draw) -> None:
            if progress:
                progress((draw + done) / samples)

        with torch.no_grad():
            z = editor.edit(setup.task(settings.seed, draw, tick))
        for number, latents in enumerate(z.split(len(setup.passage.z))):
            made[number * samples + draw] = setup.put_back(latents)
    with torch.no_grad():
        trip = Patched(signal, [setup.put_back(setup.passage.z)]) if round_trip else None
    return EditedSignals(
        draws=tuple(Patched(signal, [made[number]]) for number in sorted(made)),
        round_trip=trip,
        sample_rate=sample_rate,
        costs=costs,
        seconds=time.perf_counter() - started,
        sigmas=setup.edit.sigmas,
        stretch=(setup.first / sample_rate, setup.last / sample_rate),
    )


@dataclass(frozen=True)
class EditSetup:
    """Recording prepared for editors: its edited stretch as latents, and the way back.

    Attributes:
        edit: input of the editor.
        passage: the encoded stretch.
        original: the stretch as it was, (channels, time).
        first, last: the stretch ``[first, last)``, in samples.
        edit_mask: share of the edit in each sample of the stretch.
    """

    edit: Edit
    passage: EncodedRecording
    original: np.ndarray
    first: int
    last: int
    edit_mask: np.ndarray

    @classmethod
    def of(
        cls, signal: Signal, sample_rate: int, backbone: Backbone, costs: Costs, settings: EditSettings
    ) -> EditSetup:
        """Encode the stretch of a recording that is edited, and embed its prompts."""
        segments = [Segment.parse(each) if isinstance(each, str) else each for each in settings.segments]
        seconds = signal.samples / sample_rate
        places.check(segments, seconds)
        strengths = [settings.strength if each.strength is None else each.strength for each in segments]
        sigmas = levels(backbone, max(strengths, default=settings.strength), settings.steps)
        start, stop = places.excerpt(segments, seconds, backbone.excerpt_seconds / 2)
        first, last = round(start * sample_rate), round(stop * sample_rate)
        original = signal.read(first, last - first)
        passage = EncodedRecording.of(original, sample_rate, backbone, costs)
        rate, frames = frame_rate(backbone), passage.z.shape[2]
        masks = [places.frames(each, frames, rate, start, settings.fade) for each in segments]
        embed = Embedder(backbone, start, seconds)
        task = Edit(
            passage.z,
            sigmas,
            embed.text(settings.source, None, settings.source_guidance, settings.projection),
            tuple(_text(embed, target, settings, segments, masks) for target in several(settings.targets)),
            denoiser(backbone, costs, settings.batch, passage.audio.shape[-1]),
            noise=lambda number: torch.zeros_like(passage.z),
            regions=tuple(Region(*each) for each in zip(masks, strengths, strict=True)),
            hold=settings.hold,
            frame_rate=rate,
            encode=lambda x: encode(backbone, x.to(passage.audio), costs),
            audio=passage.audio,
            sample_rate=backbone.sample_rate,
            offset=start,
        )
        times = (first + np.arange(last - first) + 0.5) / sample_rate
        return cls(task, passage, original, first, last, places.mask(segments, times, settings.fade))

    def task(self, seed: int, draw: int = 0, tick: ProgressCallback = lambda done: None) -> Edit:
        """Return the editor's input for one draw."""
        return dataclasses.replace(self.edit, noise=lambda number: self.passage.noise(seed, draw, number), tick=tick)

    def put_back(self, z: Tensor) -> Patch:
        """Decode latents, and weigh them against the recording by the edit mask. Raises Diverged if not finite.

        A channel that is silent throughout the stretch, where another one is not, stays silent: a prior has no silence
        that is exact.
        """
        made = self.passage.audio_of(z)
        if not np.isfinite(made).all():
            raise Diverged("the edited audio is not finite")
        heard = self.original.any(axis=-1)
        if heard.any():
            made[~heard] = 0.0
        # Exact at both ends: only the edit where its weight is 1, nothing of it where the weight is 0. A channel at a
        # time, because a long recording is hundreds of megabytes.
        for channel, kept in zip(made, self.original, strict=True):
            channel *= self.edit_mask
            channel += (1 - self.edit_mask) * kept
        return Patch(self.first, made)


def _text(
    embed: Embedder, target: str, settings: EditSettings, segments: Sequence[Segment], masks: Sequence[Tensor]
) -> Text:
    """Combine a target with the prompts of segments that have their own."""
    negative = settings.negative_prompt
    base = embed.text(target, negative, settings.guidance, settings.projection)
    own = [(segment.prompt, mask) for segment, mask in zip(segments, masks, strict=True) if segment.prompt is not None]
    if not own:
        return base
    conditions = (*base.conditions, *(embed(prompt) for prompt, _ in own))
    parts = torch.stack([mask for _, mask in own])
    contrast = base.contrast
    if contrast is None and any((prompt or "") != negative for prompt, _ in own):
        contrast = embed(negative)
    weights = torch.cat([(1 - parts.sum(0)).clamp(0, 1)[None], parts])
    return Text(conditions, contrast, settings.guidance, weights, settings.projection)
