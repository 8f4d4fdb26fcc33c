"""What this package offers to diffmusic. It imports no torch, so that listings stay fast."""

from diffmusic import Spec, hookimpl


@hookimpl
def diffmusic_solvers() -> list[Spec]:
    return [Spec("red", "diffmusic_red.red:RED", "regularisation by a denoiser at one noise level", role="prior")]
