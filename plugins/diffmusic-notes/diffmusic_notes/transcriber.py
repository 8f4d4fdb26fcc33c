"""Notes of recordings, by basic-pitch's model."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diffmusic.audio.resample import resample
from diffmusic.errors import InputError
from diffmusic_notes.decode import decode

RATE, FRAME = 22050, 256
"""Hz, and samples from each frame of the model's output to the next."""
WINDOW, FRAMES, MARGIN = 43844, 172, 15
"""Samples that the model takes, frames that it gives, and how many of these are left out at either end."""
KEPT = FRAMES - 2 * MARGIN
LOWEST = 27.5
"""The pitch of the first of 88 semitones, Hz."""
BATCH = 16
INSTALL = "pip install --no-deps basic-pitch==0.4.0"
MODEL = "basic_pitch/saved_models/icassp_2022/nmp.onnx"


@dataclass(frozen=True)
class Notes:
    """Notes in the order of their onsets. intervals: (notes, 2), onset and offset in seconds; pitches: (notes,), Hz."""

    intervals: np.ndarray
    pitches: np.ndarray

    def between(self, start: float, stop: float) -> Notes:
        """Return the notes whose onsets lie in ``[start, stop)``, seconds."""
        within = (self.intervals[:, 0] >= start) & (self.intervals[:, 0] < stop)
        return Notes(self.intervals[within], self.pitches[within])


@dataclass(frozen=True, eq=False)
class Transcriber:
    """The ONNX session of basic-pitch's model, and the hash of its weights.

    Windows of 2 s begin every 142 frames, so that frame ``n`` of the whole is centred on sample ``256 n``. Source: R.
    Bittner et al., "A lightweight instrument-agnostic model for polyphonic note transcription and multipitch
    estimation", ICASSP 2022, arXiv:2203.09893.
    """

    session: Any
    sha256: str

    def notes(self, x: np.ndarray, sample_rate: int) -> Notes:
        """Return the notes of audio (channels, time), of its mono sum."""
        onsets, active = self.activations(x, sample_rate)
        found = sorted(decode(onsets, active))
        times = np.array([(start, stop) for start, stop, _ in found]).reshape(-1, 2) * FRAME / RATE
        return Notes(times, LOWEST * 2 ** (np.array([pitch for *_, pitch in found]) / 12))

    def activations(self, x: np.ndarray, sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the likelihoods of onsets and of sounding notes, (frames, 88) each, of audio (channels, time)."""
        mono = resample(x.mean(0, keepdims=True), sample_rate, RATE)[0]
        hop, count = KEPT * FRAME, -(-max(1, len(mono)) // (KEPT * FRAME))
        padded = np.zeros((count - 1) * hop + WINDOW, np.float32)
        padded[MARGIN * FRAME :][: len(mono)] = mono
        windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::hop, :, None]
        outputs = ["StatefulPartitionedCall:2", "StatefulPartitionedCall:1"]
        parts = [
            self.session.run(outputs, {"serving_default_input_2:0": windows[first : first + BATCH]})
            for first in range(0, count, BATCH)
        ]
        frames = -(-len(mono) // FRAME)
        onsets, active = (
            np.concatenate(each)[:, MARGIN:-MARGIN].reshape(-1, each[0].shape[-1])[:frames]
            for each in zip(*parts, strict=True)
        )
        return onsets, active

    def describe(self) -> dict[str, Any]:
        """Return its name, the hash of its weights, its rate in Hz and the length of a window in seconds."""
        seconds = round(WINDOW / RATE, 3)
        return {"model": "basic-pitch", "sha256": self.sha256, "sample_rate": RATE, "window_seconds": seconds}


@cache
def load() -> Transcriber:
    """Load the model from the files of the installed package basic-pitch, which is not imported.

    Raises:
        InputError: If the package or onnxruntime is missing, or the package has no such model.
    """
    try:
        installed = metadata.distribution("basic-pitch")
    except metadata.PackageNotFoundError:
        raise InputError(f"the package basic-pitch, whose model is needed, is not installed: {INSTALL}") from None
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError(f"onnxruntime cannot be imported ({error}): pip install onnxruntime") from None
    path = Path(str(installed.locate_file(MODEL)))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        weights = path.read_bytes()
        session = onnxruntime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises its own kinds for what is no model
        reason = " ".join(str(error).split())
        raise InputError(f"basic-pitch {installed.version}: {path} cannot be read ({reason}): {INSTALL}") from None
    return Transcriber(session, hashlib.sha256(weights).hexdigest())
