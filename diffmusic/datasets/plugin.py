"""What this package offers to diffmusic; imports no dataset."""

from diffmusic.plugins import Spec, hookimpl


@hookimpl
def diffmusic_datasets() -> list[Spec]:
    return [
        Spec("folder", "diffmusic.datasets.folder:Folder", "every audio file below a folder"),
    ]
