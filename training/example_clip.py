"""Remake `examples/clip.flac`: ten seconds of a composed piece that no training ever hears.

    python -m training.example_clip

The piece is in the test split, whatever the size of the corpus. Like all that `training.compose` writes it is
dedicated to the public domain (CC0); the sounds are FluidR3 GM (MIT). 44.1 kHz, stereo, 16 bit, peak -3 dBFS.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import soundfile

from training.banks import FLUIDR3
from training.compose import compose
from training.piece import DRUMS, split_of
from training.render import RENDER_RATE, Arrangement, synthesize

SEED = 1716  # a Dorian vamp on C: strings, bass, flute and hand drums, the theme twice
SECONDS = 10
PEAK = -3.0  # dBFS
FADE = 0.02  # seconds at either end
# General MIDI program, volume and pan (64 is the middle) of each part.
DESK = {"bass": (32, 104, 64), "pad": (48, 92, 50), "melody": (73, 100, 78), DRUMS: (0, 84, 72)}


def excerpt() -> np.ndarray:
    """The clip, (frames, 2) at 44.1 kHz."""
    piece = compose(SEED)
    assert split_of(piece.identity) == "test"
    assert piece.tempo is not None
    programs, volumes, pans = (list(column) for column in zip(*(DESK[v.role] for v in piece.voices), strict=True))
    sound = synthesize(Arrangement(piece, piece.tempo, programs, volumes, pans, room=0.5))
    sound = sound[: SECONDS * RENDER_RATE]
    ramp = np.minimum(1.0, np.arange(len(sound)) / (FADE * RENDER_RATE))
    sound = sound * np.minimum(ramp, ramp[::-1])[:, None]
    return sound * 10 ** (PEAK / 20) / np.abs(sound).max()


def main() -> int:
    """Write the clip; 2 if something has to be installed first."""
    parser = argparse.ArgumentParser(description="Remake the example clip.")
    parser.add_argument("--out", type=Path, default=Path("examples/clip.flac"))
    args = parser.parse_args()
    if problem := FLUIDR3.missing():
        print(problem, file=sys.stderr)
        return 2
    soundfile.write(args.out, excerpt(), RENDER_RATE, subtype="PCM_16")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
