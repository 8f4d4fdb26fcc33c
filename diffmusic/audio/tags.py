"""Tags and pictures under one set of names, those of Vorbis comments, for files of different kinds."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mutagen import MutagenError, flac, id3, oggopus, oggvorbis

from diffmusic.audio import chunks

_ID3 = {
    "TIT2": "title", "TPE1": "artist", "TALB": "album", "TPE2": "albumartist", "TCOM": "composer", "TCON": "genre",
    "TRCK": "tracknumber", "TPOS": "discnumber", "TDRC": "date", "TSRC": "isrc", "TCOP": "copyright",
    "TPUB": "organization", "TBPM": "bpm", "TKEY": "key", "TEXT": "lyricist", "TPE3": "conductor", "TENC": "encoded-by",
    "TLAN": "language", "TIT1": "grouping", "TIT3": "subtitle", "TSSE": "encoder", "TPE4": "remixer", "TMOO": "mood",
    "TSOP": "artistsort", "TSOA": "albumsort", "TSOT": "titlesort", "TDOR": "originaldate", "TMED": "media",
}  # fmt: skip
INFO = {
    b"INAM": "title", b"IART": "artist", b"IPRD": "album", b"ICRD": "date", b"IGNR": "genre", b"ITRK": "tracknumber",
    b"ICMT": "comment", b"ICOP": "copyright", b"IENG": "engineer", b"ISRC": "source", b"ISFT": "encoder",
    b"ITCH": "encoded-by", b"ILNG": "language", b"IMED": "media", b"IKEY": "keywords", b"ISBJ": "description",
}  # fmt: skip
_AIFF = {b"NAME": "title", b"AUTH": "artist", b"(c) ": "copyright", b"ANNO": "comment"}
_PICTURE = "metadata_block_picture"


@dataclass(frozen=True)
class Tags:
    """What a file says about its music.

    texts: values by the name that a Vorbis comment has for them, in lower case. pictures: FLAC picture blocks, without
    their header. rest: what has no name here, as its own format calls it.
    """

    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    pictures: tuple[bytes, ...] = ()
    rest: tuple[str, ...] = ()

    @classmethod
    def of(cls, **texts: str) -> Tags:
        """Tags of one value each."""
        return cls({name: (text,) for name, text in texts.items()})

    def __or__(self, other: Tags) -> Tags:
        texts = {**other.texts, **self.texts}
        return Tags(texts, self.pictures or other.pictures, tuple(dict.fromkeys(self.rest + other.rest)))


def of_chunks(parts: tuple[chunks.Part, ...], layout: chunks.Form) -> Tags:
    """The tags in the chunks of a RIFF or AIFF file."""
    texts: dict[str, tuple[str, ...]] = {}
    found = Tags()
    rest: list[str] = []
    for name, content in parts:
        if not content or name in layout.audio:
            continue
        if name == b"LIST" and content[:4] == b"INFO":
            for kind, value in chunks.subchunks(content):
                texts.setdefault(INFO.get(kind, kind.decode("latin-1").strip().lower()), (_text(value),))
        elif name in _AIFF and layout.order == "big":
            texts.setdefault(_AIFF[name], (_text(content),))
        elif name in (b"id3 ", b"ID3 "):
            found = of_id3(content)
        else:
            rest += chunks.names([(name, content)], layout)
    return found | Tags({name: value for name, value in texts.items() if value[0]}, (), tuple(rest))


def of_id3(content: bytes) -> Tags:
    """The tags of an ID3 block; none where it is broken."""
    try:
        return of_frames(id3.ID3(io.BytesIO(content)))
    except MutagenError:
        return Tags(rest=("ID3",) if content else ())


def of_frames(tags: id3.ID3) -> Tags:
    texts: dict[str, list[str]] = {}
    pictures, rest = [], []
    for frame in tags.values():
        kind = frame.FrameID
        if kind == "APIC":
            pictures.append(picture(frame.data, frame.type, frame.mime, frame.desc))
        elif kind == "TXXX":
            texts.setdefault(frame.desc.lower(), []).extend(map(str, frame.text))
        elif kind == "COMM":
            texts.setdefault("comment", []).extend(frame.text)
        elif kind == "USLT":
            texts.setdefault("lyrics", []).append(frame.text)
        elif kind == "WCOP":
            texts.setdefault("license", []).append(frame.url)
        elif kind == "TCON":
            texts.setdefault("genre", []).extend(frame.genres)
        elif kind in _ID3:
            texts.setdefault(_ID3[kind], []).extend(map(str, frame.text))
        elif kind != "TLEN":
            rest.append(kind)
    return Tags({name: tuple(values) for name, values in texts.items()}, tuple(pictures), tuple(dict.fromkeys(rest)))


def to_id3(tags: Tags) -> bytes:
    """An ID3v2.4 block; empty where there are no tags."""
    block, names = id3.ID3(), {name: kind for kind, name in _ID3.items()}
    for name, values in tags.texts.items():
        if name == "comment":
            block.add(id3.COMM(encoding=3, lang="XXX", desc="", text=list(values)))
        elif name in ("lyrics", "unsyncedlyrics"):
            block.add(id3.USLT(encoding=3, lang="XXX", desc="", text="\n".join(values)))
        elif name in names:
            block.add(getattr(id3, names[name])(encoding=3, text=list(values)))
        else:
            block.add(id3.TXXX(encoding=3, desc=name, text=list(values)))
    for number, content in enumerate(tags.pictures):
        each = flac.Picture(content)
        desc = each.desc or ("" if not number else str(number + 1))
        block.add(id3.APIC(encoding=3, mime=each.mime, type=each.type, desc=desc, data=each.data))
    if not block:
        return b""
    out = io.BytesIO()
    block.save(out, padding=lambda info: 0)
    return out.getvalue()


def to_blocks(tags: Tags) -> list[tuple[int, bytes]]:
    """The metadata blocks of a FLAC file that hold these tags, each with its type."""
    comment = flac.VCFLACDict()
    comment.extend(_pairs(tags))
    return [(4, comment.write()), *((6, content) for content in tags.pictures)] if tags.texts or tags.pictures else []


def of_blocks(blocks: Sequence[tuple[int, bytes]]) -> Tags:
    """The tags in the metadata blocks of a FLAC file."""
    pairs: list[tuple[str, str]] = []
    rest = [{2: "application data", 5: "cue sheet"}[kind] for kind, _ in blocks if kind in (2, 5)]
    for kind, content in blocks:
        if kind == 4:
            try:
                pairs += list(flac.VCFLACDict(io.BytesIO(content)))
            except MutagenError:
                rest.append("broken tags")
    return of_pairs(pairs, tuple(content for kind, content in blocks if kind == 6), tuple(rest))


def to_ogg(data: bytes, tags: Tags, opus: bool) -> bytes:
    """An Ogg file with these tags."""
    file = io.BytesIO(data)
    opened: Any = (oggopus.OggOpus if opus else oggvorbis.OggVorbis)(file)
    opened.tags[:] = [*_pairs(tags), *((_PICTURE.upper(), base64.b64encode(each).decode()) for each in tags.pictures)]
    file.seek(0)
    opened.save(file, padding=lambda info: 0)
    return file.getvalue()


def to_chunks(tags: Tags, layout: chunks.Form) -> list[chunks.Part]:
    """The chunks that hold these tags in a RIFF or AIFF file: those that are always read, and an ID3 block for more."""
    known = {name: kind for kind, name in (INFO if layout.order == "little" else _AIFF).items()}
    values = {known[name]: texts[0].encode() for name, texts in tags.texts.items() if name in known}
    plain = not tags.pictures and all(name in known and len(texts) == 1 for name, texts in tags.texts.items())
    out: list[chunks.Part] = []
    if layout.order == "little" and values:
        out.append((b"LIST", b"INFO" + b"".join(chunks.chunk(kind, value + b"\0") for kind, value in values.items())))
    if layout.order == "big":
        out += list(values.items())
    if not plain:
        out.append((b"id3 " if layout.order == "little" else b"ID3 ", to_id3(tags)))
    return out


def of_pairs(pairs: Iterable[tuple[str, str]], pictures: tuple[bytes, ...] = (), rest: tuple[str, ...] = ()) -> Tags:
    texts: dict[str, list[str]] = {}
    for name, value in pairs:
        if name.lower() == _PICTURE:
            pictures += (base64.b64decode(value),)
        else:
            texts.setdefault(name.lower(), []).append(value)
    return Tags({name: tuple(values) for name, values in texts.items()}, pictures, rest)


def _pairs(tags: Tags) -> Iterator[tuple[str, str]]:
    for name, values in tags.texts.items():
        for value in values:
            yield name, value


def picture(data: bytes, kind: int, mime: str, description: str) -> bytes:
    made = flac.Picture()
    made.data, made.type, made.mime, made.desc = data, int(kind), mime, description
    return bytes(made.write())


def _text(content: bytes) -> str:
    content = content.split(b"\0")[0]
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("latin-1")
