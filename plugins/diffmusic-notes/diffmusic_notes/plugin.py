"""What this package offers to diffmusic. It imports no numpy, so that listings stay fast."""

from diffmusic import Spec, hookimpl


@hookimpl
def diffmusic_metrics() -> list[Spec]:
    def spec(name: str, target: str, what: str) -> Spec:
        return Spec(
            name, f"diffmusic_notes.f1:{target}", f"F1 of {what} in the damaged part (higher is better)", ("pair",)
        )

    return [
        spec("note_f1", "NoteF1", "the notes that basic-pitch hears"),
        spec("onset_f1", "OnsetF1", "the onsets of these notes, whatever their pitch,"),
    ]
