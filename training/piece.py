"""What a piece of music is here: voices of timed notes. Times are in beats (quarter notes)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

NOTE_NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
DRUMS = "drums"


class Note(NamedTuple):
    """One note: start and duration in beats, MIDI pitch (60 is middle C), MIDI velocity 1 to 127."""

    start: float
    duration: float
    pitch: int
    velocity: int


@dataclass(frozen=True)
class Voice:
    """Notes that one instrument plays. In the role `drums` a pitch is a General MIDI percussion key."""

    role: str
    notes: tuple[Note, ...]


@dataclass(frozen=True)
class Piece:
    """A piece: `identity` decides its split, `tonic` is a pitch class, `tempo` (beats a minute) may be open."""

    name: str
    source: str
    identity: str
    tonic: int
    mode: str
    voices: tuple[Voice, ...]
    tempo: float | None = None
    meter: int = 4

    @property
    def beats(self) -> float:
        """Where the last note ends, in beats."""
        return max(note.start + note.duration for voice in self.voices for note in voice.notes)


def split_of(identity: str) -> str:
    """The split of a piece, 92/4/4: a hash of its identity, so it stays when the corpus grows."""
    bucket = int(hashlib.sha256(identity.encode()).hexdigest(), 16) % 100
    return "test" if bucket < 4 else "validation" if bucket < 8 else "train"
