"""What this package offers: nothing, with the reason, where torchaudio does not fit the torch that is installed."""

from diffmusic import Spec, hookimpl
from diffmusic_torchaudio.builds import mismatch

if problem := mismatch():
    raise ImportError(problem)  # diffmusic lists the plugin as BROKEN, with this


@hookimpl
def diffmusic_operators() -> list[Spec]:
    return [
        Spec("biquad", "diffmusic_torchaudio.effects:Biquad", "a second-order filter coloured it", ("linear",)),
        Spec("contrast", "diffmusic_torchaudio.effects:Contrast", "a contrast effect made it louder than it was"),
    ]
