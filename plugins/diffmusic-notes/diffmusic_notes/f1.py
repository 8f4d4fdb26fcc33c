"""F1 of notes and of onsets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from diffmusic.errors import InputError
from diffmusic.parameters import Doc, Positive, Span
from diffmusic_notes.transcriber import Notes, load

RATE = 22050
TOLERANCE = Doc("greatest distance of two onsets that match, seconds")
GAP = Doc("where to count, instead of where the run or the benchmark says that the damage was")


@dataclass(frozen=True)
class NoteF1:
    """``(m + m') / (n + n')``, 0 to 1, higher is better: the F1 of the notes that begin in the damaged part.

    n, n': how many notes of reference and estimate have their onsets there; m, m': how many of them match one of the
    other's, which may lie just outside. Notes match, one to one, whose onsets differ by no more than the tolerance and
    whose pitches by less than half a semitone; where they end is not asked (mir_eval: "no offset"). Both recordings are
    heard whole, so that the sound around a gap tells what began before it. There is no value where neither has a note.
    Notes are those of basic-pitch: ``diffmusic_notes.decode``. Source of the measure: C. Raffel et al., "mir_eval",
    ISMIR 2014.
    """

    tolerance: Annotated[Positive, TOLERANCE] = 0.05
    gap: Annotated[Span | None, GAP] = None

    def __call__(
        self,
        reference: np.ndarray,
        estimate: np.ndarray,
        sample_rate: int,
        /,
        *,
        damage: Sequence[tuple[int, int]] | None = None,
    ) -> float:
        """Return the F1 for one pair.

        Args:
            reference: The truth, (channels, time), full scale 1.
            estimate: What is measured, of equal shape.
            sample_rate: In Hz.
            damage: The damaged stretches, ``(start, stop)`` in samples; None for the whole recording.

        Raises:
            InputError: If basic-pitch, onnxruntime or mir_eval is not installed, or ``gap`` lies outside.
        """
        truth, notes = (load().notes(x, sample_rate) for x in (reference, estimate))
        stretches = self._stretches(damage, reference.shape[-1] / sample_rate, sample_rate)
        counted = matched = 0
        for start, stop in stretches:
            near = [each.between(start - self.tolerance, stop + self.tolerance) for each in (truth, notes)]
            pairs = self._match(*near)
            for side, each in enumerate(near):
                onsets = each.intervals[:, 0]
                inside = (onsets >= start) & (onsets < stop)
                counted += int(inside.sum())
                matched += sum(bool(inside[pair[side]]) for pair in pairs)
        return matched / counted if counted else math.nan

    def _stretches(
        self, damage: Sequence[tuple[int, int]] | None, seconds: float, sample_rate: int
    ) -> list[tuple[float, float]]:
        """Where to count, in seconds."""
        if self.gap is not None:
            start, stop = self.gap
            if not 0 <= start < min(stop, seconds):
                raise InputError(f"gap {start:g}:{stop:g} is no part of a recording of {seconds:g} s")
            return [(start, stop)]
        if damage is None:
            return [(0.0, seconds)]
        return [(start / sample_rate, stop / sample_rate) for start, stop in damage]

    def _match(self, reference: Notes, estimate: Notes) -> list[tuple[int, int]]:
        """Pairs of the numbers of notes that match."""
        if not len(reference.pitches) or not len(estimate.pitches):
            return []
        notes = reference.intervals, reference.pitches, estimate.intervals, estimate.pitches
        found = _transcription().match_notes(*notes, onset_tolerance=self.tolerance, offset_ratio=None)
        return [(int(a), int(b)) for a, b in found]

    def probe(self) -> tuple[np.ndarray, list[np.ndarray], int]:
        """Return eight plucked notes, and estimates that lack none, some and all of the second half, for checks."""
        melody = (60, 64, 67, 72, 65, 69, 62, 71)
        notes = [_plucked(pitch, 0.4) for pitch in melody]
        rest = 0 * notes[0]
        estimates = ([*notes], [*notes[:6], rest, rest], [*notes[:4], *[rest] * 4])
        return np.concatenate(notes)[None], [np.concatenate(each)[None] for each in estimates], RATE

    def describe(self) -> dict[str, Any]:
        """Return name and hash of the model, its rate and its windows."""
        return load().describe()


@dataclass(frozen=True)
class OnsetF1(NoteF1):
    """``(m + m') / (n + n')``, 0 to 1, higher is better: as ``note_f1``, but notes match whose onsets do, whatever
    their pitches (mir_eval: "onset only")."""

    def _match(self, reference: Notes, estimate: Notes) -> list[tuple[int, int]]:
        if not len(reference.pitches) or not len(estimate.pitches):
            return []
        found = _transcription().match_note_onsets(
            reference.intervals, estimate.intervals, onset_tolerance=self.tolerance
        )
        return [(int(a), int(b)) for a, b in found]


def _plucked(pitch: int, seconds: float) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    frequency = 440 * 2 ** ((pitch - 69) / 12)
    partials = sum(np.sin(2 * np.pi * k * frequency * time) / k for k in range(1, 6))
    return np.asarray(0.2 * partials * np.exp(-4 * time) * np.minimum(1, (seconds - time) / 0.02))


def _transcription() -> Any:
    try:
        from mir_eval import transcription
    except ImportError as error:
        raise InputError(f"mir_eval cannot be imported ({error}): pip install mir_eval") from None
    return transcription
