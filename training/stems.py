"""The sources of the corpus, each on its own: what MUSDB18 holds, made from the same scores.

    python -m training.stems --work training/work --split test validation

writes, for every clip of these splits in WORK/corpus/manifest.jsonl, a folder WORK/stems/{split}/{piece}-{k} with
{mixture,drums,bass,lead,other}.flac, 16 kHz mono, 16 bit, and WORK/stems/manifest.jsonl, one row a clip. The mixture
is the sum of its sources sample for sample, and the corpus' own clip up to rounding, which is checked. Started again,
it skips the pieces that are in its manifest.

`lead` stands where MUSDB has `vocals`. Of a composed piece it is the melody, `bass` and `drums` are the parts of that
name, and pad, chords, arpeggio and second voice are `other`. Scores name no roles, so the register decides: the voice
of the lowest mean pitch is the bass, that of the highest the lead, a lone voice the lead, and the rest `other`. A
source without notes is silence.

A source is rendered with the other parts muted and not left out. Reverb and chorus are linear, but fluidsynth gives a
voice that has ended to the next note of any channel, which then fades over 64 samples from the pan and the sends of
the note before. Parts rendered alone share out the voices in another way, and what they add up to differs from the
mixture at many onsets: by -45 to -80 dB in all, where muted parts stay below -95 dB.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path
from statistics import mean

import numpy as np
import soundfile

from training.banks import FLUIDR3
from training.compose import compose
from training.corpus import RATE, Row, arranged, cut, level, onsets, read_manifest
from training.instruments import label
from training.piece import DRUMS, Piece, Voice
from training.render import Arrangement, downmix, mixing_gain, synthesize
from training.scores import corpus_root, read_score

SOURCES = ("drums", "bass", "lead", "other")
ROLES = {DRUMS: "drums", "bass": "bass", "melody": "lead"}
FULL_SCALE = 0x8000  # what libsndfile multiplies by when it writes FLAC, so that one source alone is the clip itself
TOLERANCE = -60.0  # dB
ROUNDING = 2  # steps of 16 bits by which four rounded sources may miss a rounded mixture


class Mismatch(Exception):
    """The sources add up to something else than the corpus holds."""


def grouping(voices: tuple[Voice, ...]) -> list[str]:
    """The source that each voice belongs to."""
    groups = [ROLES.get(voice.role, "other") for voice in voices]
    # Scores are written from high to low, so of two voices at one pitch the later is the lower.
    rising = sorted(
        (mean(note.pitch for note in voice.notes), -index)
        for index, voice in enumerate(voices)
        if voice.role == "score"
    )
    if rising:
        groups[-rising[0][1]] = "bass"
        groups[-rising[-1][1]] = "lead"
    return groups


def stems(arrangement: Arrangement, loudness: float) -> dict[str, np.ndarray]:
    """The sources of a piece, each (frames,) of int16 at RATE, with the gain that their mixture gets.

    `loudness` is the mixture's, in dBFS.
    """
    groups, sounds = grouping(arrangement.piece.voices), {}
    for source in SOURCES:
        if source in groups:
            heard = [index for index, group in enumerate(groups) if group == source]
            sounds[source] = downmix(synthesize(arrangement, heard=heard), RATE)
    # fluidsynth stops when the last note has died away, and may hold a muted one a little longer.
    frames = max(len(sound) for sound in sounds.values())
    whole = {source: np.pad(sound, (0, frames - len(sound))) for source, sound in sounds.items()}
    gain = mixing_gain(np.sum(list(whole.values()), axis=0), loudness)
    silence = np.zeros(frames)
    return {s: np.rint(FULL_SCALE * (gain * whole.get(s, silence))).astype(np.int16) for s in SOURCES}


def difference(mixture: np.ndarray, clip: np.ndarray) -> float:
    """RMS in dB of what a mixture differs by from a clip, relative to the clip; both int16.

    Raises `Mismatch` where it is above TOLERANCE and more than rounding.
    """
    missed = mixture.astype(float) - clip
    relative = level(missed / FULL_SCALE) - level(clip / FULL_SCALE)
    if relative > TOLERANCE and np.abs(missed).max() > ROUNDING:
        raise Mismatch(f"the sources add up to something else ({relative:.1f} dB of it, at most {TOLERANCE:.0f})")
    return relative


def piece_of(row: Row) -> Piece:
    """The piece of a row of the corpus' manifest, composed again or read from music21's own corpus."""
    kind, _, where = row["source"].partition(":")
    if kind == "composed":
        return compose(int(where))
    return replace(read_score(corpus_root() / where, row["source"]), name=row["piece"])


def write_stems(clips: list[Row], work: Path) -> list[Row]:
    """Write the sources of one piece, given the rows of its clips in the corpus' manifest; returns their own rows."""
    arrangement, loudness = arranged(piece_of(clips[0]))
    sounds = stems(arrangement, loudness)
    rows = []
    for clip in clips:
        k = clip["start"] // clip["seconds"]
        parts = {source: cut(sound, k) for source, sound in sounds.items()}
        # 16 bits suffice for the sum: the gain leaves peaks of -0.5 dBFS at most.
        mixture = np.stack(list(parts.values())).sum(axis=0, dtype=np.int16)
        try:
            error = difference(mixture, soundfile.read(work / "corpus" / clip["clip"], dtype="int16")[0])
        except Mismatch as problem:
            raise Mismatch(f"{clip['clip']}: {problem}") from None
        folder = (work / "stems" / clip["clip"]).with_suffix("")
        folder.mkdir(parents=True, exist_ok=True)
        for name, sound in {"mixture": mixture, **parts}.items():
            soundfile.write(folder / f"{name}.flac", sound, RATE, subtype="PCM_16")
        rows.append(describe(clip, arrangement, k, parts, error))
    return rows


def describe(clip: Row, arrangement: Arrangement, k: int, parts: dict[str, np.ndarray], error: float) -> Row:
    """The manifest's row of a clip: the instruments of each source that begin a note in it, and levels in dBFS.

    `error` is what `difference` says in dB. Digital silence has a level of -180 dBFS.
    """
    voices = arrangement.piece.voices
    played = zip(grouping(voices), voices, arrangement.programs, onsets(arrangement, k), strict=True)
    names: dict[str, list[str]] = {source: [] for source in SOURCES}
    for group, voice, program, notes in played:
        name = label(program, voice.role)
        if notes and name not in names[group]:
            names[group].append(name)
    return {
        **{key: clip[key] for key in ("clip", "split", "piece", "tempo", "key", "mode")},
        "sources": names,
        "loudness": {source: round(level(part / FULL_SCALE), 1) for source, part in parts.items()},
        "error": round(error, 1),
    }


def main() -> int:
    """Write the sources; 1 if they do not add up to the corpus, 2 if something has to be installed first."""
    parser = argparse.ArgumentParser(description="Render the sources of the corpus, each on its own.")
    parser.add_argument("--work", type=Path, default=Path("training/work"), help="folder of what is made")
    parser.add_argument("--split", nargs="+", default=["test", "validation"], choices=("train", "validation", "test"))
    parser.add_argument("--jobs", type=int, default=1, help="pieces rendered at a time")
    args = parser.parse_args()
    if problem := FLUIDR3.missing():
        print(problem, file=sys.stderr)
        return 2

    folder, began = args.work / "stems", time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    done = {row["piece"] for row in read_manifest(folder)}
    rows = [r for r in read_manifest(args.work / "corpus") if r["split"] in args.split and r["piece"] not in done]
    todo = [list(clips) for _, clips in groupby(rows, key=lambda row: row["piece"])]
    with multiprocessing.Pool(args.jobs) as pool:
        try:
            for count, new in enumerate(pool.imap(partial(write_stems, work=args.work), todo), 1):
                with (folder / "manifest.jsonl").open("a") as manifest:
                    manifest.write("".join(json.dumps(row) + "\n" for row in new))
                worst = max(row["error"] for row in new)
                took = time.monotonic() - began
                print(f"{took:6.0f} s  {count:3d} of {len(todo)}  {worst:6.1f} dB  {new[0]['piece']}", flush=True)
        except Mismatch as problem:
            print(
                f"{problem}\nWas the corpus rendered by another fluidsynth, or from another soundfont?", file=sys.stderr
            )
            return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
