"""Callback for the progress of long work."""

from collections.abc import Callable

ProgressCallback = Callable[[float], None]
"""Callback for the share of the work that is done, 0 to 1."""
