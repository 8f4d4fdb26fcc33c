"""FAD against its definition, and the small CLAP that it is measured in."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from transformers import ClapFeatureExtractor, ClapModel, RobertaTokenizer

from diffmusic.backbones.musicldm import MINI
from diffmusic.errors import InputError
from diffmusic.metrics.clap import Clap
from diffmusic.metrics.fad import frechet_distance

RANDOM = np.random.default_rng(0)


@pytest.fixture(scope="module")
def clap() -> Clap:
    return Clap.load(MINI)


def test_the_distance_is_that_of_the_definition() -> None:
    a, b = RANDOM.standard_normal((60, 5)), 0.7 * RANDOM.standard_normal((40, 5)) + 0.3
    covariances = [np.cov(x, rowvar=False) for x in (a, b)]
    shared = np.trace(sqrtm(covariances[0] @ covariances[1]).real)
    expected = np.square(a.mean(0) - b.mean(0)).sum() + sum(map(np.trace, covariances)) - 2 * shared
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)


def test_a_shift_alone_costs_its_square_and_nothing_is_negative() -> None:
    a = RANDOM.standard_normal((10, 128))  # fewer items than dimensions
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(a, a) >= 0
    assert frechet_distance(a, a + 0.5) == pytest.approx(128 * 0.25, rel=1e-6)
    assert frechet_distance(a, a[::-1].astype(np.float32)) < 1e-5


@pytest.mark.parametrize("shape", [(1, 128), (10, 64), (10,)])
def test_sets_that_do_not_compare_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="two or more embeddings"):
        frechet_distance(RANDOM.standard_normal((10, 128)), RANDOM.standard_normal(shape))


def test_embeddings_are_those_of_transformers(clap: Clap) -> None:
    model = ClapModel.from_pretrained(MINI / "text_encoder", local_files_only=True).float().eval()
    tokens = RobertaTokenizer.from_pretrained(MINI / "tokenizer")(["a harp"], return_tensors="pt")
    sound = 0.1 * RANDOM.standard_normal(80000)
    extractor = ClapFeatureExtractor.from_pretrained(MINI / "feature_extractor")
    mel = extractor([sound], sampling_rate=16000, return_tensors="pt")["input_features"].float()
    with torch.no_grad():
        text, audio = model.get_text_features(**tokens), model.get_audio_features(input_features=mel)
    for ours, theirs in ((clap.text(["a harp"]), text), (clap.audio(sound[None], 16000), audio)):
        vector = getattr(theirs, "pooler_output", theirs).numpy()
        np.testing.assert_allclose(ours, vector / np.linalg.norm(vector), atol=1e-4)


def test_long_audio_is_embedded_window_by_window(clap: Clap) -> None:
    sound = 0.1 * RANDOM.standard_normal((2, 200000))
    vectors = clap.audio(sound, 16000)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert len(vectors) == 4  # from 0, 2.5 and 5 s, and the last that fits
    np.testing.assert_allclose(vectors[1], clap.audio(sound[:, 40000:120000], 16000)[0], atol=1e-5)
    assert clap.audio(sound[:, :1000], 16000).shape == (1, vectors.shape[1])


def test_the_score_is_the_mean_cosine_over_windows(clap: Clap) -> None:
    sound = 0.1 * RANDOM.standard_normal((1, 200000))
    expected = (clap.audio(sound, 16000) @ clap.text(["solo piano"])[0]).mean()
    assert clap.score(sound, 16000, "solo piano") == pytest.approx(expected, abs=1e-6)
    assert clap.score(sound, 16000, "solo piano") != clap.score(sound, 16000, "drums")
