"""Inverse problems: the contract of an operator, and the misfit of an estimate."""

from diffmusic.audio.stft import STFT
from diffmusic.problem.bound import BoundOperator
from diffmusic.problem.least_squares import convolved, informed_inverse, regularised_inverse
from diffmusic.problem.operator import (
    HasAdjoint,
    HasDamage,
    HasMeasuredRate,
    HasSTFT,
    Operator,
    clean_length,
    clean_rate,
    damage,
    is_linear,
    is_spectrogram,
    observed,
    observed_rate,
    sources,
)
from diffmusic.problem.problem import Problem, Space

__all__ = [
    "STFT", "BoundOperator", "HasAdjoint", "HasDamage", "HasMeasuredRate", "HasSTFT", "Operator", "Problem", "Space",
    "clean_length", "clean_rate", "convolved", "damage", "informed_inverse", "is_linear", "is_spectrogram", "observed",
    "observed_rate", "regularised_inverse", "sources",
]  # fmt: skip
