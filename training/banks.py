"""The sounds that scores are played with: General MIDI banks, and sampled drum kits instead of their drums.

A kit is a soundfont with one preset, struck by the notes of General MIDI's percussion; what it has not (claps, congas)
the bank plays.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from random import Random

SOUNDS = Path("/usr/share/sounds")
KIT_NOTES = range(36, 60)
KITS_STRUCK = 0.5  # of the pieces


@dataclass(frozen=True)
class Bank:
    """A General MIDI soundfont, its licence, the Debian packages that install it, and kits for half of the pieces."""

    name: str
    file: Path
    licence: str
    packages: str
    kits: tuple[Path, ...] = ()

    def kit(self, piece: str) -> Path | None:
        """Return the kit that a piece is played with; it follows from the piece's name."""
        random = Random(f"kit {piece}")
        return random.choice(self.kits) if self.kits and random.random() < KITS_STRUCK else None

    def missing(self) -> str | None:
        """Return what to install before anything can be rendered, in one line, or None."""
        install = f"apt-get install fluidsynth {self.packages}"
        if shutil.which("fluidsynth") is None:
            return f"fluidsynth is not installed: {install}"
        for file in (self.file, *self.kits):
            if not file.exists():
                return f"the soundfont {file} is not installed: {install}"
        return None


BANKS = {
    bank.name: bank
    for bank in (
        Bank("fluidr3", SOUNDS / "sf2/FluidR3_GM.sf2", "MIT", "fluid-soundfont-gm"),
        # Its grand piano, drum line and strings are of other origin; the rest is FluidR3, edited.
        Bank(
            "musescore",
            SOUNDS / "sf3/MuseScore_General.sf3",
            "MIT, parts public domain or CC0; drum kits CC-BY-SA-3.0 (AVL Drumkits, Glen MacArthur)",
            "musescore-general-soundfont avldrums.lv2-soundfont",
            (SOUNDS / "sf2/Black_Pearl_4_LV2.sf2", SOUNDS / "sf2/Red_Zeppelin_4_LV2.sf2"),
        ),
    )
}
FLUIDR3 = BANKS["fluidr3"]
