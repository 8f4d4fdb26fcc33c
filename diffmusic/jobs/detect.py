"""Faults of a recording, with a remedy for each, and the gaps that dropouts and clicks leave."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from diffmusic.audio import files
from diffmusic.audio.clicks import Bursts
from diffmusic.audio.defects import Defect, Loudness, Runs, clipping
from diffmusic.audio.signal import Signal
from diffmusic.audio.windows import merge

CONFIDENCE = 0.5
"""Smallest certainty of a fault that is listed."""
FILLED = ("dropout", "click")
"""Faults whose samples are lost; a skip lacks nobody knows how much."""


class Scan:
    """What all samples of a recording say about its faults: they are looked at in one pass, and its places after."""

    def __init__(self, rate: int, blocks: Iterable[np.ndarray]) -> None:
        self._rate = rate
        self._runs, self._bursts, self._loudness = Runs(rate), Bursts(rate), Loudness()
        for block in blocks:
            for each in (self._runs, self._bursts, self._loudness):
                each.add(block)

    def points(self, signal: Signal) -> list[Defect]:
        """Dropouts, clicks and skips; signal: the recording whose blocks these were."""
        lost = self._runs.dropouts(signal)
        return [*lost, *self._bursts.clicks(signal, lost)]

    def defects(self, signal: Signal, confidence: float = CONFIDENCE) -> list[Defect]:
        """Every fault of that recording that is at least so certain, in order of time."""
        rate = self._rate
        found = [
            *self.points(signal),
            *clipping(signal, rate, self._runs.peaks),
            *self._loudness.dull(signal, rate),
        ]
        certain = (each for each in found if each.confidence >= confidence)
        return sorted(certain, key=lambda each: (each.start, each.stop))


def defects(signal: Signal, rate: int, confidence: float = CONFIDENCE) -> list[Defect]:
    """Every fault of a recording at ``rate`` Hz that is at least so certain, in order of time."""
    return Scan(rate, signal.blocks()).defects(signal, confidence)


def gaps(found: Sequence[Defect], rate: int) -> list[tuple[float, float]]:
    """Stretches in seconds to fill in: dropouts and clicks."""
    return [(a / rate, b / rate) for a, b in merge((each.start, each.stop) for each in found if each.kind in FILLED)]


def detect(path: Path, confidence: float = CONFIDENCE) -> dict[str, Any]:
    """Find the faults of a file, times in seconds, with remedies, as JSON values."""
    like, signal, scan = files.scanned(path, partial(_scanned, path))
    rate = like.sample_rate
    found = scan.defects(signal, confidence)
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
        "seconds": signal.samples / rate,
        "counts": dict(Counter(each.kind for each in found)),
        "defects": rows,
        "suggestions": suggestions(found, path),
    }


def _scanned(path: Path, rate: int, blocks: Iterator[np.ndarray]) -> Scan:
    return Scan(rate, files.finite(path, rate, blocks))


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
