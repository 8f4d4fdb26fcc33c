"""The players of the composer: each turns a section's chords into the notes of one part."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from training import drums
from training.harmony import Key, lead, nearest
from training.piece import DRUMS, Note


@dataclass(frozen=True)
class Section:
    """Chords and motif of one letter of the form; `degrees` has one a bar."""

    key: Key
    meter: int
    degrees: list[int]
    size: int
    motif: list[tuple[tuple[float, ...], list[int]]]

    def chord(self, bar: int) -> tuple[int, ...]:
        """Pitch classes of a bar's chord, root first."""
        return self.key.chord(self.degrees[bar], self.size)


@dataclass(frozen=True)
class Habits:
    """What a piece keeps from section to section."""

    bass: str
    strokes: tuple[float, ...]
    arpeggio: tuple[int, ...]
    grid: float
    short: float
    register: int
    drums: dict[str, str]


def _bass(section: Section, habits: Habits, random: Random) -> Iterator[Note]:
    step = section.meter / len(habits.bass)
    for bar in range(len(section.degrees)):
        tones = section.chord(bar)
        root = 28 + (tones[0] - 28) % 12
        for index, mark in enumerate(habits.bass):
            if mark == ".":
                continue
            held = 1 + (len(habits.bass[index + 1 :]) - len(habits.bass[index + 1 :].lstrip(".")))
            pitch = {"0": root, "2": root + (tones[1] - tones[0]) % 12, "4": root + 7, "7": root + 12}[mark]
            velocity = (96 if index == 0 else 84) + random.randint(-6, 6)
            yield Note(bar * section.meter + index * step, held * step * 0.95, pitch, velocity)


def _pad(section: Section, habits: Habits, random: Random) -> Iterator[Note]:
    voicing: tuple[int, ...] = ()
    for bar in range(len(section.degrees)):
        voicing = lead(section.chord(bar), voicing)
        for pitch in voicing:
            yield Note(bar * section.meter, section.meter, pitch, 68 + random.randint(-4, 4))


def _chords(section: Section, habits: Habits, random: Random) -> Iterator[Note]:
    voicing: tuple[int, ...] = ()
    for bar in range(len(section.degrees)):
        voicing = lead(section.chord(bar), voicing)
        for at, until in zip(habits.strokes, (*habits.strokes[1:], section.meter), strict=True):
            for pitch in voicing:
                velocity = 74 + random.randint(-8, 8)
                yield Note(bar * section.meter + at, (until - at) * habits.short, pitch, velocity)


def _arpeggio(section: Section, habits: Habits, random: Random) -> Iterator[Note]:
    voicing: tuple[int, ...] = ()
    steps = round(section.meter / habits.grid)
    for bar in range(len(section.degrees)):
        voicing = lead(section.chord(bar), voicing)
        ladder = (*voicing, voicing[0] + 12)
        for step in range(steps):
            pitch = ladder[habits.arpeggio[step % len(habits.arpeggio)]]
            accent = 10 if step == 0 else 0
            start = bar * section.meter + step * habits.grid
            yield Note(start, habits.grid * 1.5, pitch, 72 + accent + random.randint(-7, 7))


def _melody(section: Section, habits: Habits, random: Random) -> Iterator[Note]:
    """Two bars of motif, repeated, shifted or inverted; tones on the beat belong to the chord."""
    at, turn = habits.register, 1
    for bar in range(len(section.degrees)):
        if bar % 2 == 0:
            turn = random.choice((1, 1, 1, -1))
            at = habits.register + random.choice((0, 0, 0, 1, -1, 2))
        rhythm, steps = section.motif[bar % 2]
        if bar == len(section.degrees) - 1:
            rhythm, steps = (float(section.meter - 1), -1.0), [0, 0]
        beat = 0.0
        for length, step in zip(rhythm, steps, strict=True):
            if length > 0:
                at = min(max(at + turn * step, habits.register - 5), habits.register + 8)
                pitch = section.key.pitch(at)
                if beat % 1 == 0:
                    pitch = nearest(section.chord(bar), pitch)
                velocity = (98 if beat == 0 else 90) + random.randint(-8, 8)
                yield Note(bar * section.meter + beat, length * 0.95, pitch, velocity)
            beat += abs(length)


def _second(section: Section, habits: Habits, random: Random) -> Iterator[Note]:
    """Long chord tones below the melody, one or two a bar."""
    pitch = section.key.pitch(habits.register - 3)
    for bar in range(len(section.degrees)):
        halves = random.choice((1, 2)) if section.meter == 4 else 1
        for half in range(halves):
            pitch = nearest(section.chord(bar), pitch + random.choice((-3, -2, 2, 3)))
            pitch -= 12 * (pitch > 81) - 12 * (pitch < 55)
            length = section.meter / halves
            yield Note(bar * section.meter + half * length, length * 0.95, pitch, 70 + random.randint(-6, 6))


def _drums(section: Section, habits: Habits, random: Random) -> Iterator[Note]:
    return drums.play(habits.drums, len(section.degrees), section.meter, random)


PARTS: dict[str, Callable[[Section, Habits, Random], Iterator[Note]]] = {
    "bass": _bass,
    "pad": _pad,
    "chords": _chords,
    "arpeggio": _arpeggio,
    "melody": _melody,
    "second": _second,
    DRUMS: _drums,
}
