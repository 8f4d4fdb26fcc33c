"""``diffmusic evaluate``: anyone's files, matched by name."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from diffmusic.audio import files
from diffmusic.metrics.contract import is_set, load_metric, measure
from diffmusic.metrics.lsd import lsd
from diffmusic.metrics.si_sdr import si_sdr

Run = Callable[..., SimpleNamespace]
RATE = 16000


def sound(seed: int, seconds: float = 1.0, channels: int = 1, rate: int = RATE) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal((round(seconds * rate), channels))


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Three references, and estimates of two of them under the names that diffmusic gives."""
    clean, restored = tmp_path / "clean", tmp_path / "restored"
    for number, name in enumerate(("a", "b", "deep/c")):
        (clean / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(clean / f"{name}.flac", sound(number), RATE)
    (restored / "deep").mkdir(parents=True)
    soundfile.write(restored / "a.wav", sound(0) + 0.1 * sound(9), RATE)
    soundfile.write(restored / "deep" / "c.restored.wav", sound(2) + 0.5 * sound(9), RATE)
    soundfile.write(restored / "other.wav", sound(3), RATE)
    return clean, restored


def test_files_are_matched_by_name_and_measured(run: Run, folders: tuple[Path, Path], tmp_path: Path) -> None:
    clean, restored = folders
    out = tmp_path / "scores.json"
    result = run("evaluate", clean, restored, "--metrics", "lsd, si_sdr", "-m", "fad", "-o", out)
    assert result.code == 0, result.err
    document = json.loads(out.read_text())
    assert [each["name"] for each in document["files"]] == ["a", "deep/c"]
    for each in document["files"]:
        x, y = (files.read(Path(path["path"])).samples for path in each["files"])
        assert each["values"] == pytest.approx({"lsd": lsd(x, y, RATE), "si_sdr": si_sdr(x, y, RATE)})
    means = {name: np.mean([each["values"][name] for each in document["files"]]) for name in ("lsd", "si_sdr")}
    assert {name: found["mean"] for name, found in document["metrics"].items()} == pytest.approx(means)
    assert document["unmatched"] == {"reference": ["b"], "estimate": ["other"]}
    fad = document["sets"]["fad"]
    chosen = load_metric("fad")
    assert is_set(chosen)
    sets = [
        np.concatenate([chosen.embed(files.read(path).samples, RATE) for path in files.below(folder)])
        for folder in folders
    ]
    assert fad["value"] == pytest.approx(chosen.distance(*sets))
    assert (fad["files"], fad["windows"]) == ([3, 3], [3, 3])
    assert fad["model"] == chosen.describe()
    lines = result.out.splitlines()
    assert lines[0].split() == ["lsd", "si_sdr"]
    assert lines[1].split()[0] == "a"
    assert lines[3].split() == ["mean", f"{means['lsd']:.4f}", f"{means['si_sdr']:.4f}"]
    assert f"fad by mini, sha256 {fad['model']['sha256'][:12]}" in result.out
    assert "note: only in reference: b (1 files)" in result.err
    assert "note: only in estimate: other (1 files)" in result.err


def test_two_files_and_what_solve_reports_by_default(run: Run, folders: tuple[Path, Path]) -> None:
    result = run("evaluate", folders[0] / "a.flac", folders[1] / "other.wav", "--json")
    document = json.loads(result.out)
    assert set(document["metrics"]) == {"lsd", "mel_l1", "si_sdr"}
    assert [each["name"] for each in document["files"]] == ["other.wav"]
    assert document["sets"] == {}


def test_the_table_as_csv(run: Run, folders: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "scores.csv"
    assert run("evaluate", *folders, "-m", "lsd", "-o", out).code == 0
    rows = [line.split(",") for line in out.read_text().splitlines()]
    assert rows[0] == ["file", "metric", "value"]
    assert [row[:2] for row in rows[1:]] == [["a", "lsd"], ["deep/c", "lsd"]]


def test_rates_are_adapted_and_lengths_within_a_tenth_of_a_second(run: Run, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", sound(0), RATE)
    time = np.arange(45000) / 44100  # 20 ms more than a second
    soundfile.write(tmp_path / "y.wav", 0.1 * np.sin(2 * np.pi * 440 * time), 44100)
    soundfile.write(tmp_path / "x.wav", 0.1 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE), RATE)
    result = run("evaluate", tmp_path / "x.wav", tmp_path / "y.wav", "-m", "si_sdr", "--json")
    (row,) = json.loads(result.out)["files"]
    assert row["values"]["si_sdr"] > 30
    assert row["done"][0] == "resampled from 44100 to 16000 Hz"
    assert row["done"][1].startswith("cut by 3")


@pytest.mark.parametrize(
    ("reference", "estimate", "flag", "message"),
    [
        (sound(0), sound(0, 1.5), "--cut", "--cut compares what both have"),
        (sound(0, channels=2), sound(0), "--mono", "has 1 channel and .* 2: --mono"),
    ],
)
def test_pairs_that_do_not_compare_are_refused_unless_a_flag_says_how(
    run: Run, tmp_path: Path, reference: np.ndarray, estimate: np.ndarray, flag: str, message: str
) -> None:
    soundfile.write(tmp_path / "x.wav", reference, RATE)
    soundfile.write(tmp_path / "y.wav", estimate, RATE)
    words = ("evaluate", tmp_path / "x.wav", tmp_path / "y.wav", "-m", "lsd", "-o", tmp_path / "o.json")
    refused = run(*words)
    assert refused.code == 2
    assert len(refused.err.splitlines()) == 1
    assert re.search(message, refused.err)
    assert not (tmp_path / "o.json").exists()
    assert run(*words, flag).code == 0


def test_clap_is_told_what_each_file_should_sound_like(run: Run, folders: tuple[Path, Path], tmp_path: Path) -> None:
    assert "needs to be told what a should sound like: --prompt" in run("evaluate", *folders, "-m", "clap").err
    table = tmp_path / "prompts.csv"
    table.write_text("file,prompt\na.wav,a piano\ndeep/c.wav,noise\n")
    result = run("evaluate", *folders, "-m", "clap", "--prompts", table, "--json")
    values = {each["name"]: each["values"]["clap"] for each in json.loads(result.out)["files"]}
    score = load_metric("clap")
    for name, path, prompt in (("a", "a.wav", "a piano"), ("deep/c", "deep/c.restored.wav", "noise")):
        y = files.read(folders[1] / path).samples
        assert values[name] == pytest.approx(measure(score, y, y, RATE, prompt))  # type: ignore[arg-type]
    one = json.loads(run("evaluate", *folders, "-m", "clap", "--prompt", "noise", "--json").out)
    assert one["files"][1]["values"]["clap"] == pytest.approx(values["deep/c"])


def test_sets_need_no_names_in_common(run: Run, folders: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "generated").mkdir()
    for number in range(3):
        soundfile.write(tmp_path / "generated" / f"{number}.wav", sound(20 + number, channels=2, rate=8000), 8000)
    result = run("evaluate", folders[0], tmp_path / "generated", "-m", "kad", "--json")
    assert result.code == 0, result.err
    assert json.loads(result.out)["sets"]["kad"]["files"] == [3, 3]
    assert "no file of" in run("evaluate", folders[0], tmp_path / "generated", "-m", "kad,lsd").err


def test_a_value_that_is_none_is_said(run: Run, tmp_path: Path) -> None:
    for side, level in (("x", 0.0), ("y", 0.1)):
        (tmp_path / side).mkdir()
        soundfile.write(tmp_path / side / "silent.wav", level * np.ones(RATE), RATE)
        soundfile.write(tmp_path / side / "sound.wav", sound(0 if side == "x" else 1), RATE)
    result = run("evaluate", tmp_path / "x", tmp_path / "y", "-m", "sdr")
    assert "silent  -" in result.out
    assert "note: sdr has a value for 1 of 2 files" in result.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("none", "restored"), "no such file or folder"),
        (("clean/a.flac", "restored"), "give two files, or two folders"),
        (("clean", "restored", "-m", "fadd"), "Did you mean 'fad'"),
        (("clean", "restored", "-m", "kl"), "classifier: field required"),
        (("clean", "restored", "-o", "scores.txt"), "ends in .json or .csv"),
        (("clean", "restored", "--prompts", "none.csv"), "no such file"),
        (("clean", "empty"), "holds no audio file"),
        (("clean", "twice"), "have one name, a: which of them is meant?"),
        (("clean/a.flac", "notes.txt"), "is not audio that can be read"),
        (("clean", "restored", "-m", "fad_inf"), "extrapolates from 16 or more windows, not from 3"),
        (("clean", "restored", "-m", "fad embedding=some/clap", "--offline"), "--offline forbids"),
    ],
)
def test_bad_words_end_in_a_line(
    run: Run, folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...],
    message: str,
) -> None:  # fmt: skip
    (tmp_path / "empty").mkdir()
    (tmp_path / "twice").mkdir()
    for name in ("a.wav", "a.restored.wav"):
        soundfile.write(tmp_path / "twice" / name, sound(0), RATE)
    (tmp_path / "notes.txt").write_text("no audio")
    monkeypatch.chdir(tmp_path)
    result = run("evaluate", *words)
    assert result.code == 2, result.out
    assert message in result.err
    assert len(result.err.splitlines()) == 1
