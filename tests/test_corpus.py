"""The corpus and its sources: everything follows from seeds and names, and the sources add up to the mixture."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from training import corpus, stems
from training.compose import compose
from training.corpus import arranged, onsets
from training.piece import DRUMS, Note, Piece, Voice, split_of
from training.render import midi, missing
from training.stems import SOURCES, Mismatch, difference, grouping, write_stems


def voice(role: str, *pitches: int) -> Voice:
    return Voice(role, tuple(Note(float(beat), 0.9, pitch, 80) for beat, pitch in enumerate(pitches)))


BAND = Piece(
    "band",
    "composed:0",
    "band",
    0,
    "major",
    (voice("bass", 36, 43, 36, 43), voice("pad", 60, 64, 67, 64), voice(DRUMS, 36, 38, 36, 38)),
    tempo=120.0,
)
SCORE = Piece("score-s0t3", "music21:a/score.mxl", "an identity", 0, "major", (voice("score", 60, 62, 64),))


def test_composing_is_a_function_of_the_seed() -> None:
    assert compose(5) == compose(5)
    assert compose(5).voices != compose(6).voices


def test_an_arrangement_is_a_function_of_the_piece_and_its_name() -> None:
    assert arranged(BAND) == arranged(BAND)
    assert arranged(BAND)[1] != arranged(replace(BAND, name="another"))[1]


def test_the_split_is_the_piece_s_and_not_its_name_s() -> None:
    takes = [replace(SCORE, name=f"score-s0t{take}") for take in range(20)]
    assert len({split_of(arranged(take)[0].piece.identity) for take in takes}) == 1


def test_splits_share_the_pieces_as_they_should() -> None:
    splits = [split_of(str(number)) for number in range(5000)]
    assert [round(100 * splits.count(name) / 5000) for name in ("train", "validation", "test")] == [92, 4, 4]


def test_the_example_clip_is_of_a_piece_that_no_training_hears() -> None:
    from training.example_clip import SEED

    assert split_of(compose(SEED).identity) == "test"


def test_every_note_of_an_arrangement_begins_in_one_clip() -> None:
    arrangement, _ = arranged(compose(7))
    counts = [onsets(arrangement, k) for k in range(corpus.CLIPS_A_PIECE + 1)]  # the last may start late by jitter
    assert [sum(column) for column in zip(*counts, strict=True)] == [len(v.notes) for v in arrangement.piece.voices]


def test_composed_parts_are_grouped_by_role() -> None:
    roles = ("bass", "chords", "pad", "melody", "second", "arpeggio", DRUMS)
    expected = ["bass", "other", "other", "lead", "other", "other", "drums"]
    assert grouping(tuple(voice(role, 60) for role in roles)) == expected


@pytest.mark.parametrize(
    ("pitches", "expected"),
    [
        ((72, 65, 60, 48), ["lead", "other", "other", "bass"]),
        ((48, 72, 60), ["bass", "lead", "other"]),
        ((60, 60), ["lead", "bass"]),
        ((40,), ["lead"]),
        ((), []),
    ],
)
def test_scores_are_grouped_by_register(pitches: tuple[int, ...], expected: list[str]) -> None:
    assert grouping(tuple(voice("score", pitch) for pitch in pitches)) == expected


def test_a_row_of_the_manifest_leads_back_to_its_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stems, "corpus_root", lambda: Path("root"))
    monkeypatch.setattr(
        stems,
        "read_score",
        lambda *file: {(Path("root/a/score.mxl"), SCORE.source): replace(SCORE, name="score")}[file],
    )
    assert stems.piece_of({"source": "composed:12", "piece": "composed-12"}) == compose(12)
    assert stems.piece_of({"source": "music21:a/score.mxl", "piece": "score-s0t3"}) == SCORE


def test_muting_leaves_every_note_where_it_is() -> None:
    pytest.importorskip("mido", reason="mido writes the MIDI files: pip install -e '.[train]'")
    arrangement, _ = arranged(BAND)
    whole, part = midi(arrangement).tracks[0], midi(arrangement, heard=[1]).tracks[0]
    muted = [message for message in part if message not in whole]
    assert {(m.type, m.channel, m.control, m.value) for m in muted} == {
        ("control_change", channel, control, 0) for channel in (0, 9) for control in (7, 11)
    }
    assert [message for message in part if message not in muted] == list(whole)


def test_a_difference_is_told_from_rounding() -> None:
    clip = np.random.default_rng(0).integers(-3000, 3000, 1000).astype(np.int16)
    one_step = -20 * np.log10(np.sqrt(np.mean(clip.astype(float) ** 2)))
    assert difference(clip + np.int16(1), clip) == pytest.approx(one_step, abs=0.01)
    assert difference(clip // 1000 + np.int16(2), clip // 1000) > -60  # quiet, but only rounded
    with pytest.raises(Mismatch, match="dB"):
        difference(clip + np.int16(30), clip)


@pytest.mark.skipif(missing() is not None, reason=f"renders: {missing()}")
def test_the_sources_add_up_to_the_mixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mido", reason="mido writes the MIDI files: pip install -e '.[train]'")
    monkeypatch.setattr(corpus, "CLIP_SECONDS", 1)
    split = split_of(BAND.identity)
    (tmp_path / "corpus" / split).mkdir(parents=True)
    clips = corpus.render_piece(BAND, tmp_path / "corpus")[:2]
    assert [clip["clip"] for clip in clips] == [f"{split}/band-0.flac", f"{split}/band-1.flac"]

    monkeypatch.setattr(stems, "piece_of", lambda row: BAND)
    rows = write_stems(clips, work=tmp_path)
    for clip, row in zip(clips, rows, strict=True):
        folder = tmp_path / "stems" / split / Path(clip["clip"]).stem
        assert {path.stem for path in folder.iterdir()} == {"mixture", *SOURCES}
        sound = {path.stem: soundfile.read(path, dtype="int16")[0] for path in folder.iterdir()}
        original = soundfile.read(tmp_path / "corpus" / clip["clip"], dtype="int16")[0]
        np.testing.assert_array_equal(sum(sound[source] for source in SOURCES), sound["mixture"])
        np.testing.assert_allclose(sound["mixture"], original, rtol=0, atol=2)
        assert {source for source in SOURCES if not sound[source].any()} == {"lead"}
        assert row["sources"]["lead"] == []
        assert len(row["sources"]["bass"]) == 1
