"""A small composer: key, progression, bass, chords, arpeggio, melody and drums in sections that come back.

Everything is a function of the seed. What it writes is ours and dedicated to the public domain (CC0).
"""

from __future__ import annotations

from random import Random

from training import drums
from training.harmony import Key, progression
from training.piece import Note, Piece, Voice
from training.players import PARTS, Habits, Section

MODES_DRAWN = ("major", "major", "minor", "minor", "dorian", "mixolydian")
FORMS = ("AABA", "ABAB", "ABAC", "AAAB", "ABCB", "ABCA", "AABB")
# Which parts play together; a piece has one band, and a section may rest some of it.
BANDS = (
    ("bass", "pad", "melody", "drums"), ("bass", "chords", "melody", "drums"),
    ("bass", "arpeggio", "melody", "drums"), ("bass", "pad", "arpeggio", "melody", "drums"),
    ("bass", "chords", "pad", "melody", "second", "drums"), ("bass", "chords", "drums"), ("bass", "drums"),
    ("pad", "melody"), ("pad", "arpeggio"), ("pad",), ("arpeggio",), ("bass", "pad", "melody", "second"),
    ("chords", "melody"), ("arpeggio", "melody"), ("bass", "chords", "melody"), ("melody",),
    ("bass", "arpeggio", "pad", "drums"),
)  # fmt: skip
# Rhythms as beats, one bar each; minus is a rest.
RHYTHMS = {
    4: (
        (1, 1, 1, 1), (2, 1, 1), (1.5, 0.5, 2), (1, 0.5, 0.5, 1, 1), (0.5,) * 8, (3, 1), (1.5, 1.5, 1),
        (-0.5, 0.5, 1, 2), (0.5, 1, 0.5, 1, 1), (0.25, 0.25, 0.5, 1, 0.5, 0.5, 1),
        (0.75, 0.25, 0.75, 0.25, 1, 1), (4,), (-1, 1, 1, 1),
    ),
    3: ((1, 1, 1), (2, 1), (1.5, 0.5, 1), (0.5,) * 6, (1, 0.5, 0.5, 1), (3,), (-1, 1, 1), (0.5, 0.5, 1, 1)),
}  # fmt: skip
STROKES = {
    4: ((0, 1, 2, 3), (0.5, 1.5, 2.5, 3.5), (0, 1.5, 3), (0, 1.5, 2.5), (1, 3), (0, 0.5, 1.5, 2, 3), (0, 2)),
    3: ((0, 1, 2), (1, 2), (0, 1.5), (0, 1, 1.5, 2)),
}
BASSES = {
    4: ("0", "0.4.", "0000", "00000000", "0.04", "0.7.", "0.0.4.7.", "0247", "0...4..7"),
    3: ("0", "0.4", "000", "047", "0..4.."),
}  # in thirds and fifths of the chord: scale steps above its root, spread evenly over the bar
ARPEGGIOS = ((0, 1, 2, 3), (3, 2, 1, 0), (0, 2, 1, 2), (0, 1, 2, 3, 2, 1), (0, 2, 3, 1), (0, 3))


def compose(seed: int) -> Piece:
    """A piece of a minute or so: 16 or 32 bars in four sections."""
    random = Random(f"compose {seed}")
    meter = random.choice((4, 4, 4, 3))
    tempo = round(random.triangular(60, 160, 100), 1)
    key = Key(random.randrange(12), random.choice(MODES_DRAWN))
    bars = 8 if tempo * 4 / meter > 90 or random.random() < 0.3 else 4
    size = random.choice((3, 3, 3, 4))
    habits = Habits(
        bass=random.choice(BASSES[meter]),
        strokes=random.choice(STROKES[meter]),
        arpeggio=random.choice(ARPEGGIOS),
        grid=random.choice((0.25, 0.5, 0.5, 1 / 3)),
        short=random.choice((0.4, 0.8, 0.95, 1.0)),
        register=random.choice((0, 3, 7, 7, 10)),
        drums=drums.pattern(meter, random),
    )
    band = random.choice(BANDS)
    letters = {letter: _section(key, meter, bars, size, random) for letter in "ABC"}
    notes: dict[str, list[Note]] = {part: [] for part in band}
    form = random.choice(FORMS)
    for index, letter in enumerate(form):
        section, start = letters[letter], index * bars * meter
        for part in band:
            if len(band) > 2 and random.random() < (0.35 if index == 0 else 0.12) and part != band[0]:
                continue
            loud = random.uniform(0.8, 1.1)
            for note in PARTS[part](section, habits, Random(f"{seed} {letter} {part}")):
                velocity = min(max(round(note.velocity * loud), 1), 127)
                notes[part].append(note._replace(start=note.start + start, velocity=velocity))
    if random.random() < 0.2:
        notes = {part: [_swing(note) for note in played] for part, played in notes.items()}
    voices = tuple(Voice(part, tuple(sorted(played))) for part, played in notes.items() if played)
    return Piece(f"composed-{seed}", f"composed:{seed}", str(seed), key.tonic, key.mode, voices, tempo, meter)


def _section(key: Key, meter: int, bars: int, size: int, random: Random) -> Section:
    motif: list[tuple[tuple[float, ...], list[int]]] = []
    for _ in range(2):
        rhythm = random.choice(RHYTHMS[meter])
        motif.append((rhythm, [random.choice((-2, -1, -1, 0, 1, 1, 2, 3, -3)) for _ in rhythm]))
    return Section(key, meter, progression(key, bars, random), size, motif)


def _swing(note: Note) -> Note:
    return note._replace(start=note.start + 1 / 6) if abs(note.start % 1 - 0.5) < 1e-6 else note
