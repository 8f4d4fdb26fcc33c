"""Mutants: one text of a module in the place of another. Tests that name theirs use ``changed``; ``make mutants`` runs
those of ``MUTANTS``, of operators, solvers, problem and features, against the tests that should notice.

    python -m tests.mutation            # all of them, minutes; the score is in CONTRIBUTING.md
    python -m tests.mutation reverb     # those of files with that in their name
"""

from __future__ import annotations

import inspect
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parent.parent
TOLD = "tests/test_told_noise.py"
BACK = "tests/test_shrinkage.py"
PROBLEMS = "tests/test_problems.py"
ROOMS = "tests/test_rooms.py"
SPREAD = "tests/test_spread.py"

MUTANTS = (
    # file, right, wrong, tests
    ("diffmusic/tasks/excerpts.py", "noise.over(scale) if noise else 0.0", "0.0", TOLD),
    ("diffmusic/tasks/excerpts.py", "noise.over(scale)", "noise", TOLD),
    ("diffmusic/tasks/excerpts.py", "y / scale, gain", "y, gain", TOLD),
    ("diffmusic/tasks/excerpts.py", "noise.excess(bound.power, y)", "bound.power(y)", TOLD),
    ("diffmusic/tasks/excerpts.py", "bound.rate, seen(bound.operator))", "bound.rate)", TOLD),
    ("diffmusic/jobs/inputs.py", "10 ** (-snr / 20)", "10 ** (-snr / 10)", TOLD),
    ("operators/diffmusic_operators/reverb.py", " / self.impulse(y).square().sum()", "", TOLD),
    ("operators/diffmusic_operators/mixing.py", " / self._weights(y).square().sum()", "", TOLD),
    ("operators/diffmusic_operators/mixing.py", "self._weights(y) * y", "y / self._weights(y)", PROBLEMS),
    ("operators/diffmusic_operators/stft_magnitude.py", "/ (self.n_fft * energy)", "/ energy", PROBLEMS),
    ("operators/diffmusic_operators/resampling.py", "out = out + torch", "out = out - torch", PROBLEMS),
    ("diffmusic/problem/bound.py", "y.shape[-1] - lost", "y.shape[-1]", "tests/test_bound.py"),
    ("diffmusic/audio/griffin_lim.py", "consistent + momentum", "consistent - momentum", PROBLEMS),
    ("diffmusic/tasks/feature_map.py", "high=min(own, measured_rate) / 2", "high=measured_rate / 2", TOLD),
    ("diffmusic/tasks/feature_map.py", "_PASSED * rate / 2", "own / 2", TOLD),
    ("diffmusic/bench/damage.py", "max(orders, key", "min(orders, key", BACK),
    ("diffmusic/problem/noise.py", "y.square() + self.bins", "y.square()", BACK),
    ("diffmusic/problem/noise.py", "self.seen(each) for each in self.draws", "each for each in self.draws", TOLD),
    ("diffmusic/problem/noise.py", "_PRESENT * noise, kept, 0.0", "0 * noise, kept, 0.0", BACK),
    ("diffmusic/problem/noise.py", "whole - noise, whole / 100", "whole, whole / 100", TOLD),
    ("diffmusic/problem/features.py", "square() + noise.power", "square() + 0 * noise.power", TOLD),
    ("diffmusic/problem/features.py", "_MEAN = math.pi / 4", "_MEAN = math.pi", TOLD),
    ("diffmusic/problem/problem.py", "self._expected_features(predicted)", "self._transform(predicted)", TOLD),
    ("diffmusic/problem/problem.py", "self._transform(each) - expected", "self._transform(each - clean)", TOLD),
    ("diffmusic/problem/shrinkage.py", ".clamp(min=_LEAST)", "", BACK),
    ("diffmusic/problem/room.py", "(1 - kept) * sum_", "sum_", ROOMS),
    ("diffmusic/problem/room.py", "bins * gain.sqrt()", "bins", ROOMS),
    ("diffmusic/problem/room.py", "own.mean((0, 1)), power, own)", "own.mean((0, 1)), power, power)", ROOMS),
    ("diffmusic/audio/wpe.py", ".mH @ past", ".mT @ past", ROOMS),
    ("diffmusic/audio/wpe.py", "delay + taps - 1, 0", "delay + taps, -1", ROOMS),
    ("operators/diffmusic_operators/reverb.py", "== (None, 0.0, 0)", "!= ()", ROOMS),
    ("operators/diffmusic_operators/mixing.py", "levels.square().sum(0).sqrt()", "levels.sum(0)", PROBLEMS),
    ("diffmusic/audio/spread.py", "mels.var(0, ddof=1)", "mels.var(0)", SPREAD),
    ("diffmusic/metrics/calibration.py", "(1 + 1 / count)", "1.0", SPREAD),
    ("diffmusic/metrics/calibration.py", "(drawn < truth)", "(drawn > truth)", SPREAD),
    ("diffmusic/problem/shrinkage.py", "weight * subtracted + (1 - weight) * predicted", "y", BACK),
    ("diffmusic/problem/shrinkage.py", "weight * subtracted + (1 - weight) * predicted", "predicted", BACK),
    ("diffmusic/problem/shrinkage.py", "highest, predicted, subtracted", "highest, predicted, 0 * y", BACK),
    ("diffmusic/audio/noise_spectrum.py", "values * (rate / self.sample_rate)", "values", TOLD),
    ("diffmusic/audio/noise_spectrum.py", "/ bias, sample_rate", ", sample_rate", TOLD),
    ("diffmusic/audio/hum.py", "audio - hum / weight", "audio + hum / weight", "tests/test_hiss.py"),
    ("solvers/diffmusic_solvers/spectral_subtraction.py", "ratio / (1 + ratio)", "1 + 0 * ratio", "tests/test_hiss.py"),
)  # fmt: skip
"""Mistakes, each with the tests that notice it; the first dozen were once alive in the whole suite."""


def changed(module: ModuleType, *texts: str) -> ModuleType:
    """Return a module read again, with each second text in the place of the one before it."""
    made, source = ModuleType(module.__name__), inspect.getsource(module)
    for right, wrong in zip(texts[::2], texts[1::2], strict=True):
        assert right in source, f"{module.__name__} does not hold {right!r}"
        source = source.replace(right, wrong)
    exec(source, vars(made))
    return made


def survives(copy: Path, path: str, right: str, wrong: str, tests: str) -> bool:
    """Whether the tests pass on a copy of the repository with the mistake."""
    file = copy / path
    source = file.read_text()
    assert right in source, f"{path} does not hold {right!r}"
    file.write_text(source.replace(right, wrong))
    paths = os.pathsep.join(str(copy / part) for part in ("", "operators", "solvers"))
    command = (sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests.split(maxsplit=2))
    done = subprocess.run(command, cwd=copy, env={**os.environ, "PYTHONPATH": paths}, capture_output=True)
    file.write_text(source)
    return done.returncode == 0


def main(part: str = "") -> int:
    alive, mutants = [], [mutant for mutant in MUTANTS if part in mutant[0]]
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        listed = subprocess.run(("git", "ls-files"), cwd=ROOT, capture_output=True, text=True, check=True)
        for name in listed.stdout.splitlines():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
        for mutant in mutants:
            if survives(copy, *mutant):
                alive.append(mutant)
            path, right, wrong, _ = mutant
            print(f"{'ALIVE ' if mutant in alive else 'killed'} {path}: {right!r} -> {wrong!r}", flush=True)
    print(f"{len(mutants) - len(alive)} of {len(mutants)} mutants are killed")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
