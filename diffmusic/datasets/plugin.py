"""Specs of the datasets in this package; imports none of them."""

from diffmusic.plugins import Spec, hookimpl


@hookimpl
def diffmusic_datasets() -> list[Spec]:
    def spec(name: str, target: str, summary: str, *tags: str) -> Spec:
        return Spec(name, f"diffmusic.datasets.{target}", summary, tags)

    return [
        spec("folder", "folder:Folder", "every audio file below a folder"),
        spec("musdb18-hq", "musdb18_hq:MUSDB18HQ", "MUSDB18-HQ: songs as folders of WAV files", "stems"),
        spec("musdb18", "musdb18:MUSDB18", "MUSDB18: songs as stem MP4 files, read by ffmpeg", "stems"),
        spec(
            "medleymd-prompts", "medleymd_prompts:MedleyMDPrompts", "edits of MedleyDB's MusicDelta songs", "captions"
        ),
        spec("mini-test", "mini_test:MiniTest", "rendered clips that the mini prior never saw", "stems"),
    ]
