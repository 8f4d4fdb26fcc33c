"""One resumable training: options, clock, learning rate, EMA, checkpoints and the validation curve."""

import argparse
import copy
import json
import math
import os
import platform
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from training import parallel

CHECKPOINT_SECONDS = 180
Model = TypeVar("Model", bound=nn.Module)


def options(
    description: str,
    minutes: float,
    batch: int,
    stage: str | None = None,
    parser: argparse.ArgumentParser | None = None,
) -> argparse.Namespace:
    """The command line that all stages share, beside what a stage's own parser has."""
    parser = parser or argparse.ArgumentParser()
    parser.description = description
    parser.add_argument("--work", type=Path, default=Path("training/work"), help="folder of corpus and checkpoints")
    parser.add_argument("--minutes", type=float, default=minutes, help="training time in all, over every resume")
    parser.add_argument("--hold", type=float, default=0.6, help="share of the time before the rate falls; 1: never")
    parser.add_argument("--batch", type=int, default=batch)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads; one each when two stages run at once")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, mps")
    if stage:
        parser.add_argument("--stage", default=stage, help="name of the checkpoint: another one is another training")
    chosen = parser.parse_args()
    if chosen.device == "auto":
        chosen.device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(chosen.threads)
    torch.manual_seed(chosen.seed)
    return chosen


def learning_rate_factor(step: int, fraction: float, hold: float = 0.6, warmup: int = 100) -> float:
    """Linear warm-up, constant, then a cosine to zero from the share `hold` of the time on (fraction of it spent)."""
    rise = min(1.0, (step + 1) / warmup)
    fall = min(1.0, max(0.0, (fraction - hold) / (1 - hold))) if hold < 1 else 0.0
    return rise * 0.5 * (1 + math.cos(math.pi * fall))


class Run(Generic[Model]):
    """Iterate over it for the steps; it stops when the minutes are spent, and picks up where a run was cut off.

    ``ema`` follows ``model`` by ``e <- d e + (1 - d) w``, ``d = min(decay, (1 + step) / (10 + step))``; it is what is
    validated and released. More decays keep more averages at no cost, by decay in ``emas``; a model that is ``trained``
    already is an average to go on from: for it ``d = decay`` from the first step. Time is what training itself has
    used, so an interruption costs nothing from the budget;
    SIGTERM ends it after the current step, with a checkpoint. ``others`` (a discriminator, its optimiser) are kept in
    the checkpoint along with the model.
    """

    def __init__(
        self,
        stage: str,
        model: Model,
        chosen: argparse.Namespace,
        rate: float,
        decay: float,
        others: Mapping[str, Any] | None = None,
        more_decays: Sequence[float] = (),
        trained: bool = False,
    ) -> None:
        self.others = others or {}
        self.stage, self.chosen, self.rate, self.decay, self.trained = stage, chosen, rate, decay, trained
        self.model = model.to(chosen.device).train()
        self.emas = {d: copy.deepcopy(model).eval().requires_grad_(False) for d in (decay, *more_decays)}
        self.ema = self.emas[decay]
        settings: dict[str, Any] = {"lr": rate, "betas": (0.9, 0.99), "weight_decay": 1e-2, "fused": True}
        self.optimizer = torch.optim.AdamW(model.parameters(), **settings)
        self.rank = parallel.start(str(chosen.device))
        self.generator = torch.Generator().manual_seed(chosen.seed)
        self.step, self.elapsed, self.core_seconds = 0, 0.0, 0.0
        self.losses: list[float] = []
        self.last = {"validate": 0.0, "checkpoint": 0.0}
        self.path = chosen.work / f"{stage}.pt"
        self.history = chosen.work / f"{stage}.jsonl"
        if self.path.exists():
            self.resume()
        if self.rank:  # each process draws its own excerpts
            self.generator.manual_seed(chosen.seed + 1_000_003 * self.rank + self.step)
        self.started = time.monotonic() - self.elapsed
        self.core_started = time.process_time() - self.core_seconds / parallel.size()
        self.stopping, self.checkpoints = False, True
        signal.signal(signal.SIGTERM, self.stop)

    def __iter__(self) -> Iterator[int]:
        self.say(f"{sum(p.numel() for p in self.model.parameters()):,} parameters, from step {self.step}")
        while not self.stopping:
            fraction = self.elapsed / (60 * self.chosen.minutes)
            for group in self.optimizer.param_groups:
                group["lr"] = self.rate * learning_rate_factor(self.step, fraction, self.chosen.hold)
            yield self.step
            self.step += 1
            self.elapsed = time.monotonic() - self.started
            self.core_seconds = parallel.size() * (time.process_time() - self.core_started)
            if self.elapsed - self.last["checkpoint"] > CHECKPOINT_SECONDS:
                self.save()
        self.save()

    def autocast(self) -> torch.autocast:
        """bf16 arithmetic with float32 weights."""
        return torch.autocast(torch.device(self.chosen.device).type, torch.bfloat16)

    def update(self, loss: Tensor) -> None:
        """One optimiser step, and the EMA's; a step that is not finite is left out.

        The step in which the minutes are spent, or a signal came, is the last: all processes stop at the same one.
        """
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        spent = self.elapsed >= 60 * self.chosen.minutes
        self.stopping = parallel.average(self.model.parameters(), self.stopping or spent)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        if torch.isfinite(norm):
            self.optimizer.step()
        self.losses.append(loss.item())
        most = 1.0 if self.trained else (1 + self.step) / (10 + self.step)
        with torch.no_grad():
            for decay, ema in self.emas.items():
                torch._foreach_lerp_(list(ema.parameters()), list(self.model.parameters()), 1 - min(decay, most))
                for kept, new in zip(ema.buffers(), self.model.buffers(), strict=True):
                    kept.copy_(new)

    def due(self, seconds: float) -> bool:
        """Is a validation due? True once every so many seconds of training, and at the first step, in one process."""
        if self.rank:
            return False
        now = time.monotonic() - self.started
        if self.step > 0 and now - self.last["validate"] < seconds:
            return False
        self.last["validate"] = now
        return True

    def record(self, measures: dict[str, float]) -> None:
        """Append a point to the validation curve, say it, and redraw the plot."""
        minute = (time.monotonic() - self.started) / 60
        loss = sum(self.losses) / max(1, len(self.losses))
        spent = {"minute": round(minute, 2), "core_hours": round(self.core_seconds / 3600, 3)}
        row = {**spent, "step": self.step, "loss": loss, **measures}
        self.losses = []
        with self.history.open("a") as file:
            file.write(json.dumps(row) + "\n")
        self.say("  ".join(f"{name} {value:.4g}" for name, value in row.items()))
        plot_curve(self.history)

    def save(self) -> None:
        """Checkpoint everything, through a temporary file so that a reader never sees half of one."""
        self.last["checkpoint"] = self.elapsed
        if self.rank or not self.checkpoints:
            return
        state = {
            "model": self.model.state_dict(), "ema": self.ema.state_dict(), "optimizer": self.optimizer.state_dict(),
            "emas": {decay: ema.state_dict() for decay, ema in self.emas.items() if decay != self.decay},
            "others": {name: other.state_dict() for name, other in self.others.items()},
            "step": self.step, "elapsed": self.elapsed, "core_seconds": self.core_seconds,
            "generator": self.generator.get_state(), "torch_rng": torch.get_rng_state(),
            "about": self.about(),
        }  # fmt: skip
        temporary = self.path.with_suffix(".tmp")
        torch.save(state, temporary)
        os.replace(temporary, self.path)

    def about(self) -> dict[str, Any]:
        """Return what was chosen, and the versions of what computed."""
        return {
            "seed": self.chosen.seed, "batch": self.chosen.batch, "minutes": self.chosen.minutes, "rate": self.rate,
            "ema_decay": self.decay, "device": str(self.chosen.device), "threads": self.chosen.threads,
            "processes": parallel.size(), "trained": self.trained,
            "python": platform.python_version(), "torch": torch.__version__,
        }  # fmt: skip

    def resume(self) -> None:
        state = torch.load(self.path, map_location="cpu", weights_only=False)
        self.model.load_state_dict(state["model"])
        self.ema.load_state_dict(state["ema"])
        for decay, ema in self.emas.items():
            if decay != self.decay:
                ema.load_state_dict(state["emas"].get(decay, state["ema"]))
        self.optimizer.load_state_dict(state["optimizer"])
        for name, other in self.others.items():
            other.load_state_dict(state["others"][name])
        self.step, self.elapsed = state["step"], state["elapsed"]
        self.core_seconds = state.get("core_seconds", 0.0)
        self.last = dict.fromkeys(self.last, self.elapsed)
        self.generator.set_state(state["generator"])
        torch.set_rng_state(state["torch_rng"])

    def stop(self, *_: object) -> None:
        self.stopping = True

    def say(self, line: str) -> None:
        if not self.rank:
            print(f"[{self.stage}] {line}", flush=True)


def plot_curve(history: Path) -> None:
    """Draw every measure of a validation curve over the minutes, relative to its first value, next to its JSONL."""
    try:
        from matplotlib.figure import Figure
    except ImportError:  # as on a machine that trains from a packed corpus
        return
    rows = [json.loads(line) for line in history.read_text().splitlines()]
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    for name in rows[-1]:
        points = [(row["minute"], row[name]) for row in rows if name in row]
        if name not in ("minute", "core_hours", "step") and points[0][1]:
            label = f"{name}: {points[-1][1]:.3g}"
            axes.plot([at for at, _ in points], [value / points[0][1] for _, value in points], label=label)
    axes.set(xlabel="minutes of training", ylabel="over the first value", yscale="log", title=history.stem)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.legend(fontsize="x-small", loc="center left", bbox_to_anchor=(1, 0.5))
    axes.grid(alpha=0.3, which="both")
    figure.savefig(history.with_suffix(".png"), dpi=110)
