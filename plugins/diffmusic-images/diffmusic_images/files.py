"""Images read from files and written to them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from diffmusic.errors import InputError


def read(path: Path, size: int | None = None) -> np.ndarray:
    """Read an image as RGB, (3, rows, columns), float64, from -1 to 1; 8 bits of each channel, no transparency.

    Args:
        path: A PNG, JPEG or any file that Pillow reads; it is turned as its Exif data say.
        size: Cut the largest square out of the middle, and resize it to so many rows and columns.

    Raises:
        InputError: The file is not there, or is no image.
    """
    try:
        with Image.open(path) as file:
            image = ImageOps.exif_transpose(file).convert("RGB")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise InputError(f"{path} holds no image that can be read: {' '.join(str(error).split())}") from None
    if size:
        image = ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS)
    return np.asarray(image, dtype=np.float64).transpose(2, 0, 1) / 127.5 - 1


def encode(image: np.ndarray) -> bytes:
    """Write (3, rows, columns), from -1 to 1, as the bytes of a PNG; what exceeds the range is clipped."""
    levels = np.round((np.clip(image, -1, 1) + 1) * 127.5).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(levels.transpose(1, 2, 0))).save(file, format="PNG")
    return file.getvalue()


def psnr(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Compute the peak signal-to-noise ratio, ``10 log10(4 / mean (x - x')^2)`` dB, of images from -1 to 1."""
    error = float(np.mean(np.square(np.clip(estimate, -1, 1) - reference)))
    return float("inf") if error == 0 else 10 * float(np.log10(4 / error))
