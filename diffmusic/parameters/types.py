"""Types of parameters: numbers within limits, stretches of time and rectangles of the spectrogram."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""Shared types: a count of at least one; a seed; a weight or length, 0 or more; one above 0."""

SPAN = "write START:END in seconds, such as 2.0:3.0 (or 1:02.5-1:03, 2.0+LENGTH, or samples, 88200s:132300s)"


class _Unclear(ValueError):
    """A time that is written well and means none."""


def seconds(text: str, rate: int | None = None) -> float:
    """A time in seconds: ``12.5``, ``m:ss.s``, ``h:mm:ss.s``, or samples, ``441000s``, at ``rate`` Hz.

    Raises ValueError for anything else, and for samples where no rate is known.
    """
    text = text.strip()
    if text.endswith("s"):
        if rate is None:
            raise _Unclear(f"{text}: how long a sample lasts is not known here: give seconds")
        return int(text[:-1]) / rate
    *units, last = text.split(":")
    if len(units) > 2 or any(not unit.isdigit() for unit in units) or (units and not last[:1].isdigit()):
        raise ValueError(SPAN)
    total = float(last)
    if units and (total >= 60 or any(int(unit) >= 60 for unit in units[1:])):
        raise _Unclear(f"{text}: a minute has 60 seconds, an hour 60 minutes")
    for unit, size in zip(reversed(units), (60, 3600), strict=False):
        total += int(unit) * size
    return total


def span(text: str, rate: int | None = None) -> tuple[float, float]:
    """A stretch of time in seconds: ``START:END``, ``START-END`` or ``START+LENGTH``, each as ``seconds`` takes it.

    Raises ValueError for anything else, such as ``1:02:1:03:1``, of which nobody knows where it is to be parted.
    """
    text = text.strip()
    try:
        for sign in "+-":
            place = text.find(sign, 1)
            if place > 0 and text[place - 1] not in "eE":
                start, other = seconds(text[:place], rate), seconds(text[place + 1 :], rate)
                return start, start + other if sign == "+" else other
        fields = text.split(":")
        half = len(fields) // 2
        if len(fields) in (2, 4, 6):
            return seconds(":".join(fields[:half]), rate), seconds(":".join(fields[half:]), rate)
    except _Unclear:
        raise
    except ValueError:
        pass
    raise ValueError(SPAN)


def _parse_span(value: Any) -> Any:
    return span(value) if isinstance(value, str) else value


Span = Annotated[tuple[float, float], BeforeValidator(_parse_span)]
"""Interval ``(start, end)`` in seconds, written on the command line as ``span`` reads it."""


_BAND = re.compile(r"([^:k]+)(k?)(?:hz)?:([^:k]+)(k?)(?:hz)?", re.IGNORECASE)


def rectangle(text: str) -> tuple[float, float, float, float]:
    """A rectangle of the spectrogram in seconds and Hz: ``START:END@LOW:HIGH``, the time as ``span`` takes it, the band
    in Hz or k. Raises ValueError for anything else."""
    time, _, band = text.partition("@")
    found = _BAND.fullmatch(band.strip())
    try:
        if not found:
            raise ValueError
        low, high = (float(found[n]) * (1000 if found[n + 1] else 1) for n in (1, 3))
        return *span(time), low, high
    except ValueError:
        raise ValueError("write START:END@LOW:HIGH in seconds and Hz (or k), such as 2.0:3.0@1k:4k") from None


def _parse_rectangle(value: Any) -> Any:
    return rectangle(value) if isinstance(value, str) else value


Rectangle = Annotated[tuple[float, float, float, float], BeforeValidator(_parse_rectangle)]
"""A rectangle of the spectrogram ``(start, end, low, high)`` in seconds and Hz, written ``START:END@LOW:HIGH``."""

WRITTEN: dict[Any, str] = {_parse_span: "START:END", _parse_rectangle: "START:END@LOW:HIGH"}
"""Placeholder on the command line of each type that is parsed here."""
