"""How long the rest of a run will take, by what has been done of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from diffmusic.bench.plan import Place


class Pace:
    """Seconds of the cells that are done; a cell that is not is expected to take as long as its likes did."""

    def __init__(self) -> None:
        self._seconds: dict[tuple[object, ...], list[float]] = defaultdict(list)

    def add(self, place: Place, seconds: float) -> None:
        """A cell took that long."""
        for likes in self._likes(place):
            self._seconds[likes].append(seconds)

    @staticmethod
    def _likes(place: Place) -> Sequence[tuple[object, ...]]:
        """The same row in the same problem, in any problem, with any prior; any cell."""
        return (
            (place.problem, place.row, place.backbone),
            (place.row, place.backbone),
            (place.row,),
            (place.backbone is None,),
            (),
        )

    def expected(self, place: Place) -> float | None:
        """Seconds, by the nearest likes there are; None where nothing has been done."""
        for likes in self._likes(place):
            if likes in self._seconds:
                return sum(self._seconds[likes]) / len(self._seconds[likes])
        return None

    def left(self, places: Iterable[Place], workers: int = 1) -> float | None:
        """Seconds for these cells, shared among workers."""
        each = [self.expected(place) for place in places]
        known = [seconds for seconds in each if seconds is not None]
        return sum(known) / max(1, workers) if len(known) == len(each) else None


def duration(seconds: float) -> str:
    """As a reader has it: 40 s, 12 min, 3.5 h, 2.1 days."""
    for limit, unit, name in ((90, 1, "s"), (5400, 60, "min")):
        if seconds < limit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds / 3600:.1f} h" if seconds < 129600 else f"{seconds / 86400:.1f} days"
