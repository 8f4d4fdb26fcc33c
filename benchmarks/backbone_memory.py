"""Memory of one guided step with full-size backbones: the published configurations, random weights.

    python -m benchmarks.backbone_memory audioldm2 --checkpointing --envelope
    python -m benchmarks.backbone_memory ace-step --checkpointing
    python -m benchmarks.backbone_memory ace-step --count
    python -m benchmarks.backbone_memory --report

A row is one fresh process: one step of ``diffmusic`` (one pass of the network, one decoding with its gradient), on a
gap in 10.24 s. Its peak is counted from the memory held once the weights are there. ``--report`` prints the rows
that were measured (Linux only: the peak is the kernel's own, reset before the step). The network of ACE-Step, whose
weights take 17 GB in float32, is in bfloat16. ``--count`` counts operations instead, without any weights.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.full_size import MILLIONS, build, build_ace_step, condition
from diffmusic.backbones import ace_step
from diffmusic.jobs import record
from diffmusic.prior import Costs, Prior
from diffmusic.problem import Problem
from diffmusic.solver.noise import generator
from diffmusic.solver.sampling import iterate
from diffmusic_operators.inpainting import Inpainting
from diffmusic_solvers.diffmusic import DiffMusic

RESULTS = Path(__file__).parent / "results" / "backbone_memory.json"


def count(seconds: float) -> tuple[float, float, float]:
    """Operations of ACE-Step for a second of audio, 1e9: a pass of the network, a decoding, one with its gradient."""
    backbone = build_ace_step(checkpointing=False, device="meta")
    samples = round(seconds * backbone.sample_rate)
    z = torch.empty(1, *backbone.latent_shape(samples), device="meta")

    def spent(work: Callable[[], Any]) -> float:
        with FlopCounterMode(display=False) as counter:
            work()
        return float(counter.get_total_flops() / seconds / 1e9)

    with torch.no_grad():
        passed = spent(lambda: backbone.denoise(z, 1.0, ace_step.Prompt("a prompt")))
        decoded = spent(lambda: backbone.decode(z, samples))
    return passed, decoded, spent(lambda: backbone.decode(z.requires_grad_(), samples).sum().backward())


def memory(field: str) -> float:
    """A field of /proc/self/status, GB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) * 1024 / 1e9


def measure(name: str, checkpointing: bool, seconds: float, envelope: bool, covariance: bool) -> dict[str, Any]:
    """One guided step: its peak above the weights, GB, and its time."""
    backbone = build(name, checkpointing, envelope)
    network = backbone.network
    millions = sum(each.numel() for each in network.parameters()) / 1e6
    assert abs(millions - MILLIONS[name]) < 0.1, millions
    samples = round(seconds * backbone.sample_rate)
    operator = Inpainting(gap=((seconds / 2, seconds / 2 + 1),), sample_rate=backbone.sample_rate)
    measured = operator.forward(0.1 * torch.randn(1, backbone.channels, samples, generator=generator(0)))
    prior = Prior(backbone, samples, Costs(), (condition(name),))
    problem = Problem(operator, measured, features=backbone.mel)
    solver = DiffMusic(repeats=1, covariance=covariance)
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    held, started, spent = memory("VmRSS"), time.perf_counter(), sum(os.times()[:2])
    ((_, state),) = iterate(solver, problem, prior, backbone.sigmas(2).tolist()[:2], [generator(1)])
    assert bool(torch.isfinite(state.z).all())
    return {
        "model": name,
        "checkpointing": checkpointing,
        "envelope": envelope,
        "covariance": covariance,
        "seconds_of_audio": seconds,
        "weights_gb": round(held, 2),
        "peak_above_weights_gb": round(memory("VmHWM") - held, 2),
        "wall_seconds": round(time.perf_counter() - started, 1),
        "cpu_seconds": round(sum(os.times()[:2]) - spent, 1),
        "threads": torch.get_num_threads(),
        "versions": record.versions(),
        **prior.costs.as_dict(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", choices=list(MILLIONS))
    parser.add_argument("--checkpointing", action="store_true")
    parser.add_argument("--envelope", action="store_true", help="no gradient through the vocoder (decision 17)")
    parser.add_argument("--covariance", action="store_true", help="one through the network too")
    parser.add_argument("--seconds", type=float, default=10.24)
    parser.add_argument("--count", action="store_true", help="operations of ace-step, at the length of its windows")
    parser.add_argument("--report", action="store_true")
    given = parser.parse_args()
    if given.count:
        print("GFLOP of a second: network {:.1f}, decoder {:.1f}, decoder with gradient {:.1f}".format(*count(48.0)))
        return
    rows = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    if given.model:
        rows.append(measure(given.model, given.checkpointing, given.seconds, given.envelope, given.covariance))
        RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
    if given.report or given.model:
        print("| model | seconds | checkpointing | gradient through | GB above the weights | CPU seconds |")
        print("|---|---|---|---|---|---|")
        for row in rows:
            spent = row["cpu_seconds"] or "–"
            kept, peak = "yes" if row["checkpointing"] else "no", row["peak_above_weights_gb"]
            vocoder = not row.get("envelope") and row["model"] in ("audioldm2", "musicldm")
            through = [
                *(["network"] if row.get("covariance") else []),
                "VAE and vocoder" if vocoder else "VAE",
            ]
            words = ", ".join(through)
            print(f"| {row['model']} | {row['seconds_of_audio']} | {kept} | {words} | {peak} | {spent} |")


if __name__ == "__main__":
    main()
