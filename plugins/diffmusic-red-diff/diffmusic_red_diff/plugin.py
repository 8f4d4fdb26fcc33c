"""What this package offers to diffmusic. It imports no torch, so that listings stay fast."""

from diffmusic import Spec, hookimpl


@hookimpl
def diffmusic_solvers() -> list[Spec]:
    return [
        Spec(
            "red-diff", "diffmusic_red_diff.red_diff:REDDiff", "regularisation by denoising of an estimate", ("prior",)
        )
    ]
