"""Inverse problems: the contract of an operator, and the misfit of an estimate."""

from diffmusic.audio.stft import STFT
from diffmusic.problem.bound import BoundOperator
from diffmusic.problem.chain import Chain, Chainable, chain
from diffmusic.problem.least_squares import convolved, informed_inverse, regularised_inverse
from diffmusic.problem.operator import (
    HasAdjoint,
    HasDamage,
    HasMeasuredRate,
    HasReach,
    HasSTFT,
    Operator,
    clean_length,
    clean_rate,
    damage,
    has_place,
    is_linear,
    is_spectrogram,
    observed,
    observed_rate,
    regions,
    sources,
    spans,
)
from diffmusic.problem.problem import Guess, Problem, Space

__all__ = [
    "STFT", "BoundOperator", "Chain", "Chainable", "Guess", "HasAdjoint", "HasDamage", "HasMeasuredRate", "HasReach",
    "HasSTFT", "Operator", "Problem", "Space", "chain", "clean_length", "clean_rate", "convolved", "damage",
    "has_place", "informed_inverse", "is_linear", "is_spectrogram", "observed", "observed_rate", "regions",
    "regularised_inverse", "sources", "spans",
]  # fmt: skip
