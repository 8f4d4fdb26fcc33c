"""The callback by which long work tells how far it is."""

from collections.abc import Callable

ProgressCallback = Callable[[float], None]
"""Called with the part of the work that is done, 0 to 1."""
