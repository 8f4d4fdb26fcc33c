"""Metrics of pairs against museval, scipy and the models themselves."""

import math
import shutil
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from scipy.signal import stft
from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

from diffmusic import testing
from diffmusic.errors import InputError
from diffmusic.metrics.clap import Clap
from diffmusic.metrics.contract import load_metric, measure
from diffmusic.metrics.embeddings import clap as named
from diffmusic.metrics.lpaps import LPAPS, LPAPSChannels, lpaps
from diffmusic.metrics.lsd_power import lsd_power
from diffmusic.metrics.sdr import sdr
from diffmusic.metrics.si_sdr import si_sdr
from diffmusic.metrics.windows import windows

RATE = 8000


def noise(seed: int, channels: int = 2, count: int = 2 * RATE) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal((channels, count))


@pytest.fixture(scope="module")
def museval() -> ModuleType:
    if shutil.which("ffmpeg") is None or shutil.which("ffprobe") is None:
        pytest.skip("museval does not import without the program ffmpeg")
    module: ModuleType = pytest.importorskip("museval")
    return module


@pytest.mark.parametrize(("channels", "seconds", "gap"), [(2, 3.4, True), (1, 0.7, False), (2, 2.0, False)])
def test_sdr_is_that_of_museval(museval: ModuleType, channels: int, seconds: float, gap: bool) -> None:
    x = noise(0, channels, round(seconds * RATE))
    y = 0.8 * x + 0.3 * noise(1, channels, x.shape[-1]) + 0.1 * np.roll(x, 3, -1)
    if gap:
        x[:, RATE : 2 * RATE] = 0  # museval has no value there
    framewise = museval.evaluate([x.T], [y.T], win=RATE, hop=RATE)[0]
    assert sdr(x, y, RATE) == pytest.approx(np.nanmedian(framewise), abs=0.01)
    assert np.isnan(framewise).any() == gap


@pytest.mark.parametrize("level", [1e-4, 0.03, 1.0])
def test_si_sdr_is_bss_eval_with_a_filter_of_one_tap(museval: ModuleType, level: float) -> None:
    x = noise(2, 1, 4000)
    y = 0.5 * x + level * noise(3, 1, 4000)
    theirs = museval.metrics.bss_eval(
        x[:, :, None], y[:, :, None], window=np.inf, filters_len=1, bsseval_sources_version=True
    )[0]
    assert si_sdr(x, y, RATE) == pytest.approx(theirs.item(), abs=0.01)


def test_sdr_by_hand_and_at_its_limits() -> None:
    x = np.array([[3.0, 0.0], [0.0, 1.0]])
    assert sdr(x, x + 1, 2) == pytest.approx(10 * math.log10(10 / 4))
    assert sdr(x, x, 2) == 100
    assert math.isnan(sdr(np.zeros((1, 4)), np.ones((1, 4)), 4))
    # The median of three windows of which the last is not whole: (0 dB, 20 dB).
    y = np.ones((1, 10))
    assert sdr(y, y + np.repeat([1.0, 0.1, 1.0], [4, 4, 2]), 4) == pytest.approx(10)


@pytest.mark.parametrize("gain", [0.01, 2.0, -3.0])
@pytest.mark.parametrize("rate", [16000, 44100])
def test_lsd_power_of_a_gain_is_twice_its_logarithm(gain: float, rate: int) -> None:
    x = noise(4, 2, rate)
    assert lsd_power(x, gain * x, rate) == pytest.approx(2 * abs(math.log10(abs(gain))), rel=1e-9)


def test_lsd_power_agrees_with_scipy() -> None:
    x, y = noise(5, 1, 30000), noise(6, 1, 30000)
    powers = []
    for each in (x, y):
        padded = np.pad(each, [(0, 0), (1024, 1024)], mode="reflect")
        # scipy divides by the sum of its (periodic) Hann window, 1024.
        spectrum = 1024 * stft(padded, nperseg=2048, noverlap=2048 - 441, boundary=None, padded=False)[2]
        powers.append(np.log10(np.abs(spectrum) ** 2))
    expected = np.sqrt(np.square(powers[0] - powers[1]).mean(1)).mean()
    assert lsd_power(x, y, 44100) == pytest.approx(expected, rel=1e-9)


def test_windows_begin_every_nine_seconds_of_ten() -> None:
    x = np.arange(25 * 100, dtype=float)[None]
    parts = windows(x, 100, 100, 1000, overlap=0.1, tails=True)
    assert [(part[0], len(part)) for part in parts] == [(0, 1000), (900, 1000), (1800, 700)]
    # What a window has heard already is heard again if another one begins there, as the released code has it.
    assert [len(part) for part in windows(x[:, :1900], 100, 100, 1000, overlap=0.1, tails=True)] == [1000, 1000, 100]
    assert [part[0] for part in windows(x, 100, 100, 1000)] == [0, 500, 1000, 1500]
    assert [part[0] for part in windows(x[:, :1700], 100, 100, 1000)] == [0, 500, 700]
    assert [len(part) for part in windows(x[:, :30], 100, 100, 1000)] == [30]


def test_the_clap_score_is_the_mean_over_windows_computed_one_by_one() -> None:
    rate, model = 16000, named("mini")
    x = noise(7, 2, 12 * rate)
    mono = x.mean(0)
    cosines = []
    text = model.model.get_text_features(
        **model.tokenizer(["a flute"], padding="max_length", truncation=True, return_tensors="pt")
    )
    text = getattr(text, "pooler_output", text)
    for start in (0.0, 4.5, 9.0):  # 9/10 of the five seconds that the mini CLAP hears
        part = mono[round(start * rate) : round((start + 5) * rate)]
        if len(part) < 5 * rate:  # three seconds: they fit once, and silence fills the rest
            part = np.pad(part, (0, 5 * rate - len(part)))
        mel = model.extractor([part], sampling_rate=rate, return_tensors="pt")["input_features"].float()
        with torch.no_grad():
            sound = model.model.get_audio_features(input_features=mel)
        sound = getattr(sound, "pooler_output", sound)
        cosines.append(float(torch.nn.functional.cosine_similarity(sound, text)))
    score = load_metric("clap")
    assert measure(score, x, x, rate, "a flute") == pytest.approx(np.mean(cosines), abs=1e-5)  # type: ignore[arg-type]
    assert measure(score, 0 * x, x, rate, "a flute") == pytest.approx(np.mean(cosines), abs=1e-5)  # type: ignore[arg-type]
    assert len(set(np.round(cosines, 6))) == 3


def test_lpaps_is_the_mean_over_windows_of_the_formula_of_its_code() -> None:
    rate, model = 16000, named("mini")
    x, y = noise(8, 1, 6 * rate), noise(9, 1, 6 * rate)
    assert isinstance(model, Clap)
    for chosen, norm in ((LPAPS(), "tokens"), (LPAPSChannels(), "channels")):
        parts = [
            lpaps(model, x[:, start : start + 5 * rate], y[:, start : start + 5 * rate], rate, norm)  # type: ignore[arg-type]
            for start in (0, round(4.5 * rate))
        ]
        assert chosen(x, y, rate) == pytest.approx(np.mean(parts), rel=1e-4)
        assert parts[0] != pytest.approx(parts[1], rel=1e-3)
        assert chosen(x, x, rate) == pytest.approx(0, abs=1e-9)
        assert chosen.describe()["embedding"] == "mini"


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An audio spectrogram transformer of a few thousand parameters, as the hub holds one."""
    folder = tmp_path_factory.mktemp("ast")
    torch.manual_seed(0)
    config = ASTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, max_length=64,
        num_mel_bins=32, num_labels=5, initializer_range=0.3,
    )  # fmt: skip
    ASTForAudioClassification(config).save_pretrained(folder)
    ASTFeatureExtractor(num_mel_bins=32, max_length=64).save_pretrained(folder)
    return folder


def test_kl_is_that_of_the_classifiers_probabilities(classifier: Path) -> None:
    chosen = load_metric(f"kl classifier={classifier}")
    rate = 16000
    x, y = noise(10, 1, 8000), np.sin(np.arange(8000) / 5)[None]
    model = ASTForAudioClassification.from_pretrained(classifier).eval()
    extractor = ASTFeatureExtractor.from_pretrained(classifier)
    with torch.no_grad():
        p, q = (
            model(**extractor(each[0], sampling_rate=rate, return_tensors="pt")).logits[0].softmax(-1).numpy()
            for each in (x, y)
        )
    expected = float((p * np.log(p / q)).sum())
    assert expected > 1e-3
    assert measure(chosen, x, y, rate) == pytest.approx(expected, rel=1e-4)  # type: ignore[arg-type]
    assert measure(chosen, x, x, rate) == 0  # type: ignore[arg-type]
    assert chosen.describe()["classifier"] == str(classifier)  # type: ignore[union-attr]


def test_kl_takes_the_mean_over_windows_of_ten_seconds(classifier: Path) -> None:
    chosen = load_metric(f"kl classifier={classifier}")
    x, y = noise(11, 1, 240000), np.sin(np.arange(240000) ** 1.3 / 70)[None]
    model = ASTForAudioClassification.from_pretrained(classifier).eval()
    extractor = ASTFeatureExtractor.from_pretrained(classifier)
    means = []
    for each in (x, y):
        parts = [each[0, :160000], each[0, 80000:]]
        with torch.no_grad():
            logits = [model(**extractor(part, sampling_rate=16000, return_tensors="pt")).logits[0] for part in parts]
        means.append(np.mean([row.softmax(-1).numpy() for row in logits], axis=0))
        assert not torch.allclose(logits[0], logits[1], rtol=1e-3)
    expected = float((means[0] * np.log(means[0] / means[1])).sum())
    assert measure(chosen, x, y, 16000) == pytest.approx(expected, rel=1e-4)  # type: ignore[arg-type]


def test_kl_keeps_the_contract_and_refuses_what_is_no_classifier(classifier: Path, tmp_path: Path) -> None:
    failed = [each.name for each in testing.run_checks("metric", load_metric(f"kl classifier={classifier}"))
              if not each.passed]  # fmt: skip
    assert set(failed) <= {"ordered"}  # it has learnt nothing: more noise need not be worse
    with pytest.raises(InputError, match="classifier: field required"):
        load_metric("kl")
    with pytest.raises(InputError, match="no complete set of weights"):
        load_metric(f"kl classifier={tmp_path}")(noise(0), noise(0), RATE)  # type: ignore[operator]
