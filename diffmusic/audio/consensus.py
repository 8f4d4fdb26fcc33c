"""What the places that are most like a gap agree on: slow changes of level, band by band."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import uniform_filter1d

from diffmusic.audio.repetition import Match, balanced
from diffmusic.audio.song_features import Features, centres
from diffmusic.audio.stft import inverse, spectrum, windows_of

_POWER = 8.0
_CONTEXT = 2.0  # seconds
_SLOW = 0.1  # seconds
_SHORTEST = 0.2  # seconds of a gap
_WINDOW = 0.064  # seconds
_MOST = 1.5  # nats, 13 dB


@dataclass(frozen=True, eq=False)
class Consensus:
    """By how much a copy's bands are to be raised within a gap, nats, (frames, bands); frame ``t`` lies ``(t + 1/2)
    hop`` seconds behind its beginning.

        c = mean over 0.1 s of  sum_k w_k F_k / sum_k w_k - F_0,   w_k = (d_0 / d_k)^8

    ``F_k`` is the log-mel of the place ``k``, its bands raised as a copy's would be, ``d_k`` the distance of its
    context then; 0 is the place that is copied. A mean of several is nearer to what was lost than any of them, and
    would be no music: so the copy keeps all that changes fast. Where the recording repeats exactly ``d_0`` is 0, and so
    is ``c``.
    """

    change: np.ndarray
    hop: float

    @classmethod
    def of(cls, found: Features, start: float, stop: float, match: Match) -> Consensus | None:
        """Compare the places of a match; None for a gap that is short, pieced together, or has one place alone."""
        if len(match.pieces) > 1 or stop - start < _SHORTEST or len(match.others) < 2:
            return None
        chosen = match.pieces[0]
        places = [chosen, *(each for each in match.others if each is not chosen)]
        begin, end = round(start / found.hop), round(stop / found.hop)
        sides = [
            np.flatnonzero(found.mel_known[a:b]) + a
            for a, b in ((max(0, begin - round(_CONTEXT / found.hop)), begin), (end, end + round(_CONTEXT / found.hop)))
        ]
        rows, distances = [], []
        for each in places:
            move = round(each.shift / found.hop)
            there = [side[(side + move >= 0) & (side + move < len(found.mel))] for side in sides]
            there = [side[found.mel_known[side + move]] for side in there]
            gain, apart = balanced([found.mel[side] - found.mel[side + move] for side in there if len(side)])
            rows.append(found.mel[begin + move : end + move] + gain)
            distances.append(float(np.mean(apart)))
        distances[0] = chosen.distance
        weights = np.array([(chosen.distance / max(each, chosen.distance, 1e-9)) ** _POWER for each in distances])
        weights[0] = 1.0
        agreed = np.einsum("k,ktb->tb", weights / weights.sum(), np.stack(rows)) - rows[0]
        slow = uniform_filter1d(agreed, max(1, round(_SLOW / found.hop)), axis=0, mode="nearest")
        return cls(np.clip(slow, -_MOST, _MOST), found.hop)

    def applied(self, audio: np.ndarray, rate: int) -> np.ndarray:
        """Raise the bands of what a gap is filled with, (channels, samples): all channels alike, and nothing at the
        gap's edges, where the copy was fitted to what was observed."""
        if float(np.abs(self.change).max()) < 1e-6:
            return audio
        settings, count = windows_of(_WINDOW, rate), audio.shape[-1]
        times = (np.arange(1 + count // settings.hop)) * settings.hop / rate
        own = (np.arange(len(self.change)) + 0.5) * self.hop
        hertz = np.arange(settings.n_fft // 2 + 1) * rate / settings.n_fft
        bands = centres(rate)
        wide = np.stack([np.interp(hertz, bands, row) for row in self.change])
        gains = np.stack([np.interp(times, own, column) for column in wide.T], axis=1)
        edge = np.clip(np.minimum(times, count / rate - times) / (_SLOW / 2), 0, 1)
        bins = spectrum(torch.from_numpy(np.ascontiguousarray(audio)), settings)
        raised = bins * torch.from_numpy(np.exp(gains * edge[:, None]))
        return np.asarray(inverse(raised, settings, count).numpy())
