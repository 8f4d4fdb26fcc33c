"""How far posterior samples differ, and which is in their middle."""

import numpy as np
import pytest

from diffmusic.audio.signal import Samples
from diffmusic.audio.spread import spread
from diffmusic.bench.samples import summary
from diffmusic.metrics.calibration import Calibration
from diffmusic.reports.spectrograms import figure

RATE = 16000


def noise(low: float, high: float) -> np.ndarray:
    """Two seconds of noise in a band."""
    bins = np.fft.rfft(np.random.default_rng(0).standard_normal(2 * RATE))
    hertz = np.fft.rfftfreq(2 * RATE, 1 / RATE)
    return np.fft.irfft(bins * ((hertz >= low) & (hertz < high)))


def test_levels_that_differ_by_known_decibels_are_the_spread() -> None:
    """One band at -3, 0, +3 and +6 dB, the rest equal: its deviation is the numbers', that of the rest is 0."""
    quiet, loud = noise(0, 8000), noise(1100, 1900)
    levels = np.array([-3.0, 0.0, 3.0, 6.0])
    draws = [Samples((quiet * 1e-4 + loud * 10 ** (level / 20))[None]) for level in levels]
    found = spread(draws, RATE, [(RATE // 2, RATE)])
    assert found is not None
    assert [(block.start, block.stop) for block in found.blocks] == [(0.5, 0.75), (0.75, 1.0)]
    band = found.edges.index(1000.0)
    for block in found.blocks:
        assert block.decibels[band] == pytest.approx(levels.std(ddof=1), abs=0.1)
        assert max(value for k, value in enumerate(block.decibels) if abs(k - band) > 1) < 1.5
    assert found.order[0] in (1, 2)
    assert {found.order[2], found.order[3]} == {0, 3}
    assert "from 1000 to 2000 Hz" in found.text()


def test_distances_are_in_nats_and_only_of_what_was_lost() -> None:
    music = noise(0, 8000)
    other, far = music.copy(), music.copy()
    far[RATE:] *= np.e
    other[: RATE // 4] *= 5
    found = spread([Samples(each[None]) for each in (music, other, far)], RATE, [(RATE + RATE // 4, 2 * RATE)])
    assert found is not None
    assert found.distances == pytest.approx((0.5, 0.5, 1.0), abs=0.01)


def test_one_sample_and_nothing_lost_have_no_spread() -> None:
    one = Samples(noise(0, 8000)[None])
    assert spread([one], RATE, [(0, RATE)]) is None
    assert spread([one, one], RATE, []) is None


@pytest.mark.parametrize("rate", [8000, 11025, 44100, 96000])
def test_every_rate_and_the_shortest_stretch(rate: int) -> None:
    draws = [Samples(np.random.default_rng(seed).standard_normal((2, rate))) for seed in range(2)]
    found = spread(draws, rate, [(rate // 2, rate // 2 + 3), (0, rate // 10)])
    assert found is not None
    assert found.edges[-1] == rate / 2
    assert np.isfinite([block.decibels for block in found.blocks]).all()


def test_the_picture_has_the_spread_below() -> None:
    draws = [Samples(noise(0, 8000)[None] * level) for level in (1.0, 2.0)]
    found = spread(draws, RATE, [(RATE // 2, RATE)])
    drawing = figure([("restored", draws[0].audio)], RATE, 1, spread=found)
    titles = [axis.get_title(loc="left") for axis in drawing.axes]
    assert titles[:2] == ["restored", "spread of 2 samples"]
    plain = figure([("restored", draws[0].audio)], RATE, 1)
    assert len(plain.axes) == 2


def test_samples_of_the_truths_own_distribution_are_calibrated() -> None:
    """The truth and eight samples drawn alike; then narrower ones, and one that lies beside them."""
    drawn = np.random.default_rng(1).standard_normal((9, 200, 60))
    found = Calibration.of(drawn[0], drawn[1:])
    assert found.ratio == pytest.approx(1, abs=0.02)
    assert found.histogram == pytest.approx([1 / 9] * 9, abs=0.01)
    assert found.outside == pytest.approx(2 / 9, abs=0.01)
    narrow = Calibration.of(drawn[0], 0.5 * drawn[1:])
    assert narrow.ratio == pytest.approx(0.5 * np.sqrt((1 + 1 / 8) / (1 + 0.25 / 8)), abs=0.02)
    assert narrow.outside > 0.4
    assert Calibration.of(drawn[0] - 9, drawn[1:]).ranks[0] == 12000
    both = found + narrow
    assert sum(both.ranks) == 24000
    assert both.error == found.error + narrow.error


def test_calibration_of_audio_looks_at_what_was_lost() -> None:
    music = noise(0, 8000)[None]
    loud = music * np.where(np.arange(2 * RATE) < RATE, 1.0, 2.0)
    assert Calibration.of_audio(music, [loud, loud * 2], RATE, [(0, RATE // 2)]).ranks[0] > 0
    inside = Calibration.of_audio(music, [loud, loud * 2], RATE, [(3 * RATE // 2, 2 * RATE)])
    assert inside.ranks[0] == sum(inside.ranks)
    size = sum(inside.ranks)
    assert inside.error == pytest.approx(size * (1.5 * np.log(2)) ** 2, rel=1e-3)
    assert inside.spread == pytest.approx(size * 1.5 * np.log(2) ** 2 / 2, rel=1e-3)


def test_best_is_the_highest_or_the_lowest_as_the_metric_has_it() -> None:
    made = summary([{"lsd": 1.0, "si_sdr": 3.0}, {"lsd": 2.0, "si_sdr": 5.0}])
    assert made == {"lsd mean": 1.5, "lsd best": 1.0, "si_sdr mean": 4.0, "si_sdr best": 5.0}
