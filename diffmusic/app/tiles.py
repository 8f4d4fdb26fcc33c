"""Tiles: stretches of ``WIDTH`` pixels of a waveform or a spectrogram, of ``2**zoom`` samples each."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from diffmusic.app.overview import COLUMN, PEAK, Overview, Samples, around, extremes
from diffmusic.app.spectrum import ROWS, STEP, Spectrum
from diffmusic.errors import InputError

WIDTH = 512
"""Pixels of a tile."""
DEEPEST = 24
"""Largest zoom: an hour at 192 kHz is a tenth of a tile."""
RANGE = 80.0
"""dB between the darkest colour and the brightest."""
# Colours of equal steps in lightness, from near black over violet and orange to near white (sRGB).
_STOPS = np.array(
    [(11, 12, 20), (38, 22, 66), (87, 27, 102), (143, 42, 99), (196, 65, 79), (233, 104, 52), (250, 158, 40),
     (248, 212, 96), (253, 252, 222)], float)  # fmt: skip
# Windows by zoom: short where samples are seen one by one, as long as those of the overview where seconds are.
_WINDOWS = ((4, 1024), (9, 2048), (DEEPEST, 4096))


def check(source: Samples, zoom: int, number: int) -> None:
    """Raise InputError for a tile that does not exist."""
    if not 0 <= zoom <= DEEPEST or number < 0 or number * WIDTH << zoom >= source.samples:
        raise InputError(f"there is no tile {number} at zoom {zoom}")


def covered(overview: Overview, zoom: int, number: int, base: int) -> bool:
    """Whether the overview has been read far enough for a tile; those of a finer zoom are made from the file itself."""
    if 1 << zoom < base:
        return True
    return overview.done >= min(overview.total, (number + 1) * WIDTH << zoom)


def waveform(source: Samples, overview: Overview, zoom: int, number: int) -> np.ndarray:
    """Lowest and highest sample of each pixel, (channels, pixels, 2), int16; fewer pixels where the recording ends."""
    check(source, zoom, number)
    first, size = number * WIDTH << zoom, 1 << zoom
    if size < PEAK:
        return extremes(around(source, first, min(WIDTH * size, source.samples - first)), size)
    step = size // PEAK
    peaks = overview.peaks[:, first // PEAK : first // PEAK + WIDTH * step]
    missing = -peaks.shape[1] % step
    peaks = np.pad(peaks, ((0, 0), (0, missing), (0, 0)), mode="edge").reshape(len(peaks), -1, step, 2)
    return np.stack([peaks[..., 0].min(-1), peaks[..., 1].max(-1)], axis=-1)


def spectrogram(source: Samples, overview: Overview, zoom: int, number: int) -> np.ndarray:
    """Loudness of each pixel and row, (ROWS, pixels), uint8, the highest frequency first."""
    check(source, zoom, number)
    first, size = number * WIDTH << zoom, 1 << zoom
    count = min(WIDTH, -(-(source.samples - first) // size))
    if size >= COLUMN:
        step = size // COLUMN
        columns = overview.columns[first // COLUMN : first // COLUMN + count * step]
        columns = np.pad(columns, ((0, -len(columns) % step), (0, 0)), mode="edge")
        columns = columns.reshape(-1, step, ROWS).max(1)
    else:
        window = next(window for most, window in _WINDOWS if zoom <= most)
        spectrum = Spectrum.of(window, source.sample_rate)
        # Each window is centred on its pixel.
        begin = first + size // 2 - window // 2
        audio = around(source, begin, (count - 1) * size + window)
        columns = spectrum.coded(spectrum.power(audio, size, count)[0])
    return columns.T[::-1]


def thumbnail(source: Samples) -> bytes:
    """Draw all of a short recording as a PNG, its loudest spot brightest."""
    size = max(1, source.samples // WIDTH)
    window = _WINDOWS[1][1]
    count = min(WIDTH, -(-source.samples // size))
    spectrum = Spectrum.of(window, source.sample_rate)
    audio = around(source, size // 2 - window // 2, (count - 1) * size + window)
    codes = spectrum.coded(spectrum.power(audio, size, count)[0])
    return picture(codes.T[::-1], max(1, int(codes.max())))


def picture(codes: np.ndarray, top: int) -> bytes:
    """Draw a spectrogram's tile as a PNG. top: the code that is brightest."""
    drawn, file = Image.fromarray(np.ascontiguousarray(codes)), io.BytesIO()
    drawn.putpalette(_palette(top - RANGE / STEP, top).tobytes())
    drawn.save(file, "PNG", compress_level=3)
    return file.getvalue()


def _palette(low: float, high: float) -> np.ndarray:
    """Colours of the codes 0 to 255, (256, 3), uint8: dark at ``low`` and below, bright at ``high`` and above."""
    place = np.clip((np.arange(256) - low) / max(1.0, high - low), 0, 1) * (len(_STOPS) - 1)
    colours = [np.interp(place, np.arange(len(_STOPS)), _STOPS[:, part]) for part in range(3)]
    return np.stack(colours, axis=-1).round().astype(np.uint8)
