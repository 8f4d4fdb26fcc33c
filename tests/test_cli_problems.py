"""Every problem from file to file through the command line, on a tiny checkpoint."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import librosa
import numpy as np
import pytest
import soundfile

Song = Callable[..., Path]
Run = Callable[..., SimpleNamespace]


@pytest.fixture
def solve(run: Run, tiny: Path) -> Run:
    def call(*words: object) -> SimpleNamespace:
        result = run("solve", *words, "--model", tiny, "--steps", 2, "-s", "repeats=1")
        assert result.code == 0, result.err
        return result

    return call


@pytest.fixture
def refused(run: Run, tiny: Path) -> Callable[..., str]:
    def call(*words: object) -> str:
        result = run("solve", *words, "--model", tiny, "--steps", 2)
        assert result.code == 2
        assert len(result.err.splitlines()) == 1
        return str(result.err)

    return call


def read(path: Path) -> np.ndarray:
    return soundfile.read(path, always_2d=True)[0].T


@pytest.mark.parametrize(("words", "rate"), [((), 16000), (("--rate", 44100), 44100), (("--factor", 3), 24000)])
def test_a_low_rate_file_gets_the_higher_rate_and_keeps_its_band(
    song: Song, solve: Run, tmp_path: Path, words: tuple[object, ...], rate: int
) -> None:
    path, out = song(rate=8000, channels=2, seconds=1.0), tmp_path / "out.wav"
    solve("resampling", path, *words, "-o", out)
    assert soundfile.info(out).samplerate == rate
    restored = read(out)
    assert restored.shape == (2, rate)
    back = librosa.resample(restored, orig_sr=rate, target_sr=8000)
    kept = slice(1000, 7000)
    assert np.abs(back - read(path))[:, kept].max() < 0.01  # what lies in the filters' transition is lost


def test_a_recording_that_already_has_the_prior_s_band_is_refused(song: Song, refused: Callable[..., str]) -> None:
    assert "already holds every frequency that this prior knows" in refused("resampling", song(rate=22050))


def test_magnitudes_from_a_numpy_file_and_from_audio_give_the_same(song: Song, solve: Run, tmp_path: Path) -> None:
    path = song(subtype="DOUBLE", seconds=1.0)
    np.save(tmp_path / "mag.npy", np.abs(librosa.stft(read(path)[0], n_fft=1024, hop_length=160)))
    solve("stft-magnitude", tmp_path / "mag.npy", "-o", tmp_path / "a.wav")
    solve("stft-magnitude", path, "-o", tmp_path / "b.wav")
    a, b = read(tmp_path / "a.wav"), read(tmp_path / "b.wav")
    assert a.shape == b.shape == (1, 16000)
    assert np.abs(a - b).max() < 1e-4
    wanted, made = (np.abs(librosa.stft(x, n_fft=1024, hop_length=160)) for x in (read(path)[0], a[0]))
    assert np.linalg.norm(made - wanted) < 0.5 * np.linalg.norm(wanted)


def test_magnitudes_at_the_files_own_rate(song: Song, solve: Run, tmp_path: Path) -> None:
    solve("stft-magnitude", song(rate=22050, seconds=1.0), "--hop", 256, "-o", tmp_path / "out.wav")
    assert soundfile.info(tmp_path / "out.wav").samplerate == 22050
    assert read(tmp_path / "out.wav").shape == (1, 22050)


def test_unusable_arrays_are_refused(song: Song, refused: Callable[..., str], tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((513, 10), dtype=complex))
    assert "complex" in refused("stft-magnitude", tmp_path / "a.npy")
    np.save(tmp_path / "b.npy", np.zeros((100, 10)))
    assert "100 bins" in refused("stft-magnitude", tmp_path / "b.npy")
    np.save(tmp_path / "c.npy", np.zeros(10))
    assert "shape (10,)" in refused("stft-magnitude", tmp_path / "c.npy")
    (tmp_path / "d.npy").write_bytes(b"no array")
    assert "cannot be read" in refused("stft-magnitude", tmp_path / "d.npy").replace(
        "that can be read", "cannot be read"
    )
    np.save(tmp_path / "e.npy", np.zeros((513, 10)))
    assert "give an audio file" in refused("reverb", tmp_path / "e.npy")


def test_a_mixture_is_written_as_sources_that_sum_to_it(song: Song, solve: Run, tmp_path: Path) -> None:
    path = song(channels=2, subtype="DOUBLE", seconds=1.0)
    solve("mixing", path, "--prompt", "piano", "--prompt", "violin", "-o", tmp_path / "out.wav")
    sources = [read(tmp_path / f"out-source{number}.wav") for number in (1, 2)]
    np.testing.assert_allclose(sources[0] + sources[1], read(path), atol=1e-6)
    assert np.abs(sources[0] - sources[1]).max() > 1e-3
    document = json.loads((tmp_path / "out-source1.wav.json").read_text())
    assert document["job"]["prompt"] == ["piano", "violin"]
    assert document["costs"]["network_forward"] == 2 * 2 * 2 * 2  # channels, sources, steps, passes of guidance


def test_a_simulated_mixture_takes_its_sources_and_is_measured(
    song: Song, solve: Run, refused: Callable[..., str], tmp_path: Path
) -> None:
    a, b = song("a.wav", seconds=1.0), song("b.wav", seconds=1.0, rate=16000)
    result = solve("mixing", a, b, "--simulate", "-o", tmp_path / "out.wav", "--plot", tmp_path / "out.png")
    assert "si_sdr" in result.out
    assert (tmp_path / "out.png").stat().st_size > 1000
    assert "give 2 files" in refused("mixing", a, "--simulate")
    assert "prompts for 2 sources" in refused("mixing", a, *(word for _ in range(3) for word in ("--prompt", "harp")))


def test_what_is_known_of_a_mixture_leaves_one_source(song: Song, solve: Run, tmp_path: Path) -> None:
    mixture, known = song("mix.wav", seconds=1.0, subtype="DOUBLE"), tmp_path / "known.wav"
    soundfile.write(known, 0.5 * read(mixture).T, 16000, subtype="DOUBLE")
    solve("mixing", mixture, "--known", known, "-o", tmp_path / "out.wav")
    np.testing.assert_allclose(read(tmp_path / "out.wav"), 0.5 * read(mixture), atol=1e-6)


def test_reverb_with_noise_repeats_from_its_record(song: Song, solve: Run, run: Run, tmp_path: Path) -> None:
    out, again = tmp_path / "out.wav", tmp_path / "again.wav"
    solve("reverb", song(seconds=1.0), "--simulate", "--snr", 20, "--decay", 0.2, "-o", out)
    assert run("solve", "--config", f"{out}.json", "-o", again).code == 0
    assert out.read_bytes() == again.read_bytes()
    document = json.loads(Path(f"{out}.json").read_text())
    assert document["measured"]["noise_std"] > 0


@pytest.mark.parametrize(
    ("solver", "words"),
    [
        ("sinc", ("resampling",)),
        ("griffin-lim", ("stft-magnitude",)),
        ("wiener", ("reverb", "--decay", "0.2", "--simulate")),
        ("mixture", ("mixing",)),
    ],
)
def test_classical_solvers_beside_them(
    song: Song, run: Run, tmp_path: Path, solver: str, words: tuple[str, ...]
) -> None:
    path = song(rate=8000 if solver == "sinc" else 16000, seconds=1.0)
    result = run("solve", *words, path, "--solver", solver, "-o", tmp_path / "out.wav")
    assert result.code == 0, result.err
    other = run("solve", "inpainting", path, "--gap", "0.2:0.3", "--solver", solver, "-o", tmp_path / "no.wav")
    assert other.code == (0 if solver == "wiener" else 2)
