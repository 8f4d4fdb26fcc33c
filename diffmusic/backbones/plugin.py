"""What this package offers to diffmusic; imports no model."""

from diffmusic.plugins import Spec, hookimpl


@hookimpl
def diffmusic_backbones() -> list[Spec]:
    # The tags name the `_class_name` of the model_index.json files that a backbone reads.
    return [
        Spec("mini", "diffmusic.backbones.musicldm:mini", "the small prior inside this package", ("DiffmusicMini",)),
        Spec("musicldm", "diffmusic.backbones.musicldm:MusicLDM.load", "MusicLDM from a folder", ("MusicLDMPipeline",)),
    ]
