"""What this package offers to diffmusic; imports no operator."""

from diffmusic.plugins import Spec, hookimpl


@hookimpl
def diffmusic_operators() -> list[Spec]:
    return [
        Spec(
            "inpainting",
            "diffmusic_operators.inpainting:Inpainting",
            "stretches of the recording are lost",
            ("linear",),
        ),
    ]
