"""The melody that MusicGen is led by: the strongest pitch class of each frame."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers.audio_utils import chroma_filter_bank

N_FFT, HOP = 16384, 4096


def melody(audio: Tensor, sample_rate: int, classes: int = 12) -> Tensor:
    """Return the one-hot chromagram of mono audio:

        c_t = argmax_k sum_f W_kf |X_tf|^2,   X the STFT with Hann windows of 16,384 samples, a quarter apart

    ``W`` are transformers' chroma filters; class 0 is C. A frame of silence is C. It is what transformers'
    MusicgenMelodyFeatureExtractor computes, which needs torchaudio.

    Args:
        audio: (time,); less than a window is padded on both sides.
        sample_rate: Hz, that of the model (32 kHz).
        classes: Pitch classes.

    Returns:
        (frames, classes), 0 or 1.
    """
    if (missing := N_FFT - len(audio)) > 0:
        audio = torch.nn.functional.pad(audio, (missing // 2, missing - missing // 2))
    window = torch.hann_window(N_FFT, dtype=audio.dtype)
    spectrum = torch.stft(audio, N_FFT, HOP, window=window, return_complex=True).abs().square()
    filters = chroma_filter_bank(num_frequency_bins=N_FFT, num_chroma=classes, sampling_rate=sample_rate, tuning=0)
    energy = torch.from_numpy(filters).to(audio) @ spectrum
    return torch.nn.functional.one_hot(energy.argmax(0), classes).to(audio)
