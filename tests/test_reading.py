"""What a file holds is what can be decoded, whatever its header says; what could not be is said."""

import io
import shutil
import struct
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from diffmusic.audio import files, mpeg, sources
from diffmusic.audio.files import Recording, encode, read
from diffmusic.errors import InputError

RATE = 44100
ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the program ffmpeg")


def music(seconds: float = 3.0, channels: int = 2, seed: int = 0) -> np.ndarray:
    """Chords and a little noise, (channels, time): what a codec has to work for."""
    time = np.arange(round(seconds * RATE)) / RATE
    tones = sum(0.1 * np.sin(2 * np.pi * hertz * time * (1 + (time > 1.1) / 4)) for hertz in (220, 277.2, 331, 1760))
    noise = 0.02 * np.random.default_rng(seed).standard_normal((channels, len(time)))
    return np.asarray(tones * (0.6 + 0.4 * np.sin(2 * np.pi * 1.3 * time)) + noise)


def encoded(name: str, subtype: str, samples: np.ndarray | None = None) -> bytes:
    return encode(Recording(music() if samples is None else samples, RATE, name, subtype))


def decoded(data: bytes) -> np.ndarray:
    return np.asarray(soundfile.read(io.BytesIO(data), always_2d=True)[0].T)


def silently(path: Path) -> Recording:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return read(path)


@pytest.mark.parametrize(
    ("name", "subtype"),
    [("WAV", "PCM_16"), ("AIFF", "FLOAT"), ("FLAC", "PCM_24"), ("MP3", "MPEG_LAYER_III"), ("OGG", "VORBIS"),
     ("CAF", "PCM_16"), ("W64", "PCM_24"), ("AU", "PCM_16"), ("RF64", "PCM_16"), ("CAF", "ALAC_16")],
)  # fmt: skip
def test_of_a_whole_file_nothing_is_said(tmp_path: Path, name: str, subtype: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(encoded(name, subtype))
    recording = silently(path)
    assert (recording.format, recording.subtype, recording.lost) == (name, subtype, ())
    np.testing.assert_array_equal(recording.samples, decoded(path.read_bytes()))


def mp3(tmp_path: Path, *flags: str) -> bytes:
    plain, made = tmp_path / "plain.wav", tmp_path / "made.mp3"
    plain.write_bytes(encoded("WAV", "PCM_16"))
    subprocess.run(["ffmpeg", "-y", "-v", "error", "-i", plain, *flags, made], check=True)
    return made.read_bytes()


@ffmpeg
@pytest.mark.parametrize("quality", ["0", "4", "9"])
def test_an_mp3_of_variable_rate_without_a_header_is_read_to_its_end(tmp_path: Path, quality: str) -> None:
    whole = mp3(tmp_path, "-q:a", quality)
    path = tmp_path / "x.mp3"
    path.write_bytes(mp3(tmp_path, "-q:a", quality, "-write_xing", "0"))
    with warnings.catch_warnings(record=True):
        recording = read(path)
    # Without the header nobody knows what the encoder put before the sound: 1105 samples, of which it says 576.
    wanted = decoded(whole)
    assert recording.samples.shape[-1] >= wanted.shape[-1] + 1105
    np.testing.assert_allclose(recording.samples[:, 1105:][:, : wanted.shape[-1]], wanted, atol=1e-6)


@ffmpeg
def test_what_an_mp3_promises_and_does_not_hold_is_said(tmp_path: Path) -> None:
    whole, path = mp3(tmp_path, "-b:a", "128k"), tmp_path / "x.mp3"
    path.write_bytes(whole[: len(whole) * 6 // 10])
    with pytest.warns(UserWarning, match=r"x.mp3 promises 3.000 s in its header, 1\.7\d\d s could be read"):
        recording = read(path)
    length = recording.samples.shape[-1]
    assert 1.7 * RATE < length < 1.8 * RATE
    # The last frame leans on the one that is gone.
    np.testing.assert_allclose(recording.samples[:, :-1152], decoded(whole)[:, : length - 1152], atol=1e-6)


@ffmpeg
@pytest.mark.parametrize("flags", [("-b:a", "128k"), ("-q:a", "5"), ("-b:a", "64k", "-ar", "22050", "-ac", "1")])
def test_a_hole_in_an_mp3_is_named_and_moves_nothing(tmp_path: Path, flags: tuple[str, ...]) -> None:
    whole = mp3(tmp_path, *flags)
    data = bytearray(whole)
    data[len(data) // 2 : len(data) // 2 + 1500] = bytes(1500)
    path = tmp_path / "x.mp3"
    path.write_bytes(data)
    with pytest.warns(UserWarning, match=r"cannot be decoded and is silent \(`gap` auto"):
        recording = read(path)
    wanted = decoded(whole)
    assert recording.samples.shape == wanted.shape
    assert len(recording.lost) == 1
    [(start, stop)] = recording.lost
    assert stop - start < 0.35 * recording.sample_rate
    kept = np.ones(wanted.shape[-1], bool)
    kept[start:stop] = False
    np.testing.assert_allclose(recording.samples[:, kept], wanted[:, kept], atol=1e-6)
    assert np.abs(recording.samples - wanted)[:, ~kept].max() > 0.01


def test_joined_ogg_files_are_read_to_the_end(tmp_path: Path) -> None:
    first, second = encoded("OGG", "VORBIS"), encoded("OGG", "VORBIS", music(2.0, seed=1))
    path = tmp_path / "x.ogg"
    path.write_bytes(first + second)
    with pytest.warns(UserWarning, match=r"2 joined streams, 5.000 s in all"):
        recording = read(path)
    np.testing.assert_array_equal(recording.samples, np.concatenate([decoded(first), decoded(second)], 1))
    with warnings.catch_warnings(record=True):
        part = read(path, 2.5, 1.0)
        assert files.duration(path) == 5.0
    np.testing.assert_array_equal(part.samples, recording.samples[:, round(2.5 * RATE) : round(3.5 * RATE)])


def test_joined_ogg_files_of_two_kinds_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.ogg"
    path.write_bytes(encoded("OGG", "VORBIS") + encoded("OGG", "VORBIS", music(1.0, 1)))
    with pytest.raises(InputError, match="2 channels at 44100 Hz and 1 channels at 44100 Hz"):
        read(path)


def test_an_ogg_file_that_breaks_off_is_noted(tmp_path: Path) -> None:
    whole, path = encoded("OGG", "VORBIS"), tmp_path / "x.ogg"
    path.write_bytes(whole[: len(whole) * 6 // 10])
    with pytest.warns(UserWarning, match="breaks off: its last page is missing"):
        recording = read(path)
    length = recording.samples.shape[-1]
    np.testing.assert_array_equal(recording.samples, decoded(whole)[:, :length])


@pytest.mark.parametrize("cut", [False, True])
def test_a_page_that_is_missing_moves_nothing(tmp_path: Path, cut: bool) -> None:
    whole = encoded("OGG", "VORBIS")
    pages = [at for at in range(len(whole)) if whole[at : at + 4] == b"OggS"]
    start, stop = pages[-4], pages[-3]
    data = whole[:start] + (b"" if cut else bytes(stop - start)) + whole[stop:]
    path = tmp_path / "x.ogg"
    path.write_bytes(data)
    with pytest.warns(UserWarning, match="cannot be decoded"):
        recording = read(path)
    wanted = decoded(whole)
    assert recording.samples.shape == wanted.shape
    [(first, last)] = recording.lost
    kept = np.ones(wanted.shape[-1], bool)
    kept[first:last] = False
    np.testing.assert_array_equal(recording.samples[:, kept], wanted[:, kept])
    assert not recording.samples[:, ~kept].any()


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
@pytest.mark.parametrize("cut", [0, 200])
def test_the_whole_frames_of_a_damaged_flac_file_are_read(tmp_path: Path, subtype: str, cut: int) -> None:
    whole = encoded("FLAC", subtype)
    data = bytearray(whole)
    middle = len(data) // 2
    data[middle : middle + 200] = bytes(200 - cut)
    path = tmp_path / "x.flac"
    path.write_bytes(data)
    with pytest.warns(UserWarning, match="cannot be decoded"):
        recording = read(path)
    wanted = decoded(whole)
    [(first, last)] = recording.lost
    assert last - first <= 2 * 4608
    kept = np.ones(wanted.shape[-1], bool)
    kept[first:last] = False
    np.testing.assert_array_equal(recording.samples[:, kept], wanted[:, kept])
    assert not recording.samples[:, ~kept].any()


def test_a_flac_file_that_breaks_off_keeps_its_length(tmp_path: Path) -> None:
    whole, path = encoded("FLAC", "PCM_16"), tmp_path / "x.flac"
    path.write_bytes(whole[: len(whole) * 6 // 10])
    with pytest.warns(UserWarning, match=r":3.000 s cannot be decoded"):
        recording = read(path)
    first = recording.lost[0][0]
    assert recording.samples.shape == music().shape
    np.testing.assert_array_equal(recording.samples[:, :first], decoded(whole)[:, :first])


@pytest.mark.parametrize("name", ["WAV", "AIFF", "WAVEX"])
def test_what_a_wave_file_promises_and_does_not_hold_is_said(tmp_path: Path, name: str) -> None:
    whole, path = encoded(name, "PCM_16"), tmp_path / "x.wav"
    path.write_bytes(whole[: len(whole) * 6 // 10])
    with pytest.warns(UserWarning, match=r"promises 3.000 s in its header, 1.\d\d\d s could be read"):
        recording = read(path)
    length = recording.samples.shape[-1]
    assert length > 1.79 * RATE
    np.testing.assert_array_equal(recording.samples, decoded(whole)[:, :length])


@pytest.mark.parametrize("told", [0, 2**32 - 1, 4000])
def test_a_recorder_that_did_not_finish_its_header_loses_nothing(tmp_path: Path, told: int) -> None:
    data, path = bytearray(encoded("WAV", "PCM_16")), tmp_path / "x.wav"
    wanted = decoded(bytes(data))
    at = data.index(b"data") + 4
    data[at : at + 4] = struct.pack("<I", told)
    path.write_bytes(data)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        recording = read(path)
    np.testing.assert_array_equal(recording.samples, wanted)
    assert bool(caught) == (told == 4000)
    # Written again, it has a header that is right.
    path.write_bytes(encode(recording))
    np.testing.assert_array_equal(silently(path).samples, wanted)


def _convert(tmp_path: Path, name: str, *flags: str) -> Path:
    plain, made = tmp_path / "plain.wav", tmp_path / name
    plain.write_bytes(encoded("WAV", "PCM_16"))
    subprocess.run(["ffmpeg", "-y", "-v", "error", "-i", plain, *flags, made], check=True)
    return made


@ffmpeg
@pytest.mark.parametrize(
    ("name", "flags"),
    [("x.m4a", ("-c:a", "alac")), ("x.ogg", ("-c:a", "flac")), ("x.mka", ("-c:a", "pcm_s16le")),
     ("x.wv", ()), ("x.tta", ())],
)  # fmt: skip
def test_what_ffmpeg_reads_without_loss_is_exact(tmp_path: Path, name: str, flags: tuple[str, ...]) -> None:
    path = _convert(tmp_path, name, *flags)
    recording = silently(path)
    np.testing.assert_array_equal(recording.samples, decoded(encoded("WAV", "PCM_16")))
    assert recording.subtype == "PCM_16"
    assert files.output_format(Path("x.flac"), recording) == ("FLAC", "PCM_16")


@ffmpeg
@pytest.mark.parametrize("name", ["x.m4a", "x.wma", "x.webm", "x.mp4", "x.ac3"])
def test_what_ffmpeg_reads_with_loss_is_kept_in_floating_point(tmp_path: Path, name: str) -> None:
    path = _convert(tmp_path, name)
    recording = silently(path)
    assert recording.samples.shape[-1] >= 2.9 * recording.sample_rate
    assert files.output_format(Path("x.wav"), recording) == ("WAV", "FLOAT")


def test_without_ffmpeg_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.m4a"
    path.write_bytes(b"\0\0\0\x20ftypM4A " + bytes(100))
    monkeypatch.setattr(sources.shutil, "which", lambda program: None)
    with pytest.raises(InputError, match=r"x.m4a .* without the program ffmpeg .* install it") as caught:
        read(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("make", [lambda path: path.write_bytes(np.random.default_rng(0).bytes(60000))])
def test_noise_is_no_audio(tmp_path: Path, make: Callable[[Path], int]) -> None:
    for name in ("x.mp3", "x.ogg", "x.bin"):
        make(tmp_path / name)
        with pytest.raises(InputError, match="not audio"):
            read(tmp_path / name)


def test_a_name_may_be_in_no_encoding(tmp_path: Path) -> None:
    path = Path(str(tmp_path / "x") + "\udce9.wav")
    path.write_bytes(encoded("WAV", "PCM_16"))
    assert silently(path).samples.shape == (2, 3 * RATE)


def test_samples_that_are_no_numbers_are_lost_where_that_is_allowed(tmp_path: Path) -> None:
    samples = music()
    samples[1, 1000:1010] = np.nan
    samples[0, 2000] = np.inf
    path = tmp_path / "x.wav"
    soundfile.write(path, samples.T, RATE, "DOUBLE")
    with pytest.raises(InputError, match="NaN"):
        read(path)
    recording = read(path, finite=False)
    assert recording.lost == ((1000, 1010), (2000, 2001))
    np.testing.assert_array_equal(recording.samples, samples)


def test_frames_of_free_format_and_of_text_are_none() -> None:
    assert mpeg.scan(b"\xff\xfb\x00\x00" * 300) is None
    assert mpeg.scan(b"Dear diary,\n" * 300) is None
    assert mpeg.scan(b"") is None
