"""How far FAD and its extrapolation are from the distance of the distributions themselves.

    python -m benchmarks.fad_bias --dimensions 128 --windows 300

Embeddings are drawn from two Gaussians whose Fréchet distance is known: variances fall as 1 / k, those of the estimate
are rolled by three and 1.21 times as large, means differ by 0.02 N(0, 1) each. The reference has 2000 windows.
"""

from __future__ import annotations

import argparse

import numpy as np

from diffmusic.metrics.fad import frechet_distance
from diffmusic.metrics.fad_inf import FADInfinity
from diffmusic.metrics.kad import kernel_distance


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--dimensions", type=int, default=128)
    options.add_argument("--windows", type=int, default=300)
    options.add_argument("--reference", type=int, default=2000)
    options.add_argument("--draws", type=int, default=6)
    chosen = options.parse_args()
    random = np.random.default_rng(0)
    variances = 1 / np.arange(1, chosen.dimensions + 1)
    variances /= variances.sum()
    deviations = np.sqrt(variances), 1.1 * np.sqrt(np.roll(variances, 3))
    shift = 0.02 * random.standard_normal(chosen.dimensions)
    rows = []
    for _ in range(chosen.draws):
        x = deviations[0] * random.standard_normal((chosen.reference, chosen.dimensions))
        y = deviations[1] * random.standard_normal((chosen.windows, chosen.dimensions)) + shift
        rows.append([each(x, y) for each in (frechet_distance, FADInfinity().distance, kernel_distance)])
    print(f"true: {np.square(shift).sum() + np.square(deviations[0] - deviations[1]).sum():.3f}")
    for name, mean, spread in zip(("fad", "fad_inf", "kad"), np.mean(rows, 0), np.std(rows, 0), strict=True):
        print(f"{name}: {mean:.3f} ± {spread:.3f}")


if __name__ == "__main__":
    main()
