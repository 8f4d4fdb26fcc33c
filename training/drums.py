"""Drum patterns and fills, as General MIDI percussion keys on a grid of sixteenths."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from training.piece import Note

KEYS = {
    "kick": 36, "stick": 37, "snare": 38, "clap": 39, "brush": 40, "closed": 42, "pedal": 44, "open": 46,
    "crash": 49, "ride": 51, "tambourine": 54, "cowbell": 56, "bongo": 60, "conga": 63, "cabasa": 69,
    "shaker": 82, "low tom": 45, "mid tom": 47, "high tom": 50,
}  # fmt: skip
# x a stroke, X an accent, o a soft stroke, . nothing; one character a sixteenth, so 16 or 12 make a bar.
FOUR = {
    "rock": {"kick": "X.....x.X.......", "snare": "....X.......X...", "closed": "x.o.x.o.x.o.x.o."},
    "four on the floor": {"kick": "X...X...X...X...", "clap": "....x.......x...", "open": "..x...x...x...x."},
    "sixteenths": {"kick": "X..x..x...x.....", "snare": "....X..o.o..X..o", "closed": "xoxoxoxoxoxoxoxo"},
    "ballad": {"kick": "x.........x.....", "stick": "........x.......", "closed": "o...o...o...o..."},
    "bossa": {"kick": "x..xx..xx..xx..x", "stick": "x..x..x...x..x..", "shaker": "xoxoxoxoxoxoxoxo"},
    "half time": {"kick": "X.....x.........", "snare": "........X.......", "ride": "x...o...x...o..."},
    "jazz": {"ride": "x...x..xx...x..x", "pedal": "....x.......x...", "kick": "o...o...o...o..."},
    "march": {"kick": "X...x...X...x...", "snare": "x.ooX.oox.ooXooo"},
    "latin": {"conga": "..x...xx..x...xx", "cowbell": "x...x...x...x...", "cabasa": "x.oox.oox.oox.oo"},
    "hand": {"bongo": "x..x..x.x..x..xo", "tambourine": "....x.......x..."},
}
THREE = {
    "waltz": {"kick": "X...........", "brush": "....x...x...", "closed": "o...x...x..."},
    "rock waltz": {"kick": "X.......x...", "snare": "....X.......", "ride": "x.o.x.o.x.o."},
    "soft waltz": {"stick": "....o...o...", "shaker": "x.o.x.o.x.o."},
}
LEVELS = {"o": 52, "x": 82, "X": 106}
FILLS = ("snare", "high tom", "mid tom", "low tom")


def pattern(meter: int, random: Random) -> dict[str, str]:
    """A pattern for a meter of 3 or 4 beats; now and then one of its instruments is left out."""
    lines = dict(random.choice(list((FOUR if meter == 4 else THREE).values())))
    if len(lines) > 2 and random.random() < 0.2:
        lines.pop(random.choice(list(lines)))
    return lines


def play(lines: dict[str, str], bars: int, meter: int, random: Random, loud: float = 1.0) -> Iterator[Note]:
    """A section of drums: a crash may open it, small changes happen on the way, a fill may close it."""
    if random.random() < 0.4:
        yield _stroke(0, "crash", 90 * loud, random)
    fill = random.choice((0, 2, 4, 4, 8))
    end = 4 * meter * bars
    for bar in range(bars):
        for name, line in lines.items():
            for step, mark in enumerate(line):
                at = 4 * meter * bar + step
                if mark != "." and at < end - fill and random.random() > 0.03:
                    yield _stroke(at, name, LEVELS[mark] * loud, random)
    for step in range(fill):
        if step % 2 == 0 or random.random() < 0.5:
            name = FILLS[step * len(FILLS) // fill]
            yield _stroke(end - fill + step, name, (80 + 4 * step) * loud, random)


def _stroke(sixteenth: int, name: str, level: float, random: Random) -> Note:
    velocity = round(level + random.uniform(-8, 8))
    return Note(sixteenth / 4, 0.25, KEYS[name], min(max(velocity, 1), 127))
