"""What the extension above a prior's band is worth: python -m benchmarks.upper_band

Gaps of a second in the example clip, 44.1 kHz, mono. The band below 8 kHz is the truth's, so that nothing but the band
above is measured: log-spectral distance in dB above 8 kHz, with the gap's upper band empty, with it filled, and, to
compare with, that of the second before in its place: other music with the right spectrum.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import librosa
import numpy as np

from benchmarks.long_audio import CLIP
from diffmusic.audio import files
from diffmusic.audio.resample import resample
from diffmusic.audio.upper_band import extend

EDGE, RATE = 8000, 16000
RESULTS = Path(__file__).parent / "results" / "upper_band.json"


def distance(truth: np.ndarray, estimate: np.ndarray, rate: int) -> float:
    """Root mean square over bins of the difference of log magnitudes, mean over frames; magnitudes below 1e-4 count
    as that, which is half of what the noise of 16 bits has."""
    frames = [np.abs(librosa.stft(x, n_fft=2048, hop_length=512))[EDGE * 2048 // rate :] for x in (truth, estimate)]
    decibels = [20 * np.log10(magnitude + 1e-4) for magnitude in frames]
    return float(np.sqrt(np.square(decibels[0] - decibels[1]).mean(0)).mean())


def main() -> None:
    clip = files.read(CLIP)
    rate, truth = clip.sample_rate, clip.samples.mean(0)
    low = resample(resample(truth[None], rate, RATE), RATE, rate, len(truth))[0]
    rows: list[dict[str, Any]] = []
    for second in (2, 4, 6, 8):
        gap = slice(second * rate, (second + 1) * rate)
        observed = truth.copy()
        observed[gap] = 0
        filled = extend(low, observed, [(gap.start, gap.stop)], EDGE, rate)[gap]
        pieces = {"empty": low[gap], "filled": filled, "the second before": truth[gap.start - rate : gap.start]}
        rows.append({"gap": second, **{name: distance(truth[gap], x, rate) for name, x in pieces.items()}})
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
    names = [name for name in rows[0] if name != "gap"]
    print(f"| gap at | {' | '.join(names)} |\n|{'---|' * (1 + len(names))}")
    for row in [*rows, {"gap": "mean", **{name: np.mean([row[name] for row in rows]) for name in names}}]:
        print(f"| {row['gap']} | {' | '.join(f'{row[name]:.1f}' for name in names)} |")


if __name__ == "__main__":
    main()
