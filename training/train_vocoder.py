"""Train the vocoder on true log-mels, with spectral losses only.

python -m training.train_vocoder --work training/work --minutes 75
"""

import torch

from diffmusic.audio.mel import LogMel
from diffmusic.backbones.istft_vocoder import ISTFTVocoder
from training.data import MEL, crops, fixed_crops, split
from training.loop import Run, options
from training.losses import spectral_loss


def main() -> None:
    chosen = options(__doc__, minutes=75, batch=24)
    clips, log_mel = split(chosen.work, "train"), LogMel(MEL)
    run = Run("vocoder", ISTFTVocoder(), chosen, rate=1e-3, decay=0.998)
    held_out = fixed_crops(split(chosen.work, "validation"), 12, 5 * MEL.sample_rate)

    @torch.no_grad()
    def validate() -> dict[str, float]:
        audio = held_out.to(chosen.device)
        mel = log_mel(audio)
        estimate = run.ema(mel)
        error = (log_mel(estimate) - mel).abs().mean()
        return {"mel_l1": error.item(), "spectral": spectral_loss(estimate, audio).item()}

    for _ in run:
        audio = crops(clips, chosen.batch, MEL.sample_rate, run.generator).to(chosen.device)
        mel = log_mel(audio)
        with run.autocast():
            estimate = run.model(mel)
        run.update(spectral_loss(estimate, audio) + (log_mel(estimate) - mel).abs().mean())
        if run.due(seconds=180):
            run.record(validate())


if __name__ == "__main__":
    main()
