"""Listening page for some recordings: one self-contained HTML file with its audio, its waveforms and its picture.

All tracks run on one clock: another one is heard at the same sample, equally loud unless asked otherwise, and so is its
difference from any other, ``g x - h y`` with the gains ``g`` and ``h`` of the two.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import soundfile

LONGEST = 60.0
"""Seconds of each recording that a page holds; a browser decodes them all."""
_TEMPLATE = Path(__file__).with_name("listening_page.html")
_COLUMNS, _HEIGHT = 600, 48


@dataclass(frozen=True)
class Track:
    """Recording, (channels, time) at ``sample_rate`` Hz.

    Attributes:
        title: Its name.
        audio: Its samples, full scale 1.
        sample_rate: Hz.
        numbers: Numbers to show with it, by name.
        group: Heading that it stands under, together with other tracks.
    """

    title: str
    audio: np.ndarray
    sample_rate: int
    numbers: Mapping[str, float] = field(default_factory=dict)
    group: str = ""


@dataclass(frozen=True)
class Question:
    """Question to the listener: which group is it?

    Attributes:
        text: The question.
        answer: The group that is right.
        explained: What is shown with the answer, a line each.
    """

    text: str
    answer: str
    explained: Sequence[str]


def page(
    title: str, text: str, tracks: Sequence[Track], picture: bytes | None = None, question: Question | None = None
) -> bytes:
    """Render the page as HTML that makes no network request.

    Args:
        title: Of the page.
        text: What there is to hear.
        tracks: The recordings, the first of which the loudness of the others is matched to.
        picture: A PNG to show below.
        question: A blind test; then the titles and groups must not tell the answer.
    """
    from jinja2 import Environment, StrictUndefined

    template = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True).from_string(
        _TEMPLATE.read_text(encoding="utf-8")
    )
    gains = matched([track.audio for track in tracks])
    highest = max((float(np.abs(track.audio).max(initial=0.0)) for track in tracks), default=0.0) or 1.0
    rows = [
        {
            "track": track,
            "gain": f"{gain:.6g}",
            "wave": _waveform(track.audio.mean(0) / highest),
            "sound": _data("audio/flac", _flac(track)),
        }
        for track, gain in zip(tracks, gains, strict=True)
    ]
    names = list(dict.fromkeys(name for track in tracks for name in track.numbers))
    groups = list(dict.fromkeys(track.group for track in tracks if track.group))
    shown = _data("image/png", picture) if picture else ""
    return template.render(
        title=title, text=text, rows=rows, names=names, picture=shown, question=question, groups=groups,
        columns=_COLUMNS, height=_HEIGHT,
    ).encode()  # fmt: skip


def matched(recordings: Sequence[np.ndarray]) -> list[float]:
    """Return gains that make recordings, (channels, time), as loud (root mean square) as the first, without clipping.

    Silent ones keep their level. All gains share the factor that brings the highest peak down to full scale.
    """
    loudness = [float(np.sqrt(np.mean(np.square(audio)))) if audio.size else 0.0 for audio in recordings]
    gains = [loudness[0] / each if each > 0 and loudness[0] > 0 else 1.0 for each in loudness]
    peaks = [gain * float(np.abs(audio).max(initial=0.0)) for gain, audio in zip(gains, recordings, strict=True)]
    factor = min(1.0, 1 / max(peaks)) if any(peaks) else 1.0
    return [gain * factor for gain in gains]


def _waveform(mono: np.ndarray) -> str:
    """The outline of a waveform, full scale 1, as the points of an SVG polygon."""
    edges = np.linspace(0, len(mono), min(_COLUMNS, max(1, len(mono))) + 1).astype(int)
    parts = [mono[a : max(b, a + 1)] for a, b in pairwise(edges)]
    upper = [(n, float(part.max(initial=-1.0))) for n, part in enumerate(parts)]
    lower = [(n, float(part.min(initial=1.0))) for n, part in enumerate(parts)]
    scale = _COLUMNS / max(1, len(parts))
    return " ".join(f"{n * scale:.4g},{(1 - y) * _HEIGHT / 2:.4g}" for n, y in [*upper, *lower[::-1]])


def _flac(track: Track) -> bytes:
    """16-bit FLAC, which every browser plays."""
    sound = io.BytesIO()
    soundfile.write(sound, np.clip(track.audio.T, -1, 1), track.sample_rate, format="FLAC", subtype="PCM_16")
    return sound.getvalue()


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
