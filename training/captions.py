"""Captions of corpus clips, made of what the manifest says of them: every word of one is true of its clip."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from training.piece import DRUMS

# What a General MIDI program is called, in program order: its own name first, then wider ones.
_WORDS = (
    "grand piano|piano|acoustic piano,bright piano|piano,electric grand piano|piano,honky-tonk piano|piano,"
    "electric piano,electric piano,harpsichord,clavinet,celesta,glockenspiel,music box,vibraphone|vibes,marimba,"
    "xylophone,tubular bells|bells,dulcimer,drawbar organ|organ,percussive organ|organ,rock organ|organ,"
    "church organ|pipe organ|organ,reed organ|organ|harmonium,accordion,harmonica,bandoneon,"
    "nylon guitar|acoustic guitar|classical guitar|guitar,steel guitar|acoustic guitar|guitar,"
    "jazz guitar|electric guitar|guitar,clean electric guitar|electric guitar|guitar,"
    "muted guitar|electric guitar|guitar,"
    "overdriven guitar|electric guitar|guitar,distorted guitar|electric guitar|guitar,guitar harmonics|guitar,"
    "acoustic bass|double bass|bass,electric bass|bass,picked bass|electric bass|bass,fretless bass|bass,"
    "slap bass|bass,slap bass|bass,synth bass|bass,synth bass|bass,violin,viola,cello,contrabass|double bass,"
    "tremolo strings|strings,pizzicato strings|plucked strings|strings,harp,timpani,string ensemble|strings|"
    "string section,string ensemble|strings|string orchestra,synth strings|strings,synth strings|strings,"
    "choir|voices,choir|voices,synth voice|synth choir,orchestra hits,trumpet,trombone,tuba,muted trumpet|trumpet,"
    "french horn|horn,brass section|brass,synth brass|brass,synth brass|brass,soprano saxophone|saxophone,"
    "alto saxophone|saxophone,tenor saxophone|saxophone,baritone saxophone|saxophone,oboe,english horn,bassoon,"
    "clarinet,piccolo,flute,recorder,pan flute|flute,blown bottle,shakuhachi|bamboo flute,whistle,ocarina,"
    "square wave synth|synth lead|synthesizer,sawtooth synth|synth lead|synthesizer,calliope|synth lead|synthesizer,"
    "chiff lead|synth lead|synthesizer,charang lead|synth lead|synthesizer,voice lead|synth lead|synthesizer,"
    "fifths lead|synth lead|synthesizer,bass lead|synth lead|synthesizer,new age pad|synth pad|synthesizer,"
    "warm pad|synth pad|synthesizer,polysynth pad|synth pad|synthesizer,choir pad|synth pad|synthesizer,"
    "bowed pad|synth pad|synthesizer,metallic pad|synth pad|synthesizer,halo pad|synth pad|synthesizer,"
    "sweep pad|synth pad|synthesizer,rain synth|synthesizer,soundtrack synth|synthesizer,crystal synth|synthesizer,"
    "atmosphere synth|synthesizer,brightness synth|synthesizer,goblin synth|synthesizer,echo synth|synthesizer,"
    "sci-fi synth|synthesizer,sitar,banjo,shamisen,koto,kalimba|thumb piano,bagpipes,fiddle,shanai,small bells|bells,"
    "agogo,steel drums|steel pan,woodblock,taiko drum,melodic tom,synth drum,reversed cymbal,guitar fret noise,"
    "breath noise,sea waves,birdsong,telephone ring,helicopter,applause,gunshots"
)
WORDS = tuple(tuple(names.split("|")) for names in _WORDS.split(","))
# What two or more programs of a kind are called together.
GROUPS = {
    "keyboards": (*range(8), *range(16, 21)), "guitars": range(24, 32), "strings": range(40, 52),
    "brass": range(56, 64), "woodwinds": range(64, 76), "synthesizers": (50, 51, 54, 62, 63, *range(80, 104)),
}  # fmt: skip
PERCUSSION = (47, *range(112, 120))
ROLES = ("melody", "score", "second", "chords", "arpeggio", "pad", "bass")

# The borders leave gaps: where it is neither one nor the other, nothing is said.
TEMPI = {"slow": (0, 88), "moderate": (92, 114), "fast": (118, 1000)}  # beats a minute
DENSITIES = {"sparse": (0, 4), "busy": (9, 1000)}  # notes a second
SYNONYMS = {
    "slow": ("slow", "slow", "calm"), "moderate": ("moderate", "medium tempo", "mid-tempo"),
    "fast": ("fast", "fast", "quick"), "sparse": ("sparse", "sparse", "thin"),
    "busy": ("busy", "dense", "lively"), "major": ("happy", "bright", "cheerful", "joyful"),
    "minor": ("sad", "dark", "melancholic", "sorrowful"), "dorian": ("folk-like", "modal"),
    "mixolydian": ("folk-like", "modal"),
}  # fmt: skip
MASS = ("brass", "applause", "birdsong", "woodwinds", "synth brass", "guitar fret noise", "breath noise", "timpani")


def captions(row: dict[str, Any], count: int) -> list[str]:
    """The first captions of a clip, a manifest row; always the same ones. A third of them only name instruments."""
    random = Random(f"captions {row['clip']}")
    return [_caption(row, random) for _ in range(count)]


def within(value: float, ranges: Mapping[str, tuple[float, float]]) -> list[str]:
    """The name of the range that the value is in, if any."""
    return [name for name, (low, high) in ranges.items() if low <= value <= high]


def instruments(row: dict[str, Any], random: Random) -> list[str]:
    """Some of the pitched instruments in words, the leading ones first."""
    pitched = [entry for entry in row["programs"] if entry["role"] != DRUMS]
    pitched.sort(key=lambda entry: ROLES.index(entry["role"]))
    programs = [entry["program"] for entry in pitched]
    count = random.choice((1, 2, 2, 3, 3, 4))
    words = []
    groups = [name for name, members in GROUPS.items() if sum(p in members for p in programs) > 1]
    if groups and random.random() < 0.3:
        name = random.choice(groups)
        words.append(name)
        programs = [p for p in programs if p not in GROUPS[name]]
    # Mostly the leading ones; now and then an inner voice instead.
    if len(programs) > count and random.random() < 0.4:
        programs = [programs[k] for k in sorted(random.sample(range(len(programs)), count))]
    for program in programs[: max(0, count - len(words))]:
        names = WORDS[program]
        words.append(names[0] if random.random() < 0.5 else random.choice(names))
    return list(dict.fromkeys(words))


def article(word: str) -> str:
    """The word with its indefinite article, if it takes one."""
    if word in MASS or (word.endswith("s") and not word.endswith("ss")):
        return word
    return f"{'an' if word[0] in 'aeio' else 'a'} {word}"


def listing(words: Sequence[str]) -> str:
    return " and ".join((", ".join(words[:-1]), words[-1])) if len(words) > 1 else words[0]


def _caption(row: dict[str, Any], random: Random) -> str:
    words = instruments(row, random)
    text = _bare(row, words, random) if words and random.random() < 0.36 else _full(row, words, random)
    return f"{text[0].upper()}{text[1:]}." if random.random() < 0.15 else text


def _bare(row: dict[str, Any], words: list[str], random: Random) -> str:
    named = [article(word) for word in words] if random.random() < 0.5 else words
    forms = ["{}", "{}", "{}", "music with {}", "the sound of {}", "music for {}"]
    if len(row["programs"]) == 1 and not row["drums"]:
        forms += ["solo {0}", "solo {0}", "only {}"]
        named = named if len(words) > 1 else words
    if row["drums"]:
        forms += ["{} with drums", "{} and drums"] if len(words) == 1 else ["{} with drums"]
    return random.choice(forms).format(listing(named))


def _full(row: dict[str, Any], words: list[str], random: Random) -> str:
    """A sentence or a list of tags of some of the attributes."""
    mood, density = [row["mode"]], within(row["density"], DENSITIES)
    adjectives = [random.choice(SYNONYMS[word]) for word in (*density, *within(row["tempo"], TEMPI), *mood)]
    adjectives = [word for word in adjectives if random.random() < (0.55 if words else 0.8)]
    random.shuffle(adjectives)
    extras = [word for word in _extras(row, random) if random.random() < 0.3]
    if row["drums"] and random.random() < 0.5:
        extras.insert(0, random.choice(("with drums", "with a drum kit", "with a drum beat")))
    elif not row["drums"] and not _percussive(row) and random.random() < 0.2:
        extras.insert(0, random.choice(("without drums", "no drums")))
    if words and random.random() < 0.05 and (adjectives or extras):
        words = []
    tags = [*adjectives, *extras]
    if words and (random.random() < 0.3 or not tags):
        return ", ".join([*words, *tags] if random.random() < 0.6 else [*tags, *words])
    noun = random.choice(("piece", "tune", "music", "piece of music"))
    phrase = " ".join((", ".join(adjectives), noun)) if adjectives else noun
    phrase = phrase if noun == "music" else article(phrase)
    if words:
        named = listing([article(word) for word in words] if random.random() < 0.6 else words)
        form = random.choice(("{phrase} with {named}", "{phrase} played by {named}", "{named} playing {phrase}",
                              "{phrase} for {named}", "{phrase} featuring {named}"))  # fmt: skip
        phrase = form.format(phrase=phrase, named=named)
    return ", ".join((phrase, *extras))


def _extras(row: dict[str, Any], random: Random) -> list[str]:
    pace = within(row["tempo"], TEMPI)
    said = [f"at {row['tempo']:.0f} bpm" if random.random() < 0.5 or not pace else f"at a {pace[0]} tempo"]
    if row["mode"] in ("major", "minor"):
        said.append(f"in a {row['mode']} key")
    wet = ("reverberant", "with reverb", "in a large room") if row["wet"] else ("dry sound", "without reverb", "dry")
    return [*said, random.choice(wet)]


def _percussive(row: dict[str, Any]) -> bool:
    return any(entry["program"] in PERCUSSION for entry in row["programs"] if entry["role"] != DRUMS)
