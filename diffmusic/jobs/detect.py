"""Faults of a recording, with a remedy for each, and the gaps that dropouts and clicks leave."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from diffmusic.audio import files
from diffmusic.audio.clicks import clicks
from diffmusic.audio.defects import Defect, clipping, dropouts, dull
from diffmusic.audio.windows import merge

CONFIDENCE = 0.5
"""Smallest certainty of a fault that is listed."""
FILLED = ("dropout", "click")
"""Faults whose samples are lost; a skip lacks nobody knows how much."""


def defects(audio: np.ndarray, rate: int, confidence: float = CONFIDENCE) -> list[Defect]:
    """Every fault of a recording (channels, time) at ``rate`` Hz that is at least so certain, in order of time."""
    lost = dropouts(audio, rate)
    found = [*lost, *clicks(audio, rate, lost), *clipping(audio, rate), *dull(audio, rate)]
    return sorted((each for each in found if each.confidence >= confidence), key=lambda each: (each.start, each.stop))


def gaps(found: Sequence[Defect], rate: int) -> list[tuple[float, float]]:
    """Stretches in seconds to fill in: dropouts and clicks."""
    return [(a / rate, b / rate) for a, b in merge((each.start, each.stop) for each in found if each.kind in FILLED)]


def detect(path: Path, confidence: float = CONFIDENCE) -> dict[str, Any]:
    """Find the faults of a file, times in seconds, with remedies, as JSON values."""
    recording = files.read(path)
    rate = recording.sample_rate
    found = defects(recording.samples, rate, confidence)
    rows = [
        {
            "kind": each.kind,
            "start": each.start / rate,
            "end": each.stop / rate,
            "confidence": round(each.confidence, 3),
            "detail": each.detail,
            "value": each.value,
        }
        for each in found
    ]
    return {
        "path": str(path),
        "sample_rate": rate,
        "seconds": recording.seconds,
        "counts": dict(Counter(each.kind for each in found)),
        "defects": rows,
        "suggestions": suggestions(found, path),
    }


def suggestions(found: Sequence[Defect], path: Path) -> list[str]:
    """List remedies for faults, each a command or a sentence."""
    kinds = {each.kind: each for each in found}
    out = []
    if any(kind in kinds for kind in FILLED):
        out.append(f"diffmusic solve inpainting {path} --gap auto")
    if "skip" in kinds:
        out.append("skips: how much is missing, the file does not tell; give the stretch to fill in by --gap START:END")
    if "clipping" in kinds and kinds["clipping"].confidence > CONFIDENCE:
        out.append(f"diffmusic solve clipping {path} --level {kinds['clipping'].value:.4f}")
    if "dull" in kinds:
        edge = kinds["dull"].value or 0.0
        rate = f"{2 * edge / 1000:.1f} kHz"
        out.append(f"dull: bring it to {rate}, then diffmusic solve resampling, with a prior that knows more than that")
    return out


def label_track(document: Mapping[str, Any]) -> str:
    """Write the faults as an Audacity label track: start, end and label, separated by tabs."""
    return "".join(
        f"{each['start']:.6f}\t{each['end']:.6f}\t{each['kind']} {each['confidence']:.2f}\n"
        for each in document["defects"]
    )
