"""Specs of the solvers in this package; imports none of them."""

from diffmusic.plugins import Spec, hookimpl


def _spec(name: str, target: str, summary: str, role: str) -> Spec:
    return Spec(name, f"diffmusic_solvers.{target}", summary, role=role)


@hookimpl
def diffmusic_solvers() -> list[Spec]:
    return [
        _spec("auto", "auto:Auto", "each gap by linear prediction, by copying, or by a prior, whichever is best for it",
              "prior"),
        _spec("diffmusic", "diffmusic:DiffMusic", "vocoder-mel constraint on the clean latent (Algorithm 1)", "prior"),
        _spec("diffmusic-slerp", "diffmusic_slerp:DiffMusicSlerp", "the form of its released code: the noise is turned",
              "prior"),
        _spec("dps", "dps:DPS", "gradient on the noisy latent, through the network", "prior"),
        _spec("dps-jacobian-free", "dps_jacobian_free:JacobianFreeDPS", "the same without the network's derivative",
              "prior"),
        _spec("dsg", "dsg:DSG", "fresh noise turned towards the data, on a sphere", "prior"),
        _spec("mpgd", "mpgd:MPGD", "gradient on the predicted clean latent", "prior"),
        _spec("daps", "daps:DAPS", "prior step and data step apart, then fresh noise", "prior"),
        _spec("latent-daps", "latent_daps:LatentDAPS", "the same as published: ODE, then Langevin dynamics", "prior"),
        _spec("psld", "psld:PSLD", "dps, glued to what the encoder makes of the fitted audio", "prior"),
        _spec("sitcom", "sitcom:SITCOM", "the network's input optimised until what it denoises to fits", "prior"),
        _spec("red-diff", "red_diff:REDDiff", "regularisation by denoising of one estimate", "prior"),
        _spec("pnp-flow", "pnp_flow:PnPFlow", "data step, noise, denoiser, in turn", "prior"),
        _spec("flow-dps", "flow_dps:FlowDPS", "the flow's clean end fitted, its noisy end partly drawn anew", "prior"),
        _spec("flow-chef", "flow_chef:FlowChef", "Euler's step of the flow, less a gradient at its clean end", "prior"),
        _spec("flair", "flair:FLAIR", "one estimate, data met at every level, noise that follows the flow", "prior"),
        _spec("resample", "resample:ReSample", "data met in audio, then in the latents, and noised by what that earned",
              "prior"),
        _spec("reencode", "reencode:Reencode", "fits the decoded audio to the data, and encodes the change", "prior"),
        _spec("ditto", "ditto:DITTO", "the noise that a short sampler begins from is optimised", "prior"),
        _spec("enkg", "enkg:EnKG", "an ensemble guided by its own covariances; no gradient of anything", "prior"),
        _spec("repaint", "repaint:RePaint", "measured latents put into the walk; no gradient", "prior"),
        _spec("lanpaint", "lanpaint:LanPaint", "Langevin dynamics of both at every level; no gradient", "prior"),
        _spec("mmps", "mmps:MMPS", "the prior's covariance carries it to the rest", "prior"),
        _spec("interpolate", "interpolate:Interpolate", "autoregressive or linear bridge over lost stretches",
              "classical"),
        _spec("repeat", "repeat:Repeat", "copies what the song says again, where the surroundings match", "classical"),
        _spec("sinc", "sinc:Sinc", "band-limited interpolation to a higher rate", "classical"),
        _spec("declip", "declip:Declip", "what was clipped, from the spectrum of the rest", "classical"),
        _spec("griffin-lim", "griffin_lim:GriffinLim", "consistent phases for given magnitudes", "classical"),
        _spec("mixture", "mixture:Mixture", "each source its share of the mixture", "classical"),
        _spec("spectral-subtraction", "spectral_subtraction:SpectralSubtraction",
              "each bin by its signal-to-noise ratio", "classical"),
        _spec("wpe", "wpe:WPE", "takes off what the past predicts; the room need not be known", "classical"),
        _spec("wiener", "wiener:Wiener", "regularised inverse of a linear operator", "classical"),
        _spec("ddpm-inversion", "ddpm_inversion:DDPMInversion", "edit-friendly inversion: the recording in the noise",
              "editor"),
        _spec("posterior-pc", "posterior_pc:PosteriorPC", "directions that diffmusic explore found", "editor"),
        _spec("ddim-inversion", "ddim_inversion:DDIMInversion", "the sampler's equation up and down again", "editor"),
        _spec("cycle-diffusion", "cycle_diffusion:CycleDiffusion", "the sampler's own noise given the recording",
              "editor"),
        _spec("attention-control", "attention_control:AttentionControl",
              "inversion replayed with attention and features of the source", "editor"),
        _spec("flow-edit", "flow_edit:FlowEdit", "source and target on shared noise, nothing inverted", "editor"),
        _spec("flow-align", "flow_align:FlowAlign", "the same, guided from source to target, pulled back", "editor"),
        _spec("delta-velocity", "delta_velocity:DeltaVelocity", "the recording descends a difference of velocities",
              "editor"),
        _spec("sdedit", "sdedit:SDEdit", "noise added, and denoised towards the target", "editor"),
        _spec("fusion", "fusion:Fusion", "the original put into a walk towards a reference, at one level", "editor"),
    ]  # fmt: skip
