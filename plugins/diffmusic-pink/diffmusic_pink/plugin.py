"""What this package offers to diffmusic. It imports no torch, so that listings stay fast."""

from diffmusic import Spec, hookimpl


@hookimpl
def diffmusic_backbones() -> list[Spec]:
    return [Spec("pink", "diffmusic_pink.pink:load", "pink noise: no network, no weights")]
