"""Specs of the metrics in this package; imports none of them."""

from diffmusic.plugins import Spec, hookimpl


@hookimpl
def diffmusic_metrics() -> list[Spec]:
    def pair(name: str, target: str, summary: str, *tags: str, higher: bool = False, reported: bool = False) -> Spec:
        target = f"diffmusic.metrics.{target}"
        return Spec(name, target, summary, tags, role="pair", higher_is_better=higher, reported=reported)

    def of_sets(name: str, target: str, summary: str) -> Spec:
        return Spec(name, f"diffmusic.metrics.{target}", summary, role="set", higher_is_better=False)

    return [
        pair("lsd", "lsd:lsd", "log-spectral distance at 16 kHz, log10 amplitude", reported=True),
        pair("lsd_power", "lsd_power:lsd_power", "log-spectral distance, log10 power"),
        pair("mel_l1", "mel_l1:mel_l1", "mean log-mel difference in nats", reported=True),
        pair("si_sdr", "si_sdr:si_sdr", "scale-invariant SDR in dB", higher=True, reported=True),
        pair("sdr", "sdr:sdr", "SDR of BSS Eval v4 in dB", higher=True),
        pair("clap", "clap_score:ClapScore", "CLAP score: cosine to a prompt", "prompt", higher=True),
        pair("lpaps", "lpaps:LPAPS", "LPAPS as its published figures are computed"),
        pair("lpaps_channels", "lpaps:LPAPSChannels", "LPAPS with the norm of LPIPS"),
        pair("kl", "kl:KL", "KL divergence of a classifier's classes in nats"),
        of_sets("fad", "fad:FAD", "Fréchet audio distance"),
        of_sets("fad_inf", "fad_inf:FADInfinity", "FAD extrapolated to infinitely many windows"),
        of_sets("kad", "kad:KAD", "kernel audio distance: 100 MMD^2"),
    ]


@hookimpl
def diffmusic_embeddings() -> list[Spec]:
    def spec(name: str, summary: str) -> Spec:
        return Spec(name, f"diffmusic.metrics.embeddings:{name}", summary)

    return [
        spec("mini", "the small CLAP inside this package: windows of 5 s at 16 kHz, 128 dimensions"),
        spec("vae", "latents of the mini prior's encoder, or with vae:MODEL of another's, averaged over time"),
    ]
