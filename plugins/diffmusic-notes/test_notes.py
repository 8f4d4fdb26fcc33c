"""The model is tested where the packages that it needs are installed; what makes notes of likelihoods, everywhere."""

import math
import subprocess
import sys
from importlib import metadata
from importlib.util import find_spec

import numpy as np
import pytest
import soundfile
from diffmusic_notes import f1, transcriber
from diffmusic_notes.decode import decode
from diffmusic_notes.f1 import NoteF1, OnsetF1
from diffmusic_notes.transcriber import Notes

from diffmusic.cli import main
from diffmusic.errors import InputError
from diffmusic.metrics.contract import measure, measure_damage
from diffmusic.plugins import registry
from diffmusic.testing import check_metric

try:
    metadata.distribution("basic-pitch")
    missing = [name for name in ("onnxruntime", "mir_eval") if find_spec(name) is None]
except metadata.PackageNotFoundError:
    missing = ["basic-pitch"]
needs_model = pytest.mark.skipif(
    bool(missing),
    reason=f"{', '.join(missing)} is not installed: {transcriber.INSTALL}; pip install onnxruntime mir_eval",
)
needs_matching = pytest.mark.skipif(find_spec("mir_eval") is None, reason="mir_eval is not installed")

RATE = f1.RATE


def likelihoods(*notes, frames=200):
    """Of notes as (first frame, one after the last, semitone, whether its onset is heard)."""
    onsets, active = np.zeros((2, frames, 88), np.float32)
    for start, stop, semitone, struck in notes:
        active[start:stop, semitone] = 0.8 - 0.0001 * semitone
        if struck:
            onsets[start - 1 : start + 2, semitone] = 0.2, 0.9, 0.2
    return onsets, active


def test_notes_come_from_likelihoods():
    notes = [(10, 60, 40, True), (60, 90, 40, True), (20, 50, 52, True), (100, 150, 30, False), (150, 190, 87, True)]
    assert sorted(decode(*likelihoods(*notes))) == sorted((a, b, k) for a, b, k, _ in notes)


def test_short_notes_and_faint_ones_are_left_out():
    assert decode(*likelihoods((10, 21, 40, True), (10, 22, 60, True))) == [(10, 22, 60)]
    onsets, active = likelihoods((10, 60, 40, True))
    assert decode(onsets, 0.3 * active) == []
    assert decode(0.5 * onsets, active) == [(10, 60, 40)]
    assert decode(*np.zeros((2, 0, 88))) == []


def test_a_note_outlasts_short_pauses_and_takes_its_neighbours_with_it():
    onsets, active = likelihoods((10, 40, 40, True), (50, 80, 40, False), (91, 130, 40, False))
    active[10:80, 41] = 0.5
    assert sorted(decode(onsets, active)) == [(10, 80, 40), (91, 130, 40)]


def test_a_missing_package_is_one_line(monkeypatch, tmp_path, capsys):
    def absent(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(transcriber.metadata, "distribution", absent)
    transcriber.load.cache_clear()
    soundfile.write(tmp_path / "x.wav", f1._plucked(60, 0.5), RATE)
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", str(tmp_path / "x.wav"), str(tmp_path / "x.wav"), "--metrics", "note_f1"])
    assert stop.value.code == 2
    line = f"error: the package basic-pitch, whose model is needed, is not installed: {transcriber.INSTALL}\n"
    assert capsys.readouterr().err.endswith(line)


@pytest.mark.parametrize("name", ["onnxruntime", "mir_eval"])
def test_a_missing_library_is_one_line(monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(transcriber.metadata, "distribution", lambda name: object())
    transcriber.load.cache_clear()
    with pytest.raises(InputError, match=f"{name} cannot be imported .*: pip install {name}"):
        transcriber.load() if name == "onnxruntime" else f1._transcription()


def test_being_listed_imports_neither_torch_nor_numpy():
    (plugin,) = [each for each in registry().plugins if each.distribution == "diffmusic-notes"]
    assert plugin.error is None
    assert [spec.name for spec in plugin.offers["metric"]] == ["note_f1", "onset_f1"]
    code = "import sys, diffmusic_notes.plugin; print({'torch', 'numpy', 'onnxruntime'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr


class Heard:
    """A transcriber that is told its notes: the second of silence is ``audio[0, 0]``'s."""

    def __init__(self, *recordings):
        self.recordings = [
            Notes(np.array([(onset, onset + 0.3) for onset, _ in each]).reshape(-1, 2), np.array([f for _, f in each]))
            for each in recordings
        ]

    def notes(self, x, sample_rate):
        return self.recordings[int(x[0, 0])]


TRUTH = [(0.5, 440.0), (1.49, 220.0), (1.6, 330.0), (1.9, 440.0), (2.5, 550.0)]
ESTIMATE = [(0.5, 440.0), (1.52, 220.0), (1.64, 330.0), (1.7, 880.0), (1.9, 466.0), (2.9, 550.0)]
GAP = [(1500, 2000)]


@pytest.fixture
def pair(monkeypatch):
    monkeypatch.setattr(f1, "load", lambda: Heard(TRUTH, ESTIMATE, []))
    return [np.full((1, 3000), float(number)) for number in range(3)]


@needs_matching
def test_notes_are_counted_where_the_damage_was(pair):
    truth, estimate, silence = pair
    # Of the truth 330 and 440 Hz begin in the gap; of the estimate four notes do, and 220 Hz matches what began before.
    assert measure(NoteF1(), truth, estimate, 1000, damage=GAP) == pytest.approx((1 + 2) / (2 + 4))
    assert measure_damage(OnsetF1(), truth, estimate, 1000, GAP) == pytest.approx((2 + 3) / (2 + 4))
    assert measure(NoteF1(gap=(1.5, 2.0)), truth, estimate, 1000) == pytest.approx(3 / 6)
    assert measure(NoteF1(tolerance=0.035), truth, estimate, 1000, damage=GAP) == pytest.approx((0 + 1) / 6)
    assert measure(NoteF1(), truth, estimate, 1000) == pytest.approx(6 / 11)
    assert measure(NoteF1(), truth, truth, 1000, damage=GAP) == 1
    assert measure(NoteF1(), truth, silence, 1000, damage=GAP) == 0
    assert measure(NoteF1(), silence, truth, 1000, damage=[(0, 600), (1500, 2000)]) == 0
    assert math.isnan(measure(NoteF1(), truth, estimate, 1000, damage=[(1000, 1200)]))
    with pytest.raises(InputError, match="gap 3:4 is no part of a recording of 3 s"):
        measure(NoteF1(gap=(3.0, 4.0)), truth, estimate, 1000)


@needs_model
@pytest.mark.parametrize("metric", [NoteF1(), OnsetF1()])
def test_the_metrics_keep_their_contract(metric):
    check_metric(metric)


@needs_model
def test_notes_are_heard_when_they_begin_at_any_length():
    melody = [(0.31 + 0.45 * number, 50 + 5 * number % 23) for number in range(20)]
    x = np.zeros(round(10 * RATE))
    for onset, pitch in melody:
        note = f1._plucked(pitch, 0.4)
        x[round(onset * RATE) :][: len(note)] += note
    notes = transcriber.load().notes(np.stack([x, 0 * x]), RATE)
    for onset, pitch in melody:
        near = notes.between(onset - 0.025, onset + 0.025)
        assert np.any(np.abs(12 * np.log2(near.pitches / 440) + 69 - pitch) < 0.01), (onset, pitch, near)


@needs_model
def test_a_filled_gap_is_better_than_silence(tmp_path, capsys):
    reference, (good, some, _), _ = NoteF1().probe()
    length = reference.shape[-1]
    damage = [(6 * length // 8, length)]
    values = [NoteF1()(reference, x, RATE, damage=damage) for x in (good, some)]
    assert values[0] == 1
    assert values[1] < 0.2
    for name, x in (("x", reference), ("y", some)):
        soundfile.write(tmp_path / f"{name}.wav", x[0], RATE, subtype="FLOAT")
    words = ["evaluate", str(tmp_path / "x.wav"), str(tmp_path / "y.wav"), "--metrics", "note_f1,onset_f1 gap=0:1"]
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert not stop.value.code
    assert "note_f1 by basic-pitch, sha256" in capsys.readouterr().out
