"""Spectral band replication: fill the band above a prior's from the octave below."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from diffmusic.audio.linear_prediction import bridge

_FRAME = 0.023  # seconds
_EDGE = 0.95  # of the prior's Nyquist frequency; resampling attenuates what is above
_BAND = 1000.0  # Hz; width of a band with one gain
_AROUND = 1.0  # seconds on either side of a gap from which the gain is measured
_LIMIT = 20.0  # largest gain of the copied band, dB
_AUDIBLE = 1e-7  # of the power of all bands: what lies 70 dB below the music is not continued
_CONTEXT, _ORDER = 0.25, 512  # of the linear prediction: seconds on either side


def extend(
    estimate: np.ndarray, observed: np.ndarray, lost: Sequence[tuple[int, int]], nyquist: float, sample_rate: int
) -> np.ndarray:
    """Copy the octave below the edge of the estimate's band upwards, as often as it takes:

        E(t, k) = g_b E(t, k') e^{2 pi i (k - k') t hop / n}   for bins k above the edge
        g_b^2 = sum_{t, k in b} |O(t, k)|^2 / sum_{t, k in b} |O(t, k')|^2

    with the gain of each band ``b`` taken over the observed frames within a second of the gap. So the new band follows
    the estimate's own highest octave in time, and has the brightness of the recording. The exponential makes the shift
    an exact modulation. A band that would need a gain of more than 20 dB has nothing below it that it could be made of
    (a tone at 20 kHz alone): linear prediction continues it from either side. Source of the idea: M. Dietz et al.,
    "Spectral band replication", AES 2002.

    Args:
        estimate: (time,) at ``sample_rate`` Hz.
        observed: The recording, of the same shape.
        lost: Intervals in samples, sorted and disjoint.
        nyquist: Upper end of the estimate's band, Hz.
        sample_rate: Hz.

    Returns:
        The estimate with the band above; unchanged where too little was observed.
    """
    size = 2 ** round(np.log2(_FRAME * sample_rate))
    hop, edge = size // 4, int(_EDGE * nyquist * size / sample_rate)
    above = np.arange(edge, size // 2 + 1)
    if len(above) < 2 or edge < 4 or len(estimate) < size or not lost:
        return estimate
    below = edge // 2 + (above - edge) % (edge - edge // 2)
    band = ((above - edge) * sample_rate / size / _BAND).astype(int)
    bins, given = _frames(estimate, size, hop), np.square(np.abs(_frames(observed, size, hop)))
    begins = np.arange(len(bins)) * hop - size
    centres = begins + size // 2
    # Only frames within the recording: across its ends, low notes would leak into every bin.
    seen = (begins >= 0) & (begins + size <= len(estimate))
    for start, stop in lost:
        seen &= (centres <= start - size // 2) | (centres >= stop + size // 2)
    gains, alone = np.zeros((len(bins), band[-1] + 1)), np.zeros((len(bins), band[-1] + 1), dtype=bool)
    middles = [(start + stop) // 2 for start, stop in lost]
    nearest = np.abs(centres[:, None] - np.array(middles)).argmin(1)
    for number, (start, stop) in enumerate(lost):
        reach = _AROUND * sample_rate
        frames = given[seen & (centres > start - reach) & (centres < stop + reach)]
        if not len(frames):
            continue
        high, low = (np.bincount(band, frames[:, which].sum(0)) for which in (above, below))
        ratio, most = high / np.maximum(low, 1e-30), 10 ** (_LIMIT / 10)
        lacking = (ratio > most) & (high > _AUDIBLE * frames.sum())
        gains[nearest == number] = np.sqrt(np.where((low > 0) & ~lacking, np.minimum(ratio, most), 0.0))
        alone[nearest == number] = lacking
    shift = np.exp(2j * np.pi * (above - below) * (begins[:, None] % size) / size)
    moved = np.zeros_like(bins)
    moved[:, above] = gains[:, band] * bins[:, below] * shift
    if alone.any():
        continued = _frames(_bridged(observed, lost, sample_rate), size, hop)
        moved[:, above] += np.where(alone[:, band], continued[:, above], 0.0)
    return estimate + _joined(moved, size, hop, len(estimate))


def _bridged(observed: np.ndarray, lost: Sequence[tuple[int, int]], sample_rate: int) -> np.ndarray:
    """Fill the gaps of a recording by linear prediction."""
    out, reach = observed.copy(), round(_CONTEXT * sample_rate)
    for start, stop in lost:
        out[start:stop] = bridge(
            out[max(0, start - reach) : start], observed[stop : stop + reach], stop - start, _ORDER
        )
    return out


def _window(size: int) -> np.ndarray:
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)


def _frames(x: np.ndarray, size: int, hop: int) -> np.ndarray:
    """STFT, (frames, bins); frame ``t`` begins at sample ``t hop - n``, with silence beyond the ends."""
    padded = np.pad(x, (size, 2 * size))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop][: (len(x) + size) // hop + 1]
    return np.fft.rfft(frames * _window(size), axis=-1)


def _joined(bins: np.ndarray, size: int, hop: int, length: int) -> np.ndarray:
    """Invert ``_frames``, (length,). Four squared Hann windows overlap to 3/2."""
    out = np.zeros(len(bins) * hop + 2 * size)
    for number, frame in enumerate(np.fft.irfft(bins, size, axis=-1) * _window(size) / 1.5):
        out[number * hop : number * hop + size] += frame
    return out[size : size + length]
