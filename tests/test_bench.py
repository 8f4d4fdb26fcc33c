"""The runner: a suite is measured cell by cell, survives whatever stops it, and always ends in the same table."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile

from diffmusic.bench import cell, clips, local, runner, store, suite
from diffmusic.bench.local import Local
from diffmusic.bench.plan import Model, Place
from diffmusic.bench.progress import Pace, duration
from diffmusic.errors import InputError
from diffmusic.models import hub

Run = Callable[..., SimpleNamespace]

SUITE = """
title: A small one
dataset: folder path=music
clips: {{count: 2, seconds: 0.4, rate: 16000}}
problems:
  - operator: inpainting gap=0.1:0.2
    solvers: [interpolate order=16]
solvers: [dps steps=2, dsg steps=2]
backbones: [{model}]
metrics: [lsd, mel_l1]
"""
CELLS = 12  # two clips of truth, measurement, round trip and three solvers


@pytest.fixture
def small(tmp_path: Path, tiny: Path) -> Path:
    """A suite of two short clips, one problem and three solvers, and its music."""
    (tmp_path / "music").mkdir()
    time = np.arange(8000) / 16000
    for number, pitch in enumerate((220, 330)):
        noise = 0.01 * np.random.default_rng(number).standard_normal(8000)
        soundfile.write(tmp_path / "music" / f"{number}.wav", 0.2 * np.sin(2 * np.pi * pitch * time) + noise, 16000)
    path = tmp_path / "small.yaml"
    path.write_text(SUITE.format(model=tiny))
    return path


def table(folder: Path) -> str:
    return (folder / "table.md").read_text()


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted((folder / "cells").glob("*.json"))]


def test_a_suite_becomes_records_and_tables(run: Run, small: Path, tmp_path: Path) -> None:
    done = run("bench", small, "-o", tmp_path / "out")
    assert done.code == 0, done.err
    text = table(tmp_path / "out")
    assert "| round trip (2) |" in text
    assert "| dps steps=2 (2) |" in text
    assert text.count("| 2 / 2 | 5 / 2 |") == 1, text  # dps goes through the network, dsg does not
    lines = [json.loads(line) for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]
    rows = ["truth", "measurement", "round trip", "interpolate order=16", "dps steps=2", "dsg steps=2"]
    assert [line["row"] for line in lines[:6]] == rows
    solved, left = lines[4], lines[1]
    assert left["finished"]["misfit"] == 0
    assert left["finished"]["part"] > left["finished"]["lsd"] > solved["finished"]["lsd"] > 0
    assert solved["raw"]["misfit"] > solved["finished"]["misfit"] == 0
    assert set(solved["finished"]) == {"lsd", "mel_l1", "misfit", "part"}
    assert solved["costs"]["network_backward"] == 2
    assert lines[3]["finished"]["part"] > lines[3]["finished"]["lsd"] > 0, "outside the gap nothing is lost"
    assert all(line["error"] is None for line in lines)
    sounds = {path.name.split(".")[1] for path in (tmp_path / "out" / "sounds").iterdir()}
    assert sounds == {"clean", "measured", "estimate"}


def test_what_is_done_is_not_done_again(run: Run, small: Path, tmp_path: Path) -> None:
    run("bench", small, "-o", tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "cells").iterdir()}
    again = run("bench", small, "-o", tmp_path / "out")
    assert "0 to measure" in again.err
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "cells").iterdir()} == before


def test_a_key_changes_with_all_that_matters_and_nothing_else(small: Path, tmp_path: Path, tiny: Path) -> None:
    def keys(text: str) -> set[str]:
        small.write_text(text)
        made = suite.read(small)
        return {each.key for each in runner.Run.prepare(made, tmp_path / "plan", [Model(str(tiny), "cpu")]).cells}

    text = SUITE.format(model=tiny)
    first = keys(text)
    assert len(first) == CELLS
    assert keys(text.replace("A small one", "Another title") + "keep: 2\n") == first
    assert keys(text.replace("dsg steps=2", "dsg steps=2 guidance=7")) == first, "nothing is prompted"
    assert keys(text.replace("dsg steps=2", "dsg steps=2 rate=0.1").replace("0.2\n", "0.20\n")) & first
    for old, new, kept in (
        ("dsg steps=2", "dsg steps=3", CELLS - 2),
        ("dsg steps=2", "dsg steps=2 rate=0.123", CELLS - 2),
        ("gap=0.1:0.2", "gap=0.1:0.21", 0),
        ("[lsd, mel_l1]", "[lsd]", 0),
        ("backbones", "seeds: [1]\nbackbones", 0),
    ):
        assert len(keys(text.replace(old, new)) & first) == kept, new


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "diffmusic", "bench", *map(str, words)]


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def test_killed_in_the_middle_it_goes_on_and_the_table_is_the_same(
    run: Run, small: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert run("bench", small, "-o", whole).code == 0
    killed = subprocess.Popen(command(small, "-o", cut), env=environment, stderr=subprocess.DEVNULL)
    cells = cut / "cells"
    deadline = time.monotonic() + 120
    while len(list(cells.glob("*.json"))) < 3:
        assert time.monotonic() < deadline
        assert killed.poll() is None, "it was over before it could be killed"
        time.sleep(0.002)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    done = len(list(cells.glob("*.json")))
    assert 3 <= done < CELLS
    assert all(each["error"] is None for each in records(cut)), "every record there is is whole"
    assert not (cut / "table.md").exists()
    again = run("bench", small, "-o", cut)
    assert f"{CELLS - done} to measure" in again.err
    assert table(cut) == table(whole)


@pytest.mark.parametrize("spoilt", [b"", b'{"key": "ab', b"\xff\xfe", b"[]"])
def test_a_record_that_a_disk_has_spoilt_is_measured_again(tmp_path: Path, spoilt: bytes) -> None:
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / "ab.json").write_bytes(spoilt)
    assert store.Store(tmp_path).record("ab") is None


def test_shards_share_a_folder(run: Run, small: Path, tmp_path: Path) -> None:
    assert run("bench", small, "-o", tmp_path / "whole").code == 0
    for shard in ("1/2", "0/2"):
        assert f"{CELLS // 2} to measure" in run("bench", small, "-o", tmp_path / "shared", "--shard", shard).err
        count = len(records(tmp_path / "shared"))
        assert count == (CELLS // 2 if shard == "1/2" else CELLS)
    assert table(tmp_path / "shared") == table(tmp_path / "whole")


def test_workers_change_nothing(run: Run, small: Path, tmp_path: Path) -> None:
    assert run("bench", small, "-o", tmp_path / "one").code == 0
    two = run("bench", small, "-o", tmp_path / "two", "--workers", "2")
    assert two.code == 0, two.err
    assert [line.split()[0] for line in two.err.splitlines()[1:]] == [f"{done}/{CELLS}" for done in range(1, CELLS + 1)]
    assert table(tmp_path / "two") == table(tmp_path / "one")


def test_a_cell_that_takes_its_process_down_is_a_failure(small: Path, tmp_path: Path, tiny: Path) -> None:
    def run(task: cell.Task, material: clips.Material) -> cell.Result:
        if task.solver and task.solver.name == "dsg":
            os._exit(9)
        return real(task, material)

    real = cell.run
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cell, "run", run)
        patch.setattr(local, "START", "fork")
        prepared = runner.Run.prepare(suite.read(small), tmp_path / "out", [Model(str(tiny), "cpu")])
        prepared.work(Local(2), prepared.pending(), lambda *_: None, 2)
    runner.report(tmp_path / "out")
    assert "| dps steps=2 (2) |" in table(tmp_path / "out")
    assert "| dsg steps=2 (0 of 2) |" in table(tmp_path / "out")
    assert "its process died 2 times, the last time with exit code 9" in table(tmp_path / "out")


def test_stopped_by_hand_it_leaves_a_table_and_goes_on(
    run: Run, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("bench", small, "-o", tmp_path / "whole").code == 0
    real, count = cell.run, [0]

    def interrupted(task: cell.Task, material: clips.Material) -> cell.Result:
        count[0] += 1
        if count[0] == 6:
            raise KeyboardInterrupt
        return real(task, material)

    with monkeypatch.context() as patch:
        patch.setattr(cell, "run", interrupted)
        stopped = run("bench", small, "-o", tmp_path / "out")
    assert stopped.code == 130
    assert "the same command goes on" in stopped.err
    assert "| dps steps=2 (1 of 2) |" in table(tmp_path / "out")
    assert f"{CELLS - 5} to measure" in run("bench", small, "-o", tmp_path / "out").err
    assert table(tmp_path / "out") == table(tmp_path / "whole")


EDITS = """
title: Edits
dataset: medleymd-prompts path=music
clips: {{count: 2, seconds: 0.4, rate: 16000}}
problems: [edit]
solvers:
  - {{solver: sdedit steps=1, grid: {{strength: [1, 4]}}}}
backbones: [{model}]
metrics: [lsd, clap]
published: others.yaml
"""


def test_edits_and_the_numbers_of_others(run: Run, small: Path, tmp_path: Path, tiny: Path) -> None:
    (tmp_path / "music" / "captions_sources.csv").write_text(
        "filename,source_captions\n0.wav,A low tone\n1.wav,A tone\n"
    )
    (tmp_path / "music" / "captions_targets.csv").write_text(
        "filename,target_captions,can_be_used_without_source,source_caption_index\n"
        "0.wav,A flute,1,1\n1.wav,A drum,1,1\n"
    )
    (tmp_path / "others.yaml").write_text(
        "source: A paper\nrows: [{solver: sdedit, model: audioldm2, values: {clap: 0.34}}]\n"
    )
    path = tmp_path / "edits.yaml"
    path.write_text(EDITS.format(model=tiny))
    done = run("bench", path, "-o", tmp_path / "out")
    assert done.code == 0, done.err
    text = table(tmp_path / "out")
    assert "| truth (2) | 0.000 |" in text, "the clip itself is the row that no edit is nearer than"
    assert "| sdedit steps=1 strength=4 (2) |" in text
    assert "| 0.3400 |" in text
    assert "clap, audioldm2 (published)" in text
    assert "Published: A paper." in text
    lines = [json.loads(line) for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]
    assert {line["error"] for line in lines} == {None}
    weak, strong = (
        np.mean([line["finished"]["lsd"] for line in lines if line["row"].endswith(f"={level}")]) for level in (1, 4)
    )
    assert weak != strong


def test_a_failure_is_a_row(run: Run, small: Path, tmp_path: Path) -> None:
    # A step this long leaves the finite numbers.
    small.write_text(small.read_text().replace("dsg steps=2", "dps steps=2 zeta=1e38"))
    done = run("bench", small, "-o", tmp_path / "out")
    assert done.code == 0
    text = table(tmp_path / "out")
    assert "| dps steps=2 zeta=1e38 (0 of 2) |" in text
    assert "- dps steps=2 zeta=1e38, 0.wav@" in text
    assert "the solver diverged at step" in text
    assert "0 to measure" in run("bench", small, "-o", tmp_path / "out").err
    assert "2 to measure" in run("bench", small, "-o", tmp_path / "out", "--retry").err


def test_dry_run_counts_what_will_be_spent_and_writes_nothing(run: Run, small: Path, tmp_path: Path) -> None:
    dry = run("bench", small, "-o", tmp_path / "out", "--dry-run")
    assert dry.code == 0, dry.err
    assert not (tmp_path / "out").exists()
    run("bench", small, "-o", tmp_path / "out")
    spent = [record["costs"] for record in records(tmp_path / "out") if "costs" in record]
    counts = [sum(each[name] for each in spent) for name in ("network_forward", "network_backward", "decoder_forward",
                                                             "decoder_backward")]  # fmt: skip
    expected = "6 cells, {} passes of the network ({} with gradient), {} of the decoder ({} with gradient)"
    assert expected.format(*counts) in dry.out
    assert "of one worker here" in dry.out


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("metrics:", "metrcs:", "there is no key 'metrcs'. Did you mean 'metrics'?"),
        (
            "gap=0.1",
            "gpa=0.1",
            "problems[0].operator: operator 'inpainting' has no parameter 'gpa'. Did you mean 'gap'?",
        ),
        ("gap=0.1:0.2", "gap=0.3:0.2", "gap 0.3:0.2 ends before it starts"),
        ("dsg steps=2", "dgs steps=2", "solvers[1]: unknown solver 'dgs'. Did you mean 'dsg'?"),
        ("dsg steps=2", "dsg stpes=2", "solvers[1]: solver 'dsg' has no parameter 'stpes'. Did you mean 'steps'?"),
        ("dsg steps=2", "dsg steps=0", "steps: input should be greater than or equal to 1"),
        ("dsg steps=2", "dps steps=2", "problem 'inpainting' has two rows called 'dps steps=2'"),
        ("dsg steps=2", "sdedit", "problem 'inpainting': solver 'sdedit' edits recordings and restores none"),
        ("count: 2", "cuont: 2", "clips: there is no key 'cuont'. Did you mean 'count'?"),
        ("count: 2", "count: some", "clips.count: input should be a valid integer"),
        ("[lsd, mel_l1]", "[lds]", "metrics[0]: unknown metric 'lds'. Did you mean 'lsd'?"),
        ("folder path=music", "folder", "dataset"),
        ("folder path=music", "folder path=none", "no such folder"),
        ("seconds: 0.4", "seconds: 9", "fewer than 2 excerpts that are long and loud enough"),
        ("title: A small one", "title: A small one\ntitle: twice", "line 3: the key 'title' stands here twice"),
        ("title: A small one", "- just\n- a list", "small.yaml"),
    ],
)
def test_a_mistake_is_one_line(run: Run, small: Path, tmp_path: Path, old: str, new: str, line: str) -> None:
    small.write_text(small.read_text().replace(old, new))
    wrong = run("bench", small, "-o", tmp_path / "out")
    assert wrong.code == 2, wrong.out
    assert wrong.err.count("\n") == 1, wrong.err
    assert line in wrong.err
    assert not (tmp_path / "out").exists()


def test_offline_nothing_is_downloaded_to_measure_with(
    run: Run, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def locate(name: str, offline: bool, *_: Any, **__: Any) -> Path:
        asked.append(offline)
        raise InputError(f"{name} is not here")

    monkeypatch.setattr(hub, "locate", locate)
    small.write_text(small.read_text().replace("mel_l1]", "fad embedding=someone/clap]"))
    refused = run("bench", small, "-o", tmp_path / "out", "--offline")
    assert refused.code == 2
    assert "someone/clap is not here" in refused.err
    assert asked
    assert all(asked)


def test_parameters_of_a_problem_leave_the_row_its_name(small: Path) -> None:
    text = small.read_text().replace("    solvers: [", "    change: {dps: zeta=0.5 steps=3}\n    solvers: [")
    small.write_text(text)
    made = suite.read(small)
    row = made.rows(made.problems[0])[1]
    assert (row.label, row.settings.steps, row.solver.parameters) == ("dps steps=2", 3, {"zeta": "0.5"})


def test_time_left_is_that_of_its_likes() -> None:
    pace = Pace()
    assert pace.left([Place("a", "dps", 0, "mini", 0)]) is None
    pace.add(Place("a", "dps", 0, "mini", 0), 10)
    pace.add(Place("b", "dps", 0, "mini", 0), 20)
    pace.add(Place("a", "wiener", 0, None, 0), 1)
    assert pace.expected(Place("a", "dps", 1, "mini", 0)) == 10
    assert pace.expected(Place("c", "dps", 1, "mini", 0)) == 15
    assert pace.expected(Place("c", "griffin-lim", 1, None, 0)) == 1
    assert pace.left([Place("a", "dps", 1, "mini", 0)] * 4, workers=2) == 20
    assert [duration(each) for each in (7, 600, 7200, 200000)] == ["7 s", "10 min", "2.0 h", "2.3 days"]


def test_tuning_ranks_the_tries_of_each_solver() -> None:
    from benchmarks.tuning import report

    def line(row: str, problem: str, **raw: float) -> dict[str, Any]:
        return {"row": row, "problem": problem, "raw": raw}

    text = report([
        {"row": "truth", "problem": "a"},
        line("dps zeta=1", "a", lsd=9.0, part=0.5), line("dps zeta=1", "b", lsd=2.0),
        line("dps zeta=2", "a", lsd=1.0, part=2.0), line("dps zeta=2", "b", lsd=2.0),
    ])  # fmt: skip
    assert "| dps zeta=1 | 0.500 | 2.000 | **1.000** | 1 |" in text, (
        "the geometric mean, of the part where there is one"
    )
    assert "| dps zeta=2 | 2.000 | 2.000 | 2.000 | 1 |" in text


def test_several_samples_have_columns_of_medoid_mean_and_best(run: Run, small: Path, tmp_path: Path) -> None:
    text = small.read_text().replace("[dps steps=2, dsg steps=2]", "[dsg steps=2 samples=3]")
    small.write_text(text.replace("count: 2", "count: 1"))
    done = run("bench", small, "-o", tmp_path / "out")
    assert done.code == 0, done.err
    lines = (tmp_path / "out" / "results.jsonl").read_text().splitlines()
    found = {each["row"]: each for each in map(json.loads, lines)}
    scores = found["dsg steps=2 samples=3"]["finished"]
    for name in ("lsd", "mel_l1", "part"):
        assert scores[f"{name} best"] <= scores[name]
        assert scores[f"{name} best"] < scores[f"{name} mean"]
    assert scores["spread/error"] > 0
    assert 0 <= scores["outside"] <= 1
    assert "spread/error" not in found["interpolate order=16"]["finished"]
    head = table(tmp_path / "out")
    assert "| lsd | lsd mean | lsd best |" in head
    assert "| misfit | spread/error | outside |" in head
