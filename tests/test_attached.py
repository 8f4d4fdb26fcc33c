"""Chunks, tags and pictures: byte for byte where the kind of file stays, under their names where it changes."""

import io
import json
import shutil
import struct
import subprocess
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mutagen import flac, id3, mp3, oggopus, oggvorbis

from diffmusic.audio import chunks
from diffmusic.audio.attached import Attached
from diffmusic.audio.files import Recording, encode, output_format, read, with_samples
from diffmusic.audio.tags import Tags

RATE = 44100
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415408d763f8cfc0000003010100"
    "18dd8db00000000049454e44ae426082"
)


def tone(seconds: float = 0.3, channels: int = 2) -> np.ndarray:
    return np.tile(0.4 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * RATE)) / RATE), (channels, 1))


def chunk(name: bytes, content: bytes, order: str = "<") -> bytes:
    return name + struct.pack(f"{order}I", len(content)) + content + bytes(len(content) % 2)


def riff(audio: bytes, before: bytes, after: bytes, between: bytes = b"") -> bytes:
    """A WAV file with more chunks: in front, between format and samples, and behind."""
    at = audio.index(b"data")
    body = b"WAVE" + before + audio[12:at] + between + audio[at:] + after
    return b"RIFF" + struct.pack("<I", len(body)) + body


BEXT = chunk(b"bext", b"Take 4".ljust(256, b"\0") + b"2024-03-0110:11:12".rjust(90, b"\0") + bytes(257))
CUE = chunk(b"cue ", struct.pack("<III4sIII", 1, 1, 4410, b"data", 0, 0, 4410))
LABELS = chunk(b"LIST", b"adtl" + chunk(b"labl", struct.pack("<I", 1) + b"Verse\0"))
SMPL = chunk(b"smpl", struct.pack("<9I", 0, 0, 22675, 60, 0, 0, 0, 1, 0) + struct.pack("<6I", 0, 0, 441, 882, 0, 0))
INFO = chunk(b"LIST", b"INFO" + chunk(b"INAM", b"Title\0") + chunk(b"IENG", "Jürgen\0".encode()))
IXML = chunk(b"iXML", b"<BWFXML><SCENE>12</SCENE></BWFXML>!")


def layout(data: bytes) -> list[tuple[bytes, bytes]]:
    """The chunks of a RIFF or AIFF file but the samples."""
    form = chunks.form(io.BytesIO(data))
    assert form is not None
    found, _ = chunks.find(io.BytesIO(data), form)
    return [(each.name, data[each.at : each.at + each.size]) for each in found if each.name != form.data]


def repaired(recording: Recording) -> Recording:
    """Other samples in the middle, as a restoration has them."""
    samples = recording.samples.copy()
    samples[:, 1000:1100] *= 0.5
    return with_samples(recording, samples)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_U8", "FLOAT", "ULAW"])
@pytest.mark.parametrize("name", ["WAV", "WAVEX"])
def test_a_wave_file_keeps_every_chunk_in_its_place(tmp_path: Path, name: str, subtype: str) -> None:
    plain = encode(Recording(tone(), RATE, name, subtype))
    data = riff(plain, BEXT + IXML, CUE + LABELS + SMPL + INFO, chunk(b"JUNK", bytes(27)))
    path = tmp_path / "x.wav"
    path.write_bytes(data)
    again = encode(repaired(read(path)))
    assert len(again) == len(data)
    form = chunks.FORMS[0]
    found, _ = chunks.find(io.BytesIO(data), form)
    samples = next(each for each in found if each.name == b"data")
    peak = next((each.at for each in found if each.name == b"PEAK"), None)
    differ = np.flatnonzero(np.frombuffer(data, np.uint8) != np.frombuffer(again, np.uint8))
    inside = (differ >= samples.at) & (differ < samples.at + samples.size)
    assert inside.any()
    assert all(peak is not None and peak <= place < peak + 24 for place in differ[~inside])


def test_the_places_of_loudspeakers_are_kept(tmp_path: Path) -> None:
    data = bytearray(encode(Recording(tone(channels=4), RATE, "WAVEX", "PCM_24")))
    at = data.index(b"fmt ") + 8
    data[at + 18 : at + 20] = struct.pack("<H", 20)  # bits that count
    data[at + 20 : at + 24] = struct.pack("<I", 0x33)  # the mask of a square
    (tmp_path / "x.wav").write_bytes(data)
    assert dict(layout(encode(repaired(read(tmp_path / "x.wav")))))[b"fmt "] == data[at : at + 40]


def test_an_aiff_file_keeps_its_chunks(tmp_path: Path) -> None:
    plain = encode(Recording(tone(), RATE, "AIFF", "PCM_16"))
    mark = chunk(b"MARK", struct.pack(">HHIB", 1, 1, 4410, 5) + b"Verse", ">")
    more = mark + chunk(b"NAME", b"Title", ">") + chunk(b"ANNO", b"made by hand", ">") + chunk(b"APPL", b"abcd", ">")
    body = plain[8:] + more
    (tmp_path / "x.aiff").write_bytes(b"FORM" + struct.pack(">I", len(body)) + body)
    recording = read(tmp_path / "x.aiff")
    assert encode(recording) == (tmp_path / "x.aiff").read_bytes()
    assert recording.tags.texts == {"title": ("Title",), "comment": ("made by hand",)}


def test_what_means_samples_goes_with_another_length_and_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(riff(encode(Recording(tone(), RATE, "WAV", "PCM_16")), BEXT, CUE + LABELS + SMPL + INFO))
    recording = read(path)
    shorter, faster = recording.samples[:, :-1], with_samples(recording, recording.samples, 48000)
    for other in (with_samples(recording, shorter), faster):
        with pytest.warns(UserWarning, match="WAV keeps no cue, LISTadtl, smpl"):
            names = [name for name, _ in layout(encode(other))]
        assert names == [b"bext", b"fmt ", b"LIST"]


def test_another_encoding_keeps_the_chunks_and_describes_itself(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(riff(encode(Recording(tone(), RATE, "WAV", "PCM_16")), BEXT, CUE))
    data = encode(replace(read(path), subtype="FLOAT"))
    assert [name for name, _ in layout(data)] == [b"bext", b"fmt ", b"fact", b"PEAK", b"cue "]
    path.write_bytes(data)
    np.testing.assert_array_equal(read(path).samples, np.rint(tone() * 2**15) / 2**15)


def test_a_long_wave_file_says_both_of_its_lengths(tmp_path: Path) -> None:
    recording = Recording(tone(), RATE, "RF64", "PCM_16", Attached(tags=Tags.of(title="Long")))
    data = encode(recording)
    assert data[:4] == b"RF64"
    assert struct.unpack("<Q", data[20:28])[0] == len(data) - 8
    (tmp_path / "x.wav").write_bytes(data)
    again = read(tmp_path / "x.wav")
    assert (again.format, again.samples.shape, again.tags.texts) == ("RF64", tone().shape, {"title": ("Long",)})


def id3_block() -> bytes:
    block = id3.ID3()
    block.add(id3.TIT2(encoding=3, text=["Étude"]))
    block.add(id3.TPE1(encoding=3, text=["A", "B"]))
    block.add(id3.TPE2(encoding=3, text=["AA"]))
    block.add(id3.TDRC(encoding=3, text=["2021-05-06"]))
    block.add(id3.TPOS(encoding=3, text=["1/2"]))
    block.add(id3.TSRC(encoding=3, text=["USRC17607839"]))
    block.add(id3.TXXX(encoding=3, desc="REPLAYGAIN_TRACK_GAIN", text=["-6.50 dB"]))
    block.add(id3.USLT(encoding=3, lang="eng", desc="", text="La"))
    block.add(id3.COMM(encoding=3, lang="eng", desc="", text=["Cm"]))
    block.add(id3.APIC(encoding=3, mime="image/png", type=3, desc="front", data=PNG))
    block.add(id3.PRIV(owner="x", data=b"secret"))
    out = io.BytesIO()
    block.save(out)
    return out.getvalue()


TEXTS = {
    "title": ("Étude",), "artist": ("A", "B"), "albumartist": ("AA",), "date": ("2021-05-06",), "discnumber": ("1/2",),
    "isrc": ("USRC17607839",), "replaygain_track_gain": ("-6.50 dB",), "lyrics": ("La",), "comment": ("Cm",),
}  # fmt: skip


@pytest.fixture
def tagged(tmp_path: Path) -> Path:
    """An MP3 file with tags of both versions, and a picture."""
    path = tmp_path / "tagged.mp3"
    old = b"TAG" + b"Etude".ljust(124, b"\0") + b"\xff"
    path.write_bytes(id3_block() + encode(Recording(tone(), RATE, "MP3", "MPEG_LAYER_III")) + old)
    return path


def test_an_mp3_keeps_its_tags_byte_for_byte(tagged: Path) -> None:
    data, again = tagged.read_bytes(), encode(repaired(read(tagged)))
    size = len(id3_block())
    assert (again[:size], again[-128:]) == (data[:size], data[-128:])
    assert again[size:-128] != data[size:-128]


@pytest.mark.skipif(shutil.which("ffprobe") is None, reason="needs the program ffprobe")
def test_ffprobe_sees_the_same_tags(tagged: Path, tmp_path: Path) -> None:
    def seen(path: Path) -> object:
        words = ["ffprobe", "-v", "error", "-show_entries", "format_tags:stream=codec_name", "-of", "json", str(path)]
        return json.loads(subprocess.run(words, capture_output=True, check=True).stdout)

    (tmp_path / "again.mp3").write_bytes(encode(repaired(read(tagged))))
    assert seen(tmp_path / "again.mp3") == seen(tagged)


@pytest.mark.parametrize("name", ["x.flac", "x.ogg", "x.wav", "x.aiff", "x.opus"])
def test_tags_and_pictures_go_from_one_kind_to_another(tagged: Path, tmp_path: Path, name: str) -> None:
    recording = read(tagged)
    assert recording.tags.texts == TEXTS
    if name == "x.opus":
        recording = with_samples(recording, recording.samples, 48000)
    kind, subtype = output_format(Path(name), recording)
    with pytest.warns(UserWarning, match="keeps no PRIV"):
        (tmp_path / name).write_bytes(encode(replace(recording, format=kind, subtype=subtype)))
    again = read(tmp_path / name)
    assert again.tags.texts == TEXTS
    [picture] = [flac.Picture(each) for each in again.tags.pictures]
    assert (picture.data, picture.type, picture.mime, picture.desc) == (PNG, 3, "image/png", "front")
    # And from there to its own kind, twice the same.
    assert read_again(again, tmp_path / name) == again.attached


def read_again(recording: Recording, path: Path) -> Attached:
    path.write_bytes(encode(recording))
    return read(path).attached


def test_other_programs_find_them(tagged: Path, tmp_path: Path) -> None:
    recording = read(tagged)
    with warnings.catch_warnings(record=True):
        flac_bytes = encode(replace(recording, format="FLAC", subtype="PCM_16"))
        ogg_bytes = encode(replace(recording, format="OGG", subtype="VORBIS"))
        opus_bytes = encode(replace(recording, format="OGG", subtype="OPUS", sample_rate=48000))
    opened: Any = flac.FLAC(io.BytesIO(flac_bytes))
    assert opened["albumartist"] == ["AA"]
    assert opened.pictures[0].data == PNG
    kind: Any
    for kind, data in ((oggvorbis.OggVorbis, ogg_bytes), (oggopus.OggOpus, opus_bytes)):
        assert kind(io.BytesIO(data))["isrc"] == ["USRC17607839"]
    (tmp_path / "x.flac").write_bytes(flac_bytes)
    back = encode(replace(read(tmp_path / "x.flac"), format="MP3", subtype="MPEG_LAYER_III"))
    tags: Any = mp3.MP3(io.BytesIO(back)).tags
    assert tags["TXXX:replaygain_track_gain"].text == ["-6.50 dB"]
    assert tags["USLT::XXX"].text == "La"


def test_flac_blocks_are_kept_byte_for_byte(tmp_path: Path) -> None:
    made: Any = flac.FLAC(io.BytesIO(plain := encode(Recording(tone(), RATE, "FLAC", "PCM_16"))))
    made.add_tags()
    made.tags["TITLE"] = "Mixed Case"
    picture = flac.Picture()
    picture.data, picture.mime, picture.type = PNG, "image/png", 4
    made.add_picture(picture)
    file = io.BytesIO(plain)
    made.save(file, padding=lambda info: 333)
    path = tmp_path / "x.flac"
    path.write_bytes(file.getvalue())
    assert encode(read(path)) == file.getvalue()


def test_an_id3_tag_before_a_flac_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "x.flac"
    path.write_bytes(id3_block() + encode(Recording(tone(), RATE, "FLAC", "PCM_16")))
    recording = read(path)
    assert recording.tags.texts["albumartist"] == ("AA",)
    assert encode(recording) == path.read_bytes()


@pytest.mark.parametrize("name", ["W64", "AU"])
def test_a_kind_without_room_names_what_it_loses(name: str) -> None:
    recording = Recording(tone(), RATE, name, "PCM_16", Attached(tags=Tags.of(title="x")))
    with pytest.warns(UserWarning, match=f"{name} keeps no title"):
        encode(recording)


def test_nothing_is_lost_in_silence_from_riff_to_flac(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(riff(encode(Recording(tone(), RATE, "WAV", "PCM_16")), BEXT + IXML, CUE + INFO))
    with pytest.warns(UserWarning, match="FLAC keeps no bext, iXML, cue"):
        data = encode(replace(read(path), format="FLAC"))
    tags: Any = flac.FLAC(io.BytesIO(data)).tags
    assert tags.as_dict() == {"title": ["Title"], "engineer": ["Jürgen"]}
