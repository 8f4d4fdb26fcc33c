"""Inverse problems: the contract of an operator, and the misfit of an estimate."""

from diffmusic.audio.stft import STFT
from diffmusic.problem.operator import (
    Operator,
    clean_length,
    clean_rate,
    damage,
    finish,
    fitted,
    is_linear,
    is_spectrogram,
    measurement,
    observed,
    power,
    sources,
)
from diffmusic.problem.problem import Problem, Space

__all__ = [
    "STFT", "Operator", "Problem", "Space", "clean_length", "clean_rate", "damage", "finish", "fitted", "is_linear",
    "is_spectrogram", "measurement", "observed", "power", "sources",
]  # fmt: skip
