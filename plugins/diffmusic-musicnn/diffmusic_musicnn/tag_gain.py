"""Whether an edit made the instrument likelier that it was asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from diffmusic.errors import InputError, suggestion
from diffmusic.parameters import Doc
from diffmusic_musicnn.tagger import Songs, Tagger, load


@dataclass(frozen=True)
class TagGain:
    """``mean_t logit p_t(estimate) - logit p_t(reference)``, nats, above 0 where the tags ``t`` have become likelier.

    p: probabilities of musicnn's tagger, the mean over patches of 3 s. t: the tags that the prompt names ("a solo
    cello" names ``cello`` and ``solo``), or ``tag`` alone. There is no value for a prompt that names none. A gain says
    that the estimate is more like the tag than the reference is, not that it would be taken for it: see ``swap`` for
    the margin over what was there before. Source of the tagger: J. Pons and X. Serra, arXiv:1909.06654.
    """

    tag: Annotated[str, Doc("one tag to judge by, instead of those that the prompt names")] = ""
    songs: Annotated[Songs, Doc("what the tagger learned from; mtt has instruments among its tags")] = "mtt"

    def __call__(self, reference: np.ndarray, estimate: np.ndarray, sample_rate: int, /, *, prompt: str) -> float:
        """Return the gain for one pair.

        Args:
            reference: The recording before, (channels, time), full scale 1.
            estimate: The recording after, of equal shape.
            sample_rate: In Hz.
            prompt: What the estimate should sound like.

        Raises:
            InputError: If the tagger has no such ``tag``, or cannot be had.
        """
        tagger = load(self.songs)
        tags = self._tags(tagger, prompt)
        if not tags:
            return math.nan
        before, after = (log_odds(tagger, x, sample_rate) for x in (reference, estimate))
        return float(np.mean([after[tag] - before[tag] for tag in tags]))

    def _tags(self, tagger: Tagger, prompt: str) -> tuple[str, ...]:
        if not self.tag:
            return tagger.named(prompt)
        if self.tag not in tagger.tags:
            raise InputError(f"musicnn's tagger has no tag {self.tag!r}.{suggestion(self.tag, tagger.tags)}")
        return (self.tag,)

    @classmethod
    def example(cls) -> TagGain:
        """Judge by one tag, whatever the prompt."""
        return cls(tag="flute")

    def describe(self) -> dict[str, Any]:
        """Return name and hash of the tagger, its rate and its patches."""
        facts = load(self.songs).describe()
        return {"classifier": facts.pop("embedding"), **facts}


@dataclass(frozen=True)
class Swap:
    """Log-odds of a target and a source instrument, nats, before and after: (target, source) each."""

    before: tuple[float, float]
    after: tuple[float, float]

    @property
    def gain(self) -> float:
        """By how much the target has gained on the source, nats; above 0 the swap went the right way."""
        return (self.after[0] - self.after[1]) - (self.before[0] - self.before[1])

    @property
    def heard(self) -> bool:
        """Whether the target is now likelier than the source."""
        return self.after[0] > self.after[1]


def swap(reference: np.ndarray, estimate: np.ndarray, sample_rate: int, target: str, source: str) -> Swap | None:
    """Judge the swap of one instrument for another by musicnn's tagger of MagnaTagATune.

    Args:
        reference: The recording before, (channels, time).
        estimate: The recording after, (channels, time).
        sample_rate: Of both, in Hz.
        target: A caption of the estimate.
        source: A caption of the reference.

    Returns:
        Mean log-odds of the tags that each caption names and the other does not; None where one names none.

    Raises:
        InputError: If the tagger cannot be had.
    """
    tagger = load("mtt")
    named = [tagger.named(caption) for caption in (target, source)]
    own = [[tag for tag in tags if tag not in other] for tags, other in zip(named, reversed(named), strict=True)]
    if not all(own):
        return None
    odds = (log_odds(tagger, x, sample_rate) for x in (reference, estimate))
    before, after = ([float(np.mean([each[tag] for tag in tags])) for tags in own] for each in odds)
    return Swap((before[0], before[1]), (after[0], after[1]))


def log_odds(tagger: Tagger, x: np.ndarray, sample_rate: int) -> dict[str, float]:
    """Return ``log(p / (1 - p))`` by tag, p the mean probability over the patches of x, (channels, time)."""
    p = np.clip(tagger.probabilities(x, sample_rate), 1e-12, 1 - 1e-12)
    return dict(zip(tagger.tags, np.log(p / (1 - p)).tolist(), strict=True))
