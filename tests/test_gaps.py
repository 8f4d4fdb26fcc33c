"""Times and stretches as people write them: on the command line, in label tracks, in tables."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from diffmusic.audio.files import Recording, encode
from diffmusic.errors import InputError
from diffmusic.jobs import gaps
from diffmusic.parameters import seconds, span
from diffmusic.tasks.segments import Segment

Run = Callable[..., SimpleNamespace]
Song = Callable[..., Path]
SOLVE = ("solve", "inpainting", "--solver", "interpolate")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("12.5", 12.5), ("1:02.5", 62.5), ("0:00", 0.0), ("1:00:02.25", 3602.25), ("71:30", 4290.0), ("44100s", 1.0),
     (" 3 ", 3.0), ("-1", -1.0), ("1e-2", 0.01)],
)  # fmt: skip
def test_times(text: str, wanted: float) -> None:
    assert seconds(text, 44100) == wanted


@pytest.mark.parametrize("text", ["", "x", "1:60", "1:60:00", "1:-2", "1:2:3:4", "1.5:20", ":5", "5:", "44100.5s"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        seconds(text, 44100)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1:2", (1.0, 2.0)),  # as it always was: two times in seconds
        ("12.0:12.8", (12.0, 12.8)),
        ("1:02.5-1:03", (62.5, 63.0)),
        ("1:02.5:1:03", (62.5, 63.0)),
        ("1:00:00:1:00:01", (3600.0, 3601.0)),
        ("2-3", (2.0, 3.0)),
        ("2+0.5", (2.0, 2.5)),
        ("1:02+0:03", (62.0, 65.0)),
        ("441s:882s", (0.01, 0.02)),
        ("1+441s", (1.0, 1.01)),
        ("1e-3:2e-3", (0.001, 0.002)),
    ],
)
def test_stretches(text: str, wanted: tuple[float, float]) -> None:
    assert span(text, 44100) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("text", ["1:2:3", "1:2:3:4:5", "1", "1+", "-", "a:b", "", "1:2-"])
def test_what_is_no_stretch_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write START:END"):
        span(text, 44100)


def test_samples_need_a_rate() -> None:
    with pytest.raises(ValueError, match="give seconds"):
        span("441s:882s")


def test_a_segment_is_written_like_a_gap() -> None:
    assert Segment.parse("1:02.5-1:03@1.5=a banjo: loud=er") == Segment(62.5, 63.0, "a banjo: loud=er", 1.5)
    assert Segment.parse("2+0.5") == Segment(2.0, 2.5)


def stretches(entries: list[gaps.Entry], path: Path) -> list[tuple[float, float]]:
    return gaps.resolved([entry.text for entry in gaps.of_file(entries, path)], path)


LABELS = "1.000000\t1.250000\tclick\n\\\t100.0\t4000.0\n2.5\t2.5\ta point\n3,0\t3,5\n"


def test_a_label_track_of_audacity(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text(LABELS, encoding="utf-8-sig")
    assert stretches(gaps.read(path), tmp_path / "x.wav") == [(1, 1.25), (3, 3.5)]


SPECTRAL = (
    "1.0\t1.25\tring\n\\\t1000.000000\t4000,5\n1.5\t1.5\tpoint\n\\\t1\t2\n2\t2.5\tpause\n3\t3.5\thiss\n\\\t5000\t-1.0\n"
)


def test_spectral_selections_of_a_label_track_are_rectangles(song: Song, tmp_path: Path) -> None:
    path, labels = song(rate=44100), tmp_path / "labels.txt"
    labels.write_text(SPECTRAL)
    entries = gaps.read(labels)
    assert [entry.band for entry in entries] == [(1000.0, 4000.5), None, (5000.0, -1.0)]
    found = gaps.rectangles(["0:1@100:1k,2+1@1k:2k"], entries, path)
    assert found == [(0, 1, 100, 1000), (2, 3, 1000, 2000), (1, 1.25, 1000, 4000.5), (3, 3.5, 5000, 22050)]
    labels.write_text("1\t2\tx\n\\\tlow\thigh\n")
    with pytest.raises(InputError, match="no band of a label track"):
        gaps.read(labels)


def test_a_table_may_have_bands(song: Song, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("start,end,low,high\n1,2,300,3000\n4,5,,\n6,7,8000,\n")
    entries = gaps.read(tmp_path / "table.csv")
    assert gaps.rectangles([], entries, song(rate=44100)) == [(1, 2, 300, 3000), (6, 7, 8000, 22050)]


def test_a_label_track_gives_gaps_and_regions(run: Run, song: Song, tmp_path: Path) -> None:
    path, labels = song(rate=44100, seconds=2.0), tmp_path / "labels.txt"
    labels.write_text("0.4\t0.45\tgap\n1.0\t1.3\tring\n\\\t1000\t4000\n")
    solver = ("solve", "inpainting", path, "--solver", "interpolate", "-o", tmp_path / "out.wav")
    done = run(*solver, "--gaps", labels, "--regions", labels)
    assert done.code == 0, done.err
    given = json.loads((tmp_path / "out.wav.json").read_text())["job"]["operator_parameters"]
    assert given["gap"] == [[0.4, 0.45]]
    assert given["region"] == [[1.0, 1.3, 1000.0, 4000.0]]
    done = run(*solver, "--regions", tmp_path / "none.txt")
    assert done.code == 2
    assert "none.txt: no such file" in done.err


@pytest.mark.parametrize("comma", [",", ";"])
def test_a_table(tmp_path: Path, comma: str) -> None:
    path = tmp_path / "gaps.csv"
    rows = ["File,Start,End,length", "a.wav,1:02.5,1:03,", "b,2,,0.5", ",7,8,", "a.wav,9,10,"]
    path.write_text("\n".join(row.replace(",", comma) for row in rows))
    entries = gaps.read(path)
    a, b = (stretches(entries, tmp_path / name) for name in ("a.wav", "b.flac"))
    assert a == [(62.5, 63), (7, 8), (9, 10)]
    assert b == [(2, 2.5), (7, 8)]


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "names no stretch"), ("1.0 2.0 x\n", "no line of a label track"), ("5\t5\tpoint\n", "names no stretch"),
     ("start,end\n1,\n", "line 2 lacks")],
)  # fmt: skip
def test_what_is_no_list_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "list").write_text(text)
    with pytest.raises(InputError, match=message):
        gaps.read(tmp_path / "list")


def lost(path: Path, source: Path) -> list[tuple[int, int]]:
    """Where two files differ, as stretches of samples."""
    a, b = soundfile.read(path, always_2d=True)[0], soundfile.read(source, always_2d=True)[0]
    changed = np.flatnonzero((a != b).any(1))
    breaks = np.flatnonzero(np.diff(changed) > 500)
    edges = [changed[0], *changed[breaks], *changed[breaks + 1], changed[-1]]
    return [(int(a), int(b) + 1) for a, b in np.sort(edges).reshape(-1, 2)]


def test_every_way_of_writing_it_loses_the_same_samples(run: Run, song: Song, tmp_path: Path) -> None:
    path = song(rate=44100)
    (tmp_path / "labels.txt").write_text("0.6\t0.65\tx\n0.9\t0.92\ty\n")
    (tmp_path / "table.csv").write_text("file,start,length\nsong,0.6,0.05\nsong.wav,39690s,882s\nother,0,1\n")
    ways: list[tuple[object, ...]] = [
        ("--gap", "0.6:0.65", "--gap", "0.9:0.92"), ("--gap", "0.6:0.65,0.9+0.02"),
        ("--gap", "26460s:28665s", "--gap", "39690s+882s"), ("--gap", "0:00.6-0:00.65, 0:00.9-0:00.92"),
        ("--gaps", tmp_path / "labels.txt"), ("--gaps", tmp_path / "table.csv"),
    ]  # fmt: skip
    made = []
    for number, words in enumerate(ways):
        result = run(*SOLVE, path, *words, "-o", tmp_path / f"{number}.wav")
        assert result.code == 0, result.err
        made.append((tmp_path / f"{number}.wav").read_bytes())
        recorded = json.loads((tmp_path / f"{number}.wav.json").read_text())["job"]["operator_parameters"]["gap"]
        np.testing.assert_allclose(recorded, [[0.6, 0.65], [0.9, 0.92]])
    assert set(made) == {made[0]}
    inside = lost(tmp_path / "0.wav", path)
    assert [(a // 100, b // 100) for a, b in inside] == [(264, 286), (396, 405)]
    again = run("solve", "--config", tmp_path / "5.wav.json", "-o", tmp_path / "again.wav")
    assert again.code == 0, again.err
    assert (tmp_path / "again.wav").read_bytes() == made[0]


def test_a_folder_of_lists_has_one_for_each_input(run: Run, song: Song, tmp_path: Path) -> None:
    lists = tmp_path / "lists"
    lists.mkdir()
    paths = [song(f"{name}.wav") for name in "abc"]
    (lists / "a.txt").write_text("0.5\t0.55\n")
    (lists / "b.wav.csv").write_text("start,end\n1.0,1.05\n")
    result = run(*SOLVE, *paths, "--gaps", lists, "-o", tmp_path / "out")
    assert result.code == 0, result.err
    assert "passed over" in result.err
    assert "c.wav: no gap of it is listed" in result.err
    assert "2 of 3 files restored, 1 left alone" in result.out
    [(first, _)] = lost(tmp_path / "out/a.restored.wav", paths[0])
    [(second, _)] = lost(tmp_path / "out/b.restored.wav", paths[1])
    assert (first // 100, second // 100) == (80, 160)


def test_auto_takes_what_could_not_be_decoded(run: Run, tmp_path: Path) -> None:
    time = np.arange(3 * 44100) / 44100
    tone = 0.3 * np.sin(2 * np.pi * 330 * time)[None]
    tone += 1e-3 * np.random.default_rng(0).standard_normal(tone.shape)
    data = bytearray(encode(Recording(tone, 44100, "FLAC", "PCM_16")))
    data[len(data) // 2 : len(data) // 2 + 200] = bytes(200)
    path, out = tmp_path / "x.flac", tmp_path / "y.flac"
    path.write_bytes(data)
    result = run(*SOLVE, path, "--gap", "auto", "-o", out)
    assert result.code == 0, result.err
    assert "cannot be decoded" in result.err
    mended = soundfile.read(out)[0]
    assert np.abs(mended - tone[0]).max() < 0.03  # a steady tone is continued
    assert "no dropout, no click" in run(*SOLVE, out, "--gap", "auto", "-o", tmp_path / "z.flac").err


def test_auto_takes_what_is_no_number(run: Run, song: Song, tmp_path: Path) -> None:
    path = song(subtype="FLOAT")
    samples, rate = soundfile.read(path)
    samples[8000:8100] = np.nan
    soundfile.write(path, samples, rate, "FLOAT")
    result = run(*SOLVE, path, "--gap", "auto", "-o", tmp_path / "y.wav")
    assert result.code == 0, result.err
    mended = soundfile.read(tmp_path / "y.wav")[0]
    assert np.isfinite(mended).all()
    np.testing.assert_array_equal(np.delete(mended, slice(8000, 8100)), np.delete(samples, slice(8000, 8100)))
    assert "the first at 0.500 s" in run(*SOLVE, path, "--gap", "0.6:0.7", "-o", tmp_path / "z.wav").err
