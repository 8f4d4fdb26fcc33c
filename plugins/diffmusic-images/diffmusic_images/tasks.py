"""Restoring, editing and exploring images: arrays in, arrays out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from diffmusic.editor.contract import Edit, Editor
from diffmusic.editor.directions import Directions, find
from diffmusic.editor.drift import follow
from diffmusic.errors import Diverged, InputError
from diffmusic.prior import Costs, Prior
from diffmusic.prior.denoiser import Denoiser
from diffmusic.prior.guidance import Embedder
from diffmusic.prior.progress import ProgressCallback
from diffmusic.problem import Problem
from diffmusic.problem.bound import BoundOperator
from diffmusic.problem.operator import Operator
from diffmusic.solver.contract import AnySolver, DirectSolver, Solver
from diffmusic.solver.noise import generator
from diffmusic.solver.sampling import sample
from diffmusic_images.settings import EditSettings, ExploreSettings, SolveSettings
from diffmusic_images.stable_diffusion import StableDiffusion


@dataclass(frozen=True)
class Images:
    """Results of a task.

    Attributes:
        images: (results, 3, rows, columns), from -1 to 1 but for what a decoder exceeds.
        costs: Passes of the networks.
        seconds: Wall-clock time.
        sigmas: Noise levels of the walk; none without a prior.
    """

    images: np.ndarray
    costs: Costs
    seconds: float
    sigmas: tuple[float, ...]


def levels(model: StableDiffusion, steps: int, skip: int = 0) -> tuple[float, ...]:
    """Return the noise levels of ``steps`` sampling steps without the first ``skip``, then 0.

    Timestep ``k T / steps + 1`` for ``k = steps - skip - 1, ..., 0``, as diffusers' DDIMScheduler has them with the
    offset of Stable Diffusion, and as both papers count (T_start is ``steps - skip``).
    """
    grid = model.noise.grid
    most = len(grid) - 1
    if not 1 <= steps <= most or not 0 <= skip < steps:
        raise InputError(f"`steps` {steps}, `skip` {skip}: 1 to {most} steps, and fewer skipped than there are")
    timesteps = np.arange(steps - skip)[::-1] * (len(grid) // steps) + 1
    return (*grid[timesteps].tolist(), 0.0)


def solve(
    measured: np.ndarray,
    operator: Operator,
    solver: AnySolver,
    model: StableDiffusion | None,
    settings: SolveSettings,
    progress: ProgressCallback | None = None,
) -> Images:
    """Restore an image.

    The misfit of every ``space`` is that of pixels: the constraint's ``T`` is the identity.

    Args:
        measured: What was measured, (3, rows, columns), from -1 to 1.
        operator: The damage to invert.
        solver: The method.
        model: The prior; not needed by a classical solver.
        settings: Everything else.
        progress: Callback for the share of the work that is done, 0 to 1.

    Raises:
        InputError: The parts do not fit together.
        Diverged: The run blew up.
    """
    started, costs = time.perf_counter(), Costs()
    columns = measured.shape[2]
    bound, y = BoundOperator.of(operator, measured.reshape(3, -1), columns)
    count, sigmas = bound.length(y), tuple[float, ...]()
    if not bound.spans(count):
        raise InputError("nothing is damaged: not one pixel of the image is lost")
    if isinstance(solver, DirectSolver):
        raw = solver.estimate(Problem(bound.operator, y))
    elif not isinstance(solver, Solver):
        raise InputError("this solver is one for recordings: take one that walks a prior, or wiener")
    elif model is None:
        raise InputError("this solver needs a prior: give a model")
    else:
        model, sigmas = model.with_columns(bound.rate), tuple(model.sigmas(settings.steps).tolist())
        embed, raws = Embedder(model), []
        text = embed.text(settings.prompt, settings.negative_prompt, settings.guidance)
        prior = Prior(
            model, count, costs, text.conditions, (text.contrast,), text.guidance, projection=settings.projection
        )
        seen = y.float().to(model.device)
        problem = Problem(bound.operator, seen, features=lambda pixels: pixels, noise=settings.noise_std)
        for draw in range(settings.samples):
            tick = _ticker(progress, draw, settings.samples)
            raws.append(
                sample(
                    solver,
                    problem,
                    prior,
                    sigmas,
                    [generator(settings.seed, draw)],
                    lambda step, _, tick=tick: tick((step.index + 1) / settings.steps),
                )
            )
        raw = torch.cat(raws).cpu().double()
    if settings.finish:
        raw = torch.cat([bound.finish(each[None], y) for each in raw])
    images = raw.reshape(len(raw), 3, -1, bound.rate).numpy()
    return Images(_finite(images), costs, time.perf_counter() - started, sigmas)


def prepared(
    image: np.ndarray,
    model: StableDiffusion,
    costs: Costs,
    sigmas: tuple[float, ...],
    settings: EditSettings | ExploreSettings,
    targets: Sequence[str],
    guidance: float,
    draw: int = 0,
    tick: ProgressCallback = lambda done: None,
) -> Edit:
    """Return the editor's task: an image (3, rows, columns) as latents, and its texts."""
    model = model.with_columns(image.shape[2])
    pixels = torch.from_numpy(np.ascontiguousarray(image)).float().flatten(1)[None].to(model.device)

    def encode(x: Tensor) -> Tensor:
        costs.encoder_forward += len(x)
        with torch.no_grad():
            return model.encode(x)

    z0, embed = encode(pixels), Embedder(model)

    def noise(number: int) -> Tensor:
        field = torch.randn(z0.shape[1:], generator=generator(settings.seed, draw, number), dtype=torch.float32)
        return field.to(z0).expand_as(z0)

    return Edit(
        z0,
        sigmas,
        embed.text(settings.source, None, settings.source_guidance, settings.projection),
        tuple(embed.text(each, settings.negative_prompt, guidance, settings.projection) for each in targets),
        Denoiser(model, costs, settings.batch or (1 if model.device.type == "cpu" else 16)),
        noise,
        frame_rate=1 / model.pixel,
        encode=encode,
        audio=pixels,
        sample_rate=image.shape[2],
        tick=tick,
    )


def edit(
    image: np.ndarray,
    editor: Editor,
    model: StableDiffusion,
    settings: EditSettings,
    progress: ProgressCallback | None = None,
) -> Images:
    """Edit an image, (3, rows, columns): the samples of the first target come first.

    Raises:
        InputError: The parts do not fit together.
        Diverged: The run blew up.
    """
    started, costs = time.perf_counter(), Costs()
    sigmas = levels(model, settings.steps, settings.skip)
    targets, guidance = settings.targets or (settings.source,), settings.guidance
    if not settings.targets:  # an editor that follows no text: the source's own guidance keeps the image
        guidance = settings.source_guidance
    draws = []
    for draw in range(settings.samples):
        tick = _ticker(progress, draw, settings.samples)
        task = prepared(image, model, costs, sigmas, settings, targets, guidance, draw, tick)
        with torch.no_grad():
            draws.append(decoded(editor.edit(task), image, model, costs))
    images = np.stack(draws, axis=1).reshape(-1, *image.shape)
    return Images(_finite(images), costs, time.perf_counter() - started, sigmas)


def explore(
    image: np.ndarray, model: StableDiffusion, settings: ExploreSettings, progress: ProgressCallback | None = None
) -> tuple[Images, Directions]:
    """Find the posterior principal components of an image, (3, rows, columns), and follow each of them both ways.

    The image with each component added and subtracted comes out (arXiv:2402.10009, appendix F).

    Raises:
        InputError: The parts do not fit together.
        Diverged: The run blew up.
    """
    started, costs, count = time.perf_counter(), Costs(), settings.components
    if settings.products < count:
        raise InputError(f"`products` {settings.products}: no fewer than `components`, {count}")
    sigmas = levels(model, settings.steps, settings.skip)
    tick = (lambda done: progress(0.7 * done)) if progress else (lambda done: None)
    task = prepared(image, model, costs, sigmas, settings, (settings.source,), settings.source_guidance, tick=tick)
    rendered = []
    with torch.no_grad():
        found = find(task, count, settings.products, settings.tolerance, seed=settings.seed)
        for number in range(2 * count):
            weights = [float(number // 2 == each) for each in range(count)]
            signed = settings.amount if number % 2 == 0 else -settings.amount
            rendered.append(
                decoded(follow(task, found, weights, signed, settings.at, settings.until), image, model, costs)[0]
            )
            if progress:
                progress(0.7 + 0.3 * (number + 1) / (2 * count))
    return Images(_finite(np.stack(rendered)), costs, time.perf_counter() - started, sigmas), found


def decoded(z: Tensor, image: np.ndarray, model: StableDiffusion, costs: Costs) -> np.ndarray:
    """Decode latents to images as large as ``image``, (latents, 3, rows, columns)."""
    model, count = model.with_columns(image.shape[2]), image.shape[1] * image.shape[2]
    parts = [model.decode(each[None], count) for each in z]
    costs.decoder_forward += len(parts)
    return torch.cat(parts).cpu().double().reshape(-1, *image.shape).numpy()


def _ticker(progress: ProgressCallback | None, draw: int, samples: int) -> ProgressCallback:
    return lambda done: progress((draw + done) / samples) if progress else None


def _finite(images: np.ndarray) -> np.ndarray:
    if not np.isfinite(images).all():
        raise Diverged("the image is not finite")
    return images
