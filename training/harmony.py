"""Keys, chord progressions and voice leading of the composer."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from random import Random

MODES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
}
# Degrees count from 0: 0 is the tonic, 4 the dominant. Each loop is four chords.
LOOPS = {
    "major": (
        (0, 4, 5, 3), (0, 5, 3, 4), (5, 3, 0, 4), (0, 3, 0, 4), (1, 4, 0, 5), (0, 2, 3, 4), (3, 4, 2, 5),
    ),
    "minor": (
        (0, 5, 2, 6), (0, 3, 4, 0), (0, 6, 5, 4), (0, 5, 3, 4), (5, 6, 0, 0), (0, 3, 6, 2), (3, 0, 4, 0),
    ),
    "dorian": ((0, 3, 0, 3), (0, 6, 3, 0), (0, 2, 3, 6), (0, 1, 3, 0)),
    "mixolydian": ((0, 6, 3, 0), (0, 3, 6, 3), (0, 4, 6, 3), (0, 0, 6, 6)),
}  # fmt: skip
# Where a chord likes to go: tonic anywhere, pre-dominants to dominants, dominants home.
NEXT = {
    0: (1, 2, 3, 4, 5),
    1: (4, 4, 6, 3),
    2: (5, 3, 1),
    3: (4, 4, 1, 0),
    4: (0, 0, 5, 3),
    5: (3, 1, 2, 4),
    6: (0, 2),
}


@dataclass(frozen=True)
class Key:
    """A tonic pitch class and a mode."""

    tonic: int
    mode: str

    def pitch(self, step: int) -> int:
        """MIDI pitch of a scale step; step 0 is the tonic in the octave of middle C."""
        octave, degree = divmod(step, 7)
        return 60 + self.tonic + 12 * octave + MODES[self.mode][degree]

    def chord(self, degree: int, size: int = 3) -> tuple[int, ...]:
        """Pitch classes of the chord on a degree, root first: stacked thirds, `size` of them.

        The dominant in minor gets its leading tone.
        """
        pitches = [self.pitch(degree + 2 * third) for third in range(size)]
        if self.mode == "minor" and degree == 4:
            pitches[1] += 1
        return tuple(pitch % 12 for pitch in pitches)


def progression(key: Key, bars: int, random: Random) -> list[int]:
    """One chord degree a bar: a loop of four, or a walk that ends on dominant or tonic."""
    if random.random() < 0.6:
        loop = random.choice(LOOPS[key.mode])
        return [loop[bar % 4] for bar in range(bars)]
    degrees = [0]
    while len(degrees) < bars - 1:
        degrees.append(random.choice(NEXT[degrees[-1]]))
    return [*degrees, random.choice((4, 4, 0))]


def lead(chord: tuple[int, ...], previous: tuple[int, ...], low: int = 50, high: int = 76) -> tuple[int, ...]:
    """The voicing of a chord between two pitches that moves least from the previous one, low to high."""
    octaves = [[pitch for pitch in range(low, high + 1) if pitch % 12 == pc] for pc in chord]
    target = previous or tuple(range(57, 57 + 5 * len(chord), 5))

    def cost(voicing: tuple[int, ...]) -> float:
        moved = sum(abs(a - b) for a, b in zip(voicing, target, strict=False))
        crowded = sum(b - a < 3 for a, b in itertools.pairwise(voicing))
        return moved + 2 * crowded

    return min((tuple(sorted(voicing)) for voicing in itertools.product(*octaves)), key=cost)


def nearest(chord: tuple[int, ...], pitch: int) -> int:
    """The chord tone nearest to a pitch, the lower one of two."""
    return min(range(pitch - 6, pitch + 7), key=lambda p: (p % 12 not in chord, abs(p - pitch), p))
