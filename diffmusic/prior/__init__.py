"""Priors: the contract of a backbone, and a backbone bound to one run."""

from diffmusic.prior.backbone import Backbone, Costs
from diffmusic.prior.prior import Prior

__all__ = ["Backbone", "Costs", "Prior"]
