"""Discriminators that tell rendered music from a vocoder's, small enough for a CPU."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

PERIODS = (2, 3, 5, 7, 11)
RESOLUTIONS = ((512, 128), (1024, 256), (2048, 512))
Judgement = tuple[Tensor, list[Tensor]]


class Period(nn.Module):
    """Sees audio folded at one period, (batch, 1, time / period, period): patterns that repeat with it.

    Source: Kong et al., "HiFi-GAN", 2020, with a fraction of its channels.
    """

    def __init__(self, period: int, widths: Sequence[int] = (12, 32, 64, 96)) -> None:
        super().__init__()
        self.period = period
        pairs = zip((1, *widths), widths, strict=False)
        self.layers = nn.ModuleList(weight_norm(nn.Conv2d(a, b, (5, 1), (3, 1), (2, 0))) for a, b in pairs)
        self.head = weight_norm(nn.Conv2d(widths[-1], 1, (3, 1), padding=(1, 0)))

    def forward(self, audio: Tensor) -> Judgement:
        whole = functional.pad(audio, (0, -audio.shape[-1] % self.period))
        return _judge(whole.unflatten(-1, (-1, self.period))[:, None], self.layers, self.head)


class Resolution(nn.Module):
    """Sees the magnitudes of one STFT, (batch, 1, frames, bins).

    Source: Jang et al., "UnivNet", 2021, with a fraction of its channels.
    """

    def __init__(self, n_fft: int, hop: int, width: int = 12) -> None:
        super().__init__()
        self.n_fft, self.hop = n_fft, hop
        strides = (2, 2, 2, 1)
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(1 if k == 0 else width, width, (3, 7), (1, stride), (1, 3)))
            for k, stride in enumerate(strides)
        )
        self.head = weight_norm(nn.Conv2d(width, 1, 3, padding=1))

    def forward(self, audio: Tensor) -> Judgement:
        window = torch.hann_window(self.n_fft, device=audio.device)
        spectrum = torch.stft(audio, self.n_fft, self.hop, window=window, return_complex=True)
        # Compressed, so that quiet partials count beside loud ones.
        return _judge(spectrum.abs().clamp(min=1e-5).pow(0.3).mT[:, None], self.layers, self.head)


def _judge(x: Tensor, layers: nn.ModuleList, head: nn.Module) -> Judgement:
    features = []
    for layer in layers:
        x = functional.leaky_relu(layer(x), 0.1)
        features.append(x)
    return head(x), features


class Discriminators(nn.Module):
    """All periods and resolutions; audio (batch, time) to one judgement each."""

    def __init__(self) -> None:
        super().__init__()
        judges = [*(Period(period) for period in PERIODS), *(Resolution(*each) for each in RESOLUTIONS)]
        self.judges = nn.ModuleList(judges)

    def forward(self, audio: Tensor) -> list[Judgement]:
        return [judge(audio) for judge in self.judges]


def discriminator_loss(real: list[Judgement], fake: list[Judgement]) -> Tensor:
    """Hinge: ``mean max(0, 1 - D(x)) + mean max(0, 1 + D(G(m)))``, averaged over the judges."""
    terms = [
        functional.relu(1 - r).mean() + functional.relu(1 + f).mean() for (r, _), (f, _) in zip(real, fake, strict=True)
    ]
    return torch.stack(terms).mean()


def generator_loss(real: list[Judgement], fake: list[Judgement]) -> tuple[Tensor, Tensor]:
    """``-mean D(G(m))``, and the feature matching ``mean |F(x) - F(G(m))| / mean |F(x)|``, averages over judges."""
    fooling = torch.stack([-f.mean() for f, _ in fake]).mean()
    matching = [
        (r.detach() - f).abs().mean() / r.detach().abs().mean().clamp(min=1e-4)
        for (_, real_features), (_, fake_features) in zip(real, fake, strict=True)
        for r, f in zip(real_features, fake_features, strict=True)
    ]
    return fooling, torch.stack(matching).mean()
