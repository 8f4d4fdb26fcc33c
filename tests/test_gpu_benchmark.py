"""The benchmark for a GPU measures every row on whatever device there is, and stops when its time is over."""

import json
from argparse import Namespace
from pathlib import Path

import pytest

from benchmarks import gpu
from diffmusic.models.load import load_model


@pytest.fixture
def chosen(tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Namespace:
    monkeypatch.setattr(gpu, "build", lambda name, checkpointing, envelope: load_model(str(tiny)))
    monkeypatch.setattr(gpu, "condition", lambda name: load_model(str(tiny)).embed("strings"))
    return Namespace(device="cpu", model=["musicldm"], seconds=0.64, batch=[2], tries=1, minutes=10,
                     out=tmp_path / "gpu.json")  # fmt: skip


def test_every_row_is_measured(chosen: Namespace) -> None:
    gpu.run(chosen)
    rows = json.loads(chosen.out.read_text())["rows"]
    # Float32 and bfloat16, recomputed or not, one batch; the released step in float32 with activations kept alone.
    assert len(rows) == 4 * (len(gpu.WORKS) - 1) + 1
    assert [row["work"] for row in rows if row["work"] == "released"] == ["released"]
    assert all(row["seconds"] > 0 and row["tflop"] > 0 for row in rows)
    assert {row["work"] for row in rows} == set(gpu.WORKS)
    assert "| musicldm | mmps | 2 | bfloat16 | computed again |" in gpu.table(chosen.out)


def test_a_gradient_costs_more_operations_and_guidance_two_passes(chosen: Namespace) -> None:
    backbone, told = gpu.prepared("musicldm", gpu.Setting("float32", False, False), "cpu"), gpu.condition("musicldm")

    def operations(work: str) -> int:
        with gpu.FlopCounterMode(display=False) as counter:
            gpu.work(work, backbone, told, 0.64, 1)()
        return int(counter.get_total_flops())

    network, decoder = operations("network"), operations("decoder, gradient")
    assert operations("network, gradient") > 1.9 * network
    # The misfit's log-mel comes to the decoder.
    assert 2 * network + decoder < operations("released") < 2 * network + 1.3 * decoder
    # Once forwards, once with gradient to each of two products.
    assert operations("mmps") > 2.9 * network


def test_nothing_is_begun_when_the_time_is_over(chosen: Namespace) -> None:
    chosen.minutes = 0
    gpu.run(chosen)
    assert not chosen.out.exists()
