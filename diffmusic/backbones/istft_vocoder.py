"""A small vocoder that predicts a spectrogram and inverts it: log-mel frames to audio in one pass."""

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn
from torch.nn import functional

from diffmusic.audio.mel import LogMel, MelSpec
from diffmusic.audio.overlap_add import overlap_add


class ISTFTVocoder(ModelMixin, ConfigMixin):
    """``x = ISTFT(exp(a) * exp(i p))`` with ``a, p`` (log-magnitude, phase) from ConvNeXt blocks over the frames.

    What comes out should have the log-mel ``m`` that went in. A few corrections bring it closer: each scales the
    spectrogram, bin by bin, by what the bands ``B`` around the bin are off,

        S <- S * exp(B^T (m - M(x)) / B^T 1),    S = STFT(x),   x = ISTFT(S)

    as Griffin and Lim's iteration does with a known magnitude, only that the fine structure within a band is the
    network's and stays. They cost no parameters, and the network is trained through them.

    ``forward`` takes a log-mel (batch, frames, bands) and gives audio (batch, frames * hop): the calling convention
    of transformers' ``SpeechT5HifiGan``, whose place it takes in a pipeline folder. Every step is differentiable.
    The frames stay at the mel's own rate, so a second of audio costs ~0.5 GFLOP where a HiFi-GAN costs 100.
    Source: Siuzdak, "Vocos", 2023, for the network; the corrections are ours.
    """

    @register_to_config
    def __init__(
        self,
        model_in_dim: int = 64,
        width: int = 256,
        hidden: int = 768,
        depth: int = 6,
        n_fft: int = 640,
        hop: int = 160,
        sampling_rate: int = 16_000,
        mel_mean: float = -4.85,
        mel_std: float = 2.5,
        corrections: int = 4,
    ) -> None:
        super().__init__()
        self.log_mel = LogMel(MelSpec(sample_rate=sampling_rate, hop=hop, bands=model_in_dim, high=sampling_rate / 2))
        self.embed = nn.Conv1d(model_in_dim, width, 7, padding=3)
        self.norm_in = nn.LayerNorm(width, eps=1e-6)
        self.blocks = nn.ModuleList(ConvNeXtBlock(width, hidden, 1 / depth) for _ in range(depth))
        self.norm_out = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, n_fft + 2)
        for layer in self.modules():
            if isinstance(layer, nn.Conv1d | nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def forward(self, log_mel: Tensor) -> Tensor:
        """Log-mel (batch, frames, bands) to audio (batch, frames * hop)."""
        log_mel = torch.minimum(log_mel, self.loudest(log_mel))
        x = (log_mel - self.config.mel_mean) / self.config.mel_std
        x = self.norm_in(self.embed(x.transpose(1, 2)).transpose(1, 2))
        for block in self.blocks:
            x = block(x)
        x = self.norm_out(x)
        with torch.autocast(x.device.type, enabled=False):  # a phase of several turns needs more than 8 bits
            x = self.head(x.to(self.head.weight.dtype))
        x = x if x.dtype == torch.float64 else x.float()  # half-precision FFTs are rare and inexact
        # No real frame is louder than e^6 (a full-scale sine reaches n_fft / 4), and exp must not overflow early on.
        log_magnitude, phase = x.chunk(2, dim=-1)
        magnitude = log_magnitude.clamp(max=6.0).exp()
        with torch.autocast(x.device.type, enabled=False):
            audio = overlap_add(torch.polar(magnitude, phase), self.config.n_fft, self.config.hop)
            for _ in range(self.config.corrections):
                audio = self.correct(audio, log_mel.to(audio.dtype))
        return audio

    def loudest(self, like: Tensor) -> Tensor:
        """Twice what a sine of full scale has, ``log(n_fft max_k B_k)``, (bands,): no music comes near it. Latents far
        from any music decode to more, and the corrections would follow them to any level."""
        return (self.log_mel.filters(like).amax(1) * self.log_mel.spec.n_fft).clamp(min=1e-30).log()

    def correct(self, audio: Tensor, log_mel: Tensor) -> Tensor:
        """One correction of audio (batch, frames * hop) towards a log-mel (batch, frames, bands)."""
        spectrum = self.log_mel.spectrum(audio)
        error = log_mel - self.log_mel.of_magnitude(spectrum.abs())
        return overlap_add(self.log_mel.raised(spectrum, error.clamp(-3, 3)), self.log_mel.spec.n_fft, self.config.hop)


class ConvNeXtBlock(nn.Module):
    """``x + g * W2 gelu(W1 norm(depthwise(x)))`` over (batch, frames, width)."""

    def __init__(self, width: int, hidden: int, gain: float) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.expand = nn.Linear(width, hidden)
        self.contract = nn.Linear(hidden, width)
        self.gain = nn.Parameter(torch.full((width,), gain))

    def forward(self, x: Tensor) -> Tensor:
        y = self.depthwise(x.transpose(1, 2)).transpose(1, 2)
        return x + self.gain * self.contract(functional.gelu(self.expand(self.norm(y))))
