"""Captions of the corpus say only what is true of their clip."""

import re
from random import Random

import numpy as np
import pytest

from training.captions import DENSITIES, GROUPS, SYNONYMS, TEMPI, WORDS, captions
from training.instruments import KITS, NAMES

KNOWN = sorted({word for words in WORDS for word in words} | set(GROUPS), key=len, reverse=True)
MODES = ("major", "minor", "dorian", "mixolydian")


def row(number: int) -> dict:
    """A manifest row with anything in it."""
    random = Random(number)
    pitched = random.sample(range(127), random.choice((1, 1, 2, 3, 4, 6)))
    roles = ("melody", "chords", "bass", "pad", "arpeggio", "second")
    programs = [{"program": p, "name": NAMES[p], "role": random.choice(roles)} for p in pitched]
    if drums := random.random() < 0.3:
        kit = random.choice(tuple(KITS))
        programs.append({"program": kit, "name": KITS[kit], "role": "drums"})
    return {
        "clip": f"train/{number}.flac", "programs": programs, "drums": drums, "mode": random.choice(MODES),
        "tempo": round(random.uniform(60, 200), 1), "density": random.uniform(1, 20), "wet": random.random() < 0.5,
    }  # fmt: skip


ROWS = [row(number) for number in range(150)]


def named(caption: str) -> tuple[set[str], str]:
    """The instruments a caption names, and what is left of it without them."""
    found, rest = set(), caption.lower()
    for word in KNOWN:
        rest, count = re.subn(rf"\b{re.escape(word)}\b", "#", rest)
        if count:
            found.add(word)
    return found, rest


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["clip"])
def test_every_word_is_true(row):
    pitched = [entry["program"] for entry in row["programs"] if entry["role"] != "drums"]
    possible = {word for program in pitched for word in WORDS[program]}
    possible |= {name for name, members in GROUPS.items() if sum(p in members for p in pitched) > 1}
    for caption in captions(row, 40):
        words, rest = named(caption)
        assert words <= possible, caption
        denied = re.search(r"\b(no|without) drums", rest)
        assert not (denied and row["drums"]), caption
        assert row["drums"] or denied or "drum" not in rest, caption
        for name, (low, high) in {**TEMPI, **DENSITIES}.items():
            if any(re.search(rf"\b{word}\b", rest) for word in (name, *SYNONYMS[name])):
                assert low <= (row["tempo"] if name in TEMPI else row["density"]) <= high, caption
        for mode in MODES:
            if any(re.search(rf"\b{word}\b", rest) for word in (mode, *SYNONYMS[mode])):
                assert row["mode"] in (mode, "dorian", "mixolydian"), caption
        if bpm := re.search(r"(\d+) bpm", rest):
            assert abs(int(bpm[1]) - row["tempo"]) <= 0.5
        assert row["wet"] or not re.search(r"reverberant|with reverb\b|large room", rest), caption
        assert not (row["wet"] and re.search(r"\bdry\b|without reverb", rest)), caption
        assert "solo" not in rest or len(row["programs"]) == 1, caption


def test_the_same_row_has_the_same_captions_and_many_of_them():
    assert captions(ROWS[0], 16) == captions(ROWS[0], 40)[:16]
    assert np.mean([len(set(captions(row, 16))) for row in ROWS]) > 10
    texts = [caption for row in ROWS for caption in captions(row, 16)]
    assert 0.9 < np.mean([bool(named(text)[0]) for text in texts]) < 1
    bare = [named(text)[1] for text in texts]
    assert 0.2 < np.mean([bool(re.fullmatch(r"(music|only|solo|the sound|of|with|for|an?|and|#|[ ,.])*", b))
                          for b in bare]) < 0.5  # fmt: skip


def test_log_mel_is_what_claps_feature_extractor_gives():
    torch = pytest.importorskip("torch")
    pytest.importorskip("tokenizers")
    from training.train_clap import extractor, log_mel

    audio = np.random.default_rng(0).standard_normal(80000) * 0.1
    expected = extractor()(audio, sampling_rate=16000, return_tensors="np")["input_features"][0, 0]
    np.testing.assert_allclose(log_mel(torch.from_numpy(audio).float()[None])[0], expected, atol=0.01)
