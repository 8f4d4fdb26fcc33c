"""Spectrograms of a run as pictures."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from diffmusic.audio.mel import MelSpec
from diffmusic.audio.pieces import PIECE, log_mels
from diffmusic.audio.signal import Samples, Signal
from diffmusic.audio.spread import Spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FRAMES = 16_384  # of a picture, at most
TICKS = (125, 500, 1000, 2000, 4000, 7500)


def spectrograms(
    panels: Sequence[tuple[str, np.ndarray | Signal]],
    sample_rate: int,
    lost: Sequence[tuple[int, int]] = (),
    spread: Spread | None = None,
) -> bytes:
    """Draw one log-mel spectrogram a panel, on one scale of time and loudness, as a PNG.

    Args:
        panels: (title, audio of shape (channels, time), or a signal that is read block by block); channels are
            averaged, and of a long recording several frames.
        lost: damaged intervals in samples, marked by lines.
        spread: of posterior samples, drawn below.
    """
    return png(figure(panels, sample_rate, 1, lost, spread=spread))


def figure(
    panels: Sequence[tuple[str, np.ndarray | Signal]],
    sample_rate: int,
    columns: int,
    lost: Sequence[tuple[int, int]] = (),
    size: tuple[float, float] = (10, 2.2),
    spread: Spread | None = None,
) -> Figure:
    """Draw the same in several columns, row after row; size: of a panel, inches."""
    from librosa import mel_frequencies
    from matplotlib.figure import Figure

    spec, rows = MelSpec(), -(-len(panels) // columns) + (spread is not None)
    drawing = Figure(figsize=(size[0] * columns, size[1] * rows + 0.5), layout="constrained")
    table = drawing.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    axes, below = table.flatten()[: len(panels)], table[-1, 0]
    for unused in table.flatten()[len(panels) :]:
        if spread and unused is below:
            continue
        unused.set_axis_off()
    signals = [Samples(audio) if isinstance(audio, np.ndarray) else audio for _, audio in panels]
    images = [_decibels(signal, sample_rate, spec) for signal in signals]
    top = max(float(image.max()) for image in images)
    bands = mel_frequencies(n_mels=spec.bands + 2, fmin=spec.low, fmax=spec.high)[1:-1]
    seconds = signals[0].samples / sample_rate
    for axis, (title, _), image in zip(axes, panels, images, strict=True):
        drawn = axis.imshow(
            image.T, origin="lower", aspect="auto", extent=(0, seconds, 0, spec.bands), vmin=top - 80, vmax=top
        )
        for edge in {edge / sample_rate for interval in lost for edge in interval}:
            axis.axvline(edge, color="white", linewidth=0.7, linestyle=":")
        axis.set_title(title, loc="left", fontsize=10)
        axis.set_yticks(np.interp(TICKS, bands, np.arange(spec.bands) + 0.5), [f"{hz:g}" for hz in TICKS])
    for axis in table[:, 0]:
        axis.set_ylabel("Hz")
    for axis in table[-1]:
        axis.set_xlabel("seconds")
    drawing.colorbar(drawn, ax=list(axes), label="dB", pad=0.01)
    if spread:
        _draw(spread, drawing, below, np.array([0, *bands, spec.high]), spec)
    return drawing


def _draw(spread: Spread, drawing: Figure, axis: Axes, hertz: np.ndarray, spec: MelSpec) -> None:
    """Draw a spread as a rectangle a block and octave, over the same axes. hertz: the bands' centres, between the
    ends."""
    edges = np.interp(spread.edges, hertz, [0, *(np.arange(spec.bands) + 0.5), spec.bands])
    top = max(1e-3, *(max(block.decibels) for block in spread.blocks))
    for block in spread.blocks:
        values = np.array(block.decibels)[:, None]
        drawn = axis.pcolormesh([block.start, block.stop], edges, values, vmin=0, vmax=top, cmap="magma")
    axis.set_title(f"spread of {len(spread.distances)} samples", loc="left", fontsize=10)
    axis.set_facecolor("black")
    drawing.colorbar(drawn, ax=[axis], label="dB", pad=0.01)


def png(figure: Figure) -> bytes:
    """Encode a figure as a PNG, the same bytes for the same drawing."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


def _decibels(signal: Signal, sample_rate: int, spec: MelSpec) -> np.ndarray:
    """Log-mel of the mean of the channels, dB, (frames, bands); a frame is the mean of several where there are more
    than anybody can see."""
    frames = signal.samples / sample_rate * spec.frame_rate
    pooled = min(PIECE, 2 ** max(0, math.ceil(math.log2(max(1.0, frames / _FRAMES)))))
    rows = []
    for piece in log_mels(signal, sample_rate, spec, mono=True):
        levels = piece[0].numpy() * 20 / np.log(10)
        parts = np.split(levels, range(pooled, len(levels), pooled)) if pooled > 1 else []
        rows.append(np.stack([part.mean(0) for part in parts]) if parts else levels)
    return np.concatenate(rows)


def thumbnail(audio: np.ndarray, sample_rate: int, top: float | None = None) -> tuple[bytes, float]:
    """Draw a log-mel spectrogram without axes, and return it as a PNG with its highest loudness, dB.

    A pixel is a frame of 20 ms and a band.

    Args:
        audio: (channels, time).
        top: the brightest loudness, by default the audio's highest; 80 dB below it and less is dark.
    """
    from matplotlib import image

    levels = _decibels(Samples(audio), sample_rate, MelSpec())[::2]
    loudest = float(levels.max())
    bright = loudest if top is None else top
    buffer = io.BytesIO()
    image.imsave(
        buffer, levels.T, cmap="magma", origin="lower", vmin=bright - 80, vmax=bright, format="png", metadata={}
    )
    return buffer.getvalue(), loudest
