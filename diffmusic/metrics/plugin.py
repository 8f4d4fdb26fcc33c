"""What this package offers to diffmusic; imports no metric."""

from diffmusic.plugins import Spec, hookimpl


@hookimpl
def diffmusic_metrics() -> list[Spec]:
    return [
        Spec("lsd", "diffmusic.metrics.lsd:lsd", "log-spectral distance at 16 kHz, log10 amplitude (lower is better)"),
        Spec("mel_l1", "diffmusic.metrics.mel_l1:mel_l1", "mean log-mel difference in nats (lower is better)"),
        Spec("si_sdr", "diffmusic.metrics.si_sdr:si_sdr", "scale-invariant SDR in dB (higher is better)"),
    ]
