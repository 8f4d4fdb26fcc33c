"""Bad input: one clear line, exit code 2, and nothing written."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from diffmusic.cli import cli

Song = Callable[..., Path]
Run = Callable[..., SimpleNamespace]


@pytest.fixture
def refused(run: Run, tmp_path: Path) -> Callable[..., str]:
    """Run a command that must be refused; returns its one line."""

    def call(*words: object) -> str:
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        result = run(*words)
        assert result.code == 2, (result.out, result.err)
        assert result.out == ""
        assert result.err.startswith("error: ")
        assert result.err.count("\n") == 1, result.err
        after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        assert after == before, "a file was written, changed or lost"
        return str(result.err)

    return call


Refused = Callable[..., str]
SOLVE = ("solve", "inpainting", "--solver", "diffmusic")


def test_missing_file(refused: Refused, tmp_path: Path) -> None:
    assert "no such file" in refused(*SOLVE, tmp_path / "none.wav", "--gap", "1:2")


def test_folder_without_audio(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no music")
    assert "holds no audio file" in refused(*SOLVE, tmp_path, "--gap", "1:2")


def test_not_audio(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("not a wave file at all")
    assert "is not audio" in refused(*SOLVE, tmp_path / "text.wav", "--gap", "1:2")


def test_empty_file(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    assert "empty file" in refused(*SOLVE, tmp_path / "empty.wav", "--gap", "1:2")


def test_zero_length(refused: Refused, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "none.wav", np.zeros(0), 16000)
    assert "holds no samples" in refused(*SOLVE, tmp_path / "none.wav", "--gap", "1:2")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers(refused: Refused, tmp_path: Path, value: float) -> None:
    samples = np.zeros(16000)
    samples[8000] = value
    soundfile.write(tmp_path / "bad.wav", samples, 16000, subtype="FLOAT")
    message = refused(*SOLVE, tmp_path / "bad.wav", "--gap", "0.2:0.3")
    assert "NaN or infinite samples, the first at 0.500 s" in message


@pytest.mark.parametrize(
    ("gap", "message"),
    [
        ("1.0:9.0", "gap 1:9 lies outside the recording, which lasts 1.500 s"),
        ("5:6", "lies outside"),
        ("0.9:0.6", "gap 0.9:0.6 ends before it starts"),
        ("0.6:0.6", "ends before it starts"),
        ("-1:1", "starts before the recording"),
        ("abc", "write START:END in seconds"),
        ("1:2:3", "write START:END in seconds"),
        ("nan:1", "not a stretch of time"),
        ("0:1.5", "cover the whole recording"),
    ],
)
def test_gaps_that_do_not_fit(refused: Refused, song: Song, gap: str, message: str) -> None:
    assert message in refused(*SOLVE, song(), f"--gap={gap}")


def test_damage_that_loses_nothing(refused: Refused, song: Song) -> None:
    assert "nothing is damaged" in refused(*SOLVE, song(), "--gap", "0.5:0.50001")
    assert "nothing is damaged" in refused(*SOLVE, song(), "--mask", "periodic", "--period", "100")


def test_no_gap_at_all(refused: Refused, song: Song) -> None:
    assert "--gap START:END" in refused(*SOLVE, song())


def test_gap_longer_than_the_prior_can_bridge(refused: Refused, song: Song, tiny: Path) -> None:
    path = song(seconds=12)
    message = refused(*SOLVE, path, "--gap", "2:9", "--model", tiny)
    assert "lasts 7 s; this prior bridges at most 6.14 s" in message


def test_overlapping_gaps_are_merged_and_said_so(run: Run, song: Song, tiny: Path, tmp_path: Path) -> None:
    path = song()
    both = ("--gap", "0.6:0.8", "--gap", "0.7:0.9")
    merged = run(*SOLVE, path, *both, "--model", tiny, "--steps", 2, "-o", tmp_path / "a.wav")
    assert merged.code == 0
    assert merged.err.count("note: overlapping gaps are merged: 0.6:0.9") == 1
    assert run(*SOLVE, path, "--gap", "0.6:0.9", "--model", tiny, "--steps", 2, "-o", tmp_path / "b.wav").code == 0
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("solve", "inpaintin", "x.wav"), "unknown operator 'inpaintin'. Did you mean 'inpainting'?"),
        (("slove",), "unknown command 'slove'. Did you mean 'solve'?"),
        (("operators", "inpaintin"), "Did you mean 'inpainting'?"),
        (("check", "difmusic"), "Did you mean 'diffmusic'?"),
    ],
)
def test_unknown_words_are_met_with_the_nearest(refused: Refused, words: tuple[str, ...], message: str) -> None:
    assert message in refused(*words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--solver", "difmusic"), "unknown solver 'difmusic'. Did you mean 'diffmusic'?"),
        (("--solver", "diffmusic", "-s", "rat=1"), "solver 'diffmusic' has no parameter 'rat'. Did you mean 'rate'?"),
        (("--solver", "diffmusic", "-s", "rate=fast"), "rate: input should be a valid number"),
        (("--solver", "diffmusic", "-s", "rate=-1"), "rate: input should be greater than 0"),
        (("-s", "rate"), "write KEY=VALUE, not 'rate'"),
        (("--solver", "diffmusic", "-s", "space=colour"), "space: input should be 'mel', 'waveform' or 'both'"),
        (("--model", "minni"), "unknown backbone 'minni'. Did you mean 'mini'?"),
        (("--model", "./some/where"), "model './some/where' is no folder"),
        (("--steps", "0"), "--steps"),
        (("--steps", "many"), "'many' is not a valid integer"),
        (("--steps", "5000"), "steps must be 1 to 1000"),
        (("--seed", "-1"), "--seed: input should be greater than or equal to 0"),
        (("--samples", "0"), "--samples: input should be greater than or equal to 1"),
        (("--device", "tpu"), "device 'tpu' is not available here"),
        (("--device", "cpu:x"), "device 'cpu:x' cannot be used"),
        (("--dtype", "int8"), "dtype 'int8' is not known; auto, float32, bfloat16, float16 are"),
        (("--model", "nobody/nothing", "--offline"), "nobody/nothing is not in the cache"),
        (("--period", "x"), "period: input should be a valid number"),
        (("--gapp", "1:2"), "No such option"),
        (("--plot", "picture.jpg"), "a name that ends in .png"),
        (("--config", "none.json"), "no such file"),
        (("--reference", "none.wav"), "no such file"),
        (("--mask", "periodic"), "exclude each other"),
    ],
)
def test_wrong_values(refused: Refused, song: Song, tiny: Path, words: tuple[str, ...], message: str) -> None:
    model = () if "--model" in words else ("--model", tiny)
    assert message in refused(*SOLVE, song(), "--gap", "0.6:0.9", *model, *words)


def test_output_equal_to_input(refused: Refused, song: Song, tmp_path: Path) -> None:
    path = song()
    assert "would overwrite an input" in refused(*SOLVE, path, "--gap", "0.6:0.9", "-o", path)
    (tmp_path / "link.wav").symlink_to(path)
    assert "would overwrite an input" in refused(*SOLVE, path, "--gap", "0.6:0.9", "-o", tmp_path / "link.wav")


def test_too_little_memory_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "main", lambda *_, **__: torch.empty(10**15))
    result = run("doctor")
    assert (result.code, result.err) == (1, "error: not enough memory\n")


@pytest.mark.parametrize("command", ["solve", "edit", "explore", "fuse", "reconstruct"])
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"job": {"steps": "many"}}, ""),
        ({"job": {"operator": "inpainting", "seed": -1}}, ""),
        ({"job": {"nothing": 1}}, ""),
        ({"job": ["steps"]}, "is not a run record"),
        ({"inputs": 3}, ""),
        ({"inputs": [{}]}, "which files"),
        ({"inputs": []}, ""),
    ],
)
def test_records_that_were_changed_by_hand(
    refused: Refused, tmp_path: Path, command: str, changed: dict[str, object], message: str
) -> None:
    written = {"command": command, "job": {"operator": "inpainting"} if command == "solve" else {}, "inputs": []}
    (tmp_path / "run.json").write_text(json.dumps(written | changed))
    assert message in refused(command, "--config", tmp_path / "run.json")


def test_record_that_would_overwrite_the_config(refused: Refused, song: Song, tmp_path: Path) -> None:
    path, config = song(), tmp_path / "out.wav.json"
    config.write_text(json.dumps({"command": "solve", "job": {"operator": "inpainting"}, "inputs": []}))
    message = refused(*SOLVE, path, "--gap", "0.6:0.9", "--config", config, "-o", tmp_path / "out.wav")
    assert "would overwrite an input" in message


def test_output_folder_that_cannot_be_made(refused: Refused, song: Song, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    message = refused(*SOLVE, song(), "--gap", "0.6:0.9", "-o", tmp_path / "file" / "more" / "out.wav")
    assert f"cannot be made: {tmp_path / 'file'} is a file" in message


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is a folder in which nobody may write")
def test_output_folder_that_is_not_writable(refused: Refused, song: Song) -> None:
    assert "is not writable" in refused(*SOLVE, song(), "--gap", "0.6:0.9", "-o", "/proc/out.wav")


def test_output_of_an_unknown_kind(refused: Refused, song: Song, tmp_path: Path) -> None:
    message = refused(*SOLVE, song(), "--gap", "0.6:0.9", "-o", tmp_path / "out.xyz")
    assert "unknown extension '.xyz'" in message


def test_several_inputs_into_one_file(refused: Refused, song: Song, tmp_path: Path) -> None:
    paths = song("a.wav"), song("b.wav")
    assert "need a folder" in refused(*SOLVE, *paths, "--gap", "0.6:0.9", "-o", tmp_path / "out.wav")


def test_inputs_whose_outputs_would_be_one_file(refused: Refused, song: Song, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "out").mkdir()
    paths = song("a.wav"), song("sub/a.wav")
    assert "written twice" in refused(*SOLVE, *paths, "--gap", "0.6:0.9", "-o", tmp_path / "out")


def test_reference_of_another_length(refused: Refused, song: Song, tiny: Path) -> None:
    words = (song("a.wav"), "--gap", "0.6:0.9", "--model", tiny, "--reference", song("b.wav", seconds=1.4))
    assert "expected were 1, 24000 at 16000 Hz" in refused(*SOLVE, *words)


def test_disk_full(song: Song, tiny: Path, tmp_path: Path) -> None:
    # A limit on the size of files, below what the output needs, fails the write just as a full disk does.
    path, folder = song(seconds=3), tmp_path / "out"
    folder.mkdir()
    script = (
        "import resource, signal, sys; from diffmusic.cli import main;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000)); main(sys.argv[1:])"
    )
    words = ["solve", "inpainting", path, "--gap", "1:1.2", "--solver", "interpolate", "-o", folder / "out.wav"]
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, words)], capture_output=True, text=True, env=dict(os.environ)
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert "cannot be written: File too large" in done.stderr
    assert list(folder.iterdir()) == []


def test_a_run_that_diverges_writes_nothing(run: Run, song: Song, tiny: Path, tmp_path: Path) -> None:
    words = (
        "--gap",
        "0.6:0.9",
        "--model",
        tiny,
        "--steps",
        3,
        "--solver",
        "diffmusic",
        "-s",
        "rate=1e30",
        "-o",
        tmp_path / "out.wav",
    )
    result = run(*SOLVE, song(), *words)
    assert result.code == 1, result.err
    assert "diverged" in result.err
    assert not (tmp_path / "out.wav").exists()
