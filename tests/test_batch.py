"""Many files at once: every one is tried, what is passed over is said, and what is on disk too."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile

from diffmusic.audio.files import Recording
from diffmusic.audio.signal import Samples
from diffmusic.cli import batch, jobs
from diffmusic.cli.report import encoded
from diffmusic.jobs import outputs
from diffmusic.jobs.restore import Prepared

Run = Callable[..., SimpleNamespace]
Song = Callable[..., Path]
SOLVE = ("solve", "inpainting", "--solver", "interpolate", "--gap", "0.6:0.65")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_goes_wrong_with_one_is_a_line(
    run: Run, song: Song, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, c = (song(f"{name}.wav") for name in "abc")
    (tmp_path / "text.wav").write_text("Dear diary")
    usual = Prepared.run

    def broken(self: Prepared, paths: tuple[Path, ...], *rest: object) -> object:
        if paths[0] == b:
            raise TypeError("an error that nobody foresaw")
        return usual(self, paths, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Prepared, "run", broken)
    result = run(*SOLVE, a, b, tmp_path / "text.wav", tmp_path / "none.wav", c, "-o", tmp_path / "out")
    assert result.code == 2
    assert names(tmp_path / "out") == [f"{name}.restored.wav{more}" for name in "ac" for more in ("", ".json")]
    assert f"error: {b}: " in result.err
    assert "an error that nobody foresaw" in result.err
    assert "3 of 5 files failed" in result.err
    assert "2 of 5 files restored" in result.out
    assert "Traceback" not in result.err


def test_names_in_no_encoding(song: Song, tmp_path: Path) -> None:
    strange = Path(str(tmp_path / "latin1_") + "\udce9.wav")
    shutil.copy(song(), strange)
    shutil.copy(song(), tmp_path / "ä.wav")
    for locale in ("C", "C.UTF-8"):
        out = tmp_path / locale
        words: list[Any] = [
            sys.executable,
            "-m",
            "diffmusic",
            *SOLVE,
            os.fsencode(strange),
            tmp_path / "ä.wav",
            "-o",
            out,
        ]
        done = subprocess.run(words, capture_output=True, env={**os.environ, "LC_ALL": locale}, check=False)
        assert done.returncode == 0, done.stderr
        assert b"latin1_\xe9.restored.wav" in done.stdout
        assert len(names(out)) == 4


def test_what_a_folder_holds_besides_is_said(
    run: Run, song: Song, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "album"
    (folder / "sub").mkdir(parents=True)
    for name in ("album/a.wav", "album/c.wave", "album/sub/d.wav"):
        shutil.copy(song(), tmp_path / name)
    (folder / "cover.jpg").touch()
    (folder / "e.m4a").touch()
    monkeypatch.setattr(batch.shutil, "which", lambda program: None)
    result = run(*SOLVE, folder)
    assert result.code == 0, result.err
    assert "passed over: cover.jpg, e.m4a, sub/" in result.err
    assert "name those that are meant" in result.err
    assert "2 of 2 files restored" in result.out
    # The results themselves are passed over in silence.
    assert "restored" not in run(*SOLVE, folder).err.split("\n")[0]


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the program ffmpeg")
def test_a_folder_s_files_that_ffmpeg_reads(run: Run, song: Song, tmp_path: Path) -> None:
    folder = tmp_path / "album"
    folder.mkdir()
    subprocess.run(["ffmpeg", "-v", "error", "-i", song(rate=44100), folder / "e.m4a"], check=True)
    subprocess.run(["ffmpeg", "-v", "error", "-i", song(), "-c:a", "flac", folder / "f.ogg"], check=True)
    result = run(*SOLVE, folder, "-o", tmp_path / "out")
    assert result.code == 0, result.err
    assert names(tmp_path / "out") == [
        f"{name}{more}" for name in ("e.restored.wav", "f.restored.flac") for more in ("", ".json")
    ]
    assert soundfile.info(tmp_path / "out/e.restored.wav").subtype == "FLOAT"
    assert soundfile.info(tmp_path / "out/f.restored.flac").subtype == "PCM_16"


def test_json_of_several_is_a_line_each(run: Run, song: Song, tmp_path: Path) -> None:
    result = run(*SOLVE, song("a.wav"), song("b.wav"), "-o", tmp_path / "out", "--json")
    found = [json.loads(line) for line in result.out.splitlines()]
    assert [Path(each["inputs"][0]["path"]).name for each in found] == ["a.wav", "b.wav"]


def test_no_clobber(run: Run, song: Song, tmp_path: Path) -> None:
    a, b, out = song("a.wav"), song("b.wav"), tmp_path / "out"
    out.mkdir()
    (out / "a.restored.wav").write_bytes(b"mine")
    result = run(*SOLVE, a, b, "-o", out, "--no-clobber")
    assert result.code == 0, result.err
    assert "1 of 2 files restored, 1 left alone" in result.out
    assert (out / "a.restored.wav").read_bytes() == b"mine"
    assert run(*SOLVE, a, "-o", out, "--no-clobber").code == 2
    # Without it the file is replaced, and that is said; a result of before is replaced as before.
    assert "a.restored.wav is there already and will be replaced" in run(*SOLVE, a, "-o", out).err
    assert run(*SOLVE, a, "-o", out).err == ""


def test_ctrl_c_in_a_batch_says_what_is_written(song: Song, tmp_path: Path) -> None:
    paths = [song(f"{number:02}.wav", seconds=20.0, rate=44100, channels=2) for number in range(30)]
    words = [sys.executable, "-m", "diffmusic", *SOLVE, *map(str, paths), "-o", str(tmp_path / "out")]
    # It may be ignored where the tests run.
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    limit = time.monotonic() + 120
    while time.monotonic() < limit and not (tmp_path / "out/02.restored.wav.json").exists():
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    written = len(list((tmp_path / "out").glob("*.wav")))
    assert 3 <= written < 30
    assert f"stopped; {written} of 30 files are written" in err


def test_ctrl_c_alone_says_that_nothing_is(run: Run, song: Song, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*words: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Prepared, "run", stopped)
    result = run(*SOLVE, song())
    assert (result.code, result.err) == (130, "\nstopped; nothing was written\n")


@pytest.mark.parametrize(
    ("name", "words"),
    [("out.opus", {"rate": 44100}), ("out.mp3", {"rate": 96000}), ("out.mp3", {"channels": 8, "rate": 44100})],
)
def test_what_cannot_be_kept_is_not_computed(
    run: Run, song: Song, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: dict[str, int]
) -> None:
    monkeypatch.setattr(Prepared, "run", lambda *given: pytest.fail("it was computed"))
    result = run(*SOLVE, song(**words), "-o", tmp_path / name)
    assert result.code == 2
    assert "cannot hold" in result.err
    assert "out.wav can" in result.err
    assert result.err.count("\n") == 1


@pytest.mark.parametrize(
    "command", [("edit", "--target", "x"), ("reconstruct", "--level", "1"), ("explore",), ("fuse", "--prompt", "x")]
)
def test_no_command_computes_what_it_cannot_keep(
    run: Run, song: Song, tmp_path: Path, command: tuple[str, ...]
) -> None:
    path = song("x.wav", rate=44100)
    inputs = [path, path] if command[0] == "fuse" else [path]
    # There is no such model: it would be missed, were it loaded.
    result = run(*command, *inputs, "--subtype", "GSM610", "-o", tmp_path / "out", "--model", tmp_path / "none")
    assert result.code == 2
    assert "no subtype 'GSM610'" in result.err


def test_a_disk_without_room_is_found_before(
    run: Run, song: Song, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs.outputs.shutil, "disk_usage", lambda path: (10**9, 0, 1000))
    monkeypatch.setattr(Prepared, "run", lambda *given: pytest.fail("it was computed"))
    assert "has 0 MB left" in run(*SOLVE, song(), "-o", tmp_path / "x.wav").err


@pytest.mark.parametrize(("subtype", "wanted"), [("24", "PCM_24"), ("float", "FLOAT"), ("PCM_16", "PCM_16")])
def test_the_subtype_that_is_asked_for(run: Run, song: Song, tmp_path: Path, subtype: str, wanted: str) -> None:
    assert run(*SOLVE, song(), "--subtype", subtype, "-o", tmp_path / "x.wav").code == 0
    assert soundfile.info(tmp_path / "x.wav").subtype == wanted


def test_sources_louder_than_full_scale_go_to_floating_point(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mixture = np.rint(np.clip(1.5 * np.sin(np.arange(4000) / 20), -1, 1 - 2.0**-15) * 2**15)[None] / 2**15
    first = 1.25 * np.sin(np.arange(4000) / 20)[None]
    like = Recording(mixture, 16000, "WAV", "PCM_16")
    parts = {tmp_path / "a.wav": Samples(first), tmp_path / "b.wav": Samples(mixture - first)}
    outputs.write(encoded(parts, like, 16000, Samples(mixture), widen=True))
    over = int((np.abs(first) > 1).sum())
    assert over > 1000
    assert f"a.wav: {over} samples exceed full scale: written in floating point" in capsys.readouterr().err
    a, b = (soundfile.read(path)[0] for path in parts)
    assert (soundfile.info(tmp_path / "a.wav").subtype, soundfile.info(tmp_path / "b.wav").subtype) == (
        "FLOAT",
        "PCM_16",
    )
    # Half a step of what 16 bits hold of the other.
    assert np.abs(a + b - mixture[0]).max() <= 2.0**-16 + 1e-7
    outputs.write(encoded({tmp_path / "a.flac": Samples(first)}, like, 16000, Samples(mixture), widen=True))
    assert "are clipped; a WAV file with --subtype FLOAT keeps them" in capsys.readouterr().err
    assert soundfile.info(tmp_path / "a.flac").subtype == "PCM_16"


def test_stdin_and_stdout(song: Song, tmp_path: Path) -> None:
    path = song("x.flac", rate=44100, channels=2)
    words = [sys.executable, "-m", "diffmusic", *SOLVE]
    done = subprocess.run([*words, "-"], input=path.read_bytes(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert b"inpainting solved" in done.stderr
    assert subprocess.run([*words, path, "-o", tmp_path / "y.flac"], check=False).returncode == 0
    assert done.stdout == (tmp_path / "y.flac").read_bytes()
    assert soundfile.read(io.BytesIO(done.stdout))[0].shape == (66150, 2)


@pytest.mark.skipif(not os.path.exists("/dev/null"), reason="there is no /dev/null")
def test_a_device_takes_a_result(run: Run, song: Song) -> None:
    result = run(*SOLVE, song(), "-o", "/dev/null")
    assert (result.code, result.err) == (0, "")


@pytest.mark.parametrize("name", ["x.wave", "x.aifc", "x.caf", "x.w64", "x.au", "x"])
def test_outputs_whose_names_must_be_guessed(run: Run, song: Song, tmp_path: Path, name: str) -> None:
    kinds = {".wave": "WAV", ".aifc": "AIFF", ".caf": "CAF", ".w64": "W64", ".au": "AU", "": "WAV"}
    path = tmp_path / name
    samples, rate = soundfile.read(song())
    soundfile.write(path, samples, rate, "PCM_16", format=kinds[path.suffix])
    result = run(*SOLVE, path)
    assert result.code == 0, result.err
    made = tmp_path / f"x.restored{path.suffix or '.wav'}"
    assert soundfile.info(made).format == kinds[path.suffix]


def test_workers_make_the_same_bytes_and_one_that_fails_stops_none(
    run: Run, song: Song, tmp_path: Path, tiny: Path
) -> None:
    (tmp_path / "in").mkdir()
    for name in "abc":
        shutil.move(song(f"{name}.wav"), tmp_path / "in" / f"{name}.wav")
    (tmp_path / "in" / "text.wav").write_text("Dear diary")
    words = ["solve", "inpainting", tmp_path / "in", "--gap", "0.6:0.65", "--solver", "repaint", "--steps", "1"]
    words += ["--model", tiny]
    one = run(*words, "-o", tmp_path / "one")
    two = run(*words, "-o", tmp_path / "two", "--workers", "2")
    assert (one.code, two.code) == (2, 2)
    for result in (one, two):
        assert "text.wav is not audio" in result.err
        assert "1 of 4 files failed" in result.err
        assert "3 of 4 files restored" in result.out
    assert names(tmp_path / "one") == names(tmp_path / "two")
    for path in (tmp_path / "one").glob("*.wav"):
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    # What is there is not made again: a run that was stopped goes on where it was.
    (tmp_path / "two" / "b.restored.wav").unlink()
    before = (tmp_path / "two" / "a.restored.wav").stat().st_mtime_ns
    again = run(*words, "-o", tmp_path / "two", "--no-clobber")
    assert "1 of 4 files restored, 2 left alone" in again.out
    assert (tmp_path / "two" / "a.restored.wav").stat().st_mtime_ns == before
    assert names(tmp_path / "one") == names(tmp_path / "two")


def test_a_folder_is_edited_by_workers_as_by_one(run: Run, song: Song, tmp_path: Path, tiny: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in "ab":
        shutil.move(song(f"{name}.wav"), tmp_path / "in" / f"{name}.wav")
    words = ("edit", tmp_path / "in", "--target", "a banjo", "--steps", "2", "--model", tiny)
    assert "2 of 2 files edited" in run(*words, "-o", tmp_path / "one").out
    result = run(*words, "-o", tmp_path / "two", "--workers", "2", "--json")
    assert result.code == 0, result.err
    rows = [json.loads(line) for line in result.out.splitlines()]
    assert {Path(row["inputs"][0]["path"]).name for row in rows} == {"a.wav", "b.wav"}
    for name in ("a.edited.wav", "b.edited.wav"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    refused = run(*words, "-o", tmp_path / "x.wav")
    assert (refused.code, "several inputs need a folder" in refused.err) == (2, True)
