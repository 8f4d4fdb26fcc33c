"""Listening page of a sweep: the recording, its round trip, and the edit at every strength."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diffmusic.audio.signal import Signal
from diffmusic.reports.listening_page import LONGEST, Track, page
from diffmusic.reports.spectrograms import spectrograms
from diffmusic.tasks.edit_result import EditedSignals
from diffmusic.tasks.settings import several


def sweep_page(name: str, signal: Signal, result: EditedSignals, document: Mapping[str, Any]) -> bytes:
    """Render the page.

    Args:
        name: Of the recording.
        signal: The recording.
        result: The edits, in the order target, strength, sample.
        document: The run record.
    """
    job, rate = document["job"], result.sample_rate
    start = round(result.stretch[0] * rate)
    count = min(round(result.stretch[1] * rate) - start, round(LONGEST * rate))
    shown = [("the recording", signal)]
    if result.round_trip is not None:
        shown.append(("its round trip", result.round_trip))
    targets, samples = several(job["targets"]) or (job["source"],), job["samples"]
    titles = [
        ", ".join(
            part
            for part in (
                repr(target) if len(targets) > 1 else "",
                grade["name"],
                f"sample {sample + 1}" if samples > 1 else "",
            )
            if part
        )
        for target in targets
        for grade in document["sweep"]
        for sample in range(samples)
    ]
    shown += zip(titles, result.draws, strict=True)
    tracks = [Track(title, each.read(start, count), rate) for title, each in shown]
    wanted = " or ".join(repr(target) for target in targets)
    what = f"From {job['source']!r} to {wanted}" if any(targets) else "Along directions of the recording"
    part = f"{start / rate:.1f} to {(start + count) / rate:.1f} s of it are here. " if count < signal.samples else ""
    text = (
        f"{what}, by {job['solver']} with {job['model']}, {job['steps']} steps, seed {job['seed']}. {part}The round "
        "trip is what the model's encoder and decoder alone make of the recording: no edit is nearer to it than that."
    )
    return page(name, text, tracks, spectrograms([(track.title, track.audio) for track in tracks], rate))
