"""From a piece to sound: an arrangement drawn from a seed, a MIDI file, and fluidsynth."""

from __future__ import annotations

import math
import subprocess
import tempfile
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
import soundfile
import soxr
from scipy.signal import butter, sosfilt

from training import instruments
from training.banks import FLUIDR3, KIT_NOTES, Bank
from training.piece import DRUMS, Note, Piece, Voice

if TYPE_CHECKING:
    import mido

# Rendered at 44.1 kHz and resampled: rendering at 16 kHz folds 6 dB too much into the band above 6 kHz.
RENDER_RATE = 44100
# Some of FluidR3's samples (Sawtooth Lead, New Age Pad) carry an offset that would pass for loudness.
RUMBLE = butter(2, 20, "highpass", fs=RENDER_RATE, output="sos")
REVERB = ("-o", "synth.reverb.level=0.7")
TICKS = 480
DRUM_CHANNEL = 9
CHANNELS = [channel for channel in range(16) if channel != DRUM_CHANNEL]
# Volume and expression at zero: 144 dB below what is heard. Volume alone would leave some -80 dB.
MUTED = ((7, 0), (11, 0))


@dataclass(frozen=True)
class Arrangement:
    """A piece made concrete. Volumes and pans are MIDI controller values; room is 0 to 1, or None if dry."""

    piece: Piece
    tempo: float
    programs: list[int]
    volumes: list[int]
    pans: list[int]
    room: float | None

    @property
    def seconds(self) -> float:
        """Length up to the end of the last note."""
        return self.piece.beats * 60 / self.tempo


def arrange(piece: Piece, seconds: float, random: Random) -> Arrangement:
    """Draw tempo, key, instruments, dynamics and room, and keep an excerpt of about `seconds`."""
    tempo = piece.tempo or _tempo(piece, random)
    piece = _excerpt(piece, seconds * tempo / 60, random)
    piece = _transpose(piece, random)
    programs = instruments.choose(piece.voices, random)
    piece = replace(piece, voices=tuple(_phrase(voice, tempo, random) for voice in piece.voices))
    volumes = [min(127, round(100 * 10 ** (random.gauss(0, 2.5) / 40))) for _ in piece.voices]
    pans = [random.randint(30, 98) for _ in piece.voices]
    room = random.uniform(0.2, 0.9) if random.random() < 0.6 else None
    return Arrangement(piece, tempo, programs, volumes, pans, room)


def _tempo(piece: Piece, random: Random) -> float:
    """Beats a minute for a score: between 60 and 160, faster where notes are long, as in old notation."""
    usual = median(note.duration for voice in piece.voices for note in voice.notes)
    tempo = random.triangular(60, 160, 96)
    return round(tempo * (4 if usual > 3 else 2 if usual >= 2 else 0.75 if usual <= 0.25 else 1), 1)


def _excerpt(piece: Piece, beats: float, random: Random) -> Piece:
    """At most `beats` beats from a random bar on; a score that is too short is played again, once."""
    length = math.ceil(piece.beats / piece.meter) * piece.meter
    times = 2 if length < beats else 1
    latest = max(0, int((times * length - beats) // piece.meter))
    start = random.randint(0, latest) * piece.meter
    voices = []
    for voice in piece.voices:
        moved = [n._replace(start=n.start + k * length - start) for k in range(times) for n in voice.notes]
        kept = [note for note in moved if 0 <= note.start < beats]
        notes = tuple(note._replace(duration=min(note.duration, beats - note.start)) for note in kept)
        if notes:
            voices.append(Voice(voice.role, notes))
    return replace(piece, voices=tuple(voices))


def _transpose(piece: Piece, random: Random) -> Piece:
    pitches = [note.pitch for voice in piece.voices if voice.role != DRUMS for note in voice.notes]
    low, high = (max(-5, 28 - min(pitches)), min(6, 100 - max(pitches))) if pitches else (0, 0)
    shift = random.randint(low, high) if low <= high else 0
    voices = tuple(voice if voice.role == DRUMS else _shift(voice, shift) for voice in piece.voices)
    return replace(piece, tonic=(piece.tonic + shift) % 12, voices=voices)


def _shift(voice: Voice, semitones: int) -> Voice:
    return Voice(voice.role, tuple(n._replace(pitch=n.pitch + semitones) for n in voice.notes))


def _phrase(voice: Voice, tempo: float, random: Random) -> Voice:
    """Dynamics that swell over a few bars, an articulation, and onsets a few milliseconds off the grid."""
    depth, period, phase = random.uniform(0, 18), random.uniform(6, 24), random.uniform(0, 2 * math.pi)
    touch = random.gauss(0, 8)
    length = random.choice((1.0, 1.0, 0.95, 0.8, 0.5)) if voice.role == "score" else 1.0
    jitter = random.choice((0.0, 0.004, 0.01)) * tempo / 60

    def play(note: Note) -> Note:
        swell = depth * math.sin(2 * math.pi * note.start / period + phase)
        velocity = min(max(round(note.velocity + swell + touch + random.gauss(0, 3)), 20), 127)
        start = max(0.0, note.start + random.gauss(0, jitter))
        return Note(start, note.duration * length, note.pitch, velocity)

    return Voice(voice.role, tuple(play(note) for note in voice.notes))


def midi(arrangement: Arrangement, heard: Collection[int] | None = None, *, kit: bool | None = None) -> mido.MidiFile:
    """The arrangement as one MIDI track, drums on channel 10 (9 counted from zero).

    With `heard`, the voices of all other indices are muted, but play: see `training.stems` for why. `kit`: only what a
    drum kit strikes, on the first channel, where its soundfont has it (True), or all but that (False).
    """
    import mido

    events: list[tuple[int, int, mido.Message]] = []
    for index, voice in enumerate(arrangement.piece.voices):
        drums = voice.role == DRUMS
        channel = (0 if kit else DRUM_CHANNEL) if drums else CHANNELS[index % len(CHANNELS)]
        program = 0 if kit else arrangement.programs[index]
        events.append((0, 0, mido.Message("program_change", channel=channel, program=program)))
        muted = MUTED if heard is not None and index not in heard else ()
        for control, value in ((7, arrangement.volumes[index]), (10, arrangement.pans[index]), *muted):
            change = mido.Message("control_change", channel=channel, control=control, value=value)
            events.append((0, 0, change))
        for note in voice.notes:
            if kit is not None and kit != (drums and note.pitch in KIT_NOTES):
                continue
            on, off = round(note.start * TICKS), round((note.start + note.duration) * TICKS)
            stroke = {"channel": channel, "note": note.pitch}
            events.append((on, 2, mido.Message("note_on", velocity=note.velocity, **stroke)))
            events.append((max(off, on + 1), 1, mido.Message("note_off", **stroke)))
    events.sort(key=lambda event: event[:2])  # at one tick: programs, then ends, then starts

    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(arrangement.tempo))])
    now = 0
    for tick, _, message in events:
        track.append(message.copy(time=tick - now))
        now = tick
    return mido.MidiFile(ticks_per_beat=TICKS, tracks=[track])


def synthesize(
    arrangement: Arrangement, gain: float = 0.2, heard: Collection[int] | None = None, bank: Bank = FLUIDR3
) -> np.ndarray:
    """Sound of an arrangement, (frames, 2) at 44.1 kHz, without what lies below 20 Hz.

    `heard` has the indices of the voices that sound, None means all; the sounds of the parts add up to the whole.
    """
    kit = bank.kit(arrangement.piece.name)
    if kit is None:
        return _play(midi(arrangement, heard), bank.file, arrangement.room, gain)
    parts = [_play(midi(arrangement, heard, kit=True), kit, arrangement.room, gain),
             _play(midi(arrangement, heard, kit=False), bank.file, arrangement.room, gain)]  # fmt: skip
    total = np.zeros((max(map(len, parts)), 2), np.float32)
    for part in parts:
        total[: len(part)] += part
    return total


def _play(score: mido.MidiFile, soundfont: Path, room: float | None, gain: float) -> np.ndarray:
    """Sound of a MIDI file through a soundfont."""
    wet = "0" if room is None else "1"
    size = [] if room is None else ["-o", f"synth.reverb.room-size={room}"]
    with tempfile.TemporaryDirectory() as folder:
        notes, sound = Path(folder, "score.mid"), Path(folder, "sound.wav")
        score.save(notes)
        options = ["-niq", "-r", str(RENDER_RATE), "-g", str(gain), "-R", wet, "-C", wet, *size, *REVERB]
        files = ["-O", "float", "-T", "wav", "-F", str(sound), str(soundfont), str(notes)]
        subprocess.run(["fluidsynth", *options, *files], check=True, capture_output=True, timeout=600)
        samples = soundfile.read(sound, dtype="float32")[0]
    return sosfilt(RUMBLE, samples, axis=0).astype(np.float32)


def downmix(stereo: np.ndarray, rate: int) -> np.ndarray:
    """Mono at `rate` Hz, (frames,), of sound at 44.1 kHz, (frames, 2)."""
    return soxr.resample(stereo.mean(axis=1), RENDER_RATE, rate)


def mixing_gain(mono: np.ndarray, loudness: float) -> float:
    """The factor that gives a sound an RMS of `loudness` dBFS, less where peaks would pass -0.5 dBFS."""
    gain = 10 ** (loudness / 20) / max(float(np.sqrt(np.mean(mono**2))), 1e-9)
    ceiling = 10 ** (-0.5 / 20) / max(float(np.abs(mono).max()), 1e-9)
    return min(gain, ceiling)


def mixdown(stereo: np.ndarray, rate: int, loudness: float) -> np.ndarray:
    """Mono at `rate` Hz with the `mixing_gain` of this loudness in dBFS."""
    mono = downmix(stereo, rate)
    return mono * mixing_gain(mono, loudness)
