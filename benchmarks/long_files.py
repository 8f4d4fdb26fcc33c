"""Repairs of long files: the memory and the time that they take.

    python -m benchmarks.long_files --minutes 5 --minutes 40
    python -m benchmarks.long_files --minutes 5 --tree ../before     the same by another checkout
    python -m benchmarks.long_files --report

Stereo music at 44.1 kHz, 16 bits, FLAC: the example clip on and on, its channels swapped and turned round at every
repetition. A fifth of a second is lost in its middle, digital silence where ``--gap auto`` is to find it; the edit is
of half a second, or of everything. A row is one process of the command line; its peak of memory and its CPU seconds are
those that the system counted, with reading, solving and writing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import soundfile

from diffmusic.audio import files
from diffmusic.jobs import record

CLIP = Path(__file__).parents[1] / "examples" / "clip.flac"
RESULTS = Path(__file__).parent / "results" / "long_files.json"
TASKS = {
    "interpolate": ("solve", "inpainting", "--gap", "{gap}", "--solver", "interpolate"),
    "repeat": ("solve", "inpainting", "--gap", "{gap}", "--solver", "repeat"),
    "mmps, 2 steps": ("solve", "inpainting", "--gap", "{gap}", "--solver", "mmps", "--steps", "2"),
    "--gap auto": ("solve", "inpainting", "--gap", "auto", "--solver", "interpolate"),
    "--plot": ("solve", "inpainting", "--gap", "{gap}", "--solver", "interpolate", "--plot", "{plot}"),
    "--reference": ("solve", "inpainting", "--gap", "{gap}", "--solver", "interpolate", "--reference", "{file}"),
    "--simulate": ("solve", "inpainting", "--gap", "{gap}", "--solver", "interpolate", "--simulate"),
    "diffmusic, 2 steps": ("solve", "inpainting", "--gap", "{gap}", "--solver", "diffmusic", "--steps", "2"),
    "edit, 2 steps": ("edit", "--segment", "{segment}", "--target", "a piano", "--steps", "2"),
    "edit of everything, 2 steps": ("edit", "--target", "a piano", "--steps", "2"),
    "edit of everything, 8 steps": ("edit", "--target", "a piano", "--steps", "8"),
}


def music(path: Path, minutes: float, silent: tuple[int, int] = (0, 0)) -> None:
    clip = files.read(CLIP)
    turns = [clip.samples, clip.samples[::-1], clip.samples[:, ::-1], clip.samples[::-1, ::-1]]
    count = round(60 * minutes * clip.sample_rate)
    with soundfile.SoundFile(path, "w", clip.sample_rate, 2, "PCM_16") as file:
        for number, start in enumerate(range(0, count, clip.samples.shape[1])):
            turn = turns[number % 4][:, : count - start].copy()
            turn[:, max(0, silent[0] - start) : max(0, silent[1] - start)] = 0
            file.write(turn.T)


def run(task: str, path: Path, minutes: float, tree: Path) -> dict[str, Any]:
    """One row."""
    middle, output = 30 * minutes + 1.234, path.with_name("out.flac")
    places = {"gap": f"{middle:.3f}:{middle + 0.2:.3f}", "segment": f"{middle:.3f}:{middle + 0.5:.3f}"}
    places |= {"file": str(path), "plot": str(path.with_name("out.png"))}
    if task == "--gap auto":
        lost = round(middle * 44100), round((middle + 0.2) * 44100)
        music(path := path.with_name("broken.flac"), minutes, lost)
    command, *words = (word.format(**places) for word in TASKS[task])
    words = [*words[:1], str(path), *words[1:]] if command == "solve" else [str(path), *words]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(str(tree / each) for each in (".", "operators", "solvers"))
    }
    begun = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "diffmusic", command, *words, "-o", str(output)], env=environment, cwd=path.parent,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    _, status, used = os.wait4(process.pid, 0)
    row: dict[str, Any] = {"task": task, "minutes": minutes, "peak_gb": round(used.ru_maxrss * 1024 / 1e9, 3)}
    row |= {
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "wall_seconds": round(time.perf_counter() - begun, 1),
    }
    if os.waitstatus_to_exitcode(status):
        return row | {"peak_gb": None, "failed": os.waitstatus_to_exitcode(status)}
    return row | {"sha256": hashlib.sha256(output.read_bytes()).hexdigest()}


def report(rows: list[dict[str, Any]]) -> str:
    lines = ["| tree | task | minutes | peak, GB | CPU seconds | output, sha256 |", "|---|---|---|---|---|---|"]
    for row in rows:
        peak = "fails" if row["peak_gb"] is None else f"{row['peak_gb']:.2f}"
        cells = [row["tree"], row["task"], f"{row['minutes']:g}", peak, f"{row['cpu_seconds']:.0f}"]
        lines.append(f"| {' | '.join([*cells, row.get('sha256', '–')[:8]])} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, action="append", default=[])
    parser.add_argument("--task", choices=list(TASKS), action="append", default=[])
    parser.add_argument("--tree", type=Path, default=Path(__file__).parents[1], help="a checkout of the package")
    parser.add_argument("--report", action="store_true")
    given = parser.parse_args()
    rows = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    if not given.report:
        tree = given.tree.resolve()
        commit = subprocess.run(
            ["git", "-C", tree, "describe", "--always"], capture_output=True, text=True, check=False
        )
        name = "this" if tree == Path(__file__).parents[1] else commit.stdout.strip() or tree.name
        for minutes in given.minutes or [5.0, 40.0]:
            with tempfile.TemporaryDirectory() as folder:
                music(path := Path(folder) / "music.flac", minutes)
                for task in given.task or TASKS:
                    row = {"tree": name, **run(task, path, minutes, tree), "versions": record.versions()}
                    same = ("tree", "task", "minutes")
                    rows = [each for each in rows if any(each[key] != row[key] for key in same)] + [row]
                    RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
                    print(report([row]).splitlines()[-1], flush=True)
    print(report(rows))


if __name__ == "__main__":
    main()
