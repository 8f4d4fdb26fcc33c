"""What finishing makes of an estimate: by the least change that agrees with the measurement, and as operators do it.

    python -m benchmarks.finishing --work training/work

Clips of five seconds of the validation split, one estimate a problem by ``diffmusic-slerp`` with the mini prior in 25
steps. Rows: the estimate; the least change of its samples (of magnitudes, 32 iterations of Griffin and Lim from its
phases); what ``finish`` does; and the classical solver, which has no estimate.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from diffmusic.audio.griffin_lim import griffin_lim
from diffmusic.audio.stft import spectrum
from diffmusic.backbones.musicldm import mini
from diffmusic.bench.clips import Library
from diffmusic.bench.damage import Damage
from diffmusic.bench.suite import Suite
from diffmusic.metrics.lsd import lsd
from diffmusic.metrics.mel_l1 import mel_l1
from diffmusic.metrics.si_sdr import si_sdr
from diffmusic.problem import Problem
from diffmusic.problem.least_squares import regularised_inverse
from diffmusic.tasks.restore import restore
from diffmusic.tasks.settings import RestoreSettings
from diffmusic_solvers.diffmusic_slerp import DiffMusicSlerp
from diffmusic_solvers.griffin_lim import GriffinLim
from diffmusic_solvers.mixture import Mixture
from diffmusic_solvers.wiener import Wiener

METRICS = {"lsd": lsd, "mel_l1": mel_l1, "si_sdr": si_sdr}


def consistent(operator: Any, x: Tensor, y: Tensor) -> Tensor:
    """Griffin and Lim's iteration without momentum."""
    return griffin_lim(y, spectrum(x, operator.stft).angle(), operator.stft, x.shape[-1], 32, 0.0)


def projected(operator: Any, x: Tensor, y: Tensor) -> Tensor:
    """The mixture's remainder, to every source alike."""
    return x + (y - operator.forward(x)) / x.shape[1]


def filtered(operator: Any, x: Tensor, y: Tensor) -> Tensor:
    """A Wiener filter whose prior is the estimate, its phases as they are."""
    return regularised_inverse(operator, y, x, operator.trust)


PROBLEMS: dict[str, tuple[Callable[[Any, Tensor, Tensor], Tensor], Any]] = {
    "stft-magnitude": (consistent, GriffinLim()),
    "mixing": (projected, Mixture()),
    "reverb decay=0.5": (filtered, Wiener()),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of training.corpus")
    parser.add_argument("--clips", type=int, default=5)
    arguments = parser.parse_args()
    suite = Suite.model_validate(
        {
            "title": "finishing",
            "dataset": {"name": "mini-test", "path": arguments.work.resolve(), "split": "validation"},
            "clips": {"count": arguments.clips, "seconds": 5, "rate": 16000},
            "problems": [{"operator": name, "solvers": ["dsg"]} for name in PROBLEMS],
            "metrics": list(METRICS),
        }
    )
    library, prior = Library.of(suite), mini()
    print(f"| problem | row | {' | '.join(METRICS)} |\n|---|---|{'---|' * len(METRICS)}")
    for problem in suite.problems:
        assert problem.operator is not None
        least, classical = PROBLEMS[str(problem.operator)]
        scores: dict[str, list[list[float]]] = defaultdict(list)
        for number in range(arguments.clips):
            clip = library.material(number, problem)
            damage = Damage.of(problem.operator, clip, None, 0)
            raw = restore(
                damage.measured,
                damage.rate,
                damage.given,
                DiffMusicSlerp(),
                prior,
                RestoreSettings(steps=25, finish=False),
                length=clip.clean.shape[-1],
            ).audio[0]
            x = damage.items(raw)
            rows = {
                "estimate": raw,
                "least change": damage.channels(least(damage.bound.operator, x, damage.y)),
                "finish": damage.finished(raw),
                type(classical).__name__: damage.channels(classical.estimate(Problem(damage.bound.operator, damage.y))),
            }
            for row, audio in rows.items():
                ordered = audio[damage.order(clip.clean, audio, clip.sample_rate)]
                scores[row].append([measure(clip.clean, ordered, clip.sample_rate) for measure in METRICS.values()])
        for row, each in scores.items():
            print(
                f"| {problem.operator} | {row} | {' | '.join(f'{value:.3f}' for value in np.mean(each, 0))} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
