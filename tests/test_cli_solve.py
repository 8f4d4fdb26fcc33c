"""``diffmusic solve`` from file to file, on a tiny checkpoint."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

Song = Callable[..., Path]
Run = Callable[..., SimpleNamespace]
GAP = ("--gap", "0.6:0.9")


@pytest.fixture
def solve(run: Run, tiny: Path) -> Run:
    """``diffmusic solve inpainting`` with a gap of 0.3 s and three steps of the tiny prior."""

    def call(*words: object) -> SimpleNamespace:
        return run("solve", "inpainting", *GAP, "--solver", "diffmusic", "--model", tiny, "--steps", 3, *words)

    return call


def codes(path: Path) -> np.ndarray:
    return soundfile.read(path, dtype="int32", always_2d=True)[0]


@pytest.mark.parametrize(
    ("name", "rate", "channels", "subtype"),
    [
        ("song.wav", 8000, 1, "PCM_U8"),
        ("song.wav", 16000, 1, "PCM_16"),
        ("song.flac", 44100, 2, "PCM_16"),
        ("song.flac", 48000, 1, "PCM_24"),
        ("song.wav", 96000, 2, "PCM_32"),
        ("song.aiff", 22050, 2, "PCM_24"),
        ("song.wav", 44100, 2, "FLOAT"),
        ("song.wav", 44100, 1, "DOUBLE"),
    ],
)
def test_observed_samples_and_file_kind_are_kept(
    song: Song, solve: Run, tmp_path: Path, name: str, rate: int, channels: int, subtype: str
) -> None:
    path, out = song(name, rate=rate, channels=channels, subtype=subtype), tmp_path / f"out{Path(name).suffix}"
    result = solve(path, "-o", out)
    assert result.code == 0, result.err
    before, after = soundfile.info(path), soundfile.info(out)
    assert (before.samplerate, before.channels, before.frames, before.subtype, before.format) == (
        after.samplerate, after.channels, after.frames, after.subtype, after.format,
    )  # fmt: skip
    dtype = "float64" if subtype in ("FLOAT", "DOUBLE") else "int32"
    x, y = (soundfile.read(each, dtype=dtype, always_2d=True)[0] for each in (path, out))
    start, stop = round(0.6 * rate), round(0.9 * rate)
    assert np.array_equal(x[:start], y[:start])
    assert np.array_equal(x[stop:], y[stop:])
    assert not np.array_equal(x[start:stop], y[start:stop])
    assert np.abs(y[start:stop]).max() > 0


@pytest.mark.parametrize("name", ["song.ogg", "song.mp3"])
def test_lossy_files_are_taken_and_written(song: Song, solve: Run, tmp_path: Path, name: str) -> None:
    path = song(name, rate=44100, channels=2)
    out = tmp_path / f"out{Path(name).suffix}"
    result = solve(path, "-o", out)
    assert result.code == 0, result.err
    assert "lossy" in result.err
    assert soundfile.info(out).samplerate == 44100
    # Written as FLAC, what was observed is kept to the last bit of 24.
    assert solve(path, "-o", tmp_path / "out.flac").code == 0
    given = soundfile.read(path, always_2d=True)[0]
    kept = soundfile.read(tmp_path / "out.flac", always_2d=True)[0]
    assert np.abs(given[:26000] - kept[:26000]).max() <= 2**-24
    assert soundfile.info(tmp_path / "out.flac").subtype == "PCM_24"


def test_same_command_and_config_give_the_same_bytes(song: Song, solve: Run, run: Run, tmp_path: Path) -> None:
    path = song("song.flac", rate=44100, channels=2)
    first, again, repeated = (tmp_path / f"{name}.flac" for name in ("first", "again", "repeated"))
    assert solve(path, "-o", first, "--seed", 7, "-s", "rate=0.5").code == 0
    assert solve(path, "-o", again, "--seed", 7, "-s", "rate=0.5").code == 0
    result = run("solve", "--config", f"{first}.json", "-o", repeated)
    assert result.code == 0, result.err
    assert first.read_bytes() == again.read_bytes() == repeated.read_bytes()
    assert solve(path, "-o", again, "--seed", 8, "-s", "rate=0.5").code == 0
    assert first.read_bytes() != again.read_bytes()


def test_flags_override_the_config(song: Song, solve: Run, run: Run, tmp_path: Path) -> None:
    path = song()
    assert solve(path, "-o", tmp_path / "a.wav", "-s", "rate=0.5").code == 0
    config = tmp_path / "a.wav.json"
    result = run("solve", "inpainting", path, "--config", config, "--seed", 3, "-o", tmp_path / "b.wav")
    assert result.code == 0, result.err
    job = json.loads((tmp_path / "b.wav.json").read_text())["job"]
    assert (job["seed"], job["steps"], job["solver_parameters"]["rate"]) == (3, 3, 0.5)
    assert job["operator_parameters"]["gap"] == [[0.6, 0.9]]


def test_a_file_alone_equals_the_file_among_others(song: Song, solve: Run, tmp_path: Path) -> None:
    paths = [song(f"{name}.wav", seconds=seconds) for name, seconds in (("a", 1.5), ("b", 2.0), ("c", 1.2))]
    folder = tmp_path / "together"
    folder.mkdir()
    assert solve(*paths, "-o", folder).code == 0
    assert solve(paths[1], "-o", tmp_path / "alone.wav").code == 0
    assert (folder / "b.restored.wav").read_bytes() == (tmp_path / "alone.wav").read_bytes()
    assert len(list(folder.iterdir())) == 6


def test_one_bad_file_does_not_stop_the_others(song: Song, solve: Run, tmp_path: Path) -> None:
    short = song("short.wav", seconds=0.5)
    good = song("good.wav")
    folder = tmp_path / "out"
    folder.mkdir()
    result = solve(short, good, "-o", folder)
    assert result.code == 2
    assert "gap 0.6:0.9 lies outside" in result.err
    assert "1 of 2 files failed" in result.err
    assert (folder / "good.restored.wav").exists()


def test_equal_channels_stay_equal(solve: Run, song: Song, tmp_path: Path) -> None:
    mono = soundfile.read(song("mono.wav"))[0]
    soundfile.write(tmp_path / "dual.wav", np.stack([mono, mono], 1), 16000, subtype="FLOAT")
    assert solve(tmp_path / "dual.wav", "-o", tmp_path / "out.wav").code == 0
    left, right = soundfile.read(tmp_path / "out.wav")[0].T
    assert np.array_equal(left, right)


def test_run_record_tells_what_was_done(song: Song, solve: Run, tmp_path: Path) -> None:
    path = song(rate=44100, channels=2)
    result = solve(path, "-o", tmp_path / "out.wav", "--simulate", "--json", "-s", "repeats=1")
    assert result.code == 0, result.err
    record = json.loads((tmp_path / "out.wav.json").read_text())
    assert json.loads(result.out) == record
    assert record["costs"] == {
        "network_forward": 6, "network_calls": 6, "network_backward": 0, "decoder_forward": 14, "decoder_backward": 6,
        "encoder_forward": 0,
        "encoder_backward": 0,
        "seconds": record["costs"]["seconds"],
    }  # fmt: skip
    assert record["peak_memory_bytes"] > 1e8
    assert record["model"]["sha256"] == record["model"]["sha256"].lower()
    assert record["measured"]["shape"][0] == 2
    assert record["versions"]["torch"]
    scores = record["metrics"][0]["lsd"]
    assert scores["restored_in_damage"] < scores["damaged_in_damage"]
    assert scores["restored"] < scores["restored_in_damage"]


def test_simulate_does_not_look_into_the_gap(song: Song, solve: Run, tmp_path: Path) -> None:
    path = song("clean.wav", subtype="FLOAT")
    clean, rate = soundfile.read(path)
    spoilt = clean.copy()
    spoilt[round(0.6 * rate) : round(0.9 * rate)] = np.random.default_rng(1).uniform(-1, 1, round(0.3 * rate))
    soundfile.write(tmp_path / "spoilt.wav", spoilt, rate, subtype="FLOAT")
    assert solve(path, "--simulate", "-o", tmp_path / "a.wav").code == 0
    assert solve(tmp_path / "spoilt.wav", "-o", tmp_path / "b.wav").code == 0
    assert np.array_equal(codes(tmp_path / "a.wav"), codes(tmp_path / "b.wav"))


def test_reference_measures_a_really_damaged_file(song: Song, solve: Run, tmp_path: Path) -> None:
    path = song("clean.wav")
    clean, rate = soundfile.read(path)
    clean[9600:14400] = 0
    soundfile.write(tmp_path / "damaged.wav", clean, rate)
    result = solve(tmp_path / "damaged.wav", "--reference", path, "-o", tmp_path / "out.wav")
    assert result.code == 0, result.err
    assert "lsd in the damaged part" in result.out


def test_several_samples_differ_inside_the_gap_only(song: Song, solve: Run, tmp_path: Path) -> None:
    assert solve(song(), "--samples", 2, "-o", tmp_path / "out.wav").code == 0
    first, second = (codes(tmp_path / name) for name in ("out.wav", "out-2.wav"))
    assert np.array_equal(first[:9600], second[:9600])
    assert not np.array_equal(first[9600:14400], second[9600:14400])


def test_the_result_of_several_samples_is_their_medoid(song: Song, solve: Run, tmp_path: Path) -> None:
    """Each file is the sample that the record says, in the order of how far it is from the others."""
    path, plot = song(), tmp_path / "p.png"
    result = solve(path, "--samples", 3, "-o", tmp_path / "out.wav", "--plot", plot)
    assert result.code == 0, result.err
    assert "3 samples, which differ by" in result.out
    names = ["out.wav", "out-2.wav", "out-3.wav"]
    assert sorted(each.name for each in tmp_path.glob("out*.wav")) == sorted(names)
    made = json.loads((tmp_path / "out.wav.json").read_text())["samples"]
    far = [made["distances"][sample] for sample in made["order"]]
    assert far == sorted(far)
    assert made["seconds"] == [[0.6, 0.75], [0.75, 0.9]]
    assert made["edges_hz"] == [0, 125, 250, 500, 1000, 2000, 4000, 8000]
    assert np.shape(made["spread_db"]) == (2, 7)
    assert solve(path, "--samples", 1, "-o", tmp_path / "one.wav").code == 0
    drawn = names[made["order"].index(0)]
    assert np.array_equal(codes(tmp_path / "one.wav"), codes(tmp_path / drawn))


def test_no_finish_gives_the_raw_estimate(song: Song, solve: Run, tmp_path: Path) -> None:
    path = song()
    assert solve(path, "--no-finish", "-o", tmp_path / "raw.wav").code == 0
    assert not np.array_equal(codes(path)[:9600], codes(tmp_path / "raw.wav")[:9600])


def test_only_windows_with_damage_are_solved(song: Song, run: Run, tiny: Path, tmp_path: Path) -> None:
    path = song("long.flac", seconds=70, rate=22050)
    result = run(
        "solve", "inpainting", path, "--solver", "diffmusic",
        "--gap", "20:20.5", "--gap", "22:22.1", "--gap", "69.8:70",
        "--model", tiny, "--steps", 1, "-o", tmp_path / "out.flac",
    )  # fmt: skip
    assert result.code == 0, result.err
    windows = json.loads((tmp_path / "out.flac.json").read_text())["windows"]
    assert len(windows) == 2
    assert all(stop - start == pytest.approx(10.24, abs=0.01) for start, stop in windows)
    before, after = codes(path), codes(tmp_path / "out.flac")
    changed = np.flatnonzero((before != after).any(1)) / 22050
    assert changed.min() >= 20 - 1e-4
    assert changed.max() >= 69.8
    assert not ((changed > 20.501) & (changed < 21.999)).any()


def test_a_quiet_recording_is_restored_at_its_own_level(song: Song, solve: Run, tmp_path: Path) -> None:
    path = song(subtype="FLOAT")
    loud, rate = soundfile.read(path)
    soundfile.write(tmp_path / "quiet.wav", loud * 2**-10, rate, subtype="FLOAT")
    assert solve(path, "-o", tmp_path / "a.wav").code == 0
    assert solve(tmp_path / "quiet.wav", "-o", tmp_path / "b.wav").code == 0
    a, b = (soundfile.read(tmp_path / name)[0][10500:13500] for name in ("a.wav", "b.wav"))
    np.testing.assert_allclose(b * 2**10, a, rtol=1e-3, atol=1e-4)


def test_silence_around_a_gap_is_answered_by_silence(solve: Run, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "silent.wav", np.zeros(24000), 16000)
    assert solve(tmp_path / "silent.wav", "-o", tmp_path / "out.wav").code == 0
    assert not codes(tmp_path / "out.wav").any()


def test_classical_solver_needs_no_prior_and_works_at_the_files_rate(song: Song, run: Run, tmp_path: Path) -> None:
    path = song(rate=44100)
    result = run("solve", "inpainting", path, "--gap", "0.60:0.62", "--solver", "interpolate", "--simulate",
                 "-o", tmp_path / "out.wav", "--model", "no-such-model")  # fmt: skip
    assert result.code == 0, result.err
    record = json.loads((tmp_path / "out.wav.json").read_text())
    assert record["model"] is None
    assert record["metrics"][0]["si_sdr"]["restored_in_damage"] > 10


def test_plot_is_a_picture(song: Song, solve: Run, tmp_path: Path) -> None:
    assert solve(song(), "--simulate", "--plot", tmp_path / "out.png", "-o", tmp_path / "out.wav").code == 0
    picture = (tmp_path / "out.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 20_000


def test_default_output_lies_beside_the_input(song: Song, solve: Run) -> None:
    path = song()
    result = solve(path)
    assert result.code == 0, result.err
    assert path.with_name("song.restored.wav").exists()
    assert path.with_name("song.restored.wav.json").exists()


def test_nothing_but_json_reaches_a_pipe(song: Song, tmp_path: Path) -> None:
    words = ["solve", "inpainting", song(), *GAP, "--solver", "interpolate", "--json", "-o", tmp_path / "o.wav"]
    done = subprocess.run(
        [sys.executable, "-m", "diffmusic", *map(str, words)], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["command"] == "solve"
    assert done.stderr == ""
