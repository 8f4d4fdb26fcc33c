"""Speed and memory of a step at the published sizes, random weights, on one GPU: ten minutes, one file of results.

    python -m benchmarks.gpu --minutes 10
    python -m benchmarks.gpu --device cpu --model musicldm --seconds 1.28 --batch 1 --tries 1    # tries it out
    python -m benchmarks.gpu --table

Each row is one step on a gap in the middle of ``--seconds`` of audio, or one of its parts:

- ``network``: a pass forwards, as ``diffmusic`` needs one a step;
- ``network, gradient``: a pass and one product with its Jacobian, as ``mmps`` needs two a step;
- ``decoder, gradient``: decoded, compared with the measurement, and back to the latent;
- ``diffmusic``: a step of it, with its searched length (decision 25);
- ``mmps``: a step of it, in the latents;
- ``released``: a step as the released code of DiffMusic makes it, guided away from the empty prompt (two passes),
  float32, nothing recomputed; it makes 500 of them, ours 25.

Each in float32 and with the network in bfloat16, with activations kept and computed again, in batches of 1, 4 and 16;
the network also compiled into CUDA graphs. Rows come in the order of what they cost, are written to
benchmarks/results/gpu.json as they come, and none is begun once the minutes are over. TFLOP/s are the operations that
torch's counter finds in the row over its time. Times are medians, after a warm-up; the peak is that of torch's
allocator above the weights.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.full_size import MILLIONS, build, condition
from diffmusic.jobs import record
from diffmusic.prior import Costs, Prior
from diffmusic.problem import Problem
from diffmusic.solver.noise import generator
from diffmusic.solver.sampling import iterate
from diffmusic_operators.inpainting import Inpainting
from diffmusic_solvers.diffmusic import DiffMusic
from diffmusic_solvers.diffmusic_slerp import DiffMusicSlerp
from diffmusic_solvers.mmps import MMPS

RESULTS = Path(__file__).parent / "results" / "gpu.json"
STEPS: dict[str, Any] = {"diffmusic": DiffMusic(repeats=1), "mmps": MMPS(), "released": DiffMusicSlerp(rate=0.08)}
WORKS = ("network", "network, gradient", "decoder, gradient", *STEPS)


@dataclass(frozen=True)
class Setting:
    """How a model is run: dtype of its network, activations computed again or kept, network compiled or not."""

    dtype: str
    checkpointing: bool
    compiled: bool

    @staticmethod
    def all(device: str) -> Iterator[Setting]:
        for dtype, checkpointing, compiled in product(("float32", "bfloat16"), (False, True), (False, True)):
            if not (compiled and (checkpointing or device == "cpu")):
                yield Setting(dtype, checkpointing, compiled)


def moved(value: Any, device: str) -> Any:
    """A condition with all of its tensors on a device."""
    if isinstance(value, Tensor):
        return value.to(device)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{each.name: moved(getattr(value, each.name), device) for each in fields(value)})
    return value


def prepared(name: str, setting: Setting, device: str) -> Any:
    """The model of a name on the device; the modules of its dataclass are moved."""
    backbone = build(name, setting.checkpointing, envelope=False)
    for each in fields(backbone):
        part = getattr(backbone, each.name)
        if isinstance(part, nn.Module):
            part.to(device)
        elif isinstance(part, Tensor):
            backbone = replace(backbone, **{each.name: part.to(device)})
    network = backbone.network.to(getattr(torch, setting.dtype))
    if setting.compiled:
        (field,) = [each.name for each in fields(backbone) if getattr(backbone, each.name) is network]
        backbone = replace(backbone, **{field: torch.compile(network, mode="reduce-overhead")})
    return backbone


def work(name: str, backbone: Any, told: Any, seconds: float, batch: int) -> Callable[[], Any]:
    """What a row measures, ready to be called."""
    samples, device = round(seconds * backbone.sample_rate), str(backbone.device)
    operator = Inpainting(gap=((seconds * 0.4, seconds * 0.6),), sample_rate=backbone.sample_rate)
    clean = 0.1 * torch.randn(batch, backbone.channels, samples, generator=generator(0))
    problem = Problem(operator, operator.forward(clean.to(device)), features=backbone.mel)
    guided = name == "released"
    prior = Prior(backbone, samples, Costs(), (told,), (told if guided else None,), 3.5 if guided else 1.0)
    sigmas = backbone.sigmas(25).tolist()
    if name in STEPS:
        generators = [generator(index) for index in range(batch)]
        return lambda: next(iterate(STEPS[name], problem, prior, sigmas[:2], generators))
    z = sigmas[0] * torch.randn(batch, *prior.latent_shape, generator=generator(1)).to(device)

    def network() -> Tensor:
        with torch.no_grad():
            return prior.denoise(z, sigmas[0])

    def with_gradient() -> Tensor:
        leaf = z.detach().requires_grad_()
        clean = prior.denoise(leaf, sigmas[0])
        return torch.autograd.grad(clean, leaf, torch.ones_like(clean))[0]

    def decoder() -> Tensor:
        leaf = (z / sigmas[0]).requires_grad_()
        return torch.autograd.grad(prior.decode(leaf).square().mean(), leaf)[0]

    return {"network": network, "network, gradient": with_gradient, "decoder, gradient": decoder}[name]


def measured(call: Callable[[], Any], device: str, tries: int) -> dict[str, Any]:
    """Seconds, peak and operations of a call; or that it did not fit."""
    cuda = device.startswith("cuda")

    def wait() -> None:
        if cuda:
            torch.cuda.synchronize()

    try:
        with FlopCounterMode(display=False) as counter:
            call()
        call()  # compiled code is made, graphs are recorded
        wait()
        held = torch.cuda.memory_allocated() if cuda else 0
        if cuda:
            torch.cuda.reset_peak_memory_stats()
        times = []
        for _ in range(tries):
            started = time.perf_counter()
            call()
            wait()
            times.append(time.perf_counter() - started)
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
        return {"error": "out of memory"}
    seconds, flops = statistics.median(times), counter.get_total_flops()
    found = {"seconds": round(seconds, 5), "tflop": flops / 1e12, "tflop_per_second": round(flops / 1e12 / seconds, 2)}
    return found | ({"peak_gb": round((torch.cuda.max_memory_allocated() - held) / 1e9, 2)} if cuda else {})


def run(chosen: argparse.Namespace) -> None:
    """Measure row by row until the minutes are over."""
    until = time.monotonic() + 60 * chosen.minutes
    device = chosen.device
    about = {
        "device": torch.cuda.get_device_name() if device.startswith("cuda") else device,
        "seconds_of_audio": chosen.seconds,
        "versions": record.versions(),
    }
    rows: list[dict[str, Any]] = []
    for name, setting in product(chosen.model, Setting.all(device)):
        if time.monotonic() > until:
            break
        if name == "ace-step" and setting.dtype == "float32":
            continue  # its weights alone take 17 GB; it is published in bfloat16
        backbone, told = prepared(name, setting, device), moved(condition(name), device)
        for batch, what in product(chosen.batch, WORKS):
            released = setting == Setting("float32", checkpointing=False, compiled=False)
            gradient = what != "network"
            if time.monotonic() > until or (what == "released" and not released) or (setting.compiled and gradient):
                continue
            row = {"model": name, "work": what, "batch": batch, **vars(setting)}
            row |= measured(work(what, backbone, told, chosen.seconds, batch), device, chosen.tries)
            rows.append(row)
            print(row, flush=True)
            chosen.out.write_text(json.dumps(about | {"rows": rows}, indent=1) + "\n")
        del backbone


def table(path: Path) -> str:
    """The rows as markdown."""
    found = json.loads(path.read_text())
    head = f"{found['device']}, {found['seconds_of_audio']} s of audio."
    lines = [
        head,
        "",
        "| model | work | batch | network | kept | ms | TFLOP/s | GB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in found["rows"]:
        kept = "computed again" if row["checkpointing"] else "kept"
        network = row["dtype"] + (", compiled" if row["compiled"] else "")
        head = f"| {row['model']} | {row['work']} | {row['batch']} | {network} | {kept} |"
        if "error" in row:
            lines.append(f"{head} {row['error']} | | |")
        else:
            lines.append(
                f"{head} {1000 * row['seconds']:.1f} | {row['tflop_per_second']} | {row.get('peak_gb', '–')} |"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--model", action="append", choices=list(MILLIONS), help="all by default")
    parser.add_argument("--seconds", type=float, default=10.24)
    parser.add_argument("--batch", type=lambda text: [int(word) for word in text.split(",")], default=[1, 4, 16])
    parser.add_argument("--tries", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--table", action="store_true", help="only print what was measured")
    chosen = parser.parse_args()
    chosen.model = chosen.model or ["musicldm", "audioldm2", "stable-audio", "stable-audio-3", "ace-step"]
    if not chosen.table:
        run(chosen)
    print(table(chosen.out))


if __name__ == "__main__":
    main()
