"""What this package offers to diffmusic; imports no solver."""

from diffmusic.plugins import Spec, hookimpl


@hookimpl
def diffmusic_solvers() -> list[Spec]:
    return [
        Spec(
            "diffmusic",
            "diffmusic_solvers.diffmusic:DiffMusic",
            "vocoder-mel constraint on the clean latent (Algorithm 1)",
            ("prior",),
        ),
        Spec(
            "interpolate",
            "diffmusic_solvers.interpolate:Interpolate",
            "autoregressive or linear bridge over lost stretches",
            ("classical",),
        ),
    ]
