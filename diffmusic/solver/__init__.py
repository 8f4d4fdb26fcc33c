"""Solvers: their contract, and the steps they share."""

from diffmusic.solver.contract import (
    PRIOR_SOLVER,
    AnySolver,
    DirectSolver,
    Explains,
    PartialSolver,
    Solver,
    State,
    Step,
)
from diffmusic.solver.data_consistency import correction, misfit_gradient, norms
from diffmusic.solver.steps import deviations, mean, time_travel, transition, uncertainty

__all__ = [
    "PRIOR_SOLVER", "AnySolver", "DirectSolver", "Explains", "PartialSolver", "Solver", "State", "Step", "correction",
    "deviations", "mean", "misfit_gradient", "norms", "time_travel", "transition", "uncertainty",
]  # fmt: skip
