"""``diffmusic edit`` from file to file, on a tiny checkpoint."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from diffmusic.models.load import load_model
from diffmusic.prior import Costs
from diffmusic.prior.denoiser import Denoiser
from diffmusic.prior.guidance import Embedder
from diffmusic.prior.windowed import Windowed
from diffmusic.tasks.encoded_recording import EncodedRecording
from diffmusic.tasks.presets import LPAPS, MEASURED

Song = Callable[..., Path]
Run = Callable[..., SimpleNamespace]


@pytest.fixture
def edit(run: Run, tiny: Path) -> Run:
    """``diffmusic edit`` with three steps of the tiny prior."""

    def call(*words: object) -> SimpleNamespace:
        return run("edit", "--steps", 3, *words, "--model", tiny)

    return call


def audio(path: Path) -> np.ndarray:
    return soundfile.read(path, dtype="float64", always_2d=True)[0].T


def test_null_edit_is_the_round_trip_bit_for_bit(song: Song, edit: Run, tiny: Path, tmp_path: Path) -> None:
    path = song(subtype="DOUBLE", channels=2)
    words = (path, "--source", "a flute", "--target", "a flute", "--guidance", 3)
    for solver in ("ddpm-inversion", "cycle-diffusion", "flow-edit"):
        result = edit(*words, "--solver", solver, "-o", tmp_path / "null.wav")
        assert result.code == 0, result.err
        passage = EncodedRecording.of(audio(path), 16000, load_model(str(tiny)), Costs())
        assert np.array_equal(audio(tmp_path / "null.wav"), passage.round_trip()), solver
    # Batched over the levels, kernels differ, and with them the last digits.
    assert edit(*words, "--batch", 16, "-o", tmp_path / "batched.wav").code == 0
    expected = passage.round_trip()
    assert np.linalg.norm(audio(tmp_path / "batched.wav") - expected) < 1e-4 * np.linalg.norm(expected)
    # Another target is another result.
    assert edit(*words[:-3], "a drum", "-o", tmp_path / "other.wav").code == 0
    assert np.linalg.norm(audio(tmp_path / "other.wav") - expected) > 1e-3 * np.linalg.norm(expected)


@pytest.mark.parametrize(("name", "subtype"), [("song.flac", "PCM_24"), ("song.wav", "PCM_16"), ("song.wav", "FLOAT")])
def test_outside_a_segment_the_output_is_the_input(
    song: Song, edit: Run, tmp_path: Path, name: str, subtype: str
) -> None:
    path, out = song(name, seconds=3.0, rate=44100, channels=2, subtype=subtype), tmp_path / f"out{Path(name).suffix}"
    result = edit(path, "--target", "drums", "--segment", "0.5:0.9", "--segment", "1.5:2.0@1.0=a flute", "-o", out)
    assert result.code == 0, result.err
    dtype = "float64" if subtype == "FLOAT" else "int32"
    x, y = (soundfile.read(each, dtype=dtype, always_2d=True)[0] for each in (path, out))
    assert soundfile.info(out).subtype == subtype
    changed = np.flatnonzero((x != y).any(1)) / 44100
    assert ((changed >= 0.5) & (changed < 0.9) | (changed >= 1.5) & (changed < 2.0)).all()
    for start, end in ((0.5, 0.9), (1.5, 2.0)):
        assert ((changed >= start) & (changed < end)).mean() > 0.2
    # Soft: at the edge of a segment the edit is not heard yet.
    steps = np.abs(x.astype(float) - y)[round(0.5 * 44100) :]
    assert steps[:40].max() < 0.02 * steps[4410:8820].max()


def test_targets_samples_and_config(song: Song, edit: Run, run: Run, tmp_path: Path) -> None:
    path, out = song(subtype="FLOAT"), tmp_path / "e.wav"
    words = ("--target", "a choir", "--target", "drums", "--samples", 2, "--strength", 1.5, "--seed", 4)
    result = edit(path, *words, "-o", out)
    assert result.code == 0, result.err
    paths = [tmp_path / f"e-target{target}-{draw}.wav" for target in (1, 2) for draw in (1, 2)]
    made = [audio(each) for each in paths]
    assert all(not np.array_equal(a, b) for n, a in enumerate(made) for b in made[n + 1 :])
    record = json.loads(Path(f"{paths[0]}.json").read_text())
    assert record["sigmas"][0] == pytest.approx(1.5)
    assert record["job"]["targets"] == ["a choir", "drums"]
    # Three levels: the source once a sample, unguided (it is empty); each target with and without its text.
    assert record["costs"]["network_forward"] == 2 * (3 + 2 * 2 * 3)
    repeated = tmp_path / "again.wav"
    assert run("edit", "--config", f"{paths[0]}.json", "-o", repeated).code == 0
    for each in paths:
        assert each.read_bytes() == (tmp_path / each.name.replace("e-", "again-")).read_bytes()
    # A target among others is the target alone.
    assert edit(path, "--target", "drums", *words[4:], "-o", tmp_path / "alone.wav").code == 0
    assert np.array_equal(audio(tmp_path / "alone-2.wav"), made[3])


def test_t_start_is_a_strength(song: Song, edit: Run, tmp_path: Path) -> None:
    path = song()
    assert edit(path, "--target", "drums", "--t-start", "100/200", "-o", tmp_path / "a.wav").code == 0
    assert json.loads((tmp_path / "a.wav.json").read_text())["job"]["strength"] == pytest.approx(2.7255, abs=1e-3)


def test_shift_and_stroke_from_the_command_line(song: Song, edit: Run, tmp_path: Path) -> None:
    path = song(subtype="FLOAT")
    assert edit(path, "--target", "", "-o", tmp_path / "null.wav").code == 0
    for setting in ("shift=0.2", "stroke=0.3:0.6,200:900,20", "order=2"):
        result = edit(path, "--target", "", "-s", setting, "-o", tmp_path / "a.wav")
        assert result.code == 0, result.err
        same = np.array_equal(audio(tmp_path / "a.wav"), audio(tmp_path / "null.wav"))
        assert same == (setting == "order=2"), setting


def test_segments_take_times_as_people_have_them(song: Song, edit: Run, tmp_path: Path) -> None:
    path, words = song(seconds=3.0, subtype="FLOAT"), ("--target", "drums")
    for number, segment in enumerate(("0.5:0.9@1.0=a flute", "0:00.5-0:00.9@1.0=a flute", "0:00.5+0.4@1=a flute")):
        out = tmp_path / f"{number}.wav"
        assert edit(path, *words, "--segment", segment, "-o", out).code == 0
        assert np.array_equal(audio(out), audio(tmp_path / "0.wav")), segment


def test_a_sweep_is_each_strength_and_a_page(song: Song, edit: Run, tmp_path: Path) -> None:
    path, out = song(subtype="FLOAT"), tmp_path / "s.wav"
    words = ("--target", "a choir", "--target", "drums", "--steps", 2)
    result = edit(path, *words, "--sweep", 2, "--window", "0.7:3", "-o", out)
    assert result.code == 0, result.err
    names = {f"s-target{target}-strength{strength}.wav" for target in (1, 2) for strength in (1, 2)}
    assert {each.name for each in tmp_path.glob("s*")} == {*names, "s.html", "s-target1-strength1.wav.json", "song.wav"}
    assert edit(path, *words, "--strength", 3, "-o", tmp_path / "one.wav").code == 0
    for target in (1, 2):
        made, alone = (audio(tmp_path / name.format(target)) for name in
                       ("s-target{}-strength2.wav", "one-target{}.wav"))  # fmt: skip
        assert np.array_equal(made, alone)
    record = json.loads((tmp_path / "s-target1-strength1.wav.json").read_text())
    assert [each["sigmas"][0] for each in record["sweep"]] == pytest.approx([0.7, 3.0])
    page = (tmp_path / "s.html").read_text()
    assert page.count("data:audio/flac") == 2 + 4
    assert "drums&#39;, strength 3" in page


def test_presets_are_the_measured_strengths_and_the_paper(song: Song, edit: Run, tmp_path: Path) -> None:
    rows = json.loads((Path(__file__).parents[1] / "benchmarks" / "results" / "edits.json").read_text())["rows"]
    for solver, strengths in MEASURED.items():
        measured = [row for row in rows if row["row"] == solver]
        for name, strength in strengths.items():
            nearest = min(measured, key=lambda row: abs(row["lpaps"] - LPAPS[name]))
            assert nearest["strength"] == strength, (solver, name)
    path, out = song(), tmp_path / "p.wav"

    def job(*words: object) -> dict[str, object]:
        result = edit(path, "--target", "x", "--steps", 1, "-o", out, *words)
        assert result.code == 0, result.err
        made: dict[str, object] = json.loads((tmp_path / "p.wav.json").read_text())["job"]
        return made

    made = job("--preset", "paper")
    assert (made["guidance"], made["source_guidance"], made["steps"]) == (12.0, 3.0, 1)  # a flag comes first
    assert made["strength"] == pytest.approx(2.7255, abs=1e-3)
    assert job("--preset", "paper", "--solver", "ddim-inversion")["guidance"] == 5.0
    assert job("--preset", "bold", "--guidance", 4)["guidance"] == 4.0
    assert job("--preset", "bold", "--strength", 2)["strength"] == 2.0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "with --target"),
        (("--target", "x", "--strength", "1e6"), "noise level"),
        (("--target", "x", "--segment", "2"), "START:END"),
        (("--target", "x", "--segment", "0.5:9"), "outside the recording"),
        (("--target", "x", "--segment", "0.2:0.6", "--segment", "0.5:0.9"), "overlap"),
        (("--target", "x", "--solver", "dps"), "edits none"),
        (("--target", "x", "--solver", "nope"), "unknown solver"),
        (("--target", "x", "--t-start", "abc"), "N/STEPS"),
        (("--target", "x", "--t-start", "300/200"), "1 to 200"),
        (("--target", "x", "--t-start", "300/2000"), "trained at 1000 levels"),
        (("--target", "x", "--hold", "2"), "--hold"),
        (("--target", "x", "--segment", "0:00.5-0:00.75:1"), "1:03-1:05.5"),
        (("--target", "x", "--sweep", "0"), "--sweep"),
        (("--target", "x", "--sweep", "2", "--window", "3:2"), "LOW:HIGH"),
        (("--sweep", "2", "--segment", "0.2:0.6@2=x"), "nothing to sweep"),
        (("--target", "x", "--preset", "loud"), "subtle, bold or paper"),
        (("--target", "x", "--preset", "paper", "--solver", "flow-edit"), "ddpm-inversion, sdedit"),
        (("--target", "x", "--amount", "1"), "--directions"),
        (("--target", "x", "--solver", "posterior-pc", "--sweep", "2"), "diffmusic explore"),
        (("--target", "x", "-s", "stroke=1:2,3"), "START:END,LOW:HIGH,DB"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    song: Song, edit: Run, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    result = edit(song(), *words, "-o", tmp_path / "out.wav")
    assert (result.code, result.err.count("\n")) == (2, 1), result.err
    assert message in result.err
    assert not (tmp_path / "out.wav").exists()


def test_editors_are_refused_where_recordings_are_restored(song: Song, run: Run, tmp_path: Path) -> None:
    result = run("solve", "inpainting", song(), "--gap", "0.5:0.6", "--solver", "sdedit", "-o", tmp_path / "x.wav")
    assert result.code == 2
    assert "diffmusic edit" in result.err


def test_many_levels_in_one_call_are_each_alone(tiny: Path) -> None:
    backbone = load_model(str(tiny))
    embed = Embedder(backbone)
    texts = [embed.text("a flute", None, 3.0), embed.text("drums", "noise", 2.0), embed.text("")]
    z = torch.randn(3, *backbone.latent_shape(16000), generator=torch.Generator().manual_seed(0))
    sigmas = [0.3, 2.0, 9.0]
    together = Denoiser(backbone, costs := Costs(), batch=8)(z, sigmas, texts)
    assert (costs.network_forward, costs.network_calls) == (5, 1)
    alone = torch.cat([Denoiser(backbone, Costs())(z[n : n + 1], sigmas[n], texts[n]) for n in range(3)])
    assert float((together - alone).norm() / alone.norm()) < 1e-5
    assert float((together.roll(1, 0) - alone).norm() / alone.norm()) > 0.1


def test_windowed_denoising_of_a_local_denoiser_is_seamless() -> None:
    """Where the network looks no further than the overlap, windows change nothing."""
    from diffmusic.testing.oracle import GaussianPrior

    place = torch.arange(64, dtype=torch.float64)

    class Local(GaussianPrior):
        def denoise(self, z: torch.Tensor, sigma: float, condition: object = None) -> torch.Tensor:
            kernel = torch.ones(1, 1, 3, dtype=z.dtype) / 3
            return torch.nn.functional.conv1d(z, kernel, padding=1)

    prior = Local(torch.zeros(64), torch.eye(64), excerpt_seconds=24 / 16000)
    z = torch.sin(place)[None, None]
    whole = Denoiser(prior, Costs())(z, 1.0, Embedder(prior).text(""))
    joined = Denoiser(Windowed.of(prior), Costs())(z, 1.0, Embedder(prior).text(""))
    # A window's last frame has no neighbour there, and the least weight.
    assert float((whole - joined).abs().max()) < 0.1
    inner = joined[..., 1:-1] - whole[..., 1:-1]
    assert float(inner.abs().median()) < 1e-12


def test_long_recordings_go_through_windows_that_share_noise(song: Song, edit: Run, tiny: Path, tmp_path: Path) -> None:
    path = song(seconds=25.0, subtype="FLOAT")
    assert edit("--steps", 1, path, "--target", "drums", "--batch", 4, "-o", tmp_path / "edited.wav").code == 0
    expected = EncodedRecording.of(audio(path), 16000, load_model(str(tiny)), Costs()).round_trip()
    changed = np.abs(audio(tmp_path / "edited.wav")[0] - expected[0])
    # Every second is edited, and none far more than the others.
    seconds = np.sqrt(np.square(changed).reshape(25, -1).mean(1))
    assert seconds.min() > 0
    assert seconds.max() < 20 * np.median(seconds)


def test_segments_have_prompts_and_strengths_of_their_own(song: Song, edit: Run, tmp_path: Path) -> None:
    path = song(seconds=3.0, subtype="FLOAT")
    made = []
    for texts in (("drums", "a flute"), ("drums", "a choir"), ("drums", "a flute")):
        words = ["--segment", f"0.2:1.2={texts[0]}", "--segment", f"1.6:2.6={texts[1]}"]
        assert edit(path, *words, "-o", tmp_path / "out.wav").code == 0
        made.append(audio(tmp_path / "out.wav"))
    assert np.array_equal(made[0], made[2])
    different = np.square(made[0] - made[1])[0]
    assert different[25600:41600].sum() > 2 * different[:19200].sum()
    weak = ["--segment", "0.2:1.2@0.1=drums", "--segment", "1.6:2.6=a flute"]
    assert edit(path, *weak, "-o", tmp_path / "out.wav").code == 0
    moved = np.abs(audio(tmp_path / "out.wav") - made[0])[0]
    assert moved[3200:19200].max() > 0
