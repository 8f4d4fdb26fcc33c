"""Regions of a spectrogram that are drawn louder or softer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import torch
from pydantic import BeforeValidator
from torch import Tensor

Stroke = tuple[float, float, float, float, float]
"""Start and end in seconds, lowest and highest frequency in Hz, and the change in dB."""


def _parse(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    strokes = []
    for text in value.split(";"):
        parts = text.split(",")
        try:
            (start, end), (low, high), db = *(map(float, part.split(":")) for part in parts[:2]), float(parts[2])
            if len(parts) != 3 or not (0 <= start < end and 0 <= low < high):
                raise ValueError
        except (ValueError, IndexError):
            raise ValueError("write START:END,LOW:HIGH,DB in seconds, Hz and dB, such as 2:3,500:2000,12") from None
        strokes.append((start, end, low, high, db))
    return tuple(strokes)


Strokes = Annotated[tuple[Stroke, ...], BeforeValidator(_parse)]


def painted(x: Tensor, sample_rate: int, strokes: Sequence[Stroke], offset: float = 0.0, n_fft: int = 1024) -> Tensor:
    """Raise or lower the spectrogram of audio, (..., time), where strokes lie:

        y = STFT^-1(10^(dB / 20) STFT(x)) within a stroke, Hann windows of ``n_fft`` samples, a quarter apart

    Args:
        offset: the second of the recording at which ``x`` begins.
    """
    window = torch.hann_window(n_fft, device=x.device, dtype=x.dtype)
    flat = x.reshape(-1, x.shape[-1])
    spectrum = torch.stft(flat, n_fft, n_fft // 4, window=window, return_complex=True)
    frequencies = torch.arange(spectrum.shape[-2]) * sample_rate / n_fft
    times = offset + torch.arange(spectrum.shape[-1]) * (n_fft // 4) / sample_rate
    decibels = torch.zeros(spectrum.shape[-2:], dtype=x.dtype)
    for start, end, low, high, db in strokes:
        rows, columns = (frequencies >= low) & (frequencies < high), (times >= start) & (times < end)
        decibels += db * rows[:, None] * columns
    changed = spectrum * (10 ** (decibels / 20)).to(x.device)
    return torch.istft(changed, n_fft, n_fft // 4, window=window, length=x.shape[-1]).reshape(x.shape)
