"""Specs of the metrics in this package; imports none of them."""

from diffmusic.plugins import Spec, hookimpl


@hookimpl
def diffmusic_metrics() -> list[Spec]:
    def spec(name: str, target: str, summary: str, *tags: str) -> Spec:
        return Spec(name, f"diffmusic.metrics.{target}", summary, tags)

    return [
        spec("lsd", "lsd:lsd", "log-spectral distance at 16 kHz, log10 amplitude (lower is better)", "pair", "solve"),
        spec("lsd_power", "lsd_power:lsd_power", "log-spectral distance, log10 power (lower is better)", "pair"),
        spec("mel_l1", "mel_l1:mel_l1", "mean log-mel difference in nats (lower is better)", "pair", "solve"),
        spec("si_sdr", "si_sdr:si_sdr", "scale-invariant SDR in dB (higher is better)", "pair", "solve"),
        spec("sdr", "sdr:sdr", "SDR of BSS Eval v4 in dB (higher is better)", "pair"),
        spec("clap", "clap_score:ClapScore", "CLAP score: cosine to a prompt (higher is better)", "pair", "prompt"),
        spec("lpaps", "lpaps:LPAPS", "LPAPS as its published figures are computed (lower is better)", "pair"),
        spec("lpaps_channels", "lpaps:LPAPSChannels", "LPAPS with the norm of LPIPS (lower is better)", "pair"),
        spec("kl", "kl:KL", "KL divergence of a classifier's classes in nats (lower is better)", "pair"),
        spec("fad", "fad:FAD", "Fréchet audio distance (lower is better)", "set"),
        spec("fad_inf", "fad_inf:FADInfinity", "FAD extrapolated to infinitely many windows (lower is better)", "set"),
        spec("kad", "kad:KAD", "kernel audio distance: 100 MMD^2 (lower is better)", "set"),
    ]


@hookimpl
def diffmusic_embeddings() -> list[Spec]:
    def spec(name: str, summary: str) -> Spec:
        return Spec(name, f"diffmusic.metrics.embeddings:{name}", summary)

    return [
        spec("mini", "the small CLAP inside this package: windows of 5 s at 16 kHz, 128 dimensions"),
        spec("vae", "latents of the mini prior's encoder, or with vae:MODEL of another's, averaged over time"),
    ]
