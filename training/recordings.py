"""Recorded music from Debian packages: the tracks that an open licence covers, as 16 kHz mono, with their credits.

    python -m training.recordings --work training/work --packages FOLDER

Takes every ``FOLDER/NAME_VERSION_ARCH.deb`` that `recordings.toml` lists (``apt-get download NAME`` fetches one) and
writes ``WORK/recordings/{train,validation,test}/ID.flac``, ``manifest.jsonl`` (package, file, author, title, licence,
style, split), ``rejected.jsonl`` with a reason each, and ``CREDITS.md``. It needs the Debian packages ffmpeg and dpkg.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import soundfile

from training.licences import stanza_of, tier

RATE = 16000
AUDIO = {".ogg", ".oga", ".opus", ".mp3", ".flac", ".m4a", ".wav"}
SHORTEST = 20.0  # seconds
SILENCE = 10 ** (-60 / 20)
FRAME, EDGE, TRIMMED = 320, 4000, 16000  # samples: of a level, kept beside sound, silence that is worth cutting
REFUSED = "wesnoth"  # kept apart for a test that nobody trains on
PACKAGES: dict[str, dict[str, Any]] = tomllib.loads(Path(__file__).with_name("recordings.toml").read_text("utf-8"))
Row = dict[str, Any]


def package_name(deb: Path) -> str:
    """The name of a package file; ValueError for music that must never be used."""
    name = deb.name.split("_")[0]
    if REFUSED in name.lower():
        raise ValueError(f"{name}: music of {REFUSED} is kept apart for a test, and never used")
    return name


def extract(deb: Path, folder: Path) -> Path:
    """The contents of a package, with the archive inside it unpacked beside itself."""
    name = package_name(deb)
    root = folder / name
    if not root.exists():
        fresh = folder / f".{name}"
        shutil.rmtree(fresh, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["dpkg", "-x", str(deb), str(fresh)], check=True)
        if inner := PACKAGES[name].get("unpack"):
            archive = fresh / inner
            zipfile.ZipFile(archive).extractall(archive.with_suffix(""))
        fresh.rename(root)
    return root


def reason(package: str, file: str, licence: str) -> str | None:
    """Why a file of a package is not used, or None."""
    for rule in PACKAGES[package].get("left_out", ()):
        if _any(rule["files"], file):
            return str(rule["why"])
    return None if tier(licence) else f"licence: {licence or 'unclear'}"


def style(package: str, file: str) -> str | None:
    """How a track sounds, as far as its package and its name say."""
    about, name = PACKAGES[package], PurePosixPath(file).name.lower()
    rules = about.get("styles", ({"names": ["*"], "style": about.get("style", "")},))
    return next((rule["style"] for rule in rules if _any(rule["names"], name)), "") or None


def split_of(package: str, file: str) -> str:
    """Packages that are held out whole, and single test tracks of others."""
    about = PACKAGES[package]
    held_out = any(fnmatchcase(file, f"*/{pattern}") for pattern in about.get("held_out", ()))
    return "test" if held_out else about.get("split", "train")


def identity(package: str, file: str) -> str:
    """A short name of a track, of letters, digits and dashes."""
    short = re.sub(r"fretsonfire-songs-|-music|-data|2100", "", package)
    return re.sub(r"[^a-z0-9]+", "-", f"{short}-{_title(file)}".lower()).strip("-")


def _title(file: str) -> str:
    """What a file is called, or its folder where every song has a file of one name."""
    path = PurePosixPath(file)
    return path.parent.name if path.stem == "song" else path.stem


def tracks(package: str, root: Path) -> Iterator[tuple[Row, str | None]]:
    """A row for each long enough track among a package's music, and why it is left out, if it is."""
    about = PACKAGES[package]
    copyright_file = root / "usr/share/doc" / package / "copyright"
    for path in sorted(p for p in root.rglob("*") if p.suffix.lower() in AUDIO and p.is_file() and not p.is_symlink()):
        file = path.relative_to(root).as_posix()
        if not _any(about["music"], file):
            continue
        probed = probe(path)
        if probed is None or probed["seconds"] < SHORTEST:
            continue
        stanza = None if "licence" in about else stanza_of(copyright_file, file)
        licence = about.get("licence") or (stanza.licence if stanza else "")
        author = _author(about, file) or (stanza.author if stanza else "")
        artist = probed["artist"]
        if artist and not _author(about, file) and artist.lower() not in author.lower():
            author = f"{author} (tag: {artist})"
        row = {
            "id": identity(package, file), "package": package, "file": file, "title": probed["title"],
            "author": author, "licence": licence, "stanza": stanza.pattern if stanza else about.get("why"),
            "style": style(package, file), "group": about["group"], "split": split_of(package, file),
        }  # fmt: skip
        yield row, reason(package, file, licence)


def _author(about: Mapping[str, Any], file: str) -> str:
    """The author that the package list names, where the copyright file has none or a list of several."""
    name = PurePosixPath(file).name
    named = (rule["author"] for rule in about.get("authors", ()) if _any(rule["names"], name))
    return next(named, about.get("author", ""))


def probe(path: Path) -> Row | None:
    """Seconds, title and artist of a sound file, or None if it cannot be read."""
    entries = "format=duration:format_tags:stream_tags"
    command = ["ffprobe", "-v", "error", "-show_entries", entries, "-of", "json", str(path)]
    told = json.loads(subprocess.run(command, capture_output=True, check=False).stdout or "{}")
    if "format" not in told:
        return None
    tags: dict[str, str] = {}
    for holder in (told["format"], *told.get("streams", ())):
        tags |= {name.lower(): value for name, value in holder.get("tags", {}).items()}
    seconds = float(told["format"].get("duration", 0))
    return {"seconds": seconds, "title": tags.get("title"), "artist": tags.get("artist", "").strip()}


def decode(path: Path) -> np.ndarray:
    """A sound file at RATE, the mean of its channels, (samples,) float32."""
    convert = "aresample=16000:resampler=soxr:precision=28:osf=flt"
    command = ["ffmpeg", "-v", "error", "-threads", "1", "-i", str(path), "-map", "0:a:0", "-af"]
    channels = _channels(path)
    mean = "+".join(f"{1 / channels:.6f}*c{k}" for k in range(channels))
    chain = f"pan=mono|c0={mean},{convert}"
    raw = subprocess.run([*command, chain, "-f", "f32le", "-"], capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.float32).copy()


def _channels(path: Path) -> int:
    command = ["ffprobe", "-v", "error", "-select_streams", "a:0", "-show_entries", "stream=channels", "-of", "json"]
    told = json.loads(subprocess.run([*command, str(path)], capture_output=True, check=True).stdout)
    return int(told["streams"][0]["channels"])


def trim(samples: np.ndarray) -> np.ndarray:
    """Without more than a second of silence at either end; nothing at all where everything is silent."""
    count = len(samples) // FRAME
    level = np.sqrt((samples[: count * FRAME].reshape(count, FRAME) ** 2).mean(1))
    loud = np.flatnonzero(level > SILENCE)
    if not len(loud):
        return samples[:0]
    first, last = loud[0] * FRAME, (loud[-1] + 1) * FRAME
    start = first - EDGE if first > TRIMMED else 0
    stop = last + EDGE if len(samples) - last > TRIMMED else len(samples)
    return samples[start:stop]


def sound(path: Path, mixed: Sequence[str]) -> np.ndarray:
    """A track with the stems that lie beside it, trimmed, and lowered where its peaks would clip."""
    parts = [decode(path), *(decode(path.with_name(name)) for name in mixed)]
    total = np.zeros(max(len(part) for part in parts), np.float32)
    for part in parts:
        total[: len(part)] += part
    total = trim(total)
    peak = float(np.abs(total).max(initial=0.0))
    return total * (0.999 / peak) if peak > 0.999 else total


def credits_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Every track with its author, licence and package, in Markdown."""
    lines = ["# Credits", "", "The recorded music that mini's weights learned from or were measured on.", ""]
    lines += ["| title | author | licence | package, file | use |", "| --- | --- | --- | --- | --- |"]
    for row in rows:
        title, name = row["title"] or _title(row["file"]), PurePosixPath(row["file"]).name
        cells = (title, row["author"], row["licence"], f"{row['package']}, `{name}`", row["split"])
        lines.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _any(patterns: Sequence[str], text: str) -> bool:
    return any(fnmatchcase(text, pattern) for pattern in patterns)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("training/work"))
    parser.add_argument("--packages", type=Path, required=True, help="folder of .deb files")
    chosen = parser.parse_args()
    folder = chosen.work / "recordings"
    for name in ("train", "validation", "test"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    found = {package_name(deb): deb for deb in sorted(chosen.packages.glob("*.deb"))}
    if absent := [name for name in PACKAGES if name not in found]:
        print(f"not in {chosen.packages}: {', '.join(absent)}; apt-get download fetches them", file=sys.stderr)
        return 2
    kept, rejected = [], []
    for package in PACKAGES:
        root = extract(found[package], chosen.work / "packages")
        for row, why in tracks(package, root):
            if why:
                rejected.append({**row, "why": why})
                continue
            path = folder / row["split"] / f"{row['id']}.flac"
            if not path.exists():
                soundfile.write(path, sound(root / row["file"], PACKAGES[package].get("mixed", ())), RATE)
            kept.append({**row, "seconds": round(soundfile.info(path).duration, 2)})
    for name, rows in (("manifest", kept), ("rejected", rejected)):
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
        (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    (folder / "CREDITS.md").write_text(credits_text(kept), encoding="utf-8")
    for name in ("train", "validation", "test"):
        hours = sum(row["seconds"] for row in kept if row["split"] == name) / 3600
        print(f"{name:10s} {hours:5.2f} h, {sum(row['split'] == name for row in kept)} tracks")
    print(f"left out   {len(rejected)} files")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
