"""Listening page for some recordings: one self-contained HTML file with its audio and its picture."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import soundfile

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
td, th { border-bottom: 1px solid #8884; padding: .4rem .8rem .4rem 0; text-align: left; }
audio { width: 20rem; } img { max-width: 100%; } td.number { font-variant-numeric: tabular-nums; }
"""


@dataclass(frozen=True)
class Track:
    """Recording, (channels, time) at ``sample_rate`` Hz, with its title, and numbers to show with it by name."""

    title: str
    audio: np.ndarray
    sample_rate: int
    numbers: Mapping[str, float] = field(default_factory=dict)


def page(title: str, text: str, tracks: Sequence[Track], picture: bytes) -> bytes:
    """Render the page. Audio is 16-bit FLAC, which every browser plays; picture: a PNG."""
    names = list(dict.fromkeys(name for track in tracks for name in track.numbers))
    head = "".join(f"<th>{html.escape(name)}</th>" for name in ["", "", *names])
    rows = "".join(_row(track, names) for track in tracks)
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{html.escape(title)}</title><style>{STYLE}</style>
<h1>{html.escape(title)}</h1>
<p>{html.escape(text)}</p>
<table><tr>{head}</tr>{rows}</table>
<p><img alt="spectrograms" src="{_data("image/png", picture)}"></p>
<script>
// One sound at a time.
const all = document.querySelectorAll("audio");
all.forEach(one => one.addEventListener("play", () => all.forEach(other => other !== one && other.pause())));
</script>
</html>
""".encode()


def _row(track: Track, names: Sequence[str]) -> str:
    shown = [f"{track.numbers[name]:.3f}" if name in track.numbers else "" for name in names]
    cells = "".join(f'<td class="number">{each}</td>' for each in shown)
    sound = io.BytesIO()
    soundfile.write(sound, np.clip(track.audio.T, -1, 1), track.sample_rate, format="FLAC", subtype="PCM_16")
    player = f'<audio controls preload="none" src="{_data("audio/flac", sound.getvalue())}"></audio>'
    return f"<tr><td>{html.escape(track.title)}</td><td>{player}</td>{cells}</tr>\n"


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
