"""From a model's likelihoods to notes."""

from __future__ import annotations

import numpy as np
from scipy.signal import argrelmax

ONSET, SOUNDING = 0.5, 0.3
"""Likelihoods from which on a peak is an onset and a semitone sounds."""
PAUSE, SHORTEST = 11, 11
"""Frames (128 ms) of silence that end a note, and that a note has to be longer than."""

Note = tuple[int, int, int]
"""First frame, the one after the last, and the semitone."""


def decode(onsets: np.ndarray, active: np.ndarray) -> list[Note]:
    """Find notes in likelihoods of onsets and of sounding semitones, (frames, semitones) each.

    Peaks of ``onsets``, the last first, begin notes, which last until their semitone has been silent for 11 frames;
    what they cover is taken away, with a semitone on either side. What then still sounds, the likeliest first, is
    followed both ways and makes the other notes. Notes of 11 frames or less are left out. The package also takes steep
    rises of ``active`` for onsets, on a scale that depends on the whole recording; here, where a gap is judged by
    itself, nothing outside it may move a threshold. Source: the post-processing of R. Bittner et al., arXiv:2203.09893,
    with the thresholds of the package basic-pitch.
    """
    left = active.copy()
    notes = []
    frames, semitones = argrelmax(onsets, axis=0)
    for start, semitone in sorted(zip(frames.tolist(), semitones.tolist(), strict=True), reverse=True):
        if onsets[start, semitone] >= ONSET:
            stop = start + 1 + _reach(left[start + 1 :, semitone])
            if stop - start > SHORTEST:
                notes.append((start, stop, semitone))
                _take(left, notes[-1])
    while left.size and left.max() > SOUNDING:
        at, semitone = divmod(int(left.argmax()), left.shape[1])
        stop = at + 1 + _reach(left[at + 1 :, semitone])
        start = at - _reach(left[:at, semitone][::-1])
        _take(left, (start, stop, semitone))
        if stop - start > SHORTEST:
            notes.append((start, stop, semitone))
    return notes


def _take(left: np.ndarray, note: Note) -> None:
    start, stop, semitone = note
    left[start:stop, max(0, semitone - 1) : semitone + 2] = 0


def _reach(likelihoods: np.ndarray) -> int:
    """How many frames on a note lasts, up to the pause that ends it."""
    silent = 0
    for frame, value in enumerate(likelihoods.tolist()):
        silent = silent + 1 if value < SOUNDING else 0
        if silent == PAUSE:
            return frame + 1 - silent
    return len(likelihoods) - silent
