"""Train the small CLAP that conditions the UNet and judges what it makes: one space for captions and for music.

python -m training.train_clap --work training/work --minutes 24
python -m training.train_clap --stage judge --seed 1
"""

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import ByteLevelBPETokenizer
from torch import Tensor, nn
from torch.nn import functional
from transformers import ClapConfig, ClapFeatureExtractor, ClapModel, RobertaTokenizer

from training.captions import DENSITIES, TEMPI, captions, within
from training.corpus import Row, read_manifest
from training.data import MEL, split, to_float
from training.loop import Run, options
from training.piece import DRUMS

DIMENSIONS = 128
TOKENS = 64
FRAMES = 251  # of 5 s, as ClapFeatureExtractor frames it
SILENCE_DB = -100.0
WORDINGS = 48  # captions a clip in training; release embeds the first 16 of them
SHARPNESS, ASIDE = 10.0, 3.0  # scale of the unit vectors that attributes are read off, and the weight of doing so
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def build() -> ClapModel:
    """CLAP (Wu et al., arXiv:2211.06687) small: an HTSAT over 64 mels of 5 s, a RoBERTa of two layers."""
    text = {
        "vocab_size": 800, "hidden_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
        "intermediate_size": 192, "max_position_embeddings": TOKENS + 2,
    }  # fmt: skip
    audio = {
        "spec_size": 128, "num_mel_bins": 64, "window_size": 4, "patch_embeds_hidden_size": 24, "hidden_size": 192,
        "depths": [1, 2, 2, 1], "num_attention_heads": [2, 4, 4, 8], "num_hidden_layers": 4, "mlp_ratio": 2.0,
        "enable_fusion": False, "attention_probs_dropout_prob": 0.1, "drop_path_rate": 0.1,
    }  # fmt: skip
    return ClapModel(ClapConfig(text_config=text, audio_config=audio, projection_dim=DIMENSIONS))


def extractor() -> ClapFeatureExtractor:
    """What turns sounds into the model's input, for those who use it."""
    return ClapFeatureExtractor(
        feature_size=64, sampling_rate=MEL.sample_rate, hop_length=320, max_length_s=5, fft_window_size=1024,
        frequency_min=50, frequency_max=8000, truncation="rand_trunc", padding="repeatpad",
    )  # fmt: skip


def log_mel(audio: Tensor) -> Tensor:
    """``10 log10 max(|STFT|^2 F, 1e-10)`` of (batch, samples), as (batch, frames, 64): what `extractor` gives."""
    filters = torch.from_numpy(extractor().mel_filters_slaney).float().to(audio)
    window = torch.hann_window(1024, device=audio.device)
    power = torch.stft(audio, 1024, 320, window=window, return_complex=True).abs().square()
    return 10 * (power.mT @ filters).clamp(min=1e-10).log10()


def features(work: Path, name: str) -> np.ndarray:
    """The log-mels of all clips of a split, (clips, frames, 64) float16 in dB, memory-mapped; made on first use."""
    path = work / f"clap_features_{name}.npy"
    if not path.exists():
        clips = split(work, name)
        mels = [log_mel(to_float(clips[k : k + 16])).half().numpy() for k in range(0, len(clips), 16)]
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        with temporary.open("wb") as file:
            np.save(file, np.concatenate(mels))
        os.replace(temporary, path)
    return np.load(path, mmap_mode="r")


def rows_of(work: Path, name: str) -> list[Row]:
    """The manifest's rows of a split, in the order of `training.data.split`."""
    rows = [row for row in read_manifest(work / "corpus") if row["split"] == name]
    return sorted(rows, key=lambda row: row["clip"])


def tokenizer(work: Path) -> RobertaTokenizer:
    """Byte-level BPE of the training captions; trained on first use, then the same for every stage."""
    folder = work / "tokenizer"
    if not folder.exists():
        bpe = ByteLevelBPETokenizer()
        texts = [text for row in rows_of(work, "train") for text in captions(row, WORDINGS)]
        bpe.train_from_iterator(texts, 800, min_frequency=2, special_tokens=SPECIAL, show_progress=False)
        fresh = Path(tempfile.mkdtemp(dir=work, prefix=".tokenizer-"))
        bpe.save_model(str(fresh))
        about = {"tokenizer_class": "RobertaTokenizer", "model_max_length": TOKENS}
        (fresh / "tokenizer_config.json").write_text(json.dumps(about) + "\n")
        fresh.chmod(0o755)
        fresh.rename(folder)
    return RobertaTokenizer.from_pretrained(folder, local_files_only=True)


def tokenize(words: Any, texts: list[str]) -> tuple[Tensor, Tensor]:
    """Token ids and attention mask, (texts, length) each."""
    encoded = words(texts, padding="longest", truncation=True, max_length=TOKENS, return_tensors="pt")
    return encoded["input_ids"], encoded["attention_mask"]


def embed_text(model: ClapModel, ids: Tensor, mask: Tensor) -> Tensor:
    """Unit vectors (batch, 128)."""
    return _unit(model.get_text_features(input_ids=ids, attention_mask=mask))


def embed_audio(model: ClapModel, mel: Tensor) -> Tensor:
    """Unit vectors (batch, 128) of log-mels (batch, frames, 64)."""
    return _unit(model.get_audio_features(input_features=mel[:, None]))


def _unit(features: Any) -> Tensor:
    # Newer versions of transformers return an object that holds the vectors.
    return functional.normalize(getattr(features, "pooler_output", features).float(), dim=-1)


def info_nce(model: ClapModel, audio: Tensor, text: Tensor) -> Tensor:
    """``(CE(s_a A T') + CE(s_t T A')) / 2`` with the true pairs on the diagonal; A, T are unit vectors."""
    target = torch.arange(len(audio), device=audio.device)
    similarity = audio @ text.T
    forward = functional.cross_entropy(model.logit_scale_a.exp() * similarity, target)
    return (forward + functional.cross_entropy(model.logit_scale_t.exp() * similarity.T, target)) / 2


def attributes(row: Row) -> list[float]:
    """What is true of a clip, as bits: the families of General MIDI heard, drums, mode, tempo and density."""
    families = {entry["program"] // 8 for entry in row["programs"] if entry["role"] != DRUMS}
    said = [*within(row["tempo"], TEMPI), *within(row["density"], DENSITIES), row["mode"]]
    words = [word in said for word in ("slow", "fast", "sparse", "busy", "major", "minor")]
    return [float(bit) for bit in (*(family in families for family in range(16)), row["drums"], *words)]


def told(model: ClapModel, vectors: Tensor, bits: Tensor) -> Tensor:
    """Cross-entropy of the attributes read off unit vectors by one linear map, the same for sounds and captions.

    Contrast alone, over some hundreds of pieces, learns few directions; this keeps one for each attribute.
    """
    return functional.binary_cross_entropy_with_logits(model.attributes(SHARPNESS * vectors), bits)


def load(work: Path, stage: str = "clap") -> ClapModel:
    """The EMA of a stage, without what only training needs."""
    state = torch.load(work / f"{stage}.pt", map_location="cpu", weights_only=False)["ema"]
    model = build().eval().requires_grad_(False)
    model.load_state_dict({name: value for name, value in state.items() if not name.startswith("attributes.")})
    return model


def augment(mel: Tensor, generator: torch.Generator) -> Tensor:
    """A level of up to +-6 dB each, and one band of mels and two stretches of time set to the mean (SpecAugment)."""
    draw = torch.rand(6, len(mel), 1, generator=generator)
    mel = (mel + 12 * (draw[0][..., None] - 0.5)).clamp(min=SILENCE_DB)
    bands, frames = torch.arange(mel.shape[2])[None], torch.arange(mel.shape[1])[None]
    hidden = _stretch(bands, draw[1], draw[2], 12)[:, None]
    hidden = hidden | (_stretch(frames, draw[3], draw[4], 60) | _stretch(frames, draw[4], draw[5], 60))[..., None]
    return torch.where(hidden, mel.mean((1, 2), keepdim=True), mel)


def _stretch(index: Tensor, place: Tensor, width: Tensor, widest: int) -> Tensor:
    start, length = place * index.shape[1], width * widest
    return (index >= start) & (index < start + length)


def ranks(similarity: Tensor, pieces: np.ndarray) -> np.ndarray:
    """How many come before the first one of the same piece, by row."""
    order = similarity.argsort(dim=1, descending=True).cpu().numpy()
    return (pieces[order] == pieces[:, None]).argmax(1)


def save(model: ClapModel, work: Path, folder: Path) -> None:
    """Write FOLDER/{text_encoder,tokenizer,feature_extractor} for from_pretrained, as float16; the model becomes so."""
    model.half().save_pretrained(folder / "text_encoder")
    tokenizer(work)
    shutil.copytree(work / "tokenizer", folder / "tokenizer", dirs_exist_ok=True)
    extractor().save_pretrained(folder / "feature_extractor")


def main() -> None:
    chosen = options(__doc__, minutes=24, batch=64, stage="clap")
    words = tokenizer(chosen.work)
    mels, rows = features(chosen.work, "train"), rows_of(chosen.work, "train")
    of_piece: dict[str, list[int]] = {}
    for k, row in enumerate(rows):
        of_piece.setdefault(row["piece"], []).append(k)
    clips = list(of_piece.values())
    ids, mask = tokenize(words, [text for row in rows for text in captions(row, WORDINGS)])
    bits = torch.tensor([attributes(row) for row in rows])
    model = build()
    model.attributes = nn.Linear(DIMENSIONS, bits.shape[1])
    run = Run(chosen.stage, model, chosen, rate=1e-3, decay=0.998)

    held_out = rows_of(chosen.work, "validation")
    middle = torch.from_numpy(features(chosen.work, "validation")[:, 175 : 175 + FRAMES].astype(np.float32))
    asked = tokenize(words, [captions(row, 1)[0] for row in held_out])
    pieces = np.array([row["piece"] for row in held_out])
    held_bits = torch.tensor([attributes(row) for row in held_out])

    @torch.no_grad()
    def validate() -> dict[str, float]:
        audio = embed_audio(run.ema, middle.to(chosen.device))
        text = embed_text(run.ema, *(part.to(chosen.device) for part in asked))
        spread = text.T.cov().diagonal().sum().square() / text.T.cov().square().sum()  # participation ratio
        measures = {"validation_loss": info_nce(run.ema, audio, text).item(), "text_dimensions": spread.item()}
        for name, vectors in (("sound", audio), ("caption", text)):
            measures[f"attributes_{name}"] = told(run.ema, vectors, held_bits.to(chosen.device)).item()
        for name, similarity in (("text_audio", text @ audio.T), ("audio_text", audio @ text.T)):
            place = ranks(similarity, pieces)
            measures |= {f"{name}_{k}": float((place < k).mean()) for k in (1, 10)}
        return measures

    def batch() -> tuple[Tensor, ...]:
        # One clip a piece: the clips of a piece have the same captions.
        generator = run.generator
        chosen_pieces = torch.randperm(len(clips), generator=generator)[: chosen.batch].tolist()
        draws = torch.rand(3, len(chosen_pieces), generator=generator).tolist()
        at = [clips[piece][int(u * len(clips[piece]))] for piece, u in zip(chosen_pieces, draws[0], strict=True)]
        starts = [int(u * (mels.shape[1] - FRAMES + 1)) for u in draws[1]]
        mel = np.stack([mels[row, start : start + FRAMES] for row, start in zip(at, starts, strict=True)])
        texts = torch.tensor([WORDINGS * row + int(u * WORDINGS) for row, u in zip(at, draws[2], strict=True)])
        longest = int(mask[texts].sum(1).max())
        sounds = augment(torch.from_numpy(mel).float(), generator)
        parts = (sounds, ids[texts, :longest], mask[texts, :longest], bits[at])
        return tuple(part.to(chosen.device) for part in parts)

    for _ in run:
        mel, tokens, seen, true = batch()
        with run.autocast():
            audio, text = embed_audio(run.model, mel), embed_text(run.model, tokens, seen)
        aside = told(run.model, audio, true) + told(run.model, text, true)
        run.update(info_nce(run.model, audio, text) + ASIDE * aside)
        with torch.no_grad():
            for scale in (run.model.logit_scale_a, run.model.logit_scale_t):
                scale.clamp_(max=np.log(100))
        if run.due(seconds=60):
            run.record(validate())


if __name__ == "__main__":
    main()
