"""Runs that are killed, disks that are full, files that are broken, two runs at one file: what is left behind.

    python -m benchmarks.faults --times 20

Each command is run once in peace; what it wrote then is the reference. Then, in folders of their own:

- ``killed``: kill -9 at a random moment of its life. What stands under the output's name is the whole reference or
  nothing, and the same command, run again, ends with the reference.
- ``full disk``: no file may grow beyond a random part of the output's size. One line, exit code 2, an empty folder.
- ``two at once``: the same command twice at the same time. Both end well, and the output is the reference.
- ``broken``: a record of a bench's folder is cut off or overwritten. The bench measures that cell again.

Prints how often each was as it should be, and every time that it was not.
"""

from __future__ import annotations

import argparse
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import soundfile

RATE = 22050
SUITE = """
title: Two rows
dataset: folder path={folder}
clips: {{count: 2, seconds: 1, mono: true}}
problems: ["inpainting gap=0.4:0.45"]
solvers: [interpolate, interpolate order=8]
metrics: [lsd]
"""
COMMANDS = {
    "solve": "solve inpainting {song} --gap 1:1.02,2:2.02 --solver interpolate -o {out}/fixed.wav",
    "solve a folder": "solve inpainting {song} {other} --gap 1:1.02 --solver interpolate -o {out}/",
    "bench": "bench {suite} -o {out}",
}
OUTPUTS = {"solve": ("fixed.wav",), "solve a folder": ("a.restored.wav", "b.restored.wav"), "bench": ("table.md",)}


class Place:
    """Inputs of all commands, in a folder that is removed at the end."""

    def __init__(self, root: Path) -> None:
        self.root, time_axis = root, np.arange(4 * RATE) / RATE
        rng, made = np.random.default_rng(0), {}
        (root / "in").mkdir()
        for name in ("a", "b"):
            tone = 0.2 * np.sin(2 * np.pi * 220 * time_axis) + 0.01 * rng.standard_normal(len(time_axis))
            made[name] = root / "in" / f"{name}.wav"
            soundfile.write(made[name], tone, RATE)
        (root / "suite.yaml").write_text(SUITE.format(folder=root / "in"))
        self.words = {"song": made["a"], "other": made["b"], "suite": root / "suite.yaml"}
        self.count = 0

    def folder(self) -> Path:
        self.count += 1
        (self.root / str(self.count)).mkdir()
        return self.root / str(self.count)

    def start(self, name: str, out: Path, most: int | None = None) -> subprocess.Popen[str]:
        """Begin a command; most: bytes beyond which no file may grow."""
        line = [sys.executable, "-m", "diffmusic", *COMMANDS[name].format(out=out, **self.words).split()]
        limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (most, most)) if most is not None else None
        return subprocess.Popen(
            line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=limit
        )  # fmt: skip


def outputs(name: str, out: Path) -> dict[str, bytes]:
    return {each: (out / each).read_bytes() for each in OUTPUTS[name] if (out / each).exists()}


def killed(place: Place, name: str, whole: dict[str, bytes], seconds: float, rng: random.Random) -> str:
    """Return what is wrong; empty where nothing is."""
    out = place.folder()
    process = place.start(name, out)
    time.sleep(rng.uniform(0, seconds))
    process.kill()
    process.communicate()
    left = outputs(name, out)
    if any(content != whole[each] for each, content in left.items()):
        return "half an output was left"
    process = place.start(name, out)
    said = process.communicate()[1]
    if process.returncode and "exists" not in said:
        return f"run again: {said.strip().splitlines()[-1]}"
    return "" if outputs(name, out) == whole else "run again: another output"


def full(place: Place, name: str, whole: dict[str, bytes], seconds: float, rng: random.Random) -> str:
    out = place.folder()
    process = place.start(name, out, most=rng.randrange(1, max(map(len, whole.values()))))
    said = process.communicate()[1].strip()
    left = [str(each.relative_to(out)) for each in out.rglob("*") if each.is_file()]
    if process.returncode != 2 or "Traceback" in said:
        return f"exit code {process.returncode}: {said.splitlines()[-1] if said else ''}"
    return f"left {left}" if left else ""


def two(place: Place, name: str, whole: dict[str, bytes], seconds: float, rng: random.Random) -> str:
    out = place.folder()
    first = place.start(name, out)
    time.sleep(rng.uniform(0, 0.5 * seconds))
    second = place.start(name, out)
    said = [each.communicate()[1] for each in (first, second)]
    wrong = [text for each, text in zip((first, second), said, strict=True) if each.returncode]
    if wrong:
        return wrong[0].strip().splitlines()[-1]
    return "" if outputs(name, out) == whole else "another output"


def broken(place: Place, name: str, whole: dict[str, bytes], seconds: float, rng: random.Random) -> str:
    out = place.folder()
    place.start(name, out).communicate()
    chosen = rng.choice(sorted((out / "cells").glob("*.json")))
    content = chosen.read_bytes()
    chosen.write_bytes(rng.choice([content[: rng.randrange(len(content))], b"\xff" * 40, b"[]"]))
    process = place.start(name, out)
    said = process.communicate()[1].strip()
    if process.returncode:
        return said.splitlines()[-1]
    return "" if outputs(name, out) == whole else "another output"


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20, help="of each fault")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(words)
    rng, wrong = random.Random(chosen.seed), 0
    with tempfile.TemporaryDirectory() as root:
        place = Place(Path(root))
        for name in COMMANDS:
            out, started = place.folder(), time.monotonic()
            process = place.start(name, out)
            said = process.communicate()[1]
            assert process.returncode == 0, said
            whole, seconds = outputs(name, out), time.monotonic() - started
            faults = {"killed": killed, "two at once": two} | (
                {"broken": broken} if name == "bench" else {"full": full}
            )
            for fault, inject in faults.items():
                found = Counter(inject(place, name, whole, seconds, rng) for _ in range(chosen.times))
                print(f"{name}, {fault}: {found.pop('', 0)} of {chosen.times} as it should be", flush=True)
                for what, count in found.items():
                    print(f"    {count} times: {what}", flush=True)
                wrong += sum(found.values())
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
