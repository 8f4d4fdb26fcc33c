"""Broken input is answered in one line. `python -m benchmarks.fuzz` tries more cases of the same kinds."""

import random
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile

import diffmusic
from benchmarks import fuzz
from diffmusic.errors import InputError


@pytest.mark.filterwarnings("ignore")
def test_broken_input_is_read_or_refused_in_a_line(tmp_path: Path) -> None:
    answers = [(kind, fuzz.answer(do)) for kind, do in fuzz.cases(0, tmp_path, 45)]
    assert [each for each in answers if each[1] not in ("read", "refused")] == []
    for kind in (
        "audio",
        "run record",
        "suite",
        "list of gaps",
        "line of components",
    ):
        told = {each for of, each in answers if of.startswith(kind)}
        assert told == {"read", "refused"}, kind


def flac(tmp_path: Path) -> bytearray:
    path = tmp_path / "whole.flac"
    path.write_bytes(fuzz.intact("flac"))
    return bytearray(path.read_bytes())


@pytest.mark.parametrize("claimed", [3 * fuzz.RATE, (1 << 36) - 1])
def test_a_header_that_claims_days_is_not_believed(tmp_path: Path, claimed: int) -> None:
    """The last 36 bits of bytes 18 to 25 are the number of samples."""
    data = flac(tmp_path)
    told = int.from_bytes(data[18:26], "big") >> 36 << 36 | claimed
    data[18:26] = told.to_bytes(8, "big")
    path = tmp_path / "claims.flac"
    path.write_bytes(bytes(data))
    with pytest.warns(UserWarning, match=r"promises .* s in its header, 1\.000 s could be read"):
        audio, _ = diffmusic.read(path)
    assert audio.shape == (2, fuzz.RATE)
    assert (audio == diffmusic.read(tmp_path / "whole.flac")[0]).all()


def test_broken_tags_of_a_flac_file_cost_no_audio(tmp_path: Path) -> None:
    data = flac(tmp_path)
    place = data.lower().index(b"title=")
    data[place - 4 : place] = b"\xff\xff\xff\x7f"  # the length of the first comment
    path = tmp_path / "tags.flac"
    path.write_bytes(bytes(data))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        audio, _ = diffmusic.read(path)
    assert audio.shape == (2, fuzz.RATE)


def test_an_ogg_file_without_one_whole_page_of_audio_is_refused(tmp_path: Path) -> None:
    whole = tmp_path / "whole.opus"
    time = np.arange(48000) / 48000
    soundfile.write(whole, 0.3 * np.sin(2 * np.pi * 220 * time), 48000, format="OGG", subtype="OPUS")
    data, chance = whole.read_bytes(), random.Random(0)
    for _ in range(12):
        path = tmp_path / "cut.opus"
        path.write_bytes(data[: chance.randrange(1, 400)])
        with pytest.raises(InputError, match="audio"):
            diffmusic.read(path)
