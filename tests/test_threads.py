"""A run is repeated bit for bit with as many threads as it had, and a note says where there are others."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import torch


def test_another_number_of_threads_is_a_note(
    run: Callable[..., SimpleNamespace], song: Callable[..., Path], tmp_path: Path
) -> None:
    words = ("solve", "inpainting", song(), "--gap", "0.5:0.52", "--solver", "interpolate", "-o", tmp_path / "a.wav")
    assert run(*words).code == 0
    path = tmp_path / "a.wav.json"
    again = ("solve", "--config", path, "-o", tmp_path / "b.wav")
    assert "threads" not in run(*again).err
    record = json.loads(path.read_text())
    assert record["threads"] == torch.get_num_threads()
    path.write_text(json.dumps(record | {"threads": 64}))
    said = run(*again)
    assert said.code == 0
    assert "that run had 64 threads" in said.err
    assert "OMP_NUM_THREADS=64 repeats it" in said.err
