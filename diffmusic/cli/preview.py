"""The clean estimate so far, for a program that shows it while a command runs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import soundfile

from diffmusic.cli.terminal import PREVIEW
from diffmusic.tasks.snapshot import Snapshot, StepCallback

_SHARE = 0.1
"""Part of the time that estimates may take."""


def previews() -> StepCallback | None:
    """Return what writes the estimate so far, where it is asked for."""
    path = os.environ.get(PREVIEW)
    return _Preview(Path(path)) if path else None


class _Preview:
    """Writes the first component of the first sample of each window: the middle of a stereo image."""

    def __init__(self, path: Path, now: Callable[[], float] = time.monotonic) -> None:
        self.path, self.now = path, now
        self.window, self.step, self.first, self.due = (-1.0, -1.0), 0, True, 0.0

    def __call__(self, snapshot: Snapshot) -> None:
        window = snapshot.start, snapshot.stop
        # A window is walked once for each component and sample.
        self.first = window != self.window or (self.first and snapshot.step > self.step)
        self.window, self.step = window, snapshot.step
        began = self.now()
        if not self.first or began < self.due:
            return
        audio = np.clip(snapshot.estimate()[0].mean(0), -1, 1)
        hidden = self.path.with_name(f".{self.path.name}")
        soundfile.write(hidden, audio, snapshot.sample_rate, subtype="PCM_16", format="WAV")
        os.replace(hidden, self.path)
        ended = self.now()
        self.due = ended + (ended - began) / _SHARE
        click.echo(f"preview {window[0]:.3f} {window[1]:.3f} {snapshot.step} {snapshot.steps}", err=True)
