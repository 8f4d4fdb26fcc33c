"""What this package offers to diffmusic. It imports no torch, so that listings stay fast."""

from diffmusic import Spec, hookimpl


@hookimpl
def diffmusic_solvers() -> list[Spec]:
    summary = "music made anew under the target, led by the recording's melody"
    return [Spec("musicgen", "diffmusic_musicgen.musicgen:MusicGen", summary, role="editor")]
