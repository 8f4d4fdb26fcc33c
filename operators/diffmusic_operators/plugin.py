"""Specs of the operators in this package; imports none of them."""

from diffmusic.plugins import Spec, hookimpl


def _spec(name: str, target: str, summary: str, *tags: str) -> Spec:
    return Spec(name, f"diffmusic_operators.{target}", summary, tags)


@hookimpl
def diffmusic_operators() -> list[Spec]:
    return [
        _spec("inpainting", "inpainting:Inpainting", "stretches of the recording are lost", "linear"),
        _spec("resampling", "resampling:Resampling", "the recording was kept at a lower rate", "linear"),
        _spec("stft-magnitude", "stft_magnitude:StftMagnitude", "the phases of the spectrogram are lost"),
        _spec("mixing", "mixing:Mixing", "several sources were summed into one recording", "linear"),
        _spec("noise", "noise:NoiseAlone", "the recording has noise that stays the same", "linear"),
        _spec("reverb", "reverb:Reverb", "the recording was made in a room", "linear"),
        _spec("clipping", "clipping:Clipping", "what was louder than a level was cut off"),
        _spec("lowpass", "lowpass:Lowpass", "the recording is dull: it falls off above a frequency", "linear"),
        _spec("codec", "codec:Codec", "the recording was coded with a loss: MP3, AAC, Opus"),
    ]
