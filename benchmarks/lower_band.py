"""What linear prediction says, across a gap, of the band below that of a prior.

    python -m benchmarks.lower_band [FILE ...]

The mean of the channels below 80 Hz is taken at 500 Hz, and gaps in it are bridged from two seconds on either side, but
for the 30 ms next to the gap that the filter has smeared. Of each length of gap: the error, dB over the power of the
band (0 is silence, below it is better than silence), and the level, dB over the true one, medians and the share of gaps
that are within 3 dB. Only gaps whose band holds something (more than 50 dB below the recording) count.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.signal import butter, sosfiltfilt

from diffmusic.audio import files
from diffmusic.audio.linear_prediction import bridge
from diffmusic.audio.resample import resample

EXAMPLES = Path(__file__).parents[1] / "examples"
RATE, EDGE, REACH, SMEARED, DRAWS, QUIET = 500, 80.0, 2.0, 0.03, 16, -50.0
ORDERS, GAPS = (32, 100, 250), (0.1, 0.2, 0.5, 1.0)


def rows_of(path: Path, seconds: float) -> Iterator[tuple[int, float, float]]:
    """Order, error and level of each gap."""
    recording, draws = files.read(path), np.random.default_rng(0)
    mono = resample(recording.samples.mean(0), recording.sample_rate, 4 * RATE)
    edge = butter(6, EDGE, fs=4 * RATE, output="sos")
    truth, count = sosfiltfilt(edge, mono)[::4], round(seconds * RATE)
    reach, smeared = round(REACH * RATE), round(SMEARED * RATE)
    for _ in range(DRAWS):
        start = int(draws.integers(reach, len(truth) - reach - count))
        stop = start + count
        inside = truth[start:stop]
        if 10 * np.log10(np.square(inside).mean() / np.square(mono).mean() + 1e-12) < QUIET:
            continue
        lost = mono.copy()
        lost[4 * start : 4 * stop] = 0
        given = sosfiltfilt(edge, lost)[::4]
        sides = given[start - reach : start - smeared], given[stop + smeared : stop + reach]
        for order in ORDERS:
            made = bridge(*sides, count + 2 * smeared, order)[smeared : smeared + count]
            power = np.square(inside).sum()
            error, level = np.square(made - inside).sum() / power, np.square(made).sum() / power
            yield order, 10 * np.log10(error + 1e-12), 10 * np.log10(level + 1e-12)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", type=Path, metavar="FILE")
    paths = parser.parse_args().paths or [EXAMPLES / "song.flac", EXAMPLES / "clip.flac"]
    print("| gap, s | order | gaps | error, dB | better than silence | level, dB | within 3 dB |")
    print("|---|---|---|---|---|---|---|")
    for seconds in GAPS:
        found = [row for path in paths for row in rows_of(path, seconds)]
        for order in ORDERS:
            errors = np.array([error for each, error, _ in found if each == order])
            levels = np.array([level for each, _, level in found if each == order])
            cells = [
                f"{seconds:g}",
                f"{order}",
                f"{len(errors)}",
                f"{np.median(errors):.1f}",
                f"{(errors < 0).mean():.0%}",
            ]
            cells += [f"{np.median(levels):.1f}", f"{(np.abs(levels) < 3).mean():.0%}"]
            print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
