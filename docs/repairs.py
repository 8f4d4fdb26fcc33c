"""Spectral repair on recorded music, with the truth known: python docs/repairs.py

Puts a telephone, a squeak and a cough, all synthesised, over examples/song.flac, repairs a rectangle around each with
classical rows and with the mini prior, and compares with the song. Draws docs/images/repair-*.png, and prints the
table of docs/problems/spectral-repair.md: log-mel L1 inside of the rectangle, nats (bands whose centre is inside,
frames that see no sample outside of it in time or, where there are none, the middle one).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from pictures import IMAGES, SONG, small

import diffmusic
from diffmusic.audio.mel import LogMel, MelSpec, mel_filters
from diffmusic.reports.spectrograms import figure, png

RATE = 22050
Rectangle = tuple[float, float, float, float]


def ring(seconds: float) -> np.ndarray:
    """A warble, sixteen times a second between two tones, with one overtone each."""
    time = np.arange(round(seconds * RATE)) / RATE
    tone = np.where(np.sin(2 * np.pi * 16 * time) > 0, 1200.0, 1500.0)
    phase = 2 * np.pi * np.cumsum(tone) / RATE
    return 0.12 * (np.sin(phase) + 0.5 * np.sin(2 * phase)) * np.hanning(len(time)) ** 0.1


def squeak(seconds: float) -> np.ndarray:
    """A tone that climbs from 2.2 to 3.3 kHz and trembles."""
    time = np.arange(round(seconds * RATE)) / RATE
    phase = 2 * np.pi * np.cumsum(2200 + 1100 * (time / seconds) ** 2 + 40 * np.sin(2 * np.pi * 30 * time)) / RATE
    return 0.1 * np.sin(phase) * np.hanning(len(time)) ** 0.5


def cough(seconds: float) -> np.ndarray:
    """Two bursts of noise between 400 and 2,400 Hz that die away."""
    count = round(seconds * RATE)
    bins = np.fft.rfft(np.random.default_rng(0).standard_normal(count))
    hertz = np.fft.rfftfreq(count, 1 / RATE)
    noise = np.fft.irfft(bins * ((hertz > 400) & (hertz < 2400)), count)
    time = np.arange(count) / RATE
    burst = np.exp(-time / 0.05) + 0.6 * np.exp(-np.maximum(0, time - 0.2) / 0.06) * (time > 0.2)
    return 0.15 * noise / noise.std() * burst * np.minimum(1, time / 0.01)


SOUNDS: dict[str, tuple[Callable[[float], np.ndarray], float, float, Rectangle]] = {
    "ring": (ring, 12.0, 1.2, (11.95, 13.25, 1000.0, 3200.0)),
    "squeak": (squeak, 8.0, 0.5, (7.95, 8.55, 2000.0, 3600.0)),
    "cough": (cough, 20.0, 0.45, (19.95, 20.5, 250.0, 2700.0)),
}
"""What makes each, when it begins, how long it lasts, and the rectangle to repair."""
ROWS = {
    "interpolate along time": "interpolate along=time",
    "interpolate along frequency": "interpolate along=frequency",
    "repeat": "repeat",
    "mmps": "mmps",
}


def distance(estimate: np.ndarray, truth: np.ndarray, rectangle: Rectangle) -> float:
    """Log-mel L1 inside of a rectangle, nats."""
    spec, (start, stop, low, high) = MelSpec.at(RATE), rectangle
    centres = mel_filters(spec, torch.float64, torch.device("cpu")).argmax(1).numpy() * RATE / spec.n_fft
    half = spec.n_fft / 2
    frames = slice(int((start * RATE + half) / spec.hop), max(1, int((stop * RATE - half) / spec.hop)))
    mels = [LogMel(spec)(torch.from_numpy(x).float())[0].numpy()[frames] for x in (estimate, truth)]
    return float(np.abs(mels[0] - mels[1])[:, (centres >= low) & (centres <= high)].mean())


def main() -> None:
    song, rate = diffmusic.read(SONG)
    assert rate == RATE
    print("| sound | rectangle | with the sound |", " | ".join(f"`{name}`" for name in ROWS), "|")
    for name, (make, begin, seconds, rectangle) in SOUNDS.items():
        heard = song.copy()
        first, sound = round(begin * RATE), make(seconds)
        heard[:, first : first + len(sound)] += sound
        start, stop, low, high = rectangle
        operator = f"inpainting region={start:g}:{stop:g}@{low:g}:{high:g}"
        panels, cells = {"the song, with it": heard}, [distance(heard, song, rectangle)]
        for row, solver in ROWS.items():
            made = diffmusic.restore(heard, RATE, operator, solver=solver).audio[0]
            cells.append(distance(made, song, rectangle))
            panels[row] = made
        print(f"| {name} | {start:g} to {stop:g} s, {low:g} to {high:g} Hz |",
              " | ".join(f"{cell:.2f}" for cell in cells), "|", flush=True)  # fmt: skip
        del panels["interpolate along frequency"]
        panels["the song"] = song
        a, b = round((start - 1.5) * RATE), round((stop + 1.5) * RATE)
        cut = [(title, audio[:, a:b]) for title, audio in panels.items()]
        edges = [(round(1.5 * RATE), b - a - round(1.5 * RATE))]
        (IMAGES / f"repair-{name}.png").write_bytes(small(png(figure(cut, RATE, 2, edges, (5.5, 2.3)))))


if __name__ == "__main__":
    main()
