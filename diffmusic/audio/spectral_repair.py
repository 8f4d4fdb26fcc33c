"""Rectangles of the spectrogram: taken out of a sound, and put back with phases that fit what surrounds them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from diffmusic.audio.stft import STFT, spectrum, windows_of

Rectangle = tuple[int, int, float, float]
"""``(start, stop, low, high)``: samples and Hz."""

_WINDOW = 0.05  # seconds


@dataclass(frozen=True)
class Excerpt:
    """A stretch of a recording around rectangles that share frames, and which of its bins they hold.

    start, stop: samples of the recording. mask: (frames, bins), True inside.
    """

    start: int
    stop: int
    settings: STFT
    mask: Tensor

    def bins(self, x: Tensor) -> Tensor:
        """``S x`` of (..., stop - start), complex, (..., frames, bins); a window of silence is put on either side, so
        that every sample lies in as many frames."""
        return spectrum(torch.nn.functional.pad(x, (self.settings.n_fft, self.settings.n_fft)), self.settings)

    def audio(self, bins: Tensor) -> Tensor:
        """``S^T bins / c``, the adjoint of ``bins`` and its inverse, of the shape of ``x``: ``S^T S = c I``."""
        size, hop = self.settings.n_fft, self.settings.hop
        window = torch.hann_window(size, dtype=bins.real.dtype, device=bins.device)
        rows = (torch.fft.irfft(bins, size) * window).reshape(-1, *bins.shape[-2:-1], size)
        length = hop * (rows.shape[1] - 1) + size
        joined = torch.nn.functional.fold(rows.mT, (1, length), (1, size), stride=(1, hop))[:, 0, 0]
        # Frames are centred on multiples of the hop, half a window before their first sample.
        first = size + size // 2
        kept = joined[:, first : first + self.stop - self.start] / (0.375 * size / hop)
        return kept.reshape(*bins.shape[:-2], -1)


def excerpts(rectangles: Sequence[Rectangle], length: int, sample_rate: int) -> Iterator[Excerpt]:
    """The stretches of a recording of ``length`` samples that rectangles touch. A rectangle holds the frames whose
    centres lie in its time, and the bins whose frequencies lie in its band."""
    settings = windows_of(_WINDOW, sample_rate)
    margin = 2 * settings.n_fft
    groups: list[list[Rectangle]] = []
    for each in sorted(rectangles):
        if groups and each[0] - max(stop for _, stop, _, _ in groups[-1]) <= margin:
            groups[-1].append(each)
        else:
            groups.append([each])
    hertz = torch.arange(settings.n_fft // 2 + 1) * sample_rate / settings.n_fft
    for group in groups:
        start = max(0, group[0][0] - margin)
        stop = min(length, max(stop for _, stop, _, _ in group) + margin)
        frames = 1 + (stop - start + 2 * settings.n_fft) // settings.hop
        centres = start - settings.n_fft + torch.arange(frames) * settings.hop
        mask = torch.zeros(frames, len(hertz), dtype=torch.bool)
        for first, last, low, high in group:
            mask |= ((centres >= first) & (centres <= last))[:, None] & ((hertz >= low) & (hertz <= high))
        yield Excerpt(start, stop, settings, mask)


def inside(x: Tensor, rectangles: Sequence[Rectangle], sample_rate: int) -> Tensor:
    """``S^T M S x / c``: what of ``x``, (..., time), lies in the rectangles, exactly 0 where no frame of theirs
    reaches. It is its own transpose."""
    out = torch.zeros_like(x)
    for part in excerpts(rectangles, x.shape[-1], sample_rate):
        own = x[..., part.start : part.stop]
        found = part.audio(part.bins(own) * part.mask.to(x.device))
        out = out + torch.nn.functional.pad(found, (part.start, x.shape[-1] - part.stop))
    return out


def repaired(
    y: Tensor,
    rectangles: Sequence[Rectangle],
    sample_rate: int,
    fill: Callable[[Excerpt, Tensor], tuple[Tensor, Tensor]],
    iterations: int = 32,
) -> Tensor:
    """``y`` with given magnitudes in the rectangles, at phases that are consistent with all that lies outside.

        X <- S x,   x <- y + S^T M (G X / |X| - S y) / c

    What is outside of the rectangles stays as it is in ``y``. fill: maps an excerpt and its ``S y`` to the magnitudes
    ``G`` and the phases to begin with, (..., frames, bins). The iteration is D. Griffin and J. Lim's, IEEE TASSP 32(2),
    1984, with the bins outside held.
    """
    out = y
    for part in excerpts(rectangles, y.shape[-1], sample_rate):
        own, mask = y[..., part.start : part.stop], part.mask.to(y.device)
        given = part.bins(own)
        magnitude, phase = fill(part, given)
        x = own + part.audio(mask * (torch.polar(magnitude, phase) - given))
        for _ in range(iterations):
            x = own + part.audio(mask * (torch.polar(magnitude, part.bins(x).angle()) - given))
        out = out + torch.nn.functional.pad(x - own, (part.start, y.shape[-1] - part.stop))
    return out
