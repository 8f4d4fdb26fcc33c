"""Listening page of an exploration: a blind test of the directions against a random one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from diffmusic.editor.directions import Directions
from diffmusic.reports.listening_page import LONGEST, Question, Track, page
from diffmusic.tasks.explore import Exploration


def blind_page(name: str, result: Exploration, job: Mapping[str, Any]) -> bytes:
    """Render the page; which letter is which direction follows from the seed.

    Args:
        name: Of the recording.
        result: The exploration, with what there is to listen to.
        job: Settings of the run.
    """
    rate, (base, *rest) = result.sample_rate, result.listening
    count = round(LONGEST * rate)
    kinds: list[int | None] = list(dict.fromkeys(each.component for each in rest))
    order = np.random.default_rng(job["seed"]).permutation(len(kinds))
    letters = {kinds[place]: chr(ord("A") + letter) for letter, place in enumerate(order.tolist())}
    tracks = [Track("0: nothing is moved", base.audio[:, :count], rate)]
    for kind, letter in sorted(letters.items(), key=lambda each: each[1]):
        own = sorted((each for each in rest if each.component == kind), key=lambda each: each.amount)
        tracks += [Track(f"{each.amount:+g}", each.audio[:, :count], rate, group=f"Direction {letter}") for each in own]
    lines = [f"{letter}: {_told(kind, result.directions)}" for kind, letter in letters.items()]
    question = Question(
        "One direction is random, as long as the first component and not found in the recording. Which?",
        f"Direction {letters[None]}",
        sorted(lines),
    )
    text = (
        f"Directions in which {job['model']} is least sure of the recording, each followed both ways by the number of "
        "standard deviations that is written beside it; its sign is a matter of chance."
    )
    return page(name, text, tracks, question=question)


def _told(kind: int | None, directions: Directions) -> str:
    if kind is None:
        return "random"
    angle, entropy = (float(each[:, kind].median()) for each in (directions.angles, directions.entropy))
    return (
        f"component {kind + 1}; off by {angle:.0f} degrees at most (median of the levels), entropy {entropy:.2f} nats"
    )


def sureness(directions: Directions, tolerance: float) -> list[str]:
    """Say how sure directions are: which levels did not converge, and how far each component may be off.

    Args:
        directions: The directions.
        tolerance: The residual at which a level was to be done.
    """
    count, unfinished = len(directions.sigmas), directions.unfinished(tolerance)
    lines = [f"all {count} levels have residuals below {tolerance:g}"]
    if unfinished:
        worst = [f"{float(directions.sigmas[i]):.3g} ({float(directions.residuals[i].max()):.3f})" for i in unfinished]
        lines = [f"{len(unfinished)} of {count} levels have residuals above {tolerance:g}: sigma {', '.join(worst)}"]
    for number, angles in enumerate(directions.angles.T.tolist(), 1):
        unknown = sum(angle >= 90 for angle in angles)
        mixed = f"; not told from others at {unknown} of {count} levels" if unknown else ""
        lines.append(
            f"component {number}: off by at most {np.median(angles):.0f} degrees (median of the levels){mixed}"
        )
    return lines
