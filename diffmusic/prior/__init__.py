"""Priors: the contract of a backbone, and a backbone bound to one run."""

from diffmusic.prior.backbone import Backbone, Costs, LatentModel
from diffmusic.prior.prior import Prior

__all__ = ["Backbone", "Costs", "LatentModel", "Prior"]
