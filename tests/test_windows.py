"""Windows over a long recording: all damage is solved, with context, and every sample is kept once."""

import numpy as np
import pytest

from diffmusic.audio.windows import Window, longest, merge, plan


@pytest.mark.parametrize(
    ("given", "merged"),
    [
        ([], []),
        ([(3, 5)], [(3, 5)]),
        ([(7, 9), (1, 2)], [(1, 2), (7, 9)]),
        ([(1, 4), (3, 6)], [(1, 6)]),
        ([(1, 4), (4, 6)], [(1, 6)]),
        ([(1, 9), (3, 4)], [(1, 9)]),
        ([(1, 2), (1, 2)], [(1, 2)]),
        ([(5, 5), (8, 7)], []),
        ([(1, 5), (5, 5), (5, 6)], [(1, 6)]),
        ([(0.5, 1.5), (1.25, 2.0), (3.0, 4.0)], [(0.5, 2.0), (3.0, 4.0)]),
    ],
)
def test_merge(given: list[tuple[float, float]], merged: list[tuple[float, float]]) -> None:
    assert merge(given) == merged


@pytest.mark.parametrize(("length", "bridged"), [(100, 60), (160000, 96000), (101, 61), (104, 64)])
def test_a_fifth_of_a_window_is_context_on_either_side(length: int, bridged: int) -> None:
    assert longest(length) == bridged


@pytest.mark.parametrize(
    ("damage", "total", "windows"),
    [
        # Nothing lost, nothing solved.
        ([], 1000, []),
        # In the middle of its window.
        ([(490, 510)], 1000, [Window(450, 550, 450, 550)]),
        # At the edges of the file, the window ends there.
        ([(0, 20)], 1000, [Window(0, 100, 0, 100)]),
        ([(990, 1000)], 1000, [Window(900, 1000, 900, 1000)]),
        # A short file is solved whole.
        ([(30, 40)], 80, [Window(0, 80, 0, 80)]),
        # Two stretches within 60 samples share a window; one sample more, and each has its own.
        ([(400, 410), (450, 460)], 1000, [Window(380, 480, 380, 480)]),
        ([(400, 410), (451, 461)], 1000, [Window(355, 455, 355, 430), Window(406, 506, 430, 506)]),
        # Far apart: each keeps all of its window.
        ([(100, 110), (800, 810)], 1000, [Window(55, 155, 55, 155), Window(755, 855, 755, 855)]),
    ],
)
def test_plan_by_hand(damage: list[tuple[int, int]], total: int, windows: list[Window]) -> None:
    assert plan(damage, total, 100) == windows


def random_damage(rng: np.random.Generator, total: int, length: int) -> list[tuple[int, int]]:
    """Sorted, disjoint stretches, none longer than a window bridges; often many, often at the edges."""
    damage: list[tuple[int, int]] = []
    at = int(rng.integers(0, 2)) * int(rng.integers(0, length))
    while at < total and len(damage) < 30:
        stop = min(total, at + int(rng.integers(1, longest(length) + 1)))
        damage.append((at, stop))
        at = stop + int(rng.integers(1, 2 + length * int(rng.integers(1, 4)) // 2))
    return damage


def test_plan_holds_all_damage_with_context_and_keeps_each_sample_once() -> None:
    for seed in range(500):
        rng = np.random.default_rng(seed)
        length, total = int(rng.integers(5, 300)), int(rng.integers(1, 3000))
        check_plan(random_damage(rng, total, length), total, length)


def check_plan(damage: list[tuple[int, int]], total: int, length: int) -> None:
    windows = plan(damage, total, length)
    keepers = np.zeros(total, dtype=int)
    for window in windows:
        assert 0 <= window.start <= window.keep_start < window.keep_stop <= window.stop <= total
        assert window.stop - window.start == min(length, total)
        keepers[window.keep_start : window.keep_stop] += 1
    assert keepers.max() <= 1
    for start, stop in damage:
        assert keepers[start:stop].all()
        owners = [window for window in windows if window.keep_start <= start and stop <= window.keep_stop]
        assert len(owners) == 1
        assert owners[0].start == 0 or start - owners[0].start >= length // 5
        assert owners[0].stop == total or owners[0].stop - stop >= length // 5
