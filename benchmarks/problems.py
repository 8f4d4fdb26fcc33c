"""Five inverse problems by every solver, on held-out clips of 5 s.

    python -m benchmarks.problems --work training/work --split test --clips 24 --name problems
    python -m benchmarks.problems --work training/work --only reverb --solvers "diffmusic steps=25" wiener
    python -m benchmarks.problems --name problems --report            only the tables of what has been measured

Every cell, one clip of one problem by one solver, is one line of benchmarks/results/NAME.jsonl, written when it is
done: a run that was cut off goes on where it stopped, and ``--shard 0/2`` beside ``--shard 1/2`` share the clips. Each
cell measures the raw estimate and the finished one. Clip after clip goes through everything, so that a table is fair
at any time. LSD, SI-SDR and mel L1 are the package's metrics; ``part`` is LSD
where the damage is: in the gap, or above the measured band. FAD is between the finished estimates of all clips and the
truth, in the embedding of the mini CLAP. The misfit is the relative error of the measurement, ``|A x - y| / |y|``.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from diffmusic import models
from diffmusic import problem as problems
from diffmusic.metrics.clap import Clap
from diffmusic.metrics.fad import frechet_distance
from diffmusic.metrics.lsd import lsd
from diffmusic.metrics.mel_l1 import mel_l1
from diffmusic.metrics.si_sdr import si_sdr
from diffmusic.parameters import bind, build
from diffmusic.plugins import registry
from diffmusic.restore import restore
from diffmusic_operators.inpainting import Inpainting
from diffmusic_operators.mixing import Mixing
from diffmusic_operators.resampling import Resampling
from diffmusic_operators.reverb import Reverb
from diffmusic_operators.stft_magnitude import StftMagnitude

RATE, LENGTH = 16000, 80000
RESULTS = Path(__file__).parent / "results"
HEAD = ("row", "LSD raw", "LSD", "LSD of the part", "mel L1", "SI-SDR, dB", "misfit", "FAD", "network f/b",
        "decoder f/b", "s")  # fmt: skip
PRIORS = (
    "dps steps=50", "dps-jacobian-free steps=50", "dsg steps=50", "mpgd steps=50", "diffmusic", "daps steps=13",
    "reencode",
)  # fmt: skip
"""All at fifty passes through the decoder."""


@dataclass(frozen=True)
class Case:
    """A problem: what damages, which classical solvers there are, and LSD of the part that was damaged."""

    operator: Any
    classical: tuple[str, ...]
    part: Callable[[np.ndarray, np.ndarray], float] | None = None


def gap_lsd(clean: np.ndarray, estimate: np.ndarray) -> float:
    inside = slice(2 * RATE, 3 * RATE)
    return lsd(clean[:, inside], estimate[:, inside], RATE)


def upper_lsd(clean: np.ndarray, estimate: np.ndarray) -> float:
    """LSD of the bins above 4 kHz: ``mean_n sqrt(mean_k>K (log10 |X| - log10 |Y|)^2)``."""
    window = torch.hann_window(1024, dtype=torch.float64)
    logs = [
        torch.stft(torch.from_numpy(x), 1024, 512, window=window, return_complex=True)[:, 257:]
        .abs()
        .clamp(1e-10)
        .log10()
        for x in (clean, estimate)
    ]
    return float((logs[0] - logs[1]).square().mean(1).sqrt().mean())


CASES = {
    "inpainting": Case(Inpainting(gap=((2.0, 3.0),)), ("interpolate",), gap_lsd),
    "resampling": Case(Resampling(factor=2), ("sinc",), upper_lsd),
    "stft-magnitude": Case(StftMagnitude(), ("griffin-lim", "griffin-lim momentum=0")),
    "mixing": Case(Mixing(), ("mixture",)),
    "reverb": Case(Reverb(decay=0.5), ("wiener",)),
}


def clips(work: Path, split: str, count: int, mixed: bool) -> Iterator[tuple[str, np.ndarray]]:
    """Names and clean audio, (1, time), or (2, time): the lead and all that accompanies it. Spread over the split;
    every clip has both sources, so that all problems see the same music."""
    rows = [json.loads(line) for line in (work / "stems" / "manifest.jsonl").read_text().splitlines()]
    usable = []
    for row in sorted((row for row in rows if row["split"] == split), key=lambda row: row["clip"]):
        folder = work / "stems" / row["clip"].removesuffix(".flac")
        lead, whole = (soundfile.read(folder / f"{name}.flac")[0][:LENGTH] for name in ("lead", "mixture"))
        if min(np.sqrt(np.mean(np.square(x))) for x in (lead, whole - lead)) > 1e-3:
            usable.append((row["clip"], lead, whole - lead))
    for index in np.linspace(0, len(usable) - 1, count).round().astype(int):
        name, lead, rest = usable[index]
        yield name, np.stack([lead, rest]) if mixed else (lead + rest)[None]


def cell(case: Case, clean: np.ndarray, row: str, prior: Any, clap: Clap) -> dict[str, Any]:
    """Solve one clip by one row, ``"diffmusic steps=25 repeats=2"``, and measure it raw and finished."""
    name, *words = row.split()
    given = dict(word.split("=", 1) for word in words)
    steps = int(given.pop("steps", 25))
    solver = build(registry().load("solver", name), given, f"solver {name!r}")
    observed = int(case.operator.observed_rate(RATE)) if hasattr(case.operator, "observed_rate") else RATE
    operator = bind(case.operator, sample_rate=RATE, measured_rate=observed, offset=0.0)
    y = operator.forward(torch.from_numpy(clean)[None])
    started = time.perf_counter()
    with torch.random.fork_rng():
        result = restore(y[0].numpy(), observed, case.operator, solver, prior, steps=steps, length=LENGTH, finish=False)
    seconds = time.perf_counter() - started
    raw = torch.from_numpy(result.audio)
    scores: dict[str, Any] = {"seconds": seconds, **result.costs.as_dict()}
    for kind, estimate in (("raw", raw), ("finished", problems.finish(operator, raw, y))):
        audio = estimate[0].numpy()
        misfit = float((operator.forward(estimate) - y).norm() / y.norm())
        scores[kind] = {metric.__name__: metric(clean, audio, RATE) for metric in (lsd, mel_l1, si_sdr)}
        scores[kind] |= {"misfit": misfit, "part": case.part(clean, audio) if case.part else None}
    scores["embeddings"] = [clap.audio(each[None], RATE)[0].tolist() for each in audio]
    return scores


def tables(lines: Sequence[dict[str, Any]]) -> str:
    """Markdown, one table a problem, of the means over clips."""
    text = []
    for problem in dict.fromkeys(line["problem"] for line in lines):
        rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for line in lines:
            if line["problem"] == problem:
                rows[line["row"]].append(line)
        truth = {line["clip"]: line["embeddings"] for line in rows.pop("truth")}
        text += [f"### {problem}", "", f"| {' | '.join(HEAD)} |", "|" + "---|" * len(HEAD)]
        for name, cells in rows.items():
            mean = {
                kind: {key: _mean([each[kind][key] for each in cells]) for key in cells[0][kind]}
                for kind in ("raw", "finished")
            }
            pairs = [(truth[each["clip"]], each["embeddings"]) for each in cells]
            fad = frechet_distance(*(np.concatenate([np.array(pair[side]) for pair in pairs]) for side in (0, 1)))
            spent = [f"{np.mean([each[key] for each in cells]):.0f}" for key in
                     ("network_forward", "network_backward", "decoder_forward", "decoder_backward")]  # fmt: skip
            done = mean["finished"]
            values = [
                mean["raw"]["lsd"],
                done["lsd"],
                done["part"],
                done["mel_l1"],
                done["si_sdr"],
                done["misfit"],
                fad,
            ]
            shown = ["" if value is None else f"{value:.3f}" for value in values]
            seconds = f"{np.mean([each['seconds'] for each in cells]):.1f}"
            cost = [f"{spent[0]} / {spent[1]}", f"{spent[2]} / {spent[3]}", seconds]
            text.append(f"| {name} ({len(cells)}) | " + " | ".join([*shown, *cost]) + " |")
        text.append("")
    return "\n".join(text)


def _mean(values: Sequence[float | None]) -> float | None:
    return None if values[0] is None else float(np.mean([value for value in values if value is not None]))


def parser(description: str | None) -> argparse.ArgumentParser:
    """The options that running cells takes, here and in `benchmarks.tuning`."""
    options = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--work", type=Path, default=Path("training/work"))
    options.add_argument("--clips", type=int, default=4)
    options.add_argument("--model", default="mini")
    options.add_argument("--only", nargs="+", choices=CASES, default=list(CASES))
    options.add_argument("--shard", default="0/1")
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--name", required=True)
    options.add_argument("--report", action="store_true")
    return options


def measured(name: str) -> list[dict[str, Any]]:
    """The cells that have been measured under a name."""
    path = RESULTS / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def run(chosen: argparse.Namespace, split: str, rows: Callable[[Case], Sequence[str]], rotate: bool = False) -> None:
    """Measure every cell of these rows that has not been measured yet, clip by clip.

    rotate: each problem begins with another clip.
    """
    torch.set_num_threads(chosen.threads)
    shard, shards = (int(part) for part in chosen.shard.split("/"))
    done = {(line["problem"], line["row"], line["clip"]) for line in measured(chosen.name)}
    prior: Any = models.load(chosen.model)
    clap = Clap.load(prior.folder)
    model = prior.describe()["sha256"][:12]
    music = {mixed: list(clips(chosen.work, split, chosen.clips, mixed)) for mixed in (False, True)}
    for number in range(shard, chosen.clips, shards):
        for problem in chosen.only:
            turn = chosen.only.index(problem) if rotate else 0
            name, clean = music[problem == "mixing"][(number + turn) % chosen.clips]
            for row in ["truth", *rows(CASES[problem])]:
                if (problem, row, name) in done:
                    continue
                if row == "truth":
                    scores = {"embeddings": [clap.audio(x[None], RATE)[0].tolist() for x in clean]}
                else:
                    scores = cell(CASES[problem], clean, row, prior, clap)
                line = {"problem": problem, "row": row, "clip": name, "model": model, **scores}
                with (RESULTS / f"{chosen.name}.jsonl").open("a") as file:
                    file.write(json.dumps(line) + "\n")
                print(f"{problem}  {row}  {name}  {scores.get('seconds', 0):.1f} s", flush=True)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--split", choices=("validation", "test"), default="validation")
    options.add_argument("--solvers", nargs="+", help="rows; by default every prior solver and the classical ones")
    chosen = options.parse_args()
    if chosen.report:
        print(tables(measured(chosen.name)))
    else:
        run(chosen, chosen.split, lambda case: chosen.solvers or [*case.classical, *PRIORS])


if __name__ == "__main__":
    main()
