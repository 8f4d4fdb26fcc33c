"""Input of a run: a measurement from a file, or clean files that are damaged first."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from diffmusic.audio import files
from diffmusic.audio.resample import resample
from diffmusic.audio.signal import Finite, Samples, Signal, whole
from diffmusic.errors import InputError
from diffmusic.parameters import bind
from diffmusic.problem.bound import BoundOperator
from diffmusic.problem.noise_part import around, deviation, forward, measured_deviation
from diffmusic.problem.operator import HasDamage, Operator, clean_rate, damage, is_spectrogram, observed_rate, sources
from diffmusic.tasks.offset import Survey
from diffmusic.tasks.passages import Damaged
from diffmusic.tasks.solving import Task

ARRAYS = (".npy", ".npz")


@dataclass(frozen=True)
class Measurement:
    """A measurement, and the truth where it is known.

    measured: audio at ``sample_rate`` Hz, or magnitudes, (channels, frames, bins).
    like: the file whose format the results take; its samples are not looked at.
    clean: the truth, at ``clean_rate``; for a mixture the channels of the first source come first.
    length: samples of the result at its own rate, where the measurement does not tell.
    noise_std: deviation of the noise in the measurement.
    survey: of the measurement, where it stays on file.
    """

    measured: Signal | np.ndarray
    sample_rate: int
    like: files.Recording
    clean: Signal | None = None
    length: int | None = None
    noise_std: float = 0.0
    survey: Survey | None = None

    @property
    def shape(self) -> list[int]:
        """Channels and samples, or the shape of the magnitudes."""
        measured = self.measured
        return list(measured.shape) if isinstance(measured, np.ndarray) else [measured.channels, measured.samples]

    def comparison(self, operator: Operator) -> Signal | None:
        """The measurement as audio of the shape of the truth; None if it is no audio."""
        if self.clean is None or isinstance(self.measured, np.ndarray):
            return None
        given, clean, rate = self.measured, self.clean, clean_rate(operator, self.sample_rate)
        if (given.channels, given.samples, self.sample_rate) == (clean.channels, clean.samples, rate):
            return given
        return Samples(like_truth(whole(given), self.sample_rate, whole(clean), rate))


def like_truth(measured: np.ndarray, measured_rate: int, clean: np.ndarray, rate: int) -> np.ndarray:
    """Measured audio at the rate and of the shape of the truth, (channels, time): a mixture once for every source."""
    audio = resample(measured, measured_rate, rate, clean.shape[-1])
    return np.tile(audio, (clean.shape[0] // audio.shape[0], 1))


def read(task: Task, path: Path, references: Sequence[Path] = ()) -> Measurement:
    """A measurement that a user has, and the true recordings, one for each source, where there are any.

    Audio of which the task needs passages alone stays on file, once all of it was looked at, and so does its truth.
    """
    operator, noise_std = task.operator, task.settings.noise_std
    if path.suffix.lower() in ARRAYS:
        if not is_spectrogram(operator):
            raise InputError(f"{path} holds an array; this operator measures audio: give an audio file")
        measured, rate = magnitudes(path), int(getattr(operator, "rate", 16000))
        given = Measurement(measured, rate, files.Recording(np.zeros((len(measured), 1)), rate), noise_std=noise_std)
    elif task.reach(files.find(path).sample_rate) is not None:
        like, signal, (survey, holes) = files.scanned(path, partial(_surveyed, operator, path))
        signal = Finite(signal) if holes else signal
        given = Measurement(signal, like.sample_rate, like, None, None, noise_std, survey)
    else:
        recording = _without_holes(operator, path, files.read(path, finite=not isinstance(operator, HasDamage)))
        spectrogram = is_spectrogram(operator)
        length = recording.samples.shape[-1] if spectrogram else None
        given = Measurement(Samples(recording.samples), recording.sample_rate, recording, None, length, noise_std)
    return dataclasses.replace(given, clean=_truth(operator, given, references)) if references else given


def _surveyed(operator: Operator, path: Path, rate: int, blocks: Iterator[np.ndarray]) -> tuple[Survey, bool]:
    """Sum up a recording that comes in blocks; and whether it holds samples that are no numbers, where they are lost
    anyway. Raises InputError for any elsewhere."""
    bound, holes = BoundOperator.unfitted(operator, rate), False

    def finite() -> Iterator[torch.Tensor]:
        nonlocal holes
        first = 0
        for block in blocks:
            wrong = ~np.isfinite(block).all(axis=0)
            if wrong.any():
                holes = True
                for start, stop in damage(bound.at(rate, first / rate).operator, len(wrong)):
                    wrong[start:stop] = False
                if wrong.any():
                    raise _unfit(path, (first + int(np.argmax(wrong))) / rate)
                block = np.where(np.isfinite(block), block, 0.0)
            first += block.shape[-1]
            yield torch.from_numpy(block)

    survey = Survey.of(bound, finite())
    return survey, holes


def _unfit(path: Path, place: float) -> InputError:
    return InputError(f"{path} holds NaN or infinite samples, the first at {place:.3f} s, where nothing is lost")


def _without_holes(operator: Operator, path: Path, recording: files.Recording) -> files.Recording:
    """The recording with silence for samples that are no numbers, which may lie where the operator lost them anyway.

    Raises InputError for any outside.
    """
    holes = ~np.isfinite(recording.samples).all(axis=0)
    if not holes.any():
        return recording
    for start, stop in damage(bind(operator, sample_rate=recording.sample_rate, offset=0.0), len(holes)):
        holes[start:stop] = False
    if holes.any():
        raise _unfit(path, int(np.argmax(holes)) / recording.sample_rate)
    finite = np.where(np.isfinite(recording.samples), recording.samples, 0.0)
    return files.with_samples(recording, finite)


def simulate(task: Task, paths: Sequence[Path], snr: float | None) -> Measurement:
    """Damage clean files: one, or all sources of a mixture. ``snr`` in dB sets the noise instead of that of the task.

    Raises InputError for sources that do not go together.
    """
    operator, settings = task.operator, task.settings
    if snr is None and task.reach(files.find(paths[0]).sample_rate) is not None:
        like, clean, _ = files.scanned(paths[0], partial(files.check_finite, paths[0]))
        return Measurement(Damaged.by(operator, clean, like.sample_rate), like.sample_rate, like, clean)
    recordings = [files.read(path) for path in paths]
    first = recordings[0]
    for path, each in zip(paths, recordings, strict=True):
        _same(path, each.sample_rate, each.samples.shape, first.sample_rate, first.samples.shape)
    audio = np.concatenate([each.samples for each in recordings])
    measured, observed, noise_std = damaged(operator, audio, first.sample_rate, settings.noise_std, snr, settings.seed)
    given = measured if is_spectrogram(operator) else Samples(measured)
    return Measurement(given, observed, first, Samples(audio), audio.shape[-1], noise_std)


def damaged(
    operator: Operator, clean: np.ndarray, rate: int, noise_std: float = 0.0, snr: float | None = None, seed: int = 0
) -> tuple[np.ndarray, int, float]:
    """What an operator leaves of clean audio, (channels, time) at ``rate``, where it mixes sources source after source:
    the measurement, its rate, and the deviation of the noise in it. Noise is added where it stands in a chain, or at
    the end."""
    observed = observed_rate(operator, rate)
    if clean_rate(operator, observed) != rate:
        raise InputError(f"`simulate` starts from the file's own {rate} Hz: leave the rate of the result out")
    operator = bind(operator, sample_rate=rate, measured_rate=observed, offset=0.0)
    x = torch.from_numpy(clean)[None]
    count = sources(operator)
    if count > 1:
        x = x.reshape(count, -1, x.shape[-1]).transpose(0, 1)  # (channels, sources, time)
    magnitudes = is_spectrogram(operator)
    before, after = ([operator], []) if magnitudes else around(operator)
    noise_std = noise_std or deviation(operator)
    y = forward(before, x)
    measured = (y[:, 0] if count > 1 else y[0]).numpy()
    noisy = clean if magnitudes else measured  # magnitudes are those of noisy audio
    if snr is not None:
        noise_std = float(np.sqrt(np.mean(np.square(noisy))) * 10 ** (-snr / 20))
    if noise_std > 0:
        noisy = noisy + noise_std * np.random.default_rng(seed).standard_normal(noisy.shape)
        measured = operator.forward(torch.from_numpy(noisy)[None])[0].numpy() if magnitudes else noisy
    if after:
        measured = forward(after, torch.from_numpy(measured)[None])[0].numpy()
    return measured, observed, measured_deviation(operator, noise_std)


def magnitudes(path: Path) -> np.ndarray:
    """Magnitudes from a NumPy file as ``librosa.stft`` lays them out, (bins, frames) or (channels, bins, frames), as
    (channels, frames, bins). Raises InputError for a file that holds something else."""
    try:
        array = np.load(path, allow_pickle=False)
        if isinstance(array, np.lib.npyio.NpzFile):
            array = array[array.files[0]]
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError, IndexError, EOFError) as error:
        raise InputError(f"{path} is not a NumPy file that can be read: {' '.join(str(error).split())}") from None
    if np.iscomplexobj(array):
        raise InputError(f"{path} holds complex numbers: give their magnitudes, np.abs(...)")
    if array.ndim not in (2, 3) or not np.issubdtype(array.dtype, np.number) or array.size == 0:
        raise InputError(f"{path} holds an array of shape {array.shape}; magnitudes are (bins, frames)")
    array = np.asarray(array, dtype=np.float64).reshape(-1, *array.shape[-2:])
    if not np.isfinite(array).all():
        raise InputError(f"{path} holds NaN or infinite values")
    return np.swapaxes(array, 1, 2)


def _truth(operator: Operator, given: Measurement, references: Sequence[Path]) -> Signal:
    if len(references) != sources(operator):
        raise InputError(f"{len(references)} references for {sources(operator)} sources: give one for each")
    if given.survey is not None:
        path = references[0]
        like, clean, _ = files.scanned(path, partial(files.check_finite, path))
        _same(path, like.sample_rate, (clean.channels, clean.samples), given.sample_rate, given.shape)
        return clean
    measured = given.measured if isinstance(given.measured, np.ndarray) else whole(given.measured)
    bound, y = BoundOperator.of(operator, measured, given.sample_rate)
    shape = len(measured), given.length or bound.length(y)
    recordings = [files.read(path) for path in references]
    for path, each in zip(references, recordings, strict=True):
        _same(path, each.sample_rate, each.samples.shape, bound.rate, shape)
    return Samples(np.concatenate([each.samples for each in recordings]))


def _same(path: Path, rate: int, shape: Sequence[int], other_rate: int, other: Sequence[int]) -> None:
    if (rate, tuple(shape)) != (other_rate, tuple(other)):
        raise InputError(
            f"{path} has {shape[0]} channels, {shape[1]} samples at {rate} Hz; expected were {other[0]}, {other[1]} at "
            f"{other_rate} Hz"
        )
