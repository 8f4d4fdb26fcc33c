"""Audio files: what goes in comes out, and what is not audio is refused in one line."""

import os
import struct
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile

from diffmusic.audio.attached import Attached
from diffmusic.audio.files import Recording, clipped, encode, output_format, read, with_samples
from diffmusic.audio.tags import Tags
from diffmusic.errors import InputError

INTEGER = {
    ("WAV", "PCM_U8"): 8,
    ("WAV", "PCM_16"): 16,
    ("WAV", "PCM_24"): 24,
    ("WAV", "PCM_32"): 32,
    ("FLAC", "PCM_S8"): 8,
    ("FLAC", "PCM_16"): 16,
    ("FLAC", "PCM_24"): 24,
    ("AIFF", "PCM_S8"): 8,
    ("AIFF", "PCM_U8"): 8,
    ("AIFF", "PCM_16"): 16,
    ("AIFF", "PCM_24"): 24,
    ("AIFF", "PCM_32"): 32,
}
BITS = {subtype: bits for (_, subtype), bits in INTEGER.items()}


def codes(bits: int, channels: int, count: int = 300) -> np.ndarray:
    """Integer samples (channels, time): the extremes, zero and its neighbours, then random ones."""
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    drawn = np.random.default_rng(bits).integers(low, high, (channels, count), endpoint=True)
    drawn[:, :6] = [low, high, low + 1, high - 1, 0, -1]
    return drawn


def tone(rate: int, seconds: float = 1.0, channels: int = 1, hertz: float = 440.0) -> np.ndarray:
    return np.repeat(0.5 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)[None], channels, axis=0)


def snr(reference: np.ndarray, estimate: np.ndarray) -> float:
    return float(10 * np.log10(np.square(reference).sum() / np.square(reference - estimate).sum()))


def save(path: Path, recording: Recording) -> Path:
    path.write_bytes(encode(recording))
    return path


@pytest.mark.parametrize(("channels", "rate"), [(1, 8000), (2, 44100), (8, 96000)])
@pytest.mark.parametrize(("kind", "bits"), INTEGER.items())
def test_integer_files_round_trip_bit_for_bit(
    tmp_path: Path, kind: tuple[str, str], bits: int, channels: int, rate: int
) -> None:
    name, subtype = kind
    wanted = codes(bits, channels)
    # libsndfile's own integers, at the top of 32 bits: neither read nor encode has a part in them.
    stored = (wanted << (32 - bits)).astype(np.int32)
    first, second = tmp_path / f"first.{name.lower()}", tmp_path / f"second.{name.lower()}"
    soundfile.write(first, stored.T, rate, subtype, format=name)
    recording = read(first)
    np.testing.assert_array_equal(recording.samples * 2.0 ** (bits - 1), wanted)
    second.write_bytes(encode(recording))
    again, again_rate = soundfile.read(second, dtype="int32", always_2d=True)
    np.testing.assert_array_equal(again.T, stored)
    info = soundfile.info(second)
    assert (again_rate, info.format, info.subtype) == (rate, name, subtype)


@pytest.mark.parametrize("bits", [8, 16])
def test_every_code_of_a_wav_file_survives(tmp_path: Path, bits: int) -> None:
    every = np.arange(2**bits)
    frames = every.astype(np.uint8).tobytes() if bits == 8 else (every - 2**15).astype("<i2").tobytes()
    path = tmp_path / "every.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(bits // 8)
        file.setframerate(16000)
        file.writeframes(frames)
    save(path, read(path))
    with wave.open(str(path), "rb") as file:
        assert file.readframes(file.getnframes()) == frames


@pytest.mark.parametrize("name", ["WAV", "AIFF"])
@pytest.mark.parametrize(("subtype", "dtype"), [("FLOAT", np.float32), ("DOUBLE", np.float64)])
@pytest.mark.parametrize("channels", [1, 2, 8])
def test_floating_point_files_round_trip_bit_for_bit(
    tmp_path: Path, name: str, subtype: str, dtype: type, channels: int
) -> None:
    wanted: np.ndarray = (3 * np.random.default_rng(1).standard_normal((channels, 300))).astype(dtype)
    wanted[:, :6] = [1.0, -1.0, np.finfo(dtype).smallest_normal, np.nextafter(dtype(1), dtype(2)), 1e6, -0.0]
    path = tmp_path / f"x.{name.lower()}"
    soundfile.write(path, wanted.T, 48000, subtype, format=name)
    save(path, read(path))
    again, _ = soundfile.read(path, dtype=np.dtype(dtype).name, always_2d=True)
    assert again.T.tobytes() == wanted.tobytes()
    assert soundfile.info(path).subtype == subtype


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 32000, 44100, 48000, 88200, 96000])
@pytest.mark.parametrize("name", ["WAV", "FLAC", "AIFF"])
def test_sample_rates_are_kept(tmp_path: Path, name: str, rate: int) -> None:
    recording = read(save(tmp_path / "x", Recording(tone(rate, 0.2), rate, name, "PCM_16")))
    assert recording.sample_rate == rate
    assert recording.seconds == 0.2


@pytest.mark.parametrize(
    ("name", "subtype", "rates"),
    [
        ("MP3", "MPEG_LAYER_III", (8000, 16000, 44100, 48000)),
        ("OGG", "VORBIS", (8000, 16000, 44100, 48000, 96000)),
        ("OGG", "OPUS", (8000, 48000)),
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_lossy_files_keep_length_place_and_sound(
    tmp_path: Path, name: str, subtype: str, rates: tuple[int, ...], channels: int
) -> None:
    for rate in rates:
        clean = tone(rate, 0.7, channels) * np.hanning(round(rate * 0.7))
        recording = read(save(tmp_path / "x", Recording(clean, rate, name, subtype)))
        assert (recording.format, recording.subtype, recording.sample_rate) == (name, subtype, rate)
        assert recording.lossy
        assert recording.samples.shape == clean.shape
        assert snr(clean, recording.samples) > 20


@pytest.mark.parametrize("length", [1, 2, 100, 1151, 1153])
@pytest.mark.parametrize("extension", [".wav", ".flac", ".aiff", ".ogg", ".mp3"])
def test_very_short_recordings_keep_their_length(tmp_path: Path, extension: str, length: int) -> None:
    like = Recording(0.1 * np.ones((2, length)), 44100, "AU", "PCM_16")
    path = tmp_path / f"x{extension}"
    name, subtype = output_format(path, like)
    assert read(save(path, Recording(like.samples, 44100, name, subtype))).samples.shape == (2, length)


def test_three_minutes_of_vorbis_do_not_crash() -> None:
    # In a process of its own: what this guards against is a stack overflow inside libsndfile.
    code = (
        "import io, numpy, soundfile\n"
        "from diffmusic.audio.files import Recording, encode\n"
        "x = 0.1 * numpy.sin(numpy.arange(180 * 44100) / 20)\n"
        "data = encode(Recording(x[None], 44100, 'OGG', 'VORBIS'))\n"
        "print(soundfile.info(io.BytesIO(data)).frames)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == 180 * 44100


TAGS = {
    "title": "Étude nº 1",
    "artist": "A. B.",
    "album": "C",
    "date": "2021",
    "genre": "Piano",
    "tracknumber": "7",
    "comment": "no comment",
    "copyright": "public domain",
    "license": "CC0",
}


@pytest.mark.parametrize(
    ("name", "subtype"),
    [("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("WAV", "PCM_16"), ("MP3", "MPEG_LAYER_III"), ("AIFF", "PCM_16")],
)
def test_every_format_keeps_every_tag(tmp_path: Path, name: str, subtype: str) -> None:
    tags = Tags.of(**TAGS)
    once = read(save(tmp_path / "x", Recording(tone(44100, 0.1), 44100, name, subtype, Attached(tags=tags))))
    assert once.tags.texts == tags.texts
    twice = read(save(tmp_path / "x", with_samples(once, once.samples * 0.5)))
    assert twice.tags == once.tags


@pytest.mark.parametrize(
    ("name", "subtype", "path", "wanted"),
    [
        # The same format keeps its subtype.
        ("WAV", "PCM_16", "a.wav", ("WAV", "PCM_16")),
        ("WAV", "FLOAT", "a.WAV", ("WAV", "FLOAT")),
        ("WAVEX", "PCM_24", "a.wav", ("WAVEX", "PCM_24")),
        ("FLAC", "PCM_24", "a.flac", ("FLAC", "PCM_24")),
        ("OGG", "VORBIS", "a.ogg", ("OGG", "VORBIS")),
        ("AIFF", "PCM_24", "a.aif", ("AIFF", "PCM_24")),
        # Another one loses no precision, where it can.
        ("WAV", "PCM_U8", "a.flac", ("FLAC", "PCM_S8")),
        ("WAV", "PCM_16", "a.flac", ("FLAC", "PCM_16")),
        ("WAV", "PCM_24", "a.flac", ("FLAC", "PCM_24")),
        ("WAV", "PCM_32", "a.flac", ("FLAC", "PCM_24")),
        ("WAV", "FLOAT", "a.flac", ("FLAC", "PCM_24")),
        ("WAV", "DOUBLE", "a.flac", ("FLAC", "PCM_24")),
        ("WAV", "DOUBLE", "a.aiff", ("AIFF", "DOUBLE")),
        ("WAV", "PCM_32", "a.aiff", ("AIFF", "PCM_32")),
        ("FLAC", "PCM_S8", "a.wav", ("WAV", "PCM_U8")),
        ("FLAC", "PCM_16", "a.wav", ("WAV", "PCM_16")),
        # A decoded lossy file has more than 16 bits to keep.
        ("MP3", "MPEG_LAYER_III", "a.flac", ("FLAC", "PCM_24")),
        ("MP3", "MPEG_LAYER_III", "a.wav", ("WAV", "FLOAT")),
        ("OGG", "VORBIS", "a.wav", ("WAV", "FLOAT")),
        # Lossy files have one subtype.
        ("WAV", "PCM_16", "a.mp3", ("MP3", "MPEG_LAYER_III")),
        ("WAV", "PCM_16", "a.ogg", ("OGG", "VORBIS")),
        ("WAV", "PCM_16", "a.opus", ("OGG", "OPUS")),
        ("OGG", "VORBIS", "a.opus", ("OGG", "OPUS")),
    ],
)
def test_output_format_is_the_nearest_that_loses_nothing(
    tmp_path: Path, name: str, subtype: str, path: str, wanted: tuple[str, str]
) -> None:
    like = Recording(tone(48000, 0.1), 48000, name, subtype)
    assert output_format(Path(path), like) == wanted
    info = soundfile.info(save(tmp_path / path, Recording(like.samples, 48000, *wanted)))
    assert (info.format, info.subtype) == wanted


@pytest.mark.parametrize("path", ["a.xyz", "a", "a.raw", "a.wav.bak"])
def test_an_unknown_extension_is_refused_and_the_known_ones_are_named(path: str) -> None:
    with pytest.raises(InputError, match="unknown extension") as caught:
        output_format(Path(path), Recording(np.zeros((1, 1)), 8000))
    assert ".flac" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_clipped_counts_by_hand() -> None:
    step = 2.0**-15
    fits = [0.0, 1 - step, 1 - 0.6 * step, -1.0, -1 - 0.4 * step]
    too_loud = [1.0, 1 - 0.4 * step, 7.0, -1 - 0.6 * step, -2.0]
    assert clipped(Recording(np.array([fits, too_loud]), 8000, "WAV", "PCM_16")) == 5
    assert clipped(Recording(np.array([[1.0, -1.0, 1.001, -1.001]]), 8000, "OGG", "VORBIS")) == 2
    for subtype in ("FLOAT", "DOUBLE"):
        assert clipped(Recording(np.array([[7.0, -7.0]]), 8000, "WAV", subtype)) == 0


@pytest.mark.parametrize("subtype", sorted(BITS))
def test_clipped_counts_the_codes_out_of_range(subtype: str) -> None:
    samples = np.random.default_rng(2).uniform(-1.5, 1.5, (2, 5000))
    scale = 2 ** (BITS[subtype] - 1)
    rounded = np.rint(samples * scale)
    outside = int(((rounded < -scale) | (rounded > scale - 1)).sum())
    assert clipped(Recording(samples, 8000, "AIFF", subtype)) == outside > 1000


@pytest.mark.parametrize(("kind", "bits"), INTEGER.items())
def test_what_is_too_loud_is_clipped_and_does_not_wrap(tmp_path: Path, kind: tuple[str, str], bits: int) -> None:
    path = save(tmp_path / "x", Recording(np.array([[1.0, 1.7, 100.0, -1.0, -1.7, -100.0]]), 8000, *kind))
    top = 1 - 2.0 ** (1 - bits)
    np.testing.assert_array_equal(read(path).samples, [[top, top, top, -1, -1, -1]])


def test_samples_between_codes_are_rounded_to_the_nearest(tmp_path: Path) -> None:
    step = 2.0**-15
    path = save(tmp_path / "x", Recording(np.array([[0.4, 0.6, -0.4, -0.6, 99.7]]) * step, 8000, "WAV", "PCM_16"))
    np.testing.assert_array_equal(read(path).samples / step, [[0, 1, 0, -1, 100]])


@pytest.mark.parametrize(("name", "order"), [("WAV", "<"), ("AIFF", ">")])
@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_floating_point_files_do_not_carry_the_time_they_were_written(
    tmp_path: Path, name: str, order: str, subtype: str
) -> None:
    # The PEAK chunk is: name, size, version, seconds since 1970, then level and place of the peak.
    recording = Recording(tone(8000, 0.1), 8000, name, subtype, Attached(tags=Tags.of(title="TWIN PEAKS")))
    data = encode(recording)
    place = data.index(b"PEAK" + struct.pack(f"{order}I", 16))
    version, written, level = struct.unpack_from(f"{order}IIf", data, place + 8)
    assert (version, written) == (1, 0)
    assert level == pytest.approx(0.5, abs=1e-3)
    again = read(save(tmp_path / "x", recording))
    assert again.tags == recording.tags
    np.testing.assert_allclose(again.samples, recording.samples, atol=1e-7)


def _truncated(path: Path) -> None:
    path.write_bytes(encode(Recording(tone(8000), 8000, "WAV", "PCM_16"))[:30])


def _tail_only(path: Path) -> None:
    path.write_bytes(encode(Recording(tone(8000), 8000, "FLAC", "PCM_16"))[:60])


def _not_finite(value: float) -> np.ndarray:
    samples = tone(8000, channels=2)
    samples[1, 4000] = value
    return samples


UNREADABLE = {
    "missing.wav": (lambda path: None, "no such file"),
    f"{'long' * 100}.wav": (lambda path: None, "cannot be read"),
    "folder.wav": (lambda path: path.mkdir(), "folder"),
    "empty.wav": (lambda path: path.touch(), "empty"),
    "text.wav": (lambda path: path.write_text("Dear diary,\nnothing.\n" * 50), "not audio"),
    "text.mp3": (lambda path: path.write_text("Dear diary,\nnothing.\n" * 50), "not audio"),
    "text.flac": (lambda path: path.write_text("Dear diary,\nnothing.\n" * 50), "not audio"),
    "headerless.raw": (lambda path: path.write_bytes(bytes(1000)), "not audio"),
    "array.npy": (lambda path: np.save(path, np.zeros(100)), "not audio"),
    "truncated.wav": (_truncated, "not audio"),
    "truncated.flac": (_tail_only, "not audio"),
    "no-samples.wav": (lambda path: soundfile.write(path, np.zeros((0, 1)), 8000), "holds no samples"),
    "nan.wav": (lambda path: soundfile.write(path, _not_finite(np.nan).T, 8000, "FLOAT"), "NaN.* at 0.500 s"),
    "inf.wav": (lambda path: soundfile.write(path, _not_finite(-np.inf).T, 8000, "FLOAT"), "infinite.* at 0.500 s"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_is_not_usable_audio_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    make, message = UNREADABLE[name]
    path = tmp_path / name
    make(path)
    with pytest.raises(InputError, match=message) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "x.wav", Recording(tone(8000), 8000))
    path.chmod(0)
    with pytest.raises(InputError):
        read(path)


@pytest.mark.parametrize(
    ("name", "subtype", "rate", "channels"),
    [("MP3", "MPEG_LAYER_III", 96000, 1), ("MP3", "MPEG_LAYER_III", 44100, 8), ("OGG", "OPUS", 44100, 2)],
)
def test_a_format_that_cannot_hold_the_audio_says_so(name: str, subtype: str, rate: int, channels: int) -> None:
    with pytest.raises(InputError, match=rf"{name} .*{channels} channels at {rate} Hz") as caught:
        encode(Recording(tone(rate, 0.1, channels), rate, name, subtype))
    assert "\n" not in str(caught.value)
    assert " object at " not in str(caught.value)


def test_with_samples_keeps_the_kind_of_file() -> None:
    held = Attached(tags=Tags.of(title="x"))
    like = Recording(tone(44100), 44100, "FLAC", "PCM_24", held)
    other = with_samples(like, np.zeros((2, 7)), 22050)
    assert (other.sample_rate, other.format, other.subtype, other.attached) == (22050, "FLAC", "PCM_24", held)
    assert other.samples.shape == (2, 7)
    assert with_samples(like, np.zeros((1, 3))).sample_rate == 44100
