"""``diffmusic fuse`` and ``diffmusic reconstruct`` from file to file, on a tiny checkpoint."""

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

Song = Callable[..., Path]
Run = Callable[..., SimpleNamespace]
QUICK = ("--steps", 4, "--finetune-steps", 2)


@pytest.fixture
def pair(song: Song, tmp_path: Path) -> tuple[Path, Path]:
    """An original, stereo at 22.05 kHz, and a reference that is shorter and at another rate."""
    reference = tmp_path / "reference.wav"
    noise = np.random.default_rng(1).standard_normal(12000)
    soundfile.write(reference, 0.1 * noise, 16000)
    return song("original.wav", rate=22050, channels=2, seconds=1.0, subtype="PCM_24"), reference


def read(path: Path) -> np.ndarray:
    return soundfile.read(path, always_2d=True)[0].T


def test_a_fusion_has_the_format_of_the_original_and_a_record_that_repeats_it(
    pair: tuple[Path, Path], run: Run, tiny: Path, tmp_path: Path
) -> None:
    out, again, reused = (tmp_path / f"{name}.wav" for name in ("out", "again", "reused"))
    before = [path.read_bytes() for path in pair]
    result = run("fuse", *pair, "--prompt", "a harp", "--level", 1.0, "--model", tiny, *QUICK, "-o", out)
    assert result.code == 0, result.err
    assert "learnt the reference: 2 steps" in result.out
    assert [path.read_bytes() for path in pair] == before
    info = soundfile.info(out)
    assert (info.samplerate, info.channels, info.subtype, info.frames) == (22050, 2, "PCM_24", 22050)
    document = json.loads(Path(f"{out}.json").read_text())
    assert document["command"] == "fuse"
    assert document["levels"] == [1.0]
    assert 1.0 in np.round(document["sigmas"], 12)
    assert document["costs"]["network_backward"] == 2
    assert set(document["likeness"]) == {"original", "sigma 1", "reference"}

    assert run("fuse", "--config", f"{out}.json", "-o", again).code == 0
    assert again.read_bytes() == out.read_bytes()
    adapter = tmp_path / "out.adapter.safetensors"
    assert (tmp_path / "again.adapter.safetensors").read_bytes() == adapter.read_bytes()
    result = run("fuse", *pair, "--adapter", adapter, "--level", 1.0, "--model", tiny, "--steps", 4, "-o", reused)
    assert result.code == 0, result.err
    assert reused.read_bytes() == out.read_bytes()  # the prompt is the adapter's
    assert not (tmp_path / "reused.adapter.safetensors").exists()


def test_a_sweep_is_a_picture_and_one_page_to_listen_through(
    pair: tuple[Path, Path], run: Run, tiny: Path, tmp_path: Path
) -> None:
    words = ("--prompt", "a harp", "--no-finetune", "--sweep", 3, "--window", "0.5:4")
    result = run("fuse", *pair, *words, "--model", tiny, "--steps", 5, "-o", tmp_path / "out.wav")
    assert result.code == 0, result.err
    names = {path.name for path in tmp_path.glob("out*")}
    assert names == {"out-1.wav", "out-2.wav", "out-3.wav", "out-1.wav.json", "out.png", "out.html"}
    html = (tmp_path / "out.html").read_text()
    sounds = re.findall(r'src="data:audio/flac;base64,([^"]+)"', html)
    assert len(sounds) == 3 + 3  # and the original, what the prompt alone leads to, the reference
    for index, sound in enumerate(sounds):
        (tmp_path / f"sound{index}.flac").write_bytes(base64.b64decode(sound))
    made = read(tmp_path / "sound1.flac")
    np.testing.assert_allclose(made, np.clip(read(tmp_path / "out-1.wav"), -1, 1), atol=1e-4)
    assert 'src="data:image/png;base64,' in html
    assert not re.search(r'(src|href)="(?!data:)', html)  # nothing from elsewhere
    document = json.loads((tmp_path / "out-1.wav.json").read_text())
    assert document["levels"] == pytest.approx([0.5, 2**0.5, 4])
    assert document["learning"] is None


def test_the_ends_of_the_window_are_the_round_trip_and_the_prompt(
    pair: tuple[Path, Path], run: Run, tiny: Path, tmp_path: Path
) -> None:
    def made(level: object, original: Path) -> np.ndarray:
        out = tmp_path / f"{level}-{original.stem}.wav"
        words = ("--prompt", "a harp", "--no-finetune", "--level", level, "--model", tiny, "--steps", 3)
        assert run("fuse", original, pair[1], *words, "-o", out).code == 0
        return read(out)

    low = made(0, pair[0])
    result = run("reconstruct", pair[0], "--level", 0, "--steps", 3, "--model", tiny, "-o", tmp_path / "trip.wav")
    assert result.code == 0, result.err
    np.testing.assert_allclose(low, read(tmp_path / "trip.wav"), atol=1e-6)
    assert not np.allclose(made("inf", pair[0]), low, atol=1e-3)
    again = tmp_path / "again.wav"
    assert run("fuse", "--config", tmp_path / "inf-original.wav.json", "-o", again).code == 0
    np.testing.assert_array_equal(read(again), read(tmp_path / "inf-original.wav"))


@pytest.mark.parametrize(("figure", "rows", "columns"), [("1", 3, 3), ("2", 3, 1), ("A.1", 3, 5)])
def test_a_figure_of_the_paper_is_one_command(
    song: Song, run: Run, tiny: Path, tmp_path: Path, figure: str, rows: int, columns: int
) -> None:
    path, out = song(seconds=0.5), tmp_path / "out.wav"
    result = run("reconstruct", path, "--figure", figure, "--steps", 6, "--model", tiny, "-o", out)
    assert result.code == 0, result.err
    document = json.loads((tmp_path / "out-1.wav.json").read_text())
    assert len(document["made"]) == rows * columns
    assert len({json.dumps({**each, "title": ""}) for each in document["made"]}) == rows * columns
    assert (tmp_path / "out.png").stat().st_size > 10000
    assert len(list(tmp_path.glob("out-*.wav"))) == rows * columns
    if figure == "2":
        again = tmp_path / "again.wav"
        assert run("reconstruct", "--config", tmp_path / "out-1.wav.json", "-o", again).code == 0
        for number in range(1, 4):
            assert (tmp_path / f"again-{number}.wav").read_bytes() == (tmp_path / f"out-{number}.wav").read_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "say what the reference is with --prompt"),
        (("--prompt", "a harp", "--sweep", 3, "--window", "4:2"), "a window from 4 to 2"),
        (("--prompt", "a harp", "--window", "wide"), "write LOW:HIGH"),
        (("--prompt", "a harp", "--sweep", 9, "--steps", 4, "--window", "0.5:4", "--no-finetune"), "take more --steps"),
        (("--prompt", "a harp", "--solver", "dps"), "has no parameter 'level'"),
        (("--prompt", "a harp", "-s", "level=2"), "given by --level"),
        (("--prompt", "a harp", "--level", -1), "level"),
        (("--prompt", "a harp", "--no-finetune", "--adapter", "a.safetensors"), "leave --adapter out"),
        (("--adapter", "none.safetensors"), "no such file"),
        (("--prompt", "a harp", "--rank", 0), "--rank: input should be greater than or equal to 1"),
        (("--prompt", "a harp", "--plot", "a.jpg"), "ends in .png"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    pair: tuple[Path, Path], run: Run, tiny: Path, tmp_path: Path, words: tuple[object, ...], message: str
) -> None:
    result = run("fuse", *pair, "--model", tiny, "-o", tmp_path / "out.wav", *words)
    assert result.code == 2
    assert message in result.err
    assert len(result.err.splitlines()) == 1
    assert not list(tmp_path.glob("out*"))


def test_inputs_are_two_and_are_not_overwritten(pair: tuple[Path, Path], run: Run, tiny: Path) -> None:
    result = run("fuse", pair[0], "--prompt", "a harp")
    assert (result.code, "give two recordings" in result.err) == (2, True)
    result = run("fuse", *pair, "--prompt", "a harp", "--model", tiny, "-o", pair[1])
    assert (result.code, "would overwrite an input" in result.err) == (2, True)
    assert "say at which noise levels" in run("reconstruct", pair[0]).err
    assert "either" in run("reconstruct", pair[0], "--level", 1, "--figure", 2).err
