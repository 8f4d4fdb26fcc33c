"""Settings of every task, used by Python, jobs, the command line and the bench alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from diffmusic.audio.stereo import Stereo
from diffmusic.parameters import Amount, Count, Field, Positive, Seed
from diffmusic.tasks.segments import Segment

RESTORE_GUIDANCE = 4.0
"""Default weight of classifier-free guidance by a prompt in restoring."""
EDIT_GUIDANCE = 5.0
"""Default weight of a target in editing."""
STRENGTH = 2.73
"""Default noise level that an edit starts from: T_start 100 of 200 on AudioLDM2's schedule (arXiv:2402.10009)."""


def several(texts: str | Sequence[str]) -> tuple[str, ...]:
    """Texts of which one may stand for itself."""
    return (texts,) if isinstance(texts, str) else tuple(texts)


@dataclass(frozen=True)
class RestoreSettings:
    """Settings of a restoration, beside its operator, solver and prior.

    steps: noise levels. samples: restorations to draw, each a function of ``seed`` and its number.
    prompt, negative_prompt: what the music is and is not, for a prior that reads text; one prompt, or one for each
        source. guidance: the weight of classifier-free guidance by them; 1 is none.
    noise_std: deviation of white noise in the measurement, in its units.
    finish: put back what was observed (``operator.finish``).
    stereo: whether two channels are solved as mid and side, where the operator is linear, or each by itself.
    extend: fill what lies above the prior's band within a gap (``diffmusic.audio.upper_band``).
    batch: items solved at once; by default one on a CPU, where more gain nothing and change the last bits.
    """

    steps: Count = 25
    seed: Seed = 0
    samples: Count = 1
    prompt: str | Sequence[str] = ()
    negative_prompt: str | None = None
    guidance: Amount = RESTORE_GUIDANCE
    noise_std: Amount = 0.0
    finish: bool = True
    stereo: Stereo = "mid-side"
    extend: bool = True
    batch: Count | None = None


@dataclass(frozen=True)
class EditSettings:
    """Settings of an edit, beside its editor and prior.

    targets: what the music is to become; each gives results of its own. source: what it is; both may be empty.
    strength: the noise level that the edit starts from; more changes more. steps: levels from there down.
    guidance, source_guidance: weight of the targets and of the source; 1 is none.
    segments: the stretches that may change, each with a prompt and a strength of its own where it has them, as
        ``Segment`` or as text. Outside of them the result is the input. hold: how firmly the latents outside are held
        at each step (``Edit.keep``). fade: seconds of an edge, which lies inside.
    samples: different edits to draw for each target, each a function of ``seed`` and its number.
    batch: latents that go through the network together; by default one on a CPU, where more change the last bits.
    """

    targets: str | Sequence[str] = ()
    source: str = ""
    negative_prompt: str = ""
    strength: Amount = STRENGTH
    steps: Count = 50
    guidance: Amount = EDIT_GUIDANCE
    source_guidance: Amount = 3.0
    segments: Sequence[str | Segment] = ()
    hold: Annotated[float, Field(ge=0, le=1)] = 1.0
    fade: Amount = 0.1
    seed: Seed = 0
    samples: Count = 1
    batch: Count | None = None


@dataclass(frozen=True)
class ExploreSettings:
    """Settings of an exploration.

    components: how many directions. amount: how far each is followed, in standard deviations; at: along those of this
        one noise level, by default each level's own; until: nothing is added below this level.
    products, tolerance, step, central: of the search (``diffmusic.editor.directions.find``).
    source_guidance: 1, as only an unguided denoiser is a posterior mean, and its Jacobian a covariance.
    source, strength, steps, segments, fade, seed, batch: as in ``EditSettings``.
    """

    source: str = ""
    components: Count = 3
    amount: float = 2.0
    at: Positive | None = None
    until: Amount = 0.0
    strength: Amount = STRENGTH
    steps: Count = 25
    products: Count = 15
    tolerance: Amount = 0.02
    step: Positive = 0.1
    central: bool = False
    source_guidance: Amount = 1.0
    segments: Sequence[str | Segment] = ()
    fade: Amount = 0.1
    seed: Seed = 0
    batch: Count | None = None


@dataclass(frozen=True)
class FuseSettings:
    """Settings of a fusion.

    prompt: what leads to the reference; with no prompt and no adapter the prior alone completes what was put in.
    guidance: its weight; a network that has learnt the reference needs no more than 1.
    steps: noise levels of the whole walk.
    """

    prompt: str | None = None
    negative_prompt: str = ""
    guidance: Amount = 1.0
    steps: Count = 50
    seed: Seed = 0
    batch: Count | None = None


@dataclass(frozen=True)
class LearnSettings:
    """Settings of learning a reference (``diffmusic.tasks.adapter.capture``): steps at most, rate, and rank of the
    LoRA."""

    steps: Count = 300
    rate: Positive = 2e-3
    rank: Count = 8
    seed: Seed = 0
