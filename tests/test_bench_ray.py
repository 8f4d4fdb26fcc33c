"""The same cells on a Ray cluster of two nodes, of which one is killed: the same results."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from diffmusic.bench import runner, suite
from diffmusic.bench.plan import Model
from diffmusic.bench.ray import Cluster
from tests.test_bench import records, small, table  # noqa: F401

ray = pytest.importorskip("ray", reason="no Ray here: pip install 'diffmusic[bench]'")


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head and, to be lost, a second node, each with one CPU; both are processes of this machine."""
    from ray.cluster_utils import Cluster as Nodes

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_worker_niceness", "0")  # on a busy machine its workers would wait for all others
    cluster = Nodes(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def test_two_nodes_one_of_which_is_killed(
    run: Callable[..., SimpleNamespace],
    small: Path,  # noqa: F811
    tmp_path: Path,
    tiny: Path,
    nodes: Any,
) -> None:
    assert run("bench", small, "-o", tmp_path / "here").code == 0
    lost = nodes.add_node(num_cpus=1)
    nodes.wait_for_nodes()
    prepared = runner.Run.prepare(suite.read(small), tmp_path / "there", [Model(str(tiny), "cpu")])
    alive: list[int] = []

    def count() -> int:
        return sum(node["Alive"] for node in ray.nodes())

    def tell(cell: Any, record: dict[str, Any], done: int, total: int, left: float | None) -> None:
        if done == 1:
            alive.append(count())
            nodes.remove_node(lost, allow_graceful=False)
            until = time.monotonic() + 60  # a busy machine is slow to miss a node
            while count() > 1 and time.monotonic() < until:
                time.sleep(0.1)
            alive.append(count())

    prepared.work(Cluster(nodes.address), prepared.pending(), tell)
    runner.report(tmp_path / "there")
    assert alive == [2, 1]
    assert table(tmp_path / "there") == table(tmp_path / "here")

    def kept(folder: Path) -> list[dict[str, Any]]:
        return [
            {key: value for key, value in each.items() if key not in ("seconds", "peak_memory_bytes")}
            for each in records(folder)
        ]

    assert kept(tmp_path / "there") == kept(tmp_path / "here"), "not to the last bit"


def test_a_cluster_that_is_not_there(
    run: Callable[..., SimpleNamespace],
    small: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    wrong = run("bench", small, "-o", tmp_path / "out", "--engine", "ray", "--address", "127.0.0.1:1")
    assert wrong.code == 2
    assert "no Ray cluster at 127.0.0.1:1" in wrong.err


def test_files_are_restored_on_a_cluster(
    run: Callable[..., SimpleNamespace], song: Callable[..., Path], tmp_path: Path, nodes: Any
) -> None:
    words = ("solve", "inpainting", song("a.wav"), song("b.wav"), "--gap", "0.6:0.65", "--solver", "interpolate")
    assert run(*words, "-o", tmp_path / "here").code == 0
    result = run(*words, "-o", tmp_path / "there", "--engine", "ray", "--address", nodes.address)
    assert result.code == 0, result.err
    assert "2 of 2 files restored" in result.out
    for name in ("a.restored.wav", "b.restored.wav"):
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "there" / name).read_bytes()
