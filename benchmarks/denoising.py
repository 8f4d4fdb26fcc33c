"""Tape hiss: ``diffmusic solve noise hiss.flac --noise-from 0:0.5`` with and without a prior, beside ``ffmpeg afftdn``.

    python -m benchmarks.denoising --snr 20

Half a second of silence and five seconds of each excerpt of ``examples/``, mono at 44.1 kHz (song.flac at 22.05 kHz),
with noise that rises by 3 dB an octave up to 8 kHz. The noise is taken from the first half second, by ``afftdn`` too
(``sample_noise``); it also has a row with its own tracking, and the best of its reductions and floors, chosen by the
truth. SI-SDR, LSD and log-mel L1 over the music.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from diffmusic.audio import files
from diffmusic.metrics.lsd import lsd
from diffmusic.metrics.mel_l1 import mel_l1
from diffmusic.metrics.si_sdr import si_sdr

EXAMPLES = Path(__file__).parent.parent / "examples"
EXCERPTS = (("clip.flac", 1.0), ("clip.flac", 5.0), ("song.flac", 10.0))
QUIET, SECONDS = 0.5, 4.0
METRICS = {"si_sdr": si_sdr, "lsd": lsd, "mel_l1": mel_l1}


def hissing(name: str, start: float, snr: float) -> tuple[np.ndarray, np.ndarray, int]:
    """Return music after half a second of silence, the same with hiss, and the rate."""
    recording = files.read(EXAMPLES / name)
    rate = recording.sample_rate
    music = recording.samples.mean(0)[round(start * rate) : round((start + SECONDS) * rate)]
    clean = np.concatenate([np.zeros(round(QUIET * rate)), music])
    hertz = np.fft.rfftfreq(len(clean), 1 / rate)
    shape = np.sqrt(np.minimum(hertz, 8000) / 8000)
    noise = np.fft.irfft(np.fft.rfft(np.random.default_rng(0).standard_normal(len(clean))) * shape, len(clean))
    noise *= np.sqrt(np.mean(np.square(music))) / np.sqrt(np.mean(np.square(noise))) * 10 ** (-snr / 20)
    return clean[None], (clean + noise)[None], rate


def afftdn(noisy: np.ndarray, rate: int, settings: str, sampled: bool = False) -> np.ndarray:
    """Return what ffmpeg's filter makes of it. sampled: show it the silence first."""
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "in.wav", Path(folder) / "out.wav"
        soundfile.write(given, noisy.T, rate, subtype="FLOAT")
        chain = f"afftdn={settings}"
        if sampled:
            chain = f"asendcmd=c='0.05 afftdn sn start; {QUIET - 0.05} afftdn sn stop',{chain}"
        command = ["ffmpeg", "-v", "error", "-y", "-i", str(given), "-af", chain, "-c:a", "pcm_f32le", str(made)]
        subprocess.run(command, check=True)
        audio = soundfile.read(made, always_2d=True)[0].T
    # The filter is late by a part of its window; where, a correlation tells.
    size = noisy.shape[-1]
    padded = np.zeros_like(noisy)
    padded[:, : min(size, audio.shape[-1])] = audio[:, :size]
    product = np.fft.irfft(np.fft.rfft(padded[0], 2 * size) * np.fft.rfft(noisy[0], 2 * size).conj(), 2 * size)
    return np.asarray(np.roll(padded, -int(np.argmax(product[: rate // 2])), axis=-1))


def solved(noisy: np.ndarray, rate: int, *flags: str) -> np.ndarray:
    """Return what ``diffmusic solve noise hiss.flac`` writes."""
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "hiss.flac", Path(folder) / "quiet.flac"
        soundfile.write(given, noisy.T, rate, subtype="PCM_24")
        command = [sys.executable, "-m", "diffmusic", "solve", "noise", str(given), *flags, "-o", str(made)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return np.asarray(soundfile.read(made, always_2d=True)[0].T)


def scores(clean: np.ndarray, made: np.ndarray, rate: int) -> dict[str, float]:
    music = slice(round(QUIET * rate), None)
    return {name: float(measure(clean[:, music], made[:, music], rate)) for name, measure in METRICS.items()}


def rows(clean: np.ndarray, noisy: np.ndarray, rate: int, steps: int) -> dict[str, dict[str, float]]:
    told, classical = ("--noise-from", f"0:{QUIET}"), ("--solver", "spectral-subtraction")
    made = {
        "recording": noisy,
        "spectral-subtraction": solved(noisy, rate, *told, *classical),
        "spectral-subtraction, noise not told": solved(noisy, rate, *classical),
        "diffmusic": solved(noisy, rate, *told, "--steps", str(steps)),
        "afftdn, its own settings": afftdn(noisy, rate, "nr=12"),
        "afftdn, tracking": afftdn(noisy, rate, "nr=20:tn=1"),
        "afftdn, shown the noise": afftdn(noisy, rate, "nr=20", sampled=True),
    }
    every = [afftdn(noisy, rate, f"nr={nr}:nf={nf}") for nr in (12, 20, 30) for nf in (-80, -70, -60, -50, -40, -30)]
    made["afftdn, best of 18"] = max(every, key=lambda x: scores(clean, x, rate)["si_sdr"])
    return {name: scores(clean, audio, rate) for name, audio in made.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--snr", type=float, default=20.0)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--clips", type=int, default=len(EXCERPTS))
    arguments = parser.parse_args()
    found = []
    for excerpt in EXCERPTS[: arguments.clips]:
        clean, noisy, rate = hissing(*excerpt, arguments.snr)
        found.append(rows(clean, noisy, rate, arguments.steps))
    print(f"| row | {' | '.join(METRICS)} |\n|---|{'---|' * len(METRICS)}")
    for row in found[0]:
        means = [np.mean([each[row][name] for each in found]) for name in METRICS]
        print(f"| {row} | {' | '.join(f'{value:.3f}' for value in means)} |")


if __name__ == "__main__":
    main()
