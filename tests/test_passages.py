"""A long recording is read where it is damaged, streamed elsewhere, and comes out the same as one held in memory."""

import dataclasses
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from diffmusic.audio import encode, files, signal, song_features, source
from diffmusic.audio.files import Recording
from diffmusic.audio.signal import Channels, Patch, Patched, Samples, whole
from diffmusic.bench.local import threads
from diffmusic.models.load import load_model
from diffmusic.parameters import build
from diffmusic.plugins import registry
from diffmusic.problem.operator import Operator
from diffmusic.solver import AnySolver
from diffmusic.tasks import solving
from diffmusic.tasks.edit import edited
from diffmusic.tasks.loading import load_editor
from diffmusic.tasks.restore import restored
from diffmusic.tasks.settings import EditSettings, RestoreSettings
from diffmusic.tasks.solving import Task
from diffmusic_operators.inpainting import Inpainting
from tests.test_repeat import song

RATE = 8000
GAPS = Inpainting(gap=((9.0, 9.3), (9.6, 9.61), (12.0, 12.5), (20.0, 20.4), (21.9, 22.0)))
SMALL = Inpainting(mask="random", period=0.9, fraction=0.02)
RECTANGLES = Inpainting(
    gap=((9.0, 9.3),), region=((9.5, 9.9, 500, 900), (10.3, 10.6, 300, 2000), (15.0, 15.5, 1000, 1500))
)


@dataclass(frozen=True, eq=False)
class Counting:
    """Samples that count which of them were asked for, one stretch at a time."""

    audio: np.ndarray
    stretches: list[tuple[int, int]] = field(default_factory=list)
    passes: list[int] = field(default_factory=list)

    @property
    def channels(self) -> int:
        return len(self.audio)

    @property
    def samples(self) -> int:
        return self.audio.shape[-1]

    def read(self, first: int, count: int) -> np.ndarray:
        self.stretches.append((first, first + count))
        return Samples(self.audio).read(first, count)

    def blocks(self) -> Iterator[np.ndarray]:
        self.passes.append(self.samples)
        return Samples(self.audio).blocks()


def music(offset: float = 0.0) -> np.ndarray:
    noise = 0.01 * np.random.default_rng(0).standard_normal((2, 24 * RATE))
    return song(RATE, bars="abcdeabcdeab")[:, : 24 * RATE] + noise + np.array([[offset], [0.0]])


def solver(text: str) -> AnySolver:
    name, *words = text.split()
    return build(registry().load("solver", name), dict(word.split("=") for word in words), name)  # type: ignore[no-any-return]


CASES = [
    (GAPS, "interpolate order=64", 0.1), (SMALL, "interpolate order=32 context=2", 0.0),
    (RECTANGLES, "interpolate order=64", 0.0), (GAPS, "repeat", 0.1), (GAPS, "auto near=0.9", 0.1),
    (GAPS, "auto near=0", 0.0), (RECTANGLES, "repaint", 0.0), (SMALL, "repaint", 0.1),
]  # fmt: skip


@pytest.mark.parametrize(("operator", "text", "offset"), CASES)
@pytest.mark.parametrize("finish", [True, False], ids=["finished", "raw"])
def test_passages_are_solved_as_the_whole_is(
    monkeypatch: pytest.MonkeyPatch, tiny: Path, operator: Operator, text: str, offset: float, finish: bool
) -> None:
    monkeypatch.setattr("diffmusic.tasks.passages.LONGEST", 1.0)
    given = Counting(music(offset))
    backbone = dataclasses.replace(load_model(str(tiny)), excerpt_seconds=1.5)  # type: ignore[type-var]
    settings = RestoreSettings(steps=1, samples=2 if text == "repaint" else 1, finish=finish)
    task = Task(operator, solver(text), backbone, settings)
    parts = restored(given, RATE, task)
    monkeypatch.setattr(solving.Task, "reach", lambda task, rate: None)
    held = restored(Samples(given.audio), RATE, task)
    assert (parts.damage, parts.windows, parts.notes) == (held.damage, held.windows, held.notes)
    assert len(parts.draws) == len(held.draws) == settings.samples
    for ours, theirs in zip(parts.draws, held.draws, strict=True):
        # Without finishing, what lies outside is the recording itself, not the recording less its mean and that again.
        np.testing.assert_allclose(whole(ours), whole(theirs), rtol=0, atol=0 if finish or not offset else 1e-15)
    assert parts.windows or text in (
        "interpolate order=64",
        "interpolate order=32 context=2",
        "repeat",
        "auto near=0.9",
    )


@pytest.mark.parametrize("text", ["interpolate order=64", "repeat", "auto short=0 near=0.9", "repaint"])
def test_passages_alone_are_read(tiny: Path, text: str) -> None:
    operator = Inpainting(gap=((12.0, 12.5),))
    given = Counting(music())
    backbone = dataclasses.replace(load_model(str(tiny)), excerpt_seconds=2.0)  # type: ignore[type-var]
    restored(given, RATE, Task(operator, solver(text), backbone, RestoreSettings(steps=1, context="excerpt")))
    # All of it once for its mean, and once more where all of it is searched: in blocks.
    assert len(given.passes) == (2 if text.startswith(("repeat", "auto")) else 1)
    assert max(b - a for a, b in given.stretches) <= 2.6 * RATE
    # The three best places are compared with two seconds on either side.
    assert sum(b - a for a, b in given.stretches) <= (45 if text.startswith(("repeat", "auto")) else 15) * RATE


def test_of_an_edit_the_stretch_around_its_segments_is_read(tiny: Path) -> None:
    given = Counting(music())
    backbone = dataclasses.replace(load_model(str(tiny)), excerpt_seconds=2.0)  # type: ignore[type-var]
    settings = EditSettings(("a banjo",), segments=("10:10.5",), steps=2)
    made = edited(given, RATE, load_editor("ddpm-inversion"), backbone, settings)
    assert given.stretches == [(9 * RATE, round(11.5 * RATE))]
    assert not given.passes
    ours, a, b = whole(made.draws[0]), 10 * RATE, round(10.5 * RATE)
    np.testing.assert_array_equal(ours[:, :a], given.audio[:, :a])
    np.testing.assert_array_equal(ours[:, b:], given.audio[:, b:])
    assert np.abs(ours - given.audio)[:, a:b].max() > 0


def test_a_silent_channel_stays_silent_in_an_edit(tiny: Path) -> None:
    backbone, editor = load_model(str(tiny)), load_editor("ddpm-inversion")
    settings = EditSettings(("a banjo",), segments=("1:1.5",), steps=2)
    audio = music()[:, : 3 * RATE]
    audio[1] = 0
    made = edited(Samples(audio), RATE, editor, backbone, settings).in_memory.audio[0]
    assert not made[1].any()
    assert np.abs(made - audio)[0].max() > 0
    silence = edited(Samples(0 * audio), RATE, editor, backbone, settings).in_memory.audio[0]
    assert silence[:, RATE : round(1.5 * RATE)].any()  # where nothing is heard, all of it is to be made


@pytest.mark.parametrize(
    ("name", "subtype"), [("x.wav", "PCM_16"), ("x.flac", "PCM_24"), ("x.ogg", "VORBIS"), ("x.mp3", "MPEG_LAYER_III")]
)
def test_a_file_is_written_in_blocks_as_it_is_from_memory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, subtype: str
) -> None:
    soundfile.write(tmp_path / name, music().T, RATE, subtype=subtype)
    held = files.read(tmp_path / name)
    patch = Patch(5 * RATE, held.samples[:, : 2 * RATE])
    audio = held.samples.copy()
    audio[:, patch.start : patch.stop] = patch.audio
    wanted = files.encode(files.with_samples(held, audio))
    for module in (signal, source):
        monkeypatch.setattr(module, "BLOCK", 65536)  # the encoder of Vorbis minds how much it is given
    monkeypatch.setattr(encode, "_IN_MEMORY", 1000)
    like, samples, blocks = files.scanned(tmp_path / name, lambda rate, blocks: [each.shape[-1] for each in blocks])
    assert max(blocks) == 65536
    assert (samples.channels, samples.samples) == held.samples.shape == (2, sum(blocks))
    target = io.BytesIO()
    assert files.write(Patched(samples, [patch]), like, target) == 0
    # The last bit of a decoder of MP3 depends on how much it is asked for.
    np.testing.assert_allclose(np.concatenate(list(samples.blocks()), axis=1), held.samples, rtol=0, atol=1e-6)
    ours, theirs = (soundfile.read(io.BytesIO(each))[0] for each in (target.getvalue(), wanted))
    assert ours.shape == theirs.shape
    if not subtype.startswith("MPEG"):
        np.testing.assert_array_equal(ours, theirs)
    if subtype.startswith("PCM"):
        assert target.getvalue() == wanted


def test_a_file_is_scanned_as_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.flac"
    soundfile.write(path, music().T, RATE)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 200] = bytes(200)
    path.write_bytes(data)
    with pytest.warns(UserWarning, match="cannot be decoded"):
        held = files.read(path)
    with pytest.warns(UserWarning, match="cannot be decoded"):
        like, samples, count = files.scanned(path, lambda rate, blocks: sum(each.shape[-1] for each in blocks))
    assert count == samples.samples
    assert like.lost == held.lost
    assert (like.origin, like.attached) == (held.origin, held.attached)
    np.testing.assert_array_equal(whole(samples), held.samples)


def test_features_of_blocks_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    audio = np.repeat(music(), 2, axis=1)
    with threads(1):  # several share out a product by its size, and round as they share
        held = song_features.features(Samples(audio), 2 * RATE + 50, [(20000, 30000)])
        monkeypatch.setattr(signal, "BLOCK", 1000)
        monkeypatch.setattr("diffmusic.audio.pieces.PIECE", 100)
        parts = song_features.features(Samples(audio), 2 * RATE + 50, [(20000, 30000)])
    for ours, theirs in zip(dataclasses.astuple(parts), dataclasses.astuple(held), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_signals_of_signals() -> None:
    audio = np.arange(40.0).reshape(2, 20)
    patched = Patched(Samples(audio), [Patch(3, -np.ones((2, 4))), Patch(15, -np.ones((2, 5)))])
    expected = audio.copy()
    expected[:, 3:7], expected[:, 15:] = -1, -1
    np.testing.assert_array_equal(whole(patched), expected)
    np.testing.assert_array_equal(patched.read(5, 12), expected[:, 5:17])
    np.testing.assert_array_equal(np.concatenate(list(patched.blocks()), axis=1), expected)
    np.testing.assert_array_equal(whole(Channels(patched, 1, 1)), expected[1:])
    assert audio.min() == 0


def test_a_repair_is_the_same_bytes_by_either_way(
    monkeypatch: pytest.MonkeyPatch, run: Callable[..., SimpleNamespace], tmp_path: Path
) -> None:
    path = tmp_path / "song.flac"
    soundfile.write(path, music().T, RATE, subtype="PCM_16")
    words = ("solve", "inpainting", path, "--gap", "9:9.3", "--gap", "20:20.01", "--solver", "interpolate")
    monkeypatch.setattr(files, "read", lambda *given, **named: pytest.fail("all of a recording was read"))
    assert run(*words, "-o", tmp_path / "parts.flac").code == 0
    monkeypatch.undo()
    monkeypatch.setattr(solving.Task, "reach", lambda task, rate: None)
    assert run(*words, "-o", tmp_path / "held.flac").code == 0
    assert (tmp_path / "parts.flac").read_bytes() == (tmp_path / "held.flac").read_bytes()


def test_samples_that_are_no_numbers_may_lie_where_they_are_lost_alone(
    run: Callable[..., SimpleNamespace], tmp_path: Path
) -> None:
    audio, path = music().astype(np.float32), tmp_path / "song.wav"
    audio[:, 10 * RATE : 10 * RATE + 50] = np.nan
    soundfile.write(path, audio.T, RATE, subtype="FLOAT")
    words = ("solve", "inpainting", path, "--solver", "interpolate", "-o", tmp_path / "out.wav")
    assert run(*words, "--gap", "9.99:10.1").code == 0
    made = soundfile.read(tmp_path / "out.wav")[0]
    assert np.isfinite(made).all()
    refused = run(*words, "--gap", "9:9.5")
    assert refused.code == 2
    assert "first at 10.000 s, where nothing is lost" in refused.err


def test_full_scale_is_counted_while_it_is_written(tmp_path: Path) -> None:
    loud = Samples(1.5 * np.ones((1, 100)))
    like = Recording(np.zeros((1, 0)), RATE, "WAV", "PCM_16")
    assert files.write(loud, like, io.BytesIO()) == 100
    assert files.write(loud, dataclasses.replace(like, subtype="FLOAT"), io.BytesIO()) == 0
