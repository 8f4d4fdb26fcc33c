"""The result of a task: audio with its rate, what it cost, and how it came about."""

from __future__ import annotations

import base64
import dataclasses
import html
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from diffmusic.prior.backbone import Costs
from diffmusic.reports.spectrograms import figure, png

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class Result:
    """Results of one run, drawn or made for several targets. In a notebook it shows a player and spectrograms.

    Attributes:
        audio: The results, (results, channels, time), float64, full scale 1.
        sample_rate: Of ``audio``, Hz.
        costs: Passes of the prior's networks.
        seconds: Wall-clock time.
        record: Operator, solver, model and settings of the run, in plain values.
    """

    audio: np.ndarray
    sample_rate: int
    costs: Costs
    seconds: float
    record: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def marks(self) -> tuple[tuple[int, int], ...]:
        """Intervals to mark in a picture, (start, stop) in samples."""
        return ()

    def plot(self) -> Figure:
        """Draw a log-mel spectrogram of each result.

        Returns:
            A matplotlib figure with an axis for each result, and a scale; no global state is touched.
        """
        return figure([(self._title(n), audio) for n, audio in enumerate(self.audio)], self.sample_rate, 1, self.marks)

    def _title(self, number: int) -> str:
        return "result" if len(self.audio) == 1 else f"result {number + 1}"

    def _repr_html_(self) -> str:
        """A player and a spectrogram of each result, for a notebook."""
        import soundfile

        parts = []
        for number, audio in enumerate(self.audio):
            file = io.BytesIO()
            soundfile.write(file, np.clip(audio.T, -1, 1), self.sample_rate, format="WAV", subtype="PCM_16")
            sound = base64.b64encode(file.getvalue()).decode()
            title = html.escape(self._title(number))
            parts.append(f'<p>{title}<br><audio controls src="data:audio/wav;base64,{sound}"></audio></p>')
        picture = base64.b64encode(png(self.plot())).decode()
        return "".join([*parts, f'<img alt="spectrograms" src="data:image/png;base64,{picture}">'])
