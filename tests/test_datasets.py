"""Datasets: folders laid out as the real ones are, made here, and read by the code that reads the real ones."""

import json
import shutil
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from diffmusic import testing
from diffmusic.datasets.contract import Clip, load_dataset
from diffmusic.errors import InputError

RATE = 44100
SOURCES = ("drums", "bass", "other", "vocals")
FFMPEG = pytest.mark.skipif(
    shutil.which("ffmpeg") is None or shutil.which("ffprobe") is None, reason="the program ffmpeg is not installed"
)


def tones(seconds: float = 1.5, rate: int = RATE, channels: int = 2) -> dict[str, np.ndarray]:
    """Sources that can be told apart, (time, channels): a tone each, with a little noise."""
    time = np.arange(round(seconds * rate)) / rate
    random = np.random.default_rng(0)
    return {
        name: 0.1 * np.sin(2 * np.pi * hertz * time)[:, None] + 0.003 * random.standard_normal((len(time), channels))
        for name, hertz in zip(SOURCES, (220, 440, 880, 1760), strict=True)
    }


def loudest(x: np.ndarray, rate: int) -> float:
    """The strongest frequency of (channels, time), Hz."""
    return float(np.fft.rfftfreq(x.shape[-1], 1 / rate)[np.abs(np.fft.rfft(x[0])).argmax()])


@pytest.fixture(scope="module")
def hq(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two songs in the layout of MUSDB18-HQ."""
    root = tmp_path_factory.mktemp("musdb18hq")
    for split, track in (("test", "B - Second"), ("test", "A - First"), ("train", "C - Third")):
        folder = root / split / track
        folder.mkdir(parents=True)
        stems = tones()
        for name, x in {**stems, "mixture": np.sum(list(stems.values()), axis=0)}.items():
            soundfile.write(folder / f"{name}.wav", x, RATE, subtype="PCM_16")
    return root


@pytest.fixture(scope="module")
def mp4(hq: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same songs as stem files: five AAC streams, as MUSDB18 has them."""
    root = tmp_path_factory.mktemp("musdb18")
    for folder in hq.glob("test/*"):
        (root / folder.parent.name).mkdir(exist_ok=True)
        inputs = [word for name in ("mixture", *SOURCES) for word in ("-i", str(folder / f"{name}.wav"))]
        maps = [word for number in range(5) for word in ("-map", f"{number}:a")]
        target = root / folder.parent.name / f"{folder.name}.stem.mp4"
        words = ["ffmpeg", "-v", "error", "-nostdin", *inputs, *maps, "-c:a", "aac", "-b:a", "256k", str(target)]
        subprocess.run(words, check=True)
    return root


def test_a_musdb_shaped_folder_is_read(hq: Path) -> None:
    songs = load_dataset(f"musdb18-hq path={hq}")
    assert songs.names() == ["A - First", "B - Second"]
    assert load_dataset(f"musdb18-hq path={hq} split=train").names() == ["C - Third"]
    testing.check_dataset(songs)
    clip = songs.load("A - First", start=0.5, seconds=0.25)
    assert clip.audio.shape == (2, 11025)
    assert clip.audio.dtype == np.float32
    assert clip.sample_rate == RATE
    assert {name: loudest(x, RATE) for name, x in clip.sources.items()} == {
        "drums": 220, "bass": 440, "other": 880, "vocals": 1760,
    }  # fmt: skip
    np.testing.assert_allclose(np.sum(list(clip.sources.values()), axis=0), clip.audio, atol=3 * 2**-15)


@FFMPEG
def test_a_stem_file_is_read_and_an_excerpt_is_what_the_whole_has(mp4: Path) -> None:
    songs = load_dataset(f"musdb18 path={mp4}")
    assert songs.names() == ["A - First", "B - Second"]
    testing.check_dataset(songs)
    whole = songs.load("A - First")
    assert list(whole.sources) == list(SOURCES)
    assert [loudest(x[:, :RATE], RATE) for x in whole.sources.values()] == [220, 440, 880, 1760]
    # A seek alone would damage the first frame, by about a tenth of the level.
    for start in (0.0, 0.1234, 0.7, 1.1):
        part = songs.load("A - First", start=start, seconds=0.3)
        first = round(start * RATE)
        np.testing.assert_array_equal(part.audio, whole.audio[:, first : first + round(0.3 * RATE)])
    assert part.start == 1.1


@FFMPEG
@pytest.mark.parametrize("song", ["A - First", "B - Second"])
def test_stem_files_are_what_the_packages_of_musdb_read(mp4: Path, song: str) -> None:
    musdb = pytest.importorskip("musdb")
    track = next(each for each in musdb.DB(root=str(mp4), subsets="test") if each.name == song)
    clip = load_dataset(f"musdb18 path={mp4}").load(song)
    length = clip.audio.shape[-1]
    assert length == round(1.5 * RATE)  # musdb also has what the coder filled its last frame with
    # musdb rounds to 16 bits.
    np.testing.assert_allclose(clip.audio, track.audio[:length].T, atol=2**-15)
    for name in SOURCES:
        np.testing.assert_allclose(clip.sources[name], track.targets[name].audio[:length].T, atol=2**-15)


@FFMPEG
def test_both_forms_are_the_same_music(hq: Path, mp4: Path) -> None:
    for name in ("A - First", "B - Second"):
        clips = [
            load_dataset(f"{kind} path={path}").load(name) for kind, path in (("musdb18-hq", hq), ("musdb18", mp4))
        ]
        length = min(each.audio.shape[-1] for each in clips)
        difference = np.subtract(*(each.audio[:, :length] for each in clips))
        assert np.linalg.norm(difference) < 0.1 * np.linalg.norm(clips[0].audio)


def test_without_ffmpeg_one_line_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "Song.stem.mp4").write_bytes(b"mp4")
    monkeypatch.setenv("PATH", str(tmp_path))
    songs = load_dataset(f"musdb18 path={tmp_path}")
    assert songs.names() == ["Song"]
    with pytest.raises(InputError, match="ffprobe, which is not found: install ffmpeg"):
        songs.load("Song")


@FFMPEG
def test_a_file_that_is_no_stem_file_is_refused(mp4: Path, tmp_path: Path) -> None:
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "Torn.stem.mp4").write_bytes((mp4 / "test" / "A - First.stem.mp4").read_bytes()[:2000])
    with pytest.raises(InputError, match="cannot be read by ffprobe") as caught:
        load_dataset(f"musdb18 path={tmp_path}").load("Torn")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["musdb18-hq", "musdb18"])
def test_another_layout_is_refused_and_the_right_one_told(kind: str, tmp_path: Path) -> None:
    steps = ("no such folder", "holds no folder test/: MUSDB18.* is unpacked as", "holds no TRACK")
    for expected, folder in zip(steps, ("data", "data/test", ""), strict=True):
        with pytest.raises(InputError, match=expected) as caught:
            load_dataset(f"{kind} path={tmp_path / 'data'}").names()
        assert "\n" not in str(caught.value)
        (tmp_path / folder).mkdir(exist_ok=True)


def test_a_song_that_lacks_a_stem_and_stems_that_differ_are_refused(hq: Path, tmp_path: Path) -> None:
    root = shutil.copytree(hq, tmp_path / "hq")
    folder = root / "test" / "A - First"
    soundfile.write(folder / "bass.wav", np.zeros((1000, 2)), RATE)
    with pytest.raises(InputError, match=r"bass\.wav .* does not go with mixture\.wav"):
        load_dataset(f"musdb18-hq path={root}").load("A - First")
    (folder / "bass.wav").unlink()
    with pytest.raises(InputError, match=r"incomplete: bass\.wav is missing"):
        load_dataset(f"musdb18-hq path={root}").names()
    with pytest.raises(InputError, match="Did you mean 'B - Second'"):
        load_dataset(f"musdb18-hq path={hq}").load("B - Secnd")


def test_a_folder_of_audio(tmp_path: Path, run: Callable[..., SimpleNamespace]) -> None:
    x = 0.1 * np.random.default_rng(0).standard_normal((24000, 2))
    for name, rate in (("b.wav", 16000), ("deep/er/a.flac", 48000), (".hidden.wav", 8000), (".trash/c.wav", 8000)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / name, x, rate)
    (tmp_path / "notes.txt").write_text("no audio")
    chosen = load_dataset(f"folder path={tmp_path}")
    assert chosen.names() == ["b.wav", "deep/er/a.flac"]
    assert chosen.duration("deep/er/a.flac") == 0.5
    testing.check_dataset(chosen)
    clip = chosen.load("deep/er/a.flac", start=0.25, seconds=0.1)
    np.testing.assert_allclose(clip.audio, x.T[:, 12000:16800], atol=2**-15)
    assert (clip.start, clip.prompt, dict(clip.sources)) == (0.25, None, {})
    assert run("check", "folder", "-s", f"path={tmp_path}").out.endswith("all passed\n")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no audio file"):
        load_dataset(f"folder path={tmp_path / 'empty'}").names()


def test_a_folder_is_read_with_blanks_in_its_name(tmp_path: Path) -> None:
    (tmp_path / "my music").mkdir()
    soundfile.write(tmp_path / "my music" / "a b.wav", np.zeros(100), 8000)
    assert load_dataset(f"folder path='{tmp_path / 'my music'}'").names() == ["a b.wav"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("folder", "path: field required"),
        ("folder path=/no/where", "no such folder"),
        ("foldr path=x", "Did you mean 'folder'"),
        ("folder path=. depth=2", "has no parameter 'depth'"),
        ("musdb18-hq path=. split=tset", "split: input should be 'train' or 'test'"),
        ("mini-test path=/no/where", r"python -m training\.stems renders"),
        ("medleymd-prompts path=/no/where", "no such file; MedleyMDPrompts is captions_sources.csv"),
    ],
)
def test_what_is_no_dataset_is_refused_in_a_line(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load_dataset(text).names()
    assert "\n" not in str(caught.value)


SOURCE_ROWS = """filename,source_captions
MusicDelta_Rock_MIX.wav,"A recording of a rock song."
MusicDelta_Rock_MIX.wav,"Drums, bass and a guitar."
MusicDelta_Gospel_MIX.wav,A choir.
"""
TARGET_ROWS = """filename,target_captions,can_be_used_without_source,source_caption_index
MusicDelta_Rock_MIX.wav,"A recording of a jazz song.",1,1
MusicDelta_Rock_MIX.wav,"Drums, bass and a flute.",0,2
MusicDelta_Rock_MIX.wav,"Strings.",10,1
MusicDelta_Rock_MIX.wav,"Strings.",1,3
MusicDelta_Rock_MIX.wav,"a recording of a rock song.",1,1
MusicDelta_Rock_MIX.wav,"A recording of a jazz song.",1,1
MusicDelta_Gospel_MIX.wav,"An organ.",1,1
MusicDelta_Punk_MIX.wav,"A harp.",1,1
MusicDelta_Rock_MIX.wav,"A harp.",1,2
short
"""


@pytest.fixture
def medley(tmp_path: Path) -> Path:
    (tmp_path / "captions_sources.csv").write_text(SOURCE_ROWS)
    (tmp_path / "captions_targets.csv").write_text(TARGET_ROWS)
    (tmp_path / "audio" / "MusicDelta_Rock").mkdir(parents=True)
    soundfile.write(tmp_path / "audio" / "MusicDelta_Rock" / "MusicDelta_Rock_MIX.wav", tones(0.5)["bass"], RATE)
    return tmp_path


def test_medleymd_prompts_pairs_captions_and_reports_bad_rows(medley: Path) -> None:
    edits = load_dataset(f"medleymd-prompts path={medley}")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        names = edits.names()
        edits.names()
    assert names == ["MusicDelta_Rock_MIX/1", "MusicDelta_Rock_MIX/2", "MusicDelta_Rock_MIX/7"]
    clip = edits.load("MusicDelta_Rock_MIX/2", start=0.1, seconds=0.2)
    assert (clip.prompt, clip.target) == ("Drums, bass and a guitar.", "Drums, bass and a flute.")
    assert clip.audio.shape == (2, 8820)
    said = [str(each.message) for each in caught]
    for expected in (
        "line 4: the flag '10' is neither 0 nor 1",
        "line 5: MusicDelta_Rock_MIX.wav has 2 source captions, and none of number '3'",
        "line 6: the target is the source caption",
        "line 7: the same edit a second time",
        "line 9: MusicDelta_Punk_MIX.wav has 0 source captions",
        "line 11: short has 0 source captions, and none of number ''",
        "1 of 4 songs are not there (MusicDelta_Gospel_MIX.wav)",
    ):
        assert sum(expected in each for each in said) == 1, (expected, said)
    assert len(said) == 7
    testing.check_dataset(edits)
    free = load_dataset(f"medleymd-prompts path={medley} audio={medley / 'audio'} without_source=true")
    assert free.names() == ["MusicDelta_Rock_MIX/1", "MusicDelta_Rock_MIX/7"]


def test_medleymd_prompts_refuses_tables_of_another_kind(medley: Path) -> None:
    (medley / "captions_targets.csv").write_text("filename,target\n")
    with pytest.raises(InputError, match="has no column target_captions: it needs filename, target_captions"):
        load_dataset(f"medleymd-prompts path={medley}").names()


@pytest.mark.filterwarnings("ignore:.*songs are not there")
def test_medleymd_prompts_without_any_audio_is_refused(medley: Path) -> None:
    shutil.rmtree(medley / "audio")
    with pytest.raises(InputError, match="holds no edit of a song"):
        load_dataset(f"medleymd-prompts path={medley}").names()


def test_the_clips_that_the_mini_prior_never_saw(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = []
    for name, split, lead, rest in (
        ("test/b-0", "test", 0.1, 0.1), ("test/a-1", "test", 0.1, 0.1), ("test/a-0", "test", 0.0, 0.1),
        ("test/c-0", "test", 0.1, 0.0), ("validation/d-0", "validation", 0.1, 0.1),
    ):  # fmt: skip
        folder = tmp_path / "stems" / name
        folder.mkdir(parents=True)
        random = np.random.default_rng(len(rows))
        stems = {
            source: level * random.standard_normal(8000)
            for source, level in {"drums": 0.0, "bass": 0.0, "lead": lead, "other": rest}.items()
        }
        for source, x in {**stems, "mixture": sum(stems.values())}.items():
            soundfile.write(folder / f"{source}.flac", x, 16000)
        loudness = {source: -180.0 if not x.any() else -20.0 for source, x in stems.items()}
        rows.append({"clip": f"{name}.flac", "split": split, "loudness": loudness})
    (tmp_path / "stems" / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    clips = load_dataset(f"mini-test path={tmp_path}")
    assert clips.names() == ["test/a-1", "test/b-0"]
    testing.check_dataset(clips)
    assert list(clips.load("test/a-1").sources) == ["drums", "bass", "lead", "other"]
    assert load_dataset(f"mini-test path={tmp_path} split=validation").names() == ["validation/d-0"]


@pytest.mark.parametrize("wrong", ["double", "shuffled", "late", "loud", "twice"])
def test_the_checks_catch_datasets_that_lie(wrong: str) -> None:
    from dataclasses import dataclass

    @dataclass(frozen=True)
    class Liar:
        def names(self) -> list[str]:
            return ["a", "a"] if wrong == "twice" else ["a", "b"]

        def duration(self, name: str, /) -> float:
            return 2.0 if wrong == "late" else 1.0

        def load(self, name: str, /, start: float = 0.0, seconds: float | None = None) -> Clip:
            if name not in self.names() or start < 0 or start + (seconds or 0) > 1:
                raise InputError("no")
            first = 0 if wrong == "shuffled" else round(start * 8000)
            count = 8000 - first if seconds is None else round(seconds * 8000)
            x = np.arange(8000.0)[None, first : first + count] / 8000
            x = x.astype(np.float64 if wrong == "double" else np.float32)
            sources = {"one": x, "two": 0.5 * x} if wrong == "loud" else {}
            return Clip(name, x, 8000, start, sources)

    failed = {result.name for result in testing.run_checks("dataset", Liar()) if not result.passed}
    expected = {"double": "clips", "shuffled": "excerpts", "late": "clips", "loud": "sources", "twice": "names"}
    assert expected[wrong] in failed
