"""Copying from the recording itself: what repeats exactly comes back exactly."""

import numpy as np
import pytest
import torch

from diffmusic.audio import repetition, song_features, splice
from diffmusic.audio.consensus import Consensus
from diffmusic.audio.signal import Samples
from diffmusic.audio.song import Song
from diffmusic.errors import InputError
from diffmusic.problem import Problem
from diffmusic_operators.inpainting import Inpainting
from diffmusic_solvers.repeat import Repeat

RATE = 16000


def notes(count: int, seed: int, rate: int = RATE, seconds: float = 0.25) -> np.ndarray:
    """A melody of decaying tones with a click of noise at each onset, (count * seconds * rate,)."""
    draws = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    parts = []
    for _ in range(count):
        hertz = 110 * 2 ** (draws.integers(0, 36) / 12)
        tone = sum(np.sin(2 * np.pi * k * hertz * time) / k for k in (1, 2, 3)) * np.exp(-6 * time)
        parts.append(0.2 * tone + 0.05 * draws.standard_normal(len(time)) * np.exp(-60 * time))
    return np.concatenate(parts)


def song(rate: int = RATE, bars: str = "abcdeabcdeab", odd: int = 37) -> np.ndarray:
    """Stereo, (2, time): bars of two seconds, each letter always the same, and ``odd`` samples longer, so that they are
    no whole number of the search's frames."""
    kinds = {
        letter: np.concatenate([notes(8, ord(letter), rate), notes(1, 99, rate)[:odd]]) for letter in sorted(set(bars))
    }
    left = np.concatenate([kinds[letter] for letter in bars])
    right = np.concatenate([0.5 * kinds[letter] for letter in bars])
    return np.stack([left, right])


def solve(
    clean: np.ndarray, gaps: list[tuple[int, int]], rate: int = RATE, **parameters: float
) -> tuple[np.ndarray, list]:
    operator = Inpainting(gap=tuple((a / rate, b / rate) for a, b in gaps), sample_rate=rate)
    y = operator.forward(torch.from_numpy(clean)[None])
    filled, found = Repeat(sample_rate=rate, **parameters).explained(Problem(operator, y))
    finished = operator.finish(filled, y)
    assert torch.equal(filled, finished)
    return finished[0].numpy(), found


@pytest.mark.parametrize("seconds", [0.05, 0.5, 1.9])
@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_what_repeats_exactly_comes_back_exactly(seconds: float, rate: int) -> None:
    clean = song(rate)
    bar = round(2 * rate) + 37
    start = 2 * bar + 1234
    gap = (start, start + round(seconds * rate))
    filled, (note,) = solve(clean, [gap], rate)
    np.testing.assert_array_equal(filled, clean)
    moved = round((note["source"][0] - note["gap"][0]) * rate)
    assert moved == 5 * bar
    assert min(note["correlation"]) > 0.9999
    assert note["runner_up"]["distance"] >= note["distance"]


def test_the_search_finds_the_bar_with_the_same_surroundings() -> None:
    clean = song(bars="abcabdabc")
    bar = 2 * RATE + 37
    gap = (6 * bar + 2 * RATE - 200, 7 * bar + RATE)  # from the end of the third "a" into "b", "c" comes next
    found = song_features.features(Samples(clean), RATE, [gap])
    best = repetition.candidates(found, gap[0] / RATE, gap[1] / RATE)[0]
    assert abs(best.shift * RATE + 6 * bar) < 0.02 * RATE


def test_distances_by_fft_are_those_of_the_definition() -> None:
    draws = np.random.default_rng(0)
    values = draws.standard_normal((40, 3)) + 5
    known, context = draws.random(40) > 0.2, np.zeros(40, dtype=bool)
    context[12:20] = True
    distance, count = repetition.shifted_distances(values, known, context)
    for shift in range(-39, 40):
        pairs = [(t, t + shift) for t in range(12, 20) if 0 <= t + shift < 40 and known[t] and known[t + shift]]
        assert count[shift + 39] == len(pairs)
        if pairs:
            expected = np.mean([np.square(values[a] - values[b]).sum() for a, b in pairs])
            assert distance[shift + 39] == pytest.approx(expected, abs=1e-9)
        else:
            assert np.isinf(distance[shift + 39])


def test_features_in_pieces_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    clean = song()
    whole = song_features.features(Samples(clean), RATE, [])
    monkeypatch.setattr("diffmusic.audio.pieces.PIECE", 100)
    parts = song_features.features(Samples(clean), RATE, [])
    np.testing.assert_allclose(parts.mel, whole.mel, atol=1e-4)
    np.testing.assert_allclose(parts.chroma, whole.chroma, atol=1e-4)


def test_a_source_that_is_lost_itself_is_not_taken() -> None:
    clean = song()
    bar = 2 * RATE + 37
    gaps = [(2 * bar + 1000, 2 * bar + 9000), (12000, 13500), (6 * bar + 7000, 6 * bar + 7500)]
    operator = Inpainting(gap=tuple((a / RATE, b / RATE) for a, b in gaps))
    filled, found = solve(clean, sorted(gaps))
    for note in found:
        length = note["gap"][1] - note["gap"][0]
        for source in note["source"]:
            for start, stop in operator.gap:
                assert source + length <= start + 1e-9 or source >= stop - 1e-9
    np.testing.assert_array_equal(filled, clean)


@pytest.mark.parametrize("gap", [(0, 3000), (12 * (2 * RATE + 37) - 3000, 12 * (2 * RATE + 37))])
def test_the_ends_of_a_recording_have_one_side(gap: tuple[int, int]) -> None:
    clean = song()
    filled, (note,) = solve(clean, [gap])
    np.testing.assert_array_equal(filled, clean)
    assert None in note["correlation"]


def test_a_gap_is_pieced_together_where_no_source_fits_both_sides() -> None:
    clean = song(bars="abcdaefdahcfg", odd=0)
    bar = 2 * RATE
    # "a" is followed by "b" and "e" elsewhere, "d" preceded by "c" and "f": the third "a" is followed by "h", "c", "f".
    lost = (8 * bar + bar // 2, 10 * bar + bar // 2)  # the rest of "a", all of "h", and half of "c"
    filled, (note,) = solve(clean, [lost])
    assert len(note["source"]) == 2
    head, tail = slice(lost[0], lost[0] + bar // 4), slice(lost[1] - bar // 4, lost[1])
    np.testing.assert_allclose(filled[:, head], clean[:, head], atol=1e-12)
    np.testing.assert_allclose(filled[:, tail], clean[:, tail], atol=1e-12)
    _, (single,) = solve(clean, [lost], pieces=0)
    assert len(single["source"]) == 1
    assert note["distance"] < single["distance"]


def test_a_quieter_copy_is_brought_to_the_level_of_its_surroundings() -> None:
    clean = song(odd=0)
    bar = 2 * RATE
    clean[:, 5 * bar :] *= 0.6  # the second time everything is quieter
    gap = (7 * bar + bar // 4, 7 * bar + bar // 2)
    filled, _ = solve(clean, [gap])
    inside = slice(*gap)
    error = np.square(filled[:, inside] - clean[:, inside]).sum() / np.square(clean[:, inside]).sum()
    assert error < 0.001  # without a gain it would be 0.44


def test_a_place_between_two_frames_of_the_search_is_as_near_as_it_is() -> None:
    clean = song()  # five bars are 10 s and 185 samples, no whole number of frames
    bar = 2 * RATE + 37
    gap = (2 * bar + 1234, 2 * bar + 17234)
    whole_song = Song.of(clean, RATE, [gap])
    rough = repetition.best_match(whole_song.features, gap[0] / RATE, gap[1] / RATE)
    fine = whole_song.match(gap)
    assert rough is not None
    assert fine is not None
    assert rough.distance > 0.1
    assert fine.distance < 1e-6


def test_places_that_agree_correct_the_level_of_the_one_that_is_copied() -> None:
    clean = song(bars="abcdefg" * 4, odd=0)
    draws = np.random.default_rng(0)
    swell = np.repeat(10 ** (draws.uniform(-0.3, 0.3, clean.shape[1] // 3200 + 1)), 3200)[: clean.shape[1]]
    truth = clean.copy()
    gap = (16 * RATE + 4000, 17 * RATE + 12000)
    clean = clean * swell  # each time every fifth of a second has a level of its own
    truth = truth[:, gap[0] : gap[1]]
    part = Song.of(clean, RATE, [gap])
    match = part.match(gap)
    assert match is not None
    consensus = Consensus.of(part.features, gap[0] / RATE, gap[1] / RATE, match)
    assert consensus is not None

    def level(x: np.ndarray) -> np.ndarray:
        return np.log(np.square(x).reshape(2, -1, 1600).mean((0, 2)))

    errors = []
    for each in (None, consensus):
        made, _ = splice.copied(part.signal, RATE, part.lost, gap, match, consensus=each)
        count = made.shape[1] // 1600 * 1600
        errors.append(float(np.std(level(made[:, :count]) - level(truth[:, :count]))))
    assert errors[1] < 0.95 * errors[0]


def test_a_consensus_leaves_an_exact_copy_alone() -> None:
    clean = song(bars="abcabcabcabc")
    bar = 2 * RATE + 37
    filled, _ = solve(clean, [(4 * bar + 500, 5 * bar)])
    np.testing.assert_array_equal(filled, clean)


def test_ten_seconds_come_back_as_the_song_s_own_bars_on_the_beat() -> None:
    clean = song(bars="abcdefgh" * 2)
    bar = 2 * RATE + 37
    gap = (9 * bar + 777, 9 * bar + 777 + 10 * RATE)
    filled, (note,) = solve(clean, [gap])
    np.testing.assert_array_equal(filled, clean)
    assert round((note["source"][0] - note["gap"][0]) * RATE) == -8 * bar


def test_the_seam_is_continuous() -> None:
    draws = np.random.default_rng(0)
    clean = song() + 0.02 * draws.standard_normal(song().shape)
    gap = (2 * (2 * RATE + 37) + 4321, 2 * (2 * RATE + 37) + 30000)
    filled, _ = solve(clean, [gap])
    usual = np.abs(np.diff(clean, axis=-1)).max()
    for edge in gap:
        assert np.abs(filled[:, edge] - filled[:, edge - 1]).max() < usual


def test_two_alignments_are_joined_at_a_constant_level() -> None:
    noise = np.random.default_rng(0).standard_normal((2, 2, RATE))
    made = splice.joined(noise[0], noise[1], RATE)
    level = np.sqrt(np.square(made).reshape(2, -1, 800).mean(-1))
    assert level.min() > 0.85
    same = splice.joined(noise[0], noise[0], RATE)
    np.testing.assert_allclose(same, noise[0], atol=1e-12)


def test_a_recording_that_is_too_short_is_refused() -> None:
    clean = song()[:, :4000]
    with pytest.raises(InputError, match=r"long enough to fill the gap 0\.0625:0\.1875"):
        solve(clean, [(1000, 3000)])
