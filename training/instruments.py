"""General MIDI programs: names, registers, and which of them suit a voice."""

from __future__ import annotations

from random import Random
from statistics import median

from training.piece import DRUMS, Voice

_NAMES = (
    "Acoustic Grand Piano,Bright Acoustic Piano,Electric Grand Piano,Honky-tonk Piano,Electric Piano 1,"
    "Electric Piano 2,Harpsichord,Clavinet,Celesta,Glockenspiel,Music Box,Vibraphone,Marimba,Xylophone,"
    "Tubular Bells,Dulcimer,Drawbar Organ,Percussive Organ,Rock Organ,Church Organ,Reed Organ,Accordion,"
    "Harmonica,Bandoneon,Nylon Guitar,Steel Guitar,Jazz Guitar,Clean Guitar,Muted Guitar,"
    "Overdriven Guitar,Distortion Guitar,Guitar Harmonics,Acoustic Bass,Fingered Bass,Picked Bass,"
    "Fretless Bass,Slap Bass 1,Slap Bass 2,Synth Bass 1,Synth Bass 2,Violin,Viola,Cello,Contrabass,"
    "Tremolo Strings,Pizzicato Strings,Harp,Timpani,String Ensemble 1,String Ensemble 2,Synth Strings 1,"
    "Synth Strings 2,Choir Aahs,Voice Oohs,Synth Voice,Orchestra Hit,Trumpet,Trombone,Tuba,Muted Trumpet,"
    "French Horn,Brass Section,Synth Brass 1,Synth Brass 2,Soprano Sax,Alto Sax,Tenor Sax,Baritone Sax,"
    "Oboe,English Horn,Bassoon,Clarinet,Piccolo,Flute,Recorder,Pan Flute,Blown Bottle,Shakuhachi,Whistle,"
    "Ocarina,Square Lead,Sawtooth Lead,Calliope Lead,Chiff Lead,Charang Lead,Voice Lead,Fifths Lead,"
    "Bass and Lead,New Age Pad,Warm Pad,Polysynth Pad,Choir Pad,Bowed Pad,Metallic Pad,Halo Pad,"
    "Sweep Pad,Rain,Soundtrack,Crystal,Atmosphere,Brightness,Goblins,Echoes,Sci-fi,Sitar,Banjo,Shamisen,"
    "Koto,Kalimba,Bagpipe,Fiddle,Shanai,Tinkle Bell,Agogo,Steel Drums,Woodblock,Taiko Drum,Melodic Tom,"
    "Synth Drum,Reverse Cymbal,Guitar Fret Noise,Breath Noise,Seashore,Bird Tweet,Telephone Ring,"
    "Helicopter,Applause,Gunshot"
)
NAMES = _NAMES.split(",")
# Drum kits of FluidR3 on channel 10, the standard kit first.
KITS = {
    0: "Standard Kit",
    8: "Room Kit",
    16: "Power Kit",
    24: "Electronic Kit",
    25: "TR-808 Kit",
    32: "Jazz Kit",
    40: "Brush Kit",
}

# Lowest and highest MIDI pitch that sounds natural, by family of eight programs ...
FAMILY_RANGE = (
    (28, 100), (55, 96), (36, 96), (40, 84), (24, 55), (36, 96), (36, 84), (40, 84),
    (55, 89), (58, 96), (36, 96), (36, 91), (36, 91), (48, 84), (48, 84), (36, 84),
)  # fmt: skip
# ... and by program where the family's range does not fit.
RANGE = {
    12: (45, 96), 14: (60, 79), 15: (48, 84), 40: (55, 98), 41: (48, 86), 42: (36, 76), 43: (28, 60),
    46: (28, 100), 47: (36, 57), 55: (40, 76), 57: (40, 72), 58: (28, 58), 60: (40, 77), 66: (44, 76),
    67: (36, 69), 69: (52, 81), 70: (34, 72), 72: (70, 103), 77: (55, 84), 87: (28, 76), 88: (36, 91),
    105: (48, 86), 109: (48, 77), 110: (55, 96),
}  # fmt: skip

SUSTAINED = (*range(16, 24), 40, 41, 42, 44, *range(48, 55), *range(60, 64), *range(88, 104))
PLUCKED = (*range(16), *range(24, 32), 45, 46, 47, *range(104, 109), *range(112, 119), 96, 98, 99)
SINGING = (*range(16, 32), 40, 41, 42, 48, 52, 53, *range(56, 88), 104, 109, 110, 111, 0, 4, 5, 11, 12, 114)
LOW = (*range(32, 40), 42, 43, 58, 70, 87, 0, 16, 19, 57, 67)
NOISES = tuple(range(119, 127))
SUITABLE = {
    "bass": LOW,
    "pad": SUSTAINED,
    "second": SUSTAINED,
    "melody": SINGING,
    "chords": (*PLUCKED, *range(16, 22)),
    "arpeggio": (*PLUCKED, 80, 81, 88, 90),
    "score": tuple(range(119)),
}
# One program may play a whole score, if it has the compass of a keyboard, a choir or a string orchestra.
WHOLE_BAND = (0, 1, 2, 4, 5, 6, 16, 19, 20, 21, 46, 48, 49, 50, 52, 53, 44, 45, 61, 89, 90, 91)


def fit(program: int, voice: Voice) -> float:
    """How much of a voice lies in the program's register, 0 to 1."""
    low, high = RANGE.get(program, FAMILY_RANGE[program // 8])
    return sum(low <= note.pitch <= high for note in voice.notes) / len(voice.notes)


def choose(voices: tuple[Voice, ...], random: Random) -> list[int]:
    """One program a voice: alike for all, of one family, or freely mixed, always in the voice's register."""
    pitched = [voice for voice in voices if voice.role != DRUMS]
    whole = [p for p in WHOLE_BAND if all(fit(p, voice) > 0.9 for voice in pitched)]
    scored = any(voice.role == "score" for voice in pitched)
    draw = random.random()
    if scored and whole and draw < 0.3:
        same = random.choice(whole)
        return [0 if voice.role == DRUMS else same for voice in voices]
    family = random.choice((0, 2, 3, 5, 6, 7, 8, 9, 11)) if scored and draw < 0.6 else None
    return [_kit(random) if voice.role == DRUMS else _choose_one(voice, family, random) for voice in voices]


def _kit(random: Random) -> int:
    return random.choice(tuple(KITS))


def _choose_one(voice: Voice, family: int | None, random: Random) -> int:
    if voice.role == "pad" and random.random() < 0.06:
        return random.choice(NOISES)
    fitting = [p for p in SUITABLE[voice.role] if fit(p, voice) > 0.9]
    of_family = [p for p in fitting if p // 8 == family]
    if of_family:
        return random.choice(of_family)
    if fitting and voice.role == "bass":
        return random.choice(fitting)
    if fitting:
        # A family first, then a program of it: else pads and synthesizers would drown the guitars.
        chosen = random.choice(sorted({p // 8 for p in fitting}))
        return random.choice([p for p in fitting if p // 8 == chosen])
    return 0 if median(note.pitch for note in voice.notes) > 40 else 32


def label(program: int, role: str) -> str:
    """The program's General MIDI name, or the kit's."""
    return KITS[program] if role == DRUMS else NAMES[program]
