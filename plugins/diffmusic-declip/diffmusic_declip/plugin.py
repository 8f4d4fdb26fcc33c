"""What this package offers to diffmusic. It imports no torch, so that listings stay fast."""

from diffmusic import Spec, hookimpl


@hookimpl
def diffmusic_operators() -> list[Spec]:
    return [Spec("clipping", "diffmusic_declip.clipping:Clipping", "what was louder than a level was cut off")]


@hookimpl
def diffmusic_solvers() -> list[Spec]:
    summary = "no prior: what was clipped, from the spectrum of the rest"
    return [Spec("declip", "diffmusic_declip.solver:Declip", summary, ("classical",))]
