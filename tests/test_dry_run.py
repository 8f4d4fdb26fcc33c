"""``--dry-run``: passes that are foretold are those of the run, and nothing is written."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import soundfile

Run = Callable[..., SimpleNamespace]
PASSES = ("network_forward", "network_backward", "decoder_forward", "decoder_backward")
WORDS = {
    "latents": ("solve", "inpainting", "--gap", "0.5:0.7", "--solver", "repaint", "--steps", "2"),
    "gradients": ("solve", "inpainting", "--gap", "0.5:0.7", "--solver", "dps", "--steps", "2"),
    "edit": ("edit", "--target", "a flute", "--steps", "2"),
}


@pytest.mark.parametrize("kind", WORDS)
def test_the_passes_are_those_of_the_run(kind: str, run: Run, song: Callable[..., Path], tmp_path: Path) -> None:
    command, *given = WORDS[kind]
    path = song()
    words: list[object] = [given[0], path, *given[1:]] if command == "solve" else [path, *given]
    before = set(tmp_path.iterdir())
    told = run(command, *words, "--dry-run", "--json")
    assert told.code == 0, told.err
    assert set(tmp_path.iterdir()) == before
    facts = json.loads(told.out)
    assert (facts["input"], facts["windows"], facts["download_gb"]) == (str(path), 1, 0)
    assert facts["seconds"] > 0
    assert facts["memory_bytes"] > 1e8
    done = run(command, *words, "-o", tmp_path / "out.wav", "--json")
    assert done.code == 0, done.err
    costs = json.loads(done.out)["costs"]
    assert facts["passes"] == {name: costs[name] for name in PASSES}


def test_what_needs_no_prior_loads_none(run: Run, song: Callable[..., Path]) -> None:
    done = run("solve", "inpainting", song(), "--gap", "0.5:0.7", "--solver", "interpolate", "--dry-run")
    assert (done.code, done.err) == (0, "")
    assert done.out.endswith("song.wav: no pass of a prior; nothing was written\n")


def test_weights_that_are_not_here_are_not_downloaded(
    run: Run, song: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    words = ("solve", "inpainting", song(), "--gap", "0.5:0.7", "--solver", "repaint", "--model", "musicldm")
    done = run(*words, "--dry-run")
    assert done.code == 0, done.err
    assert "GB to download, so no pass could be timed" in done.out


def test_bad_input_is_told_beforehand(run: Run, song: Callable[..., Path]) -> None:
    done = run("solve", "inpainting", song(), "--gap", "1:9", "--solver", "repaint", "--dry-run")
    assert (done.code, done.err) == (2, "error: gap 1:9 lies outside the recording, which lasts 1.500 s\n")


def test_a_recording_without_an_operator_is_looked_at(run: Run, song: Callable[..., Path], tmp_path: Path) -> None:
    path = song(seconds=3.0)
    audio, rate = soundfile.read(path)
    audio[20000:20400] = 0
    soundfile.write(path, audio, rate)
    before = set(tmp_path.iterdir())
    done = run("solve", path)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert "1 dropout" in lines[0]
    assert f"  -> diffmusic solve inpainting {path} --gap auto" in lines
    assert lines[-1] == "nothing was done"
    assert set(tmp_path.iterdir()) == before
    assert run("solve", tmp_path / "missing.wav").code == 2
