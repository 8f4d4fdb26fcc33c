"""Random files, written by soundfile and by ffmpeg: what a repair did not concern comes back, sample and chunk."""

import io
import random
import shutil
import struct
import subprocess
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile

from diffmusic.audio import chunks, files
from diffmusic.audio.files import encode, output_format, read
from diffmusic.audio.formats import BITS, FORMATS
from diffmusic.tasks.restore import restore
from diffmusic_operators.inpainting import Inpainting
from diffmusic_solvers.interpolate import Interpolate

RATES = (8000, 11025, 16000, 22050, 32000, 44100, 48000, 88200, 96000)
EXACT = {
    ".wav": ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"),
    ".aiff": ("PCM_S8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"),
    ".flac": ("PCM_S8", "PCM_16", "PCM_24"),
    ".caf": ("PCM_16", "PCM_24", "FLOAT", "ALAC_16", "ALAC_24"),
    ".w64": ("PCM_16", "PCM_24", "FLOAT"),
    ".au": ("PCM_16", "PCM_24", "FLOAT", "ULAW"),
    ".rf64": ("PCM_16", "FLOAT"),
}
CODECS = {
    "x.wav": ("pcm_s16le", "pcm_s24le", "pcm_f32le", "pcm_alaw"), "x.aiff": ("pcm_s16be", "pcm_s24be"),
    "x.flac": ("flac",), "x.caf": ("pcm_s16be", "alac"), "x.au": ("pcm_s16be",), "x.m4a": ("alac",), "x.mka": ("flac",),
    "x.w64": ("pcm_s16le",), "x.wv": ("wavpack",), "x.ogg": ("flac",),
}  # fmt: skip


def sound(draw: random.Random, rate: int) -> np.ndarray:
    channels, length = draw.choice((1, 1, 2, 2, 3, 6, 8)), draw.randint(200, 9000)
    source = np.random.default_rng(draw.randrange(2**32))
    time = np.arange(length) / rate
    tones = sum(np.sin(2 * np.pi * hertz * time) for hertz in source.uniform(50, rate / 3, 3))
    return np.asarray(0.2 * tones + 0.05 * source.standard_normal((channels, length)))


def random_chunk(draw: random.Random, little: bool) -> tuple[bytes, bytes]:
    """A chunk that libsndfile reads, with a content that makes sense to it, or one that it does not know."""
    size = draw.choice((0, 1, 7, 28, 301))
    count = draw.randint(0, 3)
    if little:
        return draw.choice((
            (b"bext", draw.randbytes(602) + b"A=PCM"),
            (b"cue ", struct.pack("<I", count) + b"".join(
                struct.pack("<II4sIII", n, n * 9, b"data", 0, 0, n * 9) for n in range(count))),
            (b"smpl", struct.pack("<9I", 0, 0, 22675, 60, 0, 0, 0, 0, 0)),
            (b"LIST", b"adtl" + chunks.chunk(b"labl", struct.pack("<I", 1) + b"Verse\0")),
            (b"iXML", draw.randbytes(size)), (b"junk", bytes(size)), (b"XtrA", draw.randbytes(size)),
        ))  # fmt: skip
    return draw.choice((
        (b"MARK", struct.pack(">HHIB", 1, 1, 44, 5) + b"Verse"), (b"APPL", b"stoc" + draw.randbytes(size)),
        (b"xyz ", draw.randbytes(size)), (b"ANNO", b"by hand"),
    ))  # fmt: skip


def with_chunks(draw: random.Random, data: bytes) -> bytes:
    """A WAV or AIFF file with random chunks before and behind what describes and holds the audio."""
    little = data[:4] == b"RIFF"
    form = chunks.FORMS[0 if little else 1]
    found, _ = chunks.find(io.BytesIO(data), form)
    parts = [data[each.at - 8 : each.at + each.size + each.size % 2] for each in found]
    for _ in range(draw.randint(1, 6)):
        part = chunks.chunk(*random_chunk(draw, little), form)
        parts.insert(draw.choice((0, len(parts))), part)
    body = data[8:12] + b"".join(parts)
    return data[:4] + len(body).to_bytes(4, form.order) + body


def others(data: bytes) -> list[tuple[bytes, bytes]]:
    """The chunks of a file that are not made anew with its samples."""
    form = chunks.form(io.BytesIO(data))
    if form is None:
        return []
    return [(name, content) for name, content in chunks.parts(io.BytesIO(data), form) if content is not None]


def repaired(path: Path, draw: random.Random, out: Path) -> None:
    """Repair a random gap of a file, and compare what was outside with what soundfile reads of both."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recording = read(path)
    length, rate = recording.samples.shape[-1], recording.sample_rate
    start = draw.randrange(length - 60)
    stop = start + draw.randint(1, min(length // 2, length - start - 1))
    operator = Inpainting(gap=((start / rate, stop / rate),))
    result = restore(recording.samples, rate, operator, Interpolate(order=16))
    kind, subtype = output_format(out, recording)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = files.with_samples(recording, result.audio[0])
        out.write_bytes(encode(files.replace(made, format=kind, subtype=subtype)))
    again, again_rate = soundfile.read(out, dtype="float64", always_2d=True)
    assert (again_rate, again.T.shape) == (rate, recording.samples.shape)
    np.testing.assert_array_equal(again[:start].T, recording.samples[:, :start])
    np.testing.assert_array_equal(again[stop:].T, recording.samples[:, stop:])
    if path.suffix == out.suffix:
        assert others(out.read_bytes()) == others(path.read_bytes())
        assert soundfile.info(out).subtype == soundfile.info(path).subtype
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read(out).attached == recording.attached or path.suffix != out.suffix


@pytest.mark.parametrize("seed", range(60))
def test_what_soundfile_writes_comes_back(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    suffix = draw.choice(list(EXACT))
    subtype, rate = draw.choice(EXACT[suffix]), draw.choice(RATES)
    samples = sound(draw, rate)
    kind = draw.choice(("WAV", "WAVEX")) if suffix == ".wav" else FORMATS[suffix]
    buffer = io.BytesIO()
    top = 1 - 2.0 ** (1 - BITS.get(subtype, 24))
    soundfile.write(buffer, np.clip(samples, -1, top).T, rate, subtype, format=kind)
    data = buffer.getvalue()
    path = tmp_path / f"x{suffix}"
    path.write_bytes(with_chunks(draw, data) if suffix in (".wav", ".aiff") else data)
    repaired(path, draw, tmp_path / f"y{suffix}")


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the program ffmpeg")
@pytest.mark.parametrize("seed", range(24))
def test_what_ffmpeg_writes_comes_back(tmp_path: Path, seed: int) -> None:
    draw = random.Random(1000 + seed)
    name = draw.choice(list(CODECS))
    rate = draw.choice((22050, 44100, 48000))
    soundfile.write(tmp_path / "plain.wav", np.clip(sound(draw, rate)[:2], -1, 0.99).T, rate, "PCM_24")
    words = ["-i", str(tmp_path / "plain.wav"), "-c:a", draw.choice(CODECS[name]), "-metadata", "title=Étude"]
    subprocess.run(["ffmpeg", "-v", "error", *words, str(tmp_path / name)], check=True)
    suffix = Path(name).suffix if name in ("x.wav", "x.aiff", "x.flac", "x.caf", "x.au", "x.w64") else ".wav"
    repaired(tmp_path / name, draw, tmp_path / f"y{suffix}")
