"""Tags of files that cannot be written here, such as MP4 and WMA, and of Ogg files: whatever mutagen knows."""

from __future__ import annotations

from typing import BinaryIO

import mutagen
from mutagen import MutagenError, asf, id3, mp4

from diffmusic.audio.tags import Tags, of_frames, of_pairs, picture

_MP4 = {
    "\xa9nam": "title", "\xa9ART": "artist", "\xa9alb": "album", "aART": "albumartist", "\xa9wrt": "composer",
    "\xa9gen": "genre", "\xa9day": "date", "\xa9cmt": "comment", "\xa9lyr": "lyrics", "\xa9grp": "grouping",
    "cprt": "copyright", "\xa9too": "encoder", "trkn": "tracknumber", "disk": "discnumber", "tmpo": "bpm",
}  # fmt: skip
_ASF = {
    "Title": "title", "Author": "artist", "WM/AlbumTitle": "album", "WM/AlbumArtist": "albumartist",
    "WM/Composer": "composer", "WM/Genre": "genre", "WM/TrackNumber": "tracknumber", "WM/Year": "date",
    "Copyright": "copyright", "Description": "comment", "WM/Lyrics": "lyrics", "WM/PartOfSet": "discnumber",
    "WM/ISRC": "isrc", "WM/Publisher": "organization", "WM/BeatsPerMinute": "bpm",
}  # fmt: skip


def read(file: BinaryIO) -> Tags:
    """The tags of a file that mutagen knows, such as an Ogg, MP4 or WMA file; none of any other."""
    try:
        file.seek(0)
        found = mutagen.File(file)
    except (MutagenError, ValueError, KeyError, IndexError, EOFError):
        return Tags()
    if found is None or not found.tags:
        return Tags()
    if isinstance(found.tags, id3.ID3):
        return of_frames(found.tags)
    if isinstance(found, mp4.MP4):
        return _of_mp4(found.tags)
    if isinstance(found, asf.ASF):
        return _of_asf(found.tags)
    if isinstance(found.tags, list):  # a Vorbis comment: names and values in order
        return of_pairs(list(found.tags))
    return Tags({str(name).lower(): (str(value),) for name, value in found.tags.items()})


def _of_mp4(tags: mp4.MP4Tags) -> Tags:
    texts: dict[str, tuple[str, ...]] = {}
    pictures: list[bytes] = []
    rest: list[str] = []
    for name, values in tags.items():
        if name == "covr":
            pictures += [picture(bytes(each), 3, _mime(bytes(each)), "") for each in values]
        elif name in ("trkn", "disk"):
            texts[_MP4[name]] = tuple("/".join(str(n) for n in pair if n) for pair in values)
        elif name in _MP4:
            texts[_MP4[name]] = tuple(map(str, values))
        elif name.startswith("----:"):
            texts[name.rsplit(":", 1)[1].lower()] = tuple(bytes(each).decode(errors="replace") for each in values)
        else:
            rest.append(name)
    return Tags(texts, tuple(pictures), tuple(rest))


def _of_asf(tags: asf.ASFTags) -> Tags:
    known = {name: value for name, value in tags.as_dict().items() if name in _ASF}
    rest = tuple(name for name in tags.as_dict() if name not in _ASF)
    return Tags({_ASF[name]: tuple(map(str, values)) for name, values in known.items()}, (), rest)


def _mime(data: bytes) -> str:
    return "image/png" if data[:4] == b"\x89PNG" else "image/jpeg"
