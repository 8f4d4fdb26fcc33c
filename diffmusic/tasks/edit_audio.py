"""Edit of a recording by an editor with a model of its own: audio in, audio out, and the rest put back."""

from __future__ import annotations

import time

import numpy as np

from diffmusic.audio.resample import resample
from diffmusic.audio.signal import Patch, Patched, Signal
from diffmusic.editor.contract import AudioEditor
from diffmusic.errors import Diverged, InputError
from diffmusic.prior.backbone import Costs
from diffmusic.prior.progress import ProgressCallback
from diffmusic.tasks import segments as places
from diffmusic.tasks.edit_result import EditedSignals
from diffmusic.tasks.segments import Segment
from diffmusic.tasks.settings import EditSettings, several


def edited_audio(
    signal: Signal,
    sample_rate: int,
    editor: AudioEditor,
    settings: EditSettings,
    *,
    progress: ProgressCallback | None = None,
) -> EditedSignals:
    """Edit a recording, of which only the stretch that changes is read.

    What the editor makes is brought to the recording's rate, length, channels and loudness (root mean square); the
    stretch is that of the segments, without context.

    Args:
        signal: The recording.
        sample_rate: Hz.
        editor: The editor.
        settings: Targets, segments, seed and samples; strength, steps and guidance are the editor's own business.
        progress: Callback for the share of the work that is done, 0 to 1.

    Raises:
        InputError: A target is missing, or a segment asks for what such an editor has not.
        Diverged: What the editor made is not finite.
    """
    started, targets = time.perf_counter(), several(settings.targets)
    segments = [Segment.parse(each) if isinstance(each, str) else each for each in settings.segments]
    if not targets:
        raise InputError("say what the music is to become: give a target")
    if any(each.prompt is not None or each.strength is not None for each in segments):
        raise InputError("this editor has one target and no strength: give segments as START:END alone")
    places.check(segments, signal.samples / sample_rate)
    start, stop = places.excerpt(segments, signal.samples / sample_rate, 0.0)
    first, last = round(start * sample_rate), round(stop * sample_rate)
    original = signal.read(first, last - first)
    times = (first + np.arange(last - first) + 0.5) / sample_rate
    mask = places.mask(segments, times, settings.fade)
    draws, count = [], len(targets) * settings.samples
    for number in range(count):
        target, sample = targets[number // settings.samples], number % settings.samples
        made, rate = editor.edit_audio(original, sample_rate, target, settings.seed + sample)
        fitted = _fitted(resample(made, rate, sample_rate), original)
        if not np.isfinite(fitted).all():
            raise Diverged("the edited audio is not finite")
        draws.append(Patched(signal, [Patch(first, mask * fitted + (1 - mask) * original)]))
        if progress:
            progress((number + 1) / count)
    return EditedSignals(
        draws=tuple(draws),
        round_trip=None,
        sample_rate=sample_rate,
        costs=Costs(),
        seconds=time.perf_counter() - started,
        sigmas=(),
        stretch=(first / sample_rate, last / sample_rate),
    )


def _fitted(made: np.ndarray, original: np.ndarray) -> np.ndarray:
    """Cut or pad to the original's length, copy or cut channels, and scale to its loudness; silence stays silent."""
    length = original.shape[-1]
    made = np.pad(made, ((0, 0), (0, max(0, length - made.shape[-1]))))[:, :length]
    made = made[[min(channel, len(made) - 1) for channel in range(len(original))]]
    own, wanted = (float(np.sqrt(np.mean(np.square(each)))) for each in (made, original))
    return made * (wanted / own) if own > 0 else made
