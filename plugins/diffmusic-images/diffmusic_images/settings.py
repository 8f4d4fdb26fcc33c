"""Settings of every task, in plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from diffmusic.parameters import Amount, Count, Field, Positive, Seed
from diffmusic.prior.guidance import Projection

MODEL = "CompVis/stable-diffusion-v1-4"
"""The checkpoint of both papers."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings that all tasks have.

    Attributes:
        seed: Seed of all randomness.
        batch: Latents that go through the network together; by default one on a CPU, where more change the last bits.
        model, device, dtype: The prior.
        solver, solver_parameters: The method.
        guidance_parallel, guidance_limit: Adaptive projected guidance (``diffmusic.prior.guidance.Projection``).
        size: Rows and columns that the middle of the image is resized to; none leaves it as it is.
    """

    seed: Seed = 0
    batch: Count | None = None
    model: str = MODEL
    device: str = "auto"
    dtype: str = "auto"
    solver: str = ""
    solver_parameters: Mapping[str, Any] = field(default_factory=dict)
    size: Count | None = None
    negative_prompt: str = ""
    guidance_parallel: Annotated[float, Field(ge=0, le=1)] = 1.0
    guidance_limit: Positive | None = None

    @property
    def projection(self) -> Projection | None:
        """Another way of guidance than the plain one."""
        return Projection.of(self.guidance_parallel, self.guidance_limit)


@dataclass(frozen=True, kw_only=True)
class SolveSettings(Settings):
    """Settings of a restoration.

    Attributes:
        operator: The damage, with its parameters.
        steps: Noise levels.
        samples: Restorations to draw.
        prompt: Text of the image.
        guidance: Weight of classifier-free guidance by it.
        noise_std: Standard deviation of white noise in the measurement, whose range is -1 to 1.
        finish: Put back what was observed.
    """

    operator: str = ""
    steps: Count = 50
    samples: Count = 1
    prompt: str = ""
    guidance: Amount = 4.0
    noise_std: Amount = 0.0
    finish: bool = True


@dataclass(frozen=True, kw_only=True)
class EditSettings(Settings):
    """Settings of an edit; the defaults are those of arXiv:2304.06140, table 3.

    Attributes:
        targets: Texts of the images to be made.
        source: Text of the image.
        steps: Sampling steps of the whole walk.
        skip: How many of them are left out: the more, the less changes.
        guidance: Weight of classifier-free guidance by a target.
        source_guidance: The same by the source.
        samples: Edits to draw for each target.
    """

    solver: str = "ddpm-inversion"
    targets: tuple[str, ...] = ()
    source: str = ""
    steps: Count = 100
    skip: int = 36
    guidance: Amount = 15.0
    source_guidance: Amount = 3.5
    samples: Count = 1


@dataclass(frozen=True, kw_only=True)
class ExploreSettings(Settings):
    """Settings of an exploration; as those of ``diffmusic explore``, with steps as the papers count them.

    Attributes:
        source: Text of the image.
        components: Directions to find.
        amount: Standard deviations by which each is followed.
        at: Noise level whose directions are followed; by default each level's own.
        until: Noise level below which nothing is added.
        steps, skip: As in an edit.
        products: Largest number of products of the Jacobian with a vector at each level.
        tolerance: Residual below which a level is done.
        source_guidance: 1, as only an unguided denoiser is a posterior mean.
    """

    source: str = ""
    components: Count = 3
    amount: float = 2.0
    at: Positive | None = None
    until: Amount = 0.0
    steps: Count = 100
    skip: int = 36
    products: Count = 15
    tolerance: Amount = 0.02
    source_guidance: Amount = 1.0
