"""Solvers: their contract, and the steps they share."""

from diffmusic.solver.contract import (
    LATENT_SOLVER,
    PRIOR_SOLVER,
    AnySolver,
    DirectSolver,
    Explains,
    Filling,
    Hears,
    Optimisation,
    OptimisingSolver,
    PartialSolver,
    Solver,
    SongSolver,
    State,
    Step,
    WithPrior,
)
from diffmusic.solver.data_consistency import correction, fitted_audio, misfit_gradient, norms
from diffmusic.solver.evidence import Evidence, evidence
from diffmusic.solver.krylov import least_residual
from diffmusic.solver.steps import deviations, mean, time_travel, transition, uncertainty
from diffmusic.solver.unrolled import unrolled

__all__ = [
    "LATENT_SOLVER", "PRIOR_SOLVER", "AnySolver", "DirectSolver", "Evidence", "Explains", "Filling", "Hears",
    "Optimisation", "OptimisingSolver", "PartialSolver", "Solver", "SongSolver", "State", "Step", "WithPrior",
    "correction", "deviations", "evidence", "fitted_audio", "least_residual", "mean", "misfit_gradient", "norms",
    "time_travel", "transition", "uncertainty", "unrolled",
]  # fmt: skip
