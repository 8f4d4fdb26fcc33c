"""Estimate of a run's remaining time, from the cells that are done."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from diffmusic.bench.plan import Place


class Pace:
    """Times of finished cells, in seconds; a pending cell is expected to take as long as similar ones did."""

    def __init__(self) -> None:
        self._seconds: dict[tuple[object, ...], list[float]] = defaultdict(list)

    def add(self, place: Place, seconds: float) -> None:
        """Record the time of a finished cell."""
        for likes in self._likes(place):
            self._seconds[likes].append(seconds)

    @staticmethod
    def _likes(place: Place) -> Sequence[tuple[object, ...]]:
        """Return keys of similarity, nearest first.

        They stand for the same row in the same problem, in any problem, with any prior; any cell.
        """
        return (
            (place.problem, place.row, place.backbone),
            (place.row, place.backbone),
            (place.row,),
            (place.backbone is None,),
            (),
        )

    def expected(self, place: Place) -> float | None:
        """Estimate the seconds of a cell from the most similar finished ones; None if nothing is finished."""
        for likes in self._likes(place):
            if likes in self._seconds:
                return sum(self._seconds[likes]) / len(self._seconds[likes])
        return None

    def left(self, places: Iterable[Place], workers: int = 1) -> float | None:
        """Estimate the seconds that these cells take, shared among workers."""
        each = [self.expected(place) for place in places]
        known = [seconds for seconds in each if seconds is not None]
        return sum(known) / max(1, workers) if len(known) == len(each) else None


def duration(seconds: float) -> str:
    """Format a duration: 40 s, 12 min, 3.5 h, 2.1 days."""
    for limit, unit, name in ((90, 1, "s"), (5400, 60, "min")):
        if seconds < limit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds / 3600:.1f} h" if seconds < 129600 else f"{seconds / 86400:.1f} days"
