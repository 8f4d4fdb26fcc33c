"""The commands of benchmarks/papers, on a tiny checkpoint: their tables, and the statistics that they rest on."""

from pathlib import Path

import pytest
import torch

from benchmarks.papers import noise_maps, pc_entropy


def test_statistics_of_maps_are_deviation_and_correlation() -> None:
    maps = torch.randn(3, 1, 4, 2000, generator=torch.Generator().manual_seed(0))
    maps[1] = 2 * maps[1] - maps[0]
    deviation, correlation = noise_maps.statistics(maps)
    assert deviation == pytest.approx([1.0, 5**0.5, 1.0], rel=0.03)
    assert correlation == pytest.approx([-(5**-0.5), 0.0], abs=0.03)


def test_maps_of_a_sampled_clip_are_those_it_was_sampled_with(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noise_maps.main(["--model", str(tiny), "--levels", "4", "--seconds", "1"])
    rows = {line.split("|")[1].strip(): line.split("|")[2:] for line in capsys.readouterr().out.splitlines()[2:]}
    assert len(rows) == 5
    assert float(rows["sampled: native"][0]) == pytest.approx(1.0, abs=0.05)
    assert abs(float(rows["sampled: native"][2])) < 0.1


def test_entropies_have_a_row_for_each_level(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pc_entropy.main(["--model", str(tiny), "--levels", "2", "--seconds", "0.5", "--stretches", "2"])
    assert len(capsys.readouterr().out.splitlines()) == 2 + 2
