"""Draw the pictures of the pages in docs/images/, from real runs: python docs/pictures.py [NAME...]

Five-second excerpts of the example clip, mono at 16 kHz, the mini prior, default settings; a run takes about half a
minute of one core. What a run prints goes to the terminal: the pages quote it.
"""

from __future__ import annotations

import io
import shlex
import sys
import tempfile
from contextlib import chdir
from pathlib import Path

import numpy as np
from PIL import Image

from diffmusic.audio import files
from diffmusic.audio.resample import resample
from diffmusic.cli import cli
from diffmusic.reports.spectrograms import spectrograms

CLIP = Path(__file__).parents[1] / "examples" / "clip.flac"
SONG = CLIP.with_name("song.flac")
IMAGES = Path(__file__).parent / "images"
RATE = 16000
LARGEST = 120_000  # bytes

SOLVE = {
    "inpainting": "solve inpainting first.flac --gap 2:3 --solver diffmusic --simulate",
    "resampling": "solve resampling first.flac --simulate",
    "stft-magnitude": "solve stft-magnitude first.flac --simulate",
    "mixing": "solve mixing first.flac second.flac --simulate",
    "reverb": "solve reverb first.flac --decay 0.8 --simulate",
}
"""Runs that draw themselves, by ``--plot``."""
_EDIT = 'edit first.flac --source "flute, strings, bass and drums" --target "xylophone, strings, bass and drums"'
_SONG = "solve inpainting song.flac --gap 12:14 --simulate"
OTHERS: dict[str, tuple[list[str], dict[str, str]]] = {
    "edit": (
        [f"{_EDIT} -o edited.flac", f"{_EDIT} --strength 8 -o more.flac"],
        {"the recording": "first.flac", "edited": "edited.flac", "edited at strength 8": "more.flac"},
    ),
    "explore": (
        ["explore first.flac --components 1 -o found"],
        {"less of it": "found/pc1-minus.flac", "the recording": "first.flac", "more of it": "found/pc1-plus.flac"},
    ),
    "repeat": (
        [f"{_SONG} --solver repeat -o repeat.flac", f"{_SONG} --solver interpolate -o interpolate.flac"],
        {"two seconds lost": "lost.flac", "interpolate": "interpolate.flac", "repeat": "repeat.flac",
         "the recording": "song.flac"},
    ),
    "detect": (
        ["detect broken.flac", "solve inpainting broken.flac --gap auto -o mended.flac"],
        {"three dropouts and five clicks": "broken.flac", "mended": "mended.flac", "the recording": "song.flac"},
    ),
}  # fmt: skip
"""Other runs, and the files that a picture of each shows."""
SHOWN = {"repeat": (9.0, 17.0), "detect": (9.0, 17.0)}
"""Seconds that a picture shows of its files, where it is not all of them."""


def excerpts() -> None:
    """Write first.flac and second.flac, seconds 0 to 5 and 5 to 10 of the clip, the song, and it damaged."""
    clip = files.read(CLIP)
    mono = resample(clip.samples.mean(0, keepdims=True), clip.sample_rate, RATE)
    for number, name in enumerate(("first.flac", "second.flac")):
        samples = mono[:, 5 * RATE * number : 5 * RATE * (number + 1)]
        Path(name).write_bytes(files.encode(files.with_samples(clip, samples, RATE)))
    song = files.read(SONG)
    Path("song.flac").write_bytes(files.encode(song))
    lost = song.samples.copy()
    lost[:, 12 * song.sample_rate : 14 * song.sample_rate] = 0
    Path("lost.flac").write_bytes(files.encode(files.with_samples(song, lost)))
    broken, draws = song.samples.copy(), np.random.default_rng(0)
    for seconds, length in ((10.0, 0.08), (12.5, 0.4), (15.2, 0.15)):
        broken[:, round(seconds * song.sample_rate) : round((seconds + length) * song.sample_rate)] = 0
    for seconds in (9.6, 11.3, 13.7, 14.4, 16.1):
        start = round(seconds * song.sample_rate)
        broken[:, start : start + 20] += 0.4 * draws.uniform(-1, 1, 20)
    Path("broken.flac").write_bytes(files.encode(files.with_samples(song, broken)))


def small(png: bytes) -> bytes:
    """The picture in 32 colours, as wide as ``LARGEST`` lets it be."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    for width in range(720, 300, -40):
        height = round(picture.height * width / picture.width)
        buffer = io.BytesIO()
        lean = picture.resize((width, height), Image.Resampling.LANCZOS).quantize(32, dither=Image.Dither.NONE)
        lean.save(buffer, "PNG", optimize=True)
        if buffer.tell() <= LARGEST:
            break
    return buffer.getvalue()


def draw(name: str) -> bytes:
    """The picture of that name, of a run in the working directory."""
    if name in SOLVE:
        cli.main([*shlex.split(SOLVE[name]), "--plot", f"{name}.png"], standalone_mode=False)
        return Path(f"{name}.png").read_bytes()
    runs, panels = OTHERS[name]
    for words in runs:
        cli.main(shlex.split(words), standalone_mode=False)
    shown = {title: files.read(Path(path)) for title, path in panels.items()}
    rate = next(iter(shown.values())).sample_rate
    start, stop = (round(seconds * rate) for seconds in SHOWN.get(name, (0.0, 1e6)))
    return spectrograms([(title, recording.samples[:, start:stop]) for title, recording in shown.items()], rate)


def main() -> None:
    for name in sys.argv[1:] or [*SOLVE, *OTHERS]:
        with tempfile.TemporaryDirectory() as folder, chdir(folder):
            excerpts()
            picture = small(draw(name))
        (IMAGES / f"{name}.png").write_bytes(picture)


if __name__ == "__main__":
    main()
