"""Train the vocoder further, against discriminators: what spectral losses average away comes back.

    python -m training.train_adversarial --work training/work --minutes 40

Starts from the EMA of ``train_vocoder``.
"""

import torch

from diffmusic.audio.mel import LogMel
from diffmusic.backbones.istft_vocoder import ISTFTVocoder
from training.data import MEL, crops, fixed_crops, split
from training.discriminators import Discriminators, discriminator_loss, generator_loss
from training.loop import Run, options
from training.losses import spectral_loss
from training.tables import octave_levels

FOOLING, MATCHING = 0.05, 0.5
JUDGED = MEL.sample_rate // 2  # samples of each excerpt that the discriminators see: they cost more than the vocoder
WARMUP_STEPS = 150  # of the discriminators alone


def main() -> None:
    chosen = options(__doc__, minutes=40, batch=12)
    clips, log_mel = split(chosen.work, "train"), LogMel(MEL)
    held_out = fixed_crops(split(chosen.work, "validation"), 12, 5 * MEL.sample_rate)

    vocoder, judges = ISTFTVocoder(), Discriminators().to(chosen.device)
    vocoder.load_state_dict(torch.load(chosen.work / "vocoder.pt", map_location="cpu", weights_only=False)["ema"])
    judging = torch.optim.AdamW(judges.parameters(), lr=4e-4, betas=(0.8, 0.99))
    run = Run("adversarial", vocoder, chosen, rate=2e-4, decay=0.998, others={"judges": judges, "judging": judging})

    @torch.no_grad()
    def validate() -> dict[str, float]:
        audio = held_out.to(chosen.device)
        mel = log_mel(audio)
        estimate = run.ema(mel)
        levels = (octave_levels(estimate) - octave_levels(audio)).mean(0)
        return {
            "mel_l1": (log_mel(estimate) - mel).abs().mean().item(),
            "spectral": spectral_loss(estimate, audio).item(),
            "octaves_db": levels.abs().mean().item(),
        }

    for step in run:
        audio = crops(clips, chosen.batch, MEL.sample_rate, run.generator).to(chosen.device)
        mel = log_mel(audio)
        with run.autocast():
            estimate = run.model(mel)

        start = int(torch.randint(MEL.sample_rate - JUDGED + 1, (), generator=run.generator))
        true, made = (x[:, start : start + JUDGED] for x in (audio, estimate))
        with run.autocast():
            verdict = discriminator_loss(judges(true), judges(made.detach()))
        judging.zero_grad(set_to_none=True)
        verdict.backward()
        judging.step()
        if step < WARMUP_STEPS:
            continue

        with torch.no_grad(), run.autocast():
            real = judges(true)
        with run.autocast():
            fooling, matching = generator_loss(real, judges(made))
        fit = spectral_loss(estimate, audio) + (log_mel(estimate) - mel).abs().mean()
        run.update(fit + FOOLING * fooling + MATCHING * matching)
        if run.due(seconds=180):
            run.record(validate() | {"judges": verdict.item(), "matching": matching.item()})


if __name__ == "__main__":
    main()
