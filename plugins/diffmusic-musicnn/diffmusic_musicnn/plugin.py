"""What this package offers to diffmusic. It imports no torch, so that listings stay fast."""

from diffmusic import Spec, hookimpl


@hookimpl
def diffmusic_embeddings() -> list[Spec]:
    def spec(name: str, songs: str) -> Spec:
        target = f"diffmusic_musicnn.tagger:{name.replace('-', '_')}"
        return Spec(name, target, f"penultimate layer of musicnn's tagger of {songs}: 3 s at 16 kHz, 200 dimensions")

    return [spec("musicnn-mtt", "MagnaTagATune"), spec("musicnn-msd", "the Million Song Dataset")]


@hookimpl
def diffmusic_metrics() -> list[Spec]:
    summary = "how much likelier musicnn finds the instrument that a caption names, nats (higher is better)"
    return [Spec("tag_gain", "diffmusic_musicnn.tag_gain:TagGain", summary, ("pair", "prompt"))]
