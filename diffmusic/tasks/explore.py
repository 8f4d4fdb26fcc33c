"""Exploration of a recording: find its directions, and render it along each of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from diffmusic.audio.signal import Samples
from diffmusic.editor.directions import Directions, find
from diffmusic.editor.drift import code_of, follow
from diffmusic.errors import InputError
from diffmusic.prior.backbone import Backbone, Costs
from diffmusic.prior.progress import ProgressCallback
from diffmusic.tasks.edit import EditSetup
from diffmusic.tasks.result import Result
from diffmusic.tasks.settings import EditSettings, ExploreSettings


@dataclass(frozen=True)
class Followed:
    """The explored stretch, moved along one direction.

    Attributes:
        component: Number of the direction, from 0; None for the random control.
        amount: Standard deviations.
        audio: (channels, time).
    """

    component: int | None
    amount: float
    audio: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Exploration(Result):
    """Result of ``explore``: the directions, and the recording moved along each of them.

    Attributes:
        audio: The recording with each component added and subtracted, (2 * components, channels, time); empty where
            nothing was rendered.
        directions: The directions, to save to a file and to follow with the solver ``posterior-pc``.
        listening: The stretch along each direction and along a random one at the whole and at half of the amount, both
            ways, after the round trip of the stretch (amount 0 of component 0); empty unless asked for.
    """

    directions: Directions
    listening: tuple[Followed, ...] = ()


def explore(
    audio: np.ndarray,
    sample_rate: int,
    backbone: Backbone,
    settings: ExploreSettings,
    *,
    render: bool = True,
    listen: bool = False,
    progress: ProgressCallback | None = None,
) -> Exploration:
    """Find the directions of a recording, and follow each of them both ways.

    Args:
        audio: (channels, time), full scale 1.
        sample_rate: Hz.
        backbone: The prior.
        settings: Number of directions, how they are found, and how far they are followed.
        render: Render the audio along them.
        listen: Render half of the amount too, and a random direction as the control.
        progress: Callback with the share of the work that is done, 0 to 1.

    Raises:
        InputError: The settings contradict each other or do not fit the recording.
        Diverged: The audio is not finite.
    """
    started, costs, components = time.perf_counter(), Costs(), settings.components
    validate(settings)
    walk = EditSettings(
        (settings.source,), settings.source, strength=settings.strength, steps=settings.steps,
        guidance=settings.source_guidance, source_guidance=settings.source_guidance, segments=settings.segments,
        fade=settings.fade, batch=settings.batch,
    )  # fmt: skip
    setup = EditSetup.of(Samples(audio), sample_rate, backbone, costs, walk)
    amounts = (1.0, -1.0, 0.5, -0.5) if listen else (1.0, -1.0)
    followed: list[int | None] = [*range(components), *([None] if listen else [])]
    ways = [(number, share * settings.amount) for number in followed for share in amounts] if render else []
    searching = 0.7 if render else 1.0
    parts = [searching, *[(1 - searching) / (len(ways) + 1)] * (len(ways) + 1)]

    def ticker(number: int) -> ProgressCallback:
        begun = sum(parts[:number])
        return lambda done: progress(begun + parts[number] * done) if progress else None

    rendered = np.repeat(audio[None].astype(float), 2 * components if render else 0, axis=0)
    heard: list[Followed] = []
    with torch.no_grad():
        task = setup.task(settings.seed, tick=ticker(0))
        found = find(
            task, components, settings.products, settings.tolerance, settings.step, settings.central, settings.seed
        )
        code = code_of(setup.task(settings.seed, tick=ticker(1))) if ways else None
        if listen and ways:
            heard.append(Followed(0, 0.0, setup.put_back(setup.passage.z).audio))
        for place, (number, amount) in enumerate(ways, 2):
            # The control has the first component's length.
            weights = [float(each == (number or 0)) for each in range(components)]
            task = setup.task(settings.seed, tick=ticker(place))
            moved = follow(task, found, weights, amount, settings.at, settings.until, random=number is None, code=code)
            patch = setup.put_back(moved)
            if number is not None and abs(amount) == abs(settings.amount):
                target = rendered[2 * number + (amount != settings.amount)]
                target[:, patch.start : patch.stop] = patch.audio
            if listen:
                heard.append(Followed(number, amount, patch.audio))
    return Exploration(
        audio=rendered,
        sample_rate=sample_rate,
        costs=costs,
        seconds=time.perf_counter() - started,
        directions=found,
        listening=tuple(heard),
    )


def validate(settings: ExploreSettings) -> None:
    """Raise InputError for settings that contradict each other."""
    if settings.products < settings.components:
        raise InputError(f"`products` {settings.products}: no fewer than `components`, {settings.components}")


def average(explored: Sequence[Directions]) -> Directions:
    """Average the eigenvalues of several recordings; the result has no vectors but a placeholder of one element.

    The values at a level are much the same for all music (arXiv:2402.10009, section 3.3).
    """
    first = explored[0]
    if any(each.values.shape != first.values.shape or not torch.equal(each.sigmas, first.sigmas) for each in explored):
        raise InputError("only directions at the same levels and with as many components can be averaged")
    values = torch.stack([each.values for each in explored]).mean(0)
    residuals = torch.stack([each.residuals for each in explored]).mean(0)
    about = {"averaged": len(explored), "model": first.about.get("model", {})}
    return Directions(first.sigmas, torch.zeros(*values.shape, 1, 1), values, residuals, about=about)
