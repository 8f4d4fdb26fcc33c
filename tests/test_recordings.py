"""Recordings for training: which tracks a licence opens, and which are held out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("debian", reason="licences are read by python-debian: pip install -e '.[train]'")

from diffmusic.backbones.musicldm import MINI
from training.licences import stanza_of, tier
from training.recordings import PACKAGES, RATE, credits_text, extract, identity, package_name, split_of, style, trim

COPYRIGHT = """\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
Copyright: 2002 The Team <team@example.org>
License: GPL-2+

Files: data/music/*.ogg
Copyright: A. Composer
           B. Player <b@example.org>
License: CC-BY-SA-3.0

Files: data/music/loan.ogg
Copyright: C. Lender
License: CC-BY-NC-3.0

License: GPL-2+
 text
"""


@pytest.mark.parametrize("name", ["wesnoth-1.16-music_1.16_all.deb", "Wesnoth-music_2_all.deb"])
def test_music_that_is_kept_apart_is_refused_by_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="never used"):
        package_name(Path(name))
    with pytest.raises(ValueError, match="never used"):
        extract(tmp_path / name, tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert not any("wesnoth" in package for package in PACKAGES)


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("CC0-1.0", "CC0"), ("public-domain", "public domain"), ("BSD-2-Clause", "BSD or MIT"), ("Expat", "BSD or MIT"),
        ("CC-BY-3.0", "CC-BY"), ("CC-BY-SA-3.0+", "CC-BY-SA"), ("GPL-3 or CC-BY-3.0", "CC-BY"),
        ("GPL-2+ OR CC-BY-SA", "CC-BY-SA"), ("CC-BY-3.0 and CC-BY-SA-3.0", "CC-BY-SA"), ("GPL-2+", None),
        ("GPL-2+ and CC-BY-3.0", None), ("CC-BY-NC-3.0", None), ("CC-BY-ND-4.0", None), ("CC-BY-NC-SA-4.0", None),
        ("", None), ("custom", None),
    ],
)  # fmt: skip
def test_a_licence_has_the_tier_that_it_allows(licence: str, expected: str | None) -> None:
    assert tier(licence) == expected


def test_the_last_stanza_that_matches_an_installed_path_counts(tmp_path: Path) -> None:
    path = tmp_path / "copyright"
    path.write_text(COPYRIGHT)
    song = stanza_of(path, "usr/share/games/game/data/music/song.ogg")
    assert song is not None
    assert (song.licence, song.author) == ("CC-BY-SA-3.0", "A. Composer / B. Player")
    # Upstream's `data/` is not in the package: the rest of the pattern matches, and counts before `*`.
    moved = stanza_of(path, "usr/share/games/game/music/loan.ogg")
    assert moved is not None
    assert moved.licence == "CC-BY-NC-3.0"
    other = stanza_of(path, "usr/share/games/game/sounds/horn.ogg")
    assert other is not None
    assert (other.licence, other.author) == ("GPL-2+", "2002 The Team")
    prose = tmp_path / "prose"
    prose.write_text("This package was debianised by somebody, who read the licence.\n")
    assert stanza_of(prose, "usr/share/games/game/data/music/song.ogg") is None


def test_what_is_held_out_is_never_in_the_training_split() -> None:
    root = "usr/share/games/fretsonfire/data/songs/muldjord"
    assert split_of("fretsonfire-songs-muldjord", f"{root}/chaos_god/song.ogg") == "test"
    assert split_of("fretsonfire-songs-muldjord", f"{root}/armygeddon/song.ogg") == "train"
    for package in ("fretsonfire-songs-sectoid", "unknown-horizons"):
        assert split_of(package, "any/music/song.ogg") == "test"
    assert split_of("flare-game", "any/music/song.ogg") == "validation"

    rows = [line.split(" | ") for line in (MINI / "CREDITS.md").read_text(encoding="utf-8").splitlines()]
    used: dict[str, list[str]] = {}
    for row in rows:
        if len(row) == 5 and "`" in row[3]:
            used.setdefault(row[3].partition(",")[0], []).append(row[4].rstrip(" |"))
    assert set(used) == set(PACKAGES)
    assert set(used["fretsonfire-songs-sectoid"]) == set(used["unknown-horizons"]) == {"test"}
    assert set(used["flare-game"]) == {"validation"}
    assert (used["marsshooter-data"].count("test"), used["fretsonfire-songs-muldjord"].count("test")) == (5, 2)
    others = set(PACKAGES) - {"flare-game", "unknown-horizons", "marsshooter-data"}
    assert all(set(used[name]) == {"train"} for name in others if "fretsonfire" not in name)


def test_names_and_styles_follow_the_file() -> None:
    assert identity("fretsonfire-songs-muldjord", "songs/muldjord/chaos_god/song.ogg") == "muldjord-chaos-god"
    assert identity("ufoai-music", "base/0music/music/van_theme.ogg") == "ufoai-van-theme"
    assert style("0ad-data", "audio/music/Celtic_Pride.ogg") == "acoustic celtic folk music"
    assert style("ufoai-music", "music/greecei.ogg") is None


def test_silence_at_the_ends_is_cut_and_a_silent_file_is_empty() -> None:
    silence = np.zeros(3 * RATE, np.float32)
    tone = 0.1 * np.sin(0.3 * np.arange(RATE)).astype(np.float32)
    cut = trim(np.concatenate([silence, tone, silence]))
    assert len(tone) <= len(cut) < len(tone) + RATE
    assert np.array_equal(trim(tone), tone)
    assert len(trim(silence)) == 0


def test_credits_name_title_author_licence_and_file() -> None:
    row = {"title": None, "author": "A | B", "licence": "CC0", "package": "p", "file": "x/y/song.ogg", "split": "train"}
    assert "| y | A / B | CC0 | p, `song.ogg` | train |" in credits_text([row])
