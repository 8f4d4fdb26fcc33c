"""LPAPS on the small CLAP."""

import numpy as np
import pytest
import torch

from diffmusic.backbones.musicldm import MINI
from diffmusic.metrics.clap import Clap
from diffmusic.metrics.lpaps import _stages, lpaps


@pytest.fixture(scope="module")
def clap() -> Clap:
    return Clap.load(MINI)


def tone(hertz: float, noise: float = 0.0) -> np.ndarray:
    time = np.arange(5 * 16000) / 16000
    return (0.2 * np.sin(2 * np.pi * hertz * time) + noise * np.random.default_rng(0).standard_normal(len(time)))[None]


@pytest.mark.parametrize("norm", ["channels", "tokens"])
def test_zero_for_itself_and_larger_the_further(clap: Clap, norm: str) -> None:
    distances = [lpaps(clap, tone(220), tone(220, noise), 16000, norm) for noise in (0.0, 0.003, 0.1)]  # type: ignore[arg-type]
    assert distances[0] == pytest.approx(0, abs=1e-6)
    assert 0 < distances[1] < distances[2]


def test_definition_written_out(clap: Clap) -> None:
    a, b = tone(220), tone(330, 0.01)
    expected = {"channels": 0.0, "tokens": 0.0}
    for f, g in zip(_stages(clap, a, 16000), _stages(clap, b, 16000), strict=True):
        (f,), (g,) = f, g  # one window; (tokens, channels)
        for n in range(len(f)):
            expected["channels"] += float((f[n] / f[n].norm() - g[n] / g[n].norm()).square().sum()) / len(f)
        for c in range(f.shape[1]):
            unit = f[:, c] / f[:, c].norm() - g[:, c] / g[:, c].norm()
            expected["tokens"] += float(unit.square().sum()) / f.shape[1]
    assert len(_stages(clap, a, 16000)) == 4
    for norm, value in expected.items():
        assert lpaps(clap, a, b, 16000, norm) == pytest.approx(value, rel=1e-4)  # type: ignore[arg-type]
    assert torch.is_tensor(_stages(clap, a, 16000)[0])
