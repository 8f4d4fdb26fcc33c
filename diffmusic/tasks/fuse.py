"""Fusion of two recordings: learn the reference, sample with its prompt, insert the original at a noise level."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from diffmusic.editor.contract import Edit, Editor
from diffmusic.errors import Diverged, InputError
from diffmusic.prior.backbone import Backbone, Costs
from diffmusic.prior.guidance import Embedder
from diffmusic.prior.levels import frame_rate
from diffmusic.prior.progress import ProgressCallback
from diffmusic.tasks.adapter import Adapter, attach
from diffmusic.tasks.encoded_recording import EncodedRecording, denoiser, window_frames
from diffmusic.tasks.fine_tuning import capture
from diffmusic.tasks.result import Result
from diffmusic.tasks.settings import FuseSettings, LearnSettings

LEVEL = 3.0
"""Default noise level at which the original is inserted."""
WINDOW = (0.8, 16.0)
"""Fusion window: from the level at which only the original is audible to the one at which only the reference is."""


@dataclass(frozen=True, kw_only=True)
class Fused(Result):
    """Fusions of one original.

    Attributes:
        audio: The fusions, (fusions, channels, time), as long and as loud as the original and at its rate.
        round_trip: The original encoded and decoded, (channels, time): the fusion at level 0.
        sigmas: Noise levels walked.
    """

    round_trip: np.ndarray
    sigmas: tuple[float, ...]


def learn(
    reference: np.ndarray,
    sample_rate: int,
    backbone: Backbone,
    prompt: str,
    settings: LearnSettings,
    *,
    costs: Costs | None = None,
    progress: ProgressCallback | None = None,
) -> Adapter:
    """Learn the adapter of a recording, (channels, time) at ``sample_rate`` Hz, by ``adapter.capture``."""
    passage = EncodedRecording.of(reference, sample_rate, backbone, costs or Costs())
    return capture(
        backbone,
        passage.z,
        prompt,
        steps=settings.steps,
        rank=settings.rank,
        rate=settings.rate,
        seed=settings.seed,
        window=window_frames(backbone),
        seconds=reference.shape[-1] / sample_rate,
        costs=costs,
        tick=progress or (lambda done: None),
    )


def fuse(
    original: np.ndarray,
    sample_rate: int,
    editors: Sequence[Editor],
    backbone: Backbone,
    settings: FuseSettings,
    *,
    adapter: Adapter | None = None,
    levels: Sequence[float] = (),
    progress: ProgressCallback | None = None,
) -> Fused:
    """Insert a recording into the sampling that a prompt guides.

    Args:
        original: (channels, time), full scale 1.
        sample_rate: Hz.
        editors: one for each fusion, such as ``diffmusic_solvers.fusion.Fusion`` at several levels. They share their
            noise.
        backbone: the prior.
        settings: the prompt of the reference, and everything else. With no prompt and no adapter the prior alone
            completes the inverted latent, which is how the paper examines its content (``diffmusic reconstruct``).
        adapter: fine-tuned weights of the reference.
        levels: noise levels that the walk has to visit, merged into the prior's own.
        progress: callback for the share of the work that is done, 0 to 1.

    Raises:
        InputError: something does not fit together.
        Diverged: the run blew up.
    """
    started, costs = time.perf_counter(), Costs()
    tuned = backbone if adapter is None else attach(backbone, adapter)
    passage = EncodedRecording.of(original, sample_rate, backbone, costs)
    sigmas = visiting(tuple(backbone.sigmas(settings.steps).tolist()), levels)
    embed, results = Embedder(tuned, 0.0, original.shape[-1] / sample_rate), list[np.ndarray]()
    text = embed.text(settings.prompt, settings.negative_prompt, settings.guidance)

    for number, editor in enumerate(editors):

        def tick(done: float, number: int = number) -> None:
            if progress:
                progress((number + done) / len(editors))

        task = Edit(
            passage.z,
            sigmas,
            text,
            (text,),
            denoiser(tuned, costs, settings.batch, passage.audio.shape[-1]),
            lambda number: passage.noise(settings.seed, number),
            frame_rate=frame_rate(backbone),
            audio=passage.audio,
            sample_rate=backbone.sample_rate,
            tick=tick,
        )
        with torch.no_grad():
            results.append(passage.audio_of(editor.edit(task)))
        tick(1.0)
    audio = np.stack(results)
    if not np.isfinite(audio).all():
        raise Diverged("the fused audio is not finite")
    round_trip = passage.round_trip()
    seconds = time.perf_counter() - started
    return Fused(
        audio=audio, sample_rate=sample_rate, costs=costs, seconds=seconds, round_trip=round_trip, sigmas=sigmas
    )


def visiting(sigmas: Sequence[float], levels: Sequence[float]) -> tuple[float, ...]:
    """Replace, for each of ``levels``, the nearest unused noise level (in log sigma).

    A level above the highest counts as the highest, one far below the lowest as 0: the difference would change nothing.
    Raises InputError for more levels than there are noise levels to replace.
    """
    own = np.log(np.asarray(sigmas[:-1]))
    wanted = np.log([each for each in levels if sigmas[-2] <= each <= sigmas[0]])
    if len(wanted) > len(own):
        raise InputError(f"{len(wanted)} levels do not fit into {len(own)} steps: take more `steps`")
    free = np.ones(len(own), dtype=bool)
    for each in wanted:
        place = int(np.where(free, np.abs(own - each), np.inf).argmin())
        own[place], free[place] = each, False
    return (*np.exp(np.sort(own)[::-1]).tolist(), 0.0)
