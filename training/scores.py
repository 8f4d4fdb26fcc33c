"""Many-voiced scores from the corpus that music21 installs, without encodings whose rights are restricted."""

from __future__ import annotations

import hashlib
import json
import re
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from training.piece import Note, Piece, Voice

MUSICXML = {".mxl", ".xml", ".musicxml"}
READABLE = MUSICXML | {".abc"}
TUNES = {"airdsAirs", "oneills1850", "ryansMammoth", "miscFolk", "nottingham-dataset"}
EXERCISES = {"demos", "theoryExercises"}

# Any notice keeps a file out, a share-alike licence too, except a release to the public domain. The chorales'
# "PDF © 2004 Margaret Greentree" is a line about another file, the typeset PDF.
NOTICE = re.compile(r"copyright|©|rights reserved|licen[cs]e|creative commons|edizion", re.IGNORECASE)
RELEASED = re.compile(r"public domain", re.IGNORECASE)
PDF_CREDIT = re.compile(r"PDF ©[^<]*")

# Two files are one piece if their first beats share this part of the notes: chorales return with small changes.
OPENING_BEATS = 32
ALIKE = 0.7
Opening = frozenset[tuple[int, int]]
Catalogue = tuple[list[Piece], Counter[str]]


def corpus_root() -> Path:
    """The folder of music21's own corpus."""
    import music21

    return Path(music21.__file__).parent / "corpus"


def exclusion(path: Path, root: Path) -> str | None:
    """Why a file stays out before it is parsed, or None."""
    folder = path.relative_to(root).parts[0]
    if path.suffix == ".krn":
        return "Humdrum encoding, rights reserved"
    if folder == "essenFolksong":
        return "Essen collection, non-commercial"
    if path.suffix not in READABLE:
        return "not a score that music21 plays"
    if folder in TUNES:
        return "tunes of one voice"
    if folder in EXERCISES:
        return "exercise or test file"
    text = _text(path)
    if NOTICE.search(PDF_CREDIT.sub("", text)) and not RELEASED.search(text):
        return "copyright notice or licence in the file"
    return None


def _text(path: Path) -> str:
    if path.suffix != ".mxl":
        return path.read_text("utf-8", "ignore")
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith("xml") and "META-INF" not in name]
        return "".join(archive.read(name).decode("utf-8", "ignore") for name in names)


def read_score(path: Path, source: str) -> Piece:
    """Parse a score with music21: one voice a part, chords kept, grace notes dropped, ties joined."""
    import music21

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        score: Any = music21.converter.parse(path, forceSource=True)
        if isinstance(score, music21.stream.Opus):
            score = score.scores[0]
        parts = [part.flatten().notes for part in score.parts]
        key = score.analyze("key")
    voices = [Voice("score", tuple(sorted(_notes(part)))) for part in parts]
    voices = [voice for voice in voices if voice.notes]
    first = min((voice.notes[0].start for voice in voices), default=0.0)
    voices = [Voice(v.role, tuple(n._replace(start=n.start - first) for n in v.notes)) for v in voices]
    name = re.sub(r"\W+", "-", source.removeprefix("music21:").rsplit(".", 1)[0])
    return Piece(name, source, _hash(opening(voices)), key.tonic.pitchClass, key.mode, tuple(voices))


def _notes(elements: Iterable[Any]) -> Iterator[Note]:
    """The notes of a part, ties joined. (music21's stripTies copies the part, which takes far longer.)"""
    tied: dict[int, Note] = {}
    for element in elements:
        duration = float(element.quarterLength)
        if duration == 0:
            continue
        for single in getattr(element, "notes", (element,)):  # a chord has notes, each with its own tie
            for pitch in getattr(single, "pitches", ()):
                note = Note(float(element.offset), duration, pitch.midi, element.volume.velocity or 72)
                tie = single.tie.type if single.tie else None
                begun = tied.pop(note.pitch, None)
                if begun and tie in {"stop", "continue"}:
                    note = begun._replace(duration=note.start + duration - begun.start)
                elif begun:
                    yield begun
                if tie in {"start", "continue"}:
                    tied[note.pitch] = note
                else:
                    yield note
    yield from tied.values()


def opening(voices: Iterable[Voice]) -> Opening:
    """Onsets in sixteenths and pitches above the lowest one: the same in every key."""
    notes = [(round(4 * n.start), n.pitch) for v in voices for n in v.notes if n.start < OPENING_BEATS]
    lowest = min((pitch for _, pitch in notes), default=0)
    return frozenset((start, pitch - lowest) for start, pitch in notes)


def _hash(notes: Opening) -> str:
    return hashlib.sha256(json.dumps(sorted(notes)).encode()).hexdigest()[:16]


def likeness(one: Opening, other: Opening) -> float:
    """What two openings share, as a part of all their notes."""
    return len(one & other) / max(len(one | other), 1)


def _read_cached(task: tuple[Path, str, Path]) -> Piece | None:
    path, source, cache = task
    if not cache.exists():
        try:
            record = _to_json(read_score(path, source))
        except Exception:  # music21 raises whatever it likes on a score it cannot read
            record = None
        partial = cache.with_suffix(".part")  # renamed when whole, so that an interruption leaves no half file
        partial.write_text(json.dumps(record))
        partial.replace(cache)
    return _from_json(json.loads(cache.read_text()))


def _to_json(piece: Piece) -> dict[str, Any]:
    return {**vars(piece), "voices": [[list(note) for note in voice.notes] for voice in piece.voices]}


def _from_json(record: dict[str, Any] | None) -> Piece | None:
    if record is None:
        return None
    voices = tuple(Voice("score", tuple(Note(*note) for note in notes)) for notes in record.pop("voices"))
    return Piece(**record, voices=voices)


def catalogue(cache: Path, map_: Callable[..., Iterable[Piece | None]] = map) -> Catalogue:
    """All scores we use, in a fixed order, and how many files stay out for which reason.

    `cache` keeps what was parsed; `map_` may be a pool's `imap`.
    """
    cache.mkdir(parents=True, exist_ok=True)
    root, excluded = corpus_root(), Counter[str]()
    tasks = []
    for path in sorted(p for p in root.rglob("*") if p.is_file() and p.suffix not in {".py", ".pyc", ".gz"}):
        reason = exclusion(path, root)
        if reason:
            excluded[reason] += 1
        else:
            source = path.relative_to(root).as_posix()
            tasks.append((path, f"music21:{source}", cache / (re.sub(r"\W+", "-", source) + ".json")))

    pieces: list[Piece] = []
    openings: list[Opening] = []
    for piece in map_(_read_cached, tasks):
        if piece is None:
            excluded["music21 cannot read it"] += 1
        elif len(piece.voices) < 2:
            excluded["one voice"] += 1
        else:
            notes = opening(piece.voices)
            if any(likeness(notes, other) > ALIKE for other in openings):
                excluded["the same notes, or nearly, under another name"] += 1
            else:
                pieces.append(piece)
                openings.append(notes)
    return pieces, excluded
