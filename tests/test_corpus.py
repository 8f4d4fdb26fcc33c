"""The corpus and its sources: everything follows from seeds and names, and the sources add up to the mixture."""

from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
import soundfile
from scipy.signal import sosfreqz

pytest.importorskip("debian", reason="licences are read by python-debian: pip install -e '.[train]'")

from training import corpus, effects, stems
from training.banks import FLUIDR3, KIT_NOTES
from training.compose import compose
from training.corpus import arranged, onsets
from training.piece import DRUMS, Note, Piece, Voice, split_of
from training.render import RENDER_RATE, midi
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


def test_a_kit_and_the_bank_share_the_notes_between_them() -> None:
    pytest.importorskip("mido", reason="mido writes the MIDI files: pip install -e '.[train]'")
    clap = replace(BAND, voices=(*BAND.voices[:2], voice(DRUMS, 36, 38, 39, 69)))
    arrangement, _ = arranged(clap)

    def struck(kit: bool | None) -> list[tuple[int, int]]:
        return [(m.channel, m.note) for m in midi(arrangement, kit=kit).tracks[0] if m.type == "note_on"]

    whole, of_kit, of_bank = struck(None), struck(True), struck(False)
    drums = [note for channel, note in whole if channel == 9]
    assert {note in KIT_NOTES for note in drums} == {True, False}
    assert of_kit == [(0, note) for note in drums if note in KIT_NOTES]
    assert sorted(of_bank) == sorted(each for each in whole if each[0] != 9 or each[1] not in KIT_NOTES)


def test_an_equaliser_raises_its_own_frequency_and_no_far_one() -> None:
    section = effects.peak(1000, 6, 1, RENDER_RATE)
    _, response = sosfreqz(section, worN=[20, 1000, 20000], fs=RENDER_RATE)
    np.testing.assert_allclose(20 * np.log10(np.abs(response)), [0, 6, 0], atol=0.1)


def test_a_compressor_brings_loud_and_quiet_together() -> None:
    tone = np.sin(0.2 * np.arange(RENDER_RATE))
    steps = np.concatenate([0.5 * tone, 0.05 * tone])[:, None].repeat(2, axis=1)
    levels = [
        20 * np.log10(np.sqrt(np.mean(part[RENDER_RATE // 2 : RENDER_RATE] ** 2)))
        for sound in (steps, steps * effects.compression(steps, RENDER_RATE, 30, 4)[:, None])
        for part in np.split(sound, 2)
    ]
    assert levels[0] - levels[1] == pytest.approx(20, abs=0.01)
    assert levels[2] - levels[3] == pytest.approx(5, abs=0.3)


def test_a_room_adds_the_energy_that_it_says_and_decays_in_its_time() -> None:
    click = np.zeros((RENDER_RATE, 2))
    click[0] = 1
    heard = effects.reverberated(click, RENDER_RATE, 0.5, -6, seed=0)
    echoes = heard - click
    np.testing.assert_allclose(10 * np.log10(np.square(echoes).sum(axis=0)), -6, atol=0.01)
    early, late = (np.square(echoes[at : at + 2205]).mean() for at in (0, RENDER_RATE // 4))
    assert 10 * np.log10(early / late) == pytest.approx(30, abs=3)


def test_what_is_reverberant_gets_no_second_room() -> None:
    chains = [effects.draw(Random(k), reverberant=True) for k in range(50)]
    assert all(chain.room is None for chain in chains)
    assert any(chain.peaks for chain in chains)
    assert any(effects.draw(Random(k), reverberant=False).room for k in range(50))


def test_a_difference_is_told_from_rounding() -> None:
    clip = np.random.default_rng(0).integers(-3000, 3000, 1000).astype(np.int16)
    one_step = -20 * np.log10(np.sqrt(np.mean(clip.astype(float) ** 2)))
    assert difference(clip + np.int16(1), clip) == pytest.approx(one_step, abs=0.01)
    assert difference(clip // 1000 + np.int16(2), clip // 1000) > -60  # quiet, but only rounded
    with pytest.raises(Mismatch, match="dB"):
        difference(clip + np.int16(30), clip)


@pytest.mark.skipif(FLUIDR3.missing() is not None, reason=f"renders: {FLUIDR3.missing()}")
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
