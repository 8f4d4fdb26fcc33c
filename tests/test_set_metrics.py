"""Distances of sets against closed forms and other people's arithmetic, and the embeddings that they are taken in."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from transformers import ClapFeatureExtractor, ClapModel

from diffmusic import testing
from diffmusic.errors import InputError
from diffmusic.metrics import embeddings
from diffmusic.metrics.clap import Clap
from diffmusic.metrics.contract import is_set, load_metric, measure, takes_prompt
from diffmusic.metrics.fad import frechet_distance
from diffmusic.metrics.fad_inf import FADInfinity
from diffmusic.metrics.kad import kernel_distance
from diffmusic.models.load import Access, load_model

RATE = 16000


def exactly(mean: np.ndarray, covariance: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Draws whose sample mean and covariance are these, to the last digits."""
    x = np.random.default_rng(seed).standard_normal((count, len(mean)))
    x = x - x.mean(0)
    white = x @ np.linalg.inv(np.linalg.cholesky(x.T @ x / (count - 1))).T
    return white @ np.linalg.cholesky(covariance).T + mean


def by_sqrtm(a: np.ndarray, b: np.ndarray) -> float:
    """FAD as the toolkits write it."""
    first, second = (np.cov(x, rowvar=False) for x in (a, b))
    root = sqrtm(first @ second).real
    return float(np.square(a.mean(0) - b.mean(0)).sum() + np.trace(first + second - 2 * root))


def test_fad_of_gaussians_is_its_closed_form() -> None:
    # Axis-parallel: |m - m'|^2 + sum (s - s')^2 of the standard deviations.
    a = exactly(np.array([0.0, 1.0, 2.0]), np.diag([1.0, 4.0, 9.0]), 50, 0)
    b = exactly(np.array([1.0, 1.0, 0.0]), np.diag([4.0, 0.25, 9.0]), 30, 1)
    assert frechet_distance(a, b) == pytest.approx(1 + 4 + (1 - 2) ** 2 + (2 - 0.5) ** 2, rel=1e-9)
    # One turned by 45 degrees, where the covariances do not commute: tr sqrt(C C') of two 2 x 2 matrices is
    # sqrt(tr(C C') + 2 sqrt(det(C C'))).
    first = np.diag([1.0, 9.0])
    second = np.array([[5.0, 4.0], [4.0, 5.0]])
    shared = np.sqrt(np.trace(first @ second) + 2 * np.sqrt(np.linalg.det(first @ second)))
    a, b = exactly(np.zeros(2), first, 40, 2), exactly(np.zeros(2), second, 60, 3)
    assert frechet_distance(a, b) == pytest.approx(10 + 10 - 2 * shared, rel=1e-9)
    assert frechet_distance(a, b) == pytest.approx(by_sqrtm(a, b), rel=1e-9)


def test_fad_of_few_windows_is_finite_symmetric_and_not_negative() -> None:
    random = np.random.default_rng(4)
    a, b = random.standard_normal((3, 512)), random.standard_normal((4, 512))
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-6)
    assert frechet_distance(a, b) > 0
    for x in (a, 1e-6 * a, 1e3 * a):
        assert 0 <= frechet_distance(x, x) < 1e-6 * max(1.0, np.square(x).sum())


def test_the_line_of_fad_inf_goes_through_what_was_measured() -> None:
    random = np.random.default_rng(5)
    reference, estimate = random.standard_normal((80, 4)), 1.5 * random.standard_normal((40, 4))
    half = estimate[np.random.default_rng(7).permutation(40)[:20]]
    # Through (1/20, FAD of half) and (1/40, FAD of all), at 1/n = 0.
    expected = 2 * by_sqrtm(reference, estimate) - by_sqrtm(reference, half)
    assert FADInfinity(sizes=2, draws=1, seed=7).distance(reference, estimate) == pytest.approx(expected, rel=1e-9)


def test_fad_inf_is_nearer_to_the_truth_than_fad() -> None:
    random = np.random.default_rng(6)
    deviations = np.linspace(0.5, 1.5, 12)
    reference = exactly(np.zeros(12), np.diag(deviations**2), 400, 8)
    truth = float(np.square(deviations - 1).sum())
    errors = []
    for _ in range(5):
        estimate = random.standard_normal((60, 12))
        errors.append([each(reference, estimate) - truth for each in (frechet_distance, FADInfinity().distance)])
    plain, extrapolated = np.abs(np.mean(errors, axis=0))
    assert plain > 0.4
    assert extrapolated < plain / 4


def test_fad_inf_repeats_and_refuses_too_few() -> None:
    random = np.random.default_rng(9)
    a, b = random.standard_normal((30, 3)), random.standard_normal((30, 3))
    assert FADInfinity().distance(a, b) == FADInfinity().distance(a, b)
    with pytest.raises(InputError, match="16 or more windows, not from 15"):
        FADInfinity().distance(a, b[:15])


def test_kad_is_its_definition_written_out() -> None:
    random = np.random.default_rng(10)
    x, y = random.standard_normal((7, 3)), 0.5 + random.standard_normal((5, 3))
    width = np.median([np.linalg.norm(x[i] - x[j]) for i in range(7) for j in range(i)])

    def k(u: np.ndarray, v: np.ndarray) -> float:
        return float(np.exp(-np.square(u - v).sum() / (2 * width**2)))

    within_x = sum(k(x[i], x[j]) for i in range(7) for j in range(7) if i != j) / (7 * 6)
    within_y = sum(k(y[i], y[j]) for i in range(5) for j in range(5) if i != j) / (5 * 4)
    across = sum(k(u, v) for u in x for v in y) / (7 * 5)
    assert kernel_distance(x, y) == pytest.approx(100 * (within_x + within_y - 2 * across), rel=1e-12)


def test_kad_is_unbiased() -> None:
    random = np.random.default_rng(11)
    reference = random.standard_normal((400, 4))
    same = [kernel_distance(reference, random.standard_normal((8, 4))) for _ in range(300)]
    error = np.std(same) / np.sqrt(len(same))
    assert abs(np.mean(same)) < 4 * error + 0.2  # a reference of 400 is not the distribution itself
    # The biased estimator, with the diagonals, would be off by about 100 (1 - mean k) / 8.
    assert abs(np.mean(same)) < 1
    assert kernel_distance(reference, 1 + random.standard_normal((8, 4))) > 10


@pytest.mark.parametrize("name", ["fad", "kad"])
@pytest.mark.parametrize(("a", "b"), [((1, 8), (5, 8)), ((5, 8), (5, 4)), ((5,), (5,))])
def test_sets_that_do_not_compare_are_refused(name: str, a: tuple[int, ...], b: tuple[int, ...]) -> None:
    chosen = load_metric(name)
    assert is_set(chosen)
    with pytest.raises(InputError, match="two or more embeddings of equal dimension"):
        chosen.distance(np.ones(a), np.ones(b))


def test_kad_refuses_a_reference_without_spread() -> None:
    with pytest.raises(InputError, match="no width"):
        kernel_distance(np.ones((4, 3)), np.ones((4, 3)))


def noise(seconds: float, channels: int = 1, rate: int = RATE) -> np.ndarray:
    return 0.1 * np.random.default_rng(0).standard_normal((channels, round(seconds * rate)))


def test_metrics_embed_with_the_clap_of_their_name_loaded_once() -> None:
    chosen = load_metric("fad")
    assert is_set(chosen)
    assert embeddings.load("mini") is embeddings.load("mini")
    vectors = chosen.embed(noise(6, 2), RATE)
    assert vectors.dtype == np.float64
    np.testing.assert_array_equal(vectors, embeddings.clap("mini").audio(noise(6, 2), RATE).astype(np.float64))
    described = chosen.describe()
    assert described["embedding"] == "mini"
    assert described["window_seconds"] == 5
    assert len(described["sha256"]) == 64
    assert load_metric("kad").describe() == described  # type: ignore[union-attr]
    with pytest.raises(InputError, match="the embedding mini takes nothing after a colon, not 'big'"):
        embeddings.load("mini:big")


def test_latents_are_averaged_over_time() -> None:
    chosen = load_metric("fad embedding=vae")
    assert is_set(chosen)
    backbone = load_model("mini")
    length = round(backbone.excerpt_seconds * RATE)
    x = noise(backbone.excerpt_seconds)
    with torch.no_grad():
        z = backbone.encode(torch.from_numpy(x).float()[None])  # (1, channels, frames, bands)
    assert backbone.latent_shape(2 * length)[1] == 2 * z.shape[2]
    np.testing.assert_allclose(chosen.embed(x, RATE), z.mean(2).reshape(1, -1).numpy(), atol=1e-5)
    assert chosen.describe()["embedding"] == "vae"
    assert chosen.describe()["sha256"] != load_metric("fad").describe()["sha256"]  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def alone(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLAP as the hub holds one by itself: all its files in one folder."""
    folder = tmp_path_factory.mktemp("clap")
    for part in ("text_encoder", "tokenizer"):
        for path in (tiny / part).iterdir():
            shutil.copy(path, folder / path.name)
    settings = {"feature_size": 8, "hop_length": 320, "max_length_s": 1, "truncation": "rand_trunc"}
    ClapFeatureExtractor(sampling_rate=RATE, **settings).save_pretrained(folder)
    return folder


def test_a_folder_is_an_embedding(alone: Path) -> None:
    chosen = load_metric(f"kad embedding={alone}")
    assert is_set(chosen)
    assert chosen.embed(noise(2.2), RATE).shape == (4, 12)  # windows of a second from 0, 0.5, 1 and 1.2 s
    assert chosen.describe()["embedding"] == str(alone)
    testing.check_metric(load_metric(f"lpaps embedding={alone}"))


def test_a_collapsed_text_tower_is_refused_where_text_is_read(
    alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(alone, tmp_path / "collapsed")
    model = ClapModel.from_pretrained(folder)
    with torch.no_grad():
        for parameter in model.text_projection.parameters():
            parameter.zero_() if parameter.ndim > 1 else parameter.fill_(1.0)
    model.save_pretrained(folder)
    score = load_metric(f"clap embedding={folder}")
    with pytest.raises(InputError, match=r"text tower is collapsed .* 1\.0000") as caught:
        measure(score, noise(1), noise(1), RATE, "a piano")  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    fad = load_metric(f"fad embedding={folder}")
    assert is_set(fad)
    assert fad.embed(noise(1), RATE).shape == (1, 12)
    # The mini CLAP's own is far from it: 0.29, where the published ones have 0.18 and 0.29.
    embeddings.clap("mini").check_text()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fad embedding=/no/where", "neither a folder nor an id on the hub"),
        ("fad embeding=mini", "Did you mean 'embedding'"),
        ("lsd rate=3", "has no parameters"),
        ("fad embedding", "write KEY=VALUE"),
        ("fadd", "Did you mean 'fad'"),
        ("fad access=1", "no parameter 'access'"),
        ("fad embedding='x", "No closing quotation"),
    ],
)
def test_what_is_no_metric_is_refused_in_a_line(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load_metric(text).describe()  # type: ignore[union-attr]
    assert "\n" not in str(caught.value)


def test_a_hub_id_is_not_downloaded_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    chosen = load_metric("fad embedding=laion/clap-htsat-unfused", Access(offline=True))
    with pytest.raises(InputError, match="--offline forbids to download it: run the same command without it"):
        chosen.describe()  # type: ignore[union-attr]


def test_a_folder_without_its_tokenizer_is_refused(alone: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(alone, tmp_path / "part")
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(InputError, match="lacks the feature extractor"):
        Clap.load(folder)


@pytest.mark.parametrize("wrong", ["float32", "nameless", "blind"])
def test_the_checks_catch_set_metrics_that_lie(wrong: str) -> None:
    class Liar:
        def embed(self, audio: np.ndarray, sample_rate: int, /) -> np.ndarray:
            spectrum = np.log(np.abs(np.fft.rfft(audio.mean(0), 64))[None] + 1e-3)
            return spectrum.astype(np.float32) if wrong == "float32" else spectrum

        def distance(self, reference: np.ndarray, estimate: np.ndarray, /) -> float:
            return 1.0 if wrong == "blind" else frechet_distance(reference, estimate)

        def describe(self) -> dict[str, str]:
            return {} if wrong == "nameless" else {"embedding": "spectrum", "sha256": "none"}

    failed = {result.name for result in testing.run_checks("metric", Liar()) if not result.passed}
    assert failed >= {"float32": {"embeddings"}, "nameless": {"described"}, "blind": {"distances"}}[wrong]
    json.dumps(Liar().describe())


def test_what_a_metric_is_told() -> None:
    assert takes_prompt(load_metric("clap"))
    assert not takes_prompt(load_metric("lsd"))
    assert not takes_prompt(load_metric("fad"))
    assert measure(load_metric("clap"), noise(1), noise(1), RATE) is None  # type: ignore[arg-type]
