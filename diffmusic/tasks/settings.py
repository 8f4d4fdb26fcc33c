"""Settings of every task, used by Python, jobs, the command line and the bench alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from diffmusic.audio.stereo import Stereo
from diffmusic.parameters import Amount, Count, Field, Positive, Seed
from diffmusic.prior.guidance import Projection
from diffmusic.tasks.segments import Segment

Context = Literal["song", "excerpt", "none"]

RESTORE_GUIDANCE = 4.0
"""Default weight of classifier-free guidance by a prompt in restoring."""
EDIT_GUIDANCE = 5.0
"""Default weight of a target in editing."""
STRENGTH = 2.73
"""Default noise level that an edit starts from: T_start 100 of 200 on AudioLDM2's schedule (arXiv:2402.10009)."""


def several(texts: str | Sequence[str]) -> tuple[str, ...]:
    """Return texts as a tuple; a single text is a tuple of one."""
    return (texts,) if isinstance(texts, str) else tuple(texts)


@dataclass(frozen=True)
class RestoreSettings:
    """Settings of a restoration, apart from its operator, solver and prior.

    Attributes:
        steps: Noise levels; iterations of a solver that optimises.
        seed: Seed of all randomness.
        samples: Restorations to draw, each a function of ``seed`` and its number.
        prompt: Text of the music, for a prior that reads text; one prompt, or one for each source.
        negative_prompt: Text of what the music is not.
        guidance: Weight of classifier-free guidance by the prompts; 1 is none.
        guidance_parallel: Part of guidance along the clean estimate that is kept: 1 is plain guidance, 0 adaptive
            projected guidance (``diffmusic.prior.guidance.Projection``).
        guidance_limit: Largest root mean square of what guidance adds at weight 2, in units of the latents; None is no
            limit.
        noise_std: Standard deviation of white noise in the recording, full scale 1; of magnitudes, in the audio that
            they were made of.
        noise_from: Where the recording holds nothing but noise, START:END, or auto to estimate the noise from all of
            it; it takes the place of ``noise_std``.
        finish: Put back what was observed (``operator.finish``).
        stereo: Solve two channels as mid and side, where the operator is linear, or each by itself.
        context: What a solver with a prior is told of a gap. song: what the recording says again of it, wherever that
            is, as evidence (``diffmusic.tasks.song_context``); excerpt: what lies around it; none: the same, of which
            a network that was trained to see it is not told.
        extend: Fill the band above the prior's within a gap (``diffmusic.audio.upper_band``).
        batch: Items solved at once; by default one on a CPU, where more gain nothing and change the last bits.
    """

    steps: Count = 25
    seed: Seed = 0
    samples: Count = 1
    prompt: str | Sequence[str] = ()
    negative_prompt: str | None = None
    guidance: Amount = RESTORE_GUIDANCE
    guidance_parallel: Annotated[float, Field(ge=0, le=1)] = 1.0
    guidance_limit: Positive | None = None
    noise_std: Amount = 0.0
    noise_from: str | None = None
    finish: bool = True
    stereo: Stereo = "mid-side"
    context: Context = "song"
    extend: bool = True
    batch: Count | None = None

    @property
    def projection(self) -> Projection | None:
        """Another way of guidance than the plain one."""
        return Projection.of(self.guidance_parallel, self.guidance_limit)


@dataclass(frozen=True)
class EditSettings:
    """Settings of an edit, apart from its editor and prior.

    Attributes:
        targets: Texts of the music to be made; each gives results of its own, and may be empty.
        source: Text of the recording; may be empty.
        negative_prompt: Text to steer away from.
        strength: Noise level that the edit starts from; more changes more.
        steps: Noise levels from there down.
        guidance: Weight of classifier-free guidance by the targets; 1 is none.
        source_guidance: Weight of classifier-free guidance by the source; 1 is none.
        guidance_parallel: As in ``RestoreSettings``, of source and targets.
        guidance_limit: The same.
        segments: Intervals that may change, as ``Segment`` or as text, each with a prompt and a strength of its own
            where it has them. Outside of them the result is the input.
        hold: Weight with which the latents outside of the segments are held at each step (``Edit.keep``).
        fade: Seconds of a segment's edge, which lies inside.
        seed: Seed of all randomness.
        samples: Different edits to draw for each target, each a function of ``seed`` and its number.
        batch: Latents that go through the network together; by default one on a CPU, where more change the last bits.
    """

    targets: str | Sequence[str] = ()
    source: str = ""
    negative_prompt: str = ""
    strength: Amount = STRENGTH
    steps: Count = 50
    guidance: Amount = EDIT_GUIDANCE
    source_guidance: Amount = 3.0
    guidance_parallel: Annotated[float, Field(ge=0, le=1)] = 1.0
    guidance_limit: Positive | None = None
    segments: Sequence[str | Segment] = ()
    hold: Annotated[float, Field(ge=0, le=1)] = 1.0
    fade: Amount = 0.1
    seed: Seed = 0
    samples: Count = 1
    batch: Count | None = None

    @property
    def projection(self) -> Projection | None:
        """Another way of guidance than the plain one."""
        return Projection.of(self.guidance_parallel, self.guidance_limit)


@dataclass(frozen=True)
class ExploreSettings:
    """Settings of an exploration.

    Attributes:
        source: Text of the recording; may be empty.
        components: Directions to find.
        amount: Standard deviations by which each direction is followed.
        at: Noise level whose directions are followed; by default each level's own.
        until: Noise level below which nothing is added.
        strength: Noise level that the exploration starts from.
        steps: Noise levels from there down.
        products: Largest number of products of the Jacobian with a vector at each level; each takes one pass of the
            network, or two if ``central`` (``diffmusic.editor.directions.find``).
        tolerance: Residual below which a level is done.
        step: Length of the finite differences.
        central: Take central differences.
        source_guidance: Weight of classifier-free guidance by the source. 1, as only an unguided denoiser is a
            posterior mean, and its Jacobian a covariance.
        segments: Intervals that may change, as in ``EditSettings``.
        fade: Seconds of a segment's edge.
        seed: Seed of all randomness.
        batch: Latents that go through the network together, as in ``EditSettings``.
    """

    source: str = ""
    components: Count = 3
    amount: float = 2.0
    at: Positive | None = None
    until: Amount = 0.0
    strength: Amount = STRENGTH
    steps: Count = 25
    products: Count = 30
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

    Attributes:
        prompt: Text of the reference; without it and without an adapter the prior alone completes what was put in.
        negative_prompt: Text to steer away from.
        guidance: Weight of classifier-free guidance by the prompt; a network that has learnt the reference needs no
            more than 1.
        steps: Noise levels of the whole walk.
        seed: Seed of all randomness.
        batch: Latents that go through the network together; by default one on a CPU.
    """

    prompt: str | None = None
    negative_prompt: str = ""
    guidance: Amount = 1.0
    steps: Count = 50
    seed: Seed = 0
    batch: Count | None = None


@dataclass(frozen=True)
class LearnSettings:
    """Settings of learning a reference (``diffmusic.tasks.fine_tuning.capture``).

    Attributes:
        steps: Largest number of steps of the optimiser.
        rate: Learning rate.
        rank: Rank of the LoRA.
        seed: Seed of all randomness.
    """

    steps: Count = 300
    rate: Positive = 2e-3
    rank: Count = 8
    seed: Seed = 0
