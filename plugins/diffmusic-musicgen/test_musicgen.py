"""MusicGen as an editor, on a checkpoint of some thousand weights that is built here."""

import json
import string
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from diffmusic_musicgen.chroma import melody
from diffmusic_musicgen.musicgen import MusicGen
from transformers import (
    EncodecConfig,
    MusicgenMelodyConfig,
    MusicgenMelodyDecoderConfig,
    MusicgenMelodyForConditionalGeneration,
    PreTrainedTokenizerFast,
    T5Config,
)

from diffmusic.cli import main
from diffmusic.editor.contract import AudioEditor
from diffmusic.errors import InputError
from diffmusic.testing import parametrize_with_checks

RATE = 32000


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder = tmp_path_factory.mktemp("musicgen")
    torch.manual_seed(0)
    text = T5Config(vocab_size=64, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    codec = EncodecConfig(
        target_bandwidths=[8.0], sampling_rate=RATE, num_filters=4, hidden_size=8, codebook_size=16, codebook_dim=8,
        upsampling_ratios=[8, 5, 4, 4], num_lstm_layers=1, normalize=False,
    )  # fmt: skip
    decoder = MusicgenMelodyDecoderConfig(
        vocab_size=16, max_position_embeddings=2048, num_hidden_layers=1, ffn_dim=16, num_attention_heads=2,
        hidden_size=16, num_codebooks=4, pad_token_id=16, bos_token_id=16,
    )  # fmt: skip
    config = MusicgenMelodyConfig(
        text_encoder=text.to_dict(), audio_encoder=codec.to_dict(), decoder=decoder.to_dict(), chroma_length=235
    )
    model = MusicgenMelodyForConditionalGeneration(config).eval()
    # Fresh weights are so small that the codec is silent, and that text and melody hardly matter.
    for part in (model.audio_encoder.decoder, model.decoder, model.audio_enc_to_dec_proj, model.text_encoder):
        for weight in part.parameters():
            if weight.ndim > 1:
                torch.nn.init.normal_(weight, std=0.3)
    for layer in model.audio_encoder.quantizer.layers:
        layer.codebook.embed.normal_()
    model.generation_config.decoder_start_token_id = model.generation_config.pad_token_id = 16
    model.save_pretrained(folder)
    letters = {letter: number for number, letter in enumerate(["<pad>", "</s>", "<unk>", *string.ascii_lowercase])}
    tokenizer = Tokenizer(models.WordLevel(letters, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
    return folder


def tone(hz, seconds=1.0, rate=RATE, loudness=0.2):
    return loudness * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)[None]


@parametrize_with_checks([MusicGen()])
def test_it_keeps_its_contract(component, check):
    check(component)


def test_the_melody_is_the_strongest_pitch_class():
    audio = np.concatenate([tone(440.0), tone(523.25), tone(196.0)], axis=1)[0]  # A, C, G
    found = melody(torch.from_numpy(audio).float(), RATE)
    assert found.shape == (1 + len(audio) // 4096, 12)
    assert torch.equal(found.sum(1), torch.ones(len(found)))
    classes = found.argmax(1).tolist()
    assert {classes[3], classes[11], classes[19]} == {9, 0, 7}
    assert classes[3] == 9
    short = melody(torch.from_numpy(tone(440.0, 0.1)[0]).float(), RATE)
    assert short.argmax(1)[2] == 9


def test_the_melody_is_that_of_transformers():
    torchaudio = pytest.importorskip("torchaudio")
    assert torchaudio
    from transformers import MusicgenMelodyFeatureExtractor

    audio = np.random.default_rng(0).standard_normal(3 * RATE)
    theirs = MusicgenMelodyFeatureExtractor()(audio, sampling_rate=RATE, return_tensors="pt").input_features[0]
    assert torch.equal(melody(torch.from_numpy(audio).float(), RATE), theirs.float())


def test_it_is_repeatable_and_follows_text_melody_and_seed(checkpoint):
    editor = MusicGen(str(checkpoint))
    assert isinstance(editor, AudioEditor)

    def made(hz=440.0, target="a harp", seed=0, **more):
        return MusicGen(str(checkpoint), **more).edit_audio(tone(hz), RATE, target, seed)[0]

    first, (audio, rate) = made(), editor.edit_audio(tone(440.0), RATE, "a harp", 0)
    assert rate == RATE
    assert np.array_equal(first, audio)
    assert audio.shape[-1] >= RATE
    state = torch.random.get_rng_state()
    others = [made(seed=1), made(target="drums"), made(hz=523.25, top_k=16), made(guidance=1.0)]
    assert torch.equal(state, torch.random.get_rng_state())  # the caller's generator is left alone
    for other in others:
        assert not np.array_equal(first[:, :RATE], other[:, :RATE])
    assert editor.describe()["sha256"] != MusicGen(str(checkpoint.parent)).describe()["sha256"]


def run(*words):
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    return stop.value.code


def test_a_file_is_edited_with_it_and_the_rest_is_kept(checkpoint, tmp_path, capsys):
    path, out = tmp_path / "song.wav", tmp_path / "out.wav"
    soundfile.write(path, np.concatenate([tone(440.0, 2.0, 44100), tone(330.0, 2.0, 44100)]).T, 44100, subtype="FLOAT")
    words = ("edit", path, "--solver", "musicgen", "--target", "a harp", "-s", f"checkpoint={checkpoint}", "-o", out)
    assert run(*words, "--segment", "0:00.5-0:01.5") == 0
    before, after = (soundfile.read(each, dtype="float32")[0].T for each in (path, out))
    assert before.shape == after.shape
    changed = np.flatnonzero((before != after).any(0)) / 44100
    assert changed.min() >= 0.5
    assert changed.max() < 1.5
    inside = slice(round(0.6 * 44100), round(1.4 * 44100))
    loud = [np.sqrt(np.square(each[:, inside]).mean()) for each in (before, after)]
    assert loud[1] == pytest.approx(loud[0], rel=0.2)
    record = json.loads(Path(f"{out}.json").read_text())
    assert record["model"]["name"] == checkpoint.name
    assert record["job"]["solver_parameters"]["guidance"] == 3.0
    capsys.readouterr()
    assert run(*words, "--sweep", 2) == 2
    assert "no strength to sweep" in capsys.readouterr().err


def test_bad_input_is_one_line(checkpoint, tmp_path):
    with pytest.raises(InputError, match="checkpoint=FOLDER"):
        MusicGen().edit_audio(tone(440.0), RATE, "x", 0)
    with pytest.raises(InputError, match=r"config\.json"):
        MusicGen(str(tmp_path)).edit_audio(tone(440.0), RATE, "x", 0)
    with pytest.raises(InputError, match="30 s at most"):
        MusicGen(str(checkpoint)).edit_audio(tone(440.0, 31.0), RATE, "x", 0)
