"""What several tests share: a tiny checkpoint, short recordings, and the command line in this process."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from tests import checkpoints
from tests.local_hub import server

__all__ = ["server"]


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The tiny checkpoint of a kind, made once: musicldm, audioldm, audioldm2, stable_audio or stable_audio_3."""
    made: dict[str, Path] = {}

    def build(kind: str) -> Path:
        if kind not in made:
            made[kind] = getattr(checkpoints, kind)(tmp_path_factory.mktemp(kind))
        return made[kind]

    return build


@pytest.fixture(scope="session")
def tiny(built: Callable[[str], Path]) -> Path:
    """A MusicLDM checkpoint of a few thousand parameters."""
    return built("musicldm")


@pytest.fixture
def song(tmp_path: Path) -> Callable[..., Path]:
    """Write a short recording of two tones and a little noise; returns its path."""

    def write(
        name: str = "song.wav",
        seconds: float = 1.5,
        rate: int = 16000,
        channels: int = 1,
        subtype: str | None = None,
    ) -> Path:
        time = np.arange(round(seconds * rate)) / rate
        noise = np.random.default_rng(0).standard_normal((len(time), channels))
        tones = 0.2 * np.sin(2 * np.pi * 220 * time) + 0.1 * np.sin(2 * np.pi * 554.4 * time)
        path = tmp_path / name
        soundfile.write(path, tones[:, None] + 0.01 * noise, rate, subtype=subtype)
        return path

    return write


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Callable[..., SimpleNamespace]:
    """Run the command line; returns its exit code, stdout and stderr."""
    from diffmusic.cli import main

    def call(*words: object) -> SimpleNamespace:
        capfd.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(word) for word in words])
        captured = capfd.readouterr()
        return SimpleNamespace(code=stop.value.code, out=captured.out, err=captured.err)

    return call
