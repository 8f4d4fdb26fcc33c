"""The network is held against numbers of TensorFlow where the package musicnn is installed; its reader, everywhere."""

import math
import subprocess
import sys
from importlib import metadata

import numpy as np
import pytest
import soundfile
import torch
from diffmusic_musicnn import bundle, tagger
from diffmusic_musicnn.network import MusiCNN
from diffmusic_musicnn.tag_gain import Swap, TagGain, swap

from diffmusic.cli import main
from diffmusic.errors import InputError
from diffmusic.metrics import embeddings
from diffmusic.metrics.contract import load_metric, measure
from diffmusic.plugins import registry
from diffmusic.testing import check_embedding, check_metric

try:
    metadata.distribution("musicnn")
    missing = False
except metadata.PackageNotFoundError:
    missing = True
needs_weights = pytest.mark.skipif(missing, reason=f"the package musicnn is not installed: {tagger.INSTALL}")

RATE = 16000


def music(seconds, *frequencies, rate=RATE, seed=0):
    time = np.arange(round(seconds * rate)) / rate
    tones = sum(np.sin(2 * np.pi * f * k * time) / k for f in frequencies for k in range(1, 5))
    noise = np.random.default_rng(seed).standard_normal(len(time))
    return (0.1 * tones * np.exp(-3 * (time % 0.5)) + 0.003 * noise)[None]


def number(value):
    """A number as protocol buffers and tables of strings have it: seven bits a byte, the lowest first."""
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + number(rest) if rest else bytes([low])


def block(entries):
    """Entries that share no bytes but where they are told to, one restart, no compression, a checksum of zeros."""
    rows, before = b"", b""
    for key, value in entries:
        shared = next((n for n in range(len(key)) if key[: n + 1] != before[: n + 1]), len(key))
        rows += number(shared) + number(len(key) - shared) + number(len(value)) + key[shared:] + value
        before = key
    return rows + (0).to_bytes(4, "little") + (1).to_bytes(4, "little")


@pytest.fixture
def checkpoint(tmp_path):
    """Write a checkpoint of one data block, as TensorFlow lays it out; returns index and data."""

    def write(variables, compressed=0, kind=1):
        data, entries = b"", [(b"", b"\x08\x01")]
        for name, array in sorted(variables.items()):
            shape = b"".join(b"\x12" + number(len(size)) + size for size in (b"\x08" + number(n) for n in array.shape))
            entry = b"\x08" + number(kind) + b"\x12" + number(len(shape)) + shape
            entry += (b"\x20" + number(len(data)) if data else b"") + b"\x28" + number(array.nbytes) + b"\x35abcd"
            entries.append((name.encode(), entry))
            data += array.astype("<f4").tobytes()
        table = block(entries) + bytes([compressed]) + bytes(4)
        handle = number(0) + number(len(table) - 5)
        begin = len(table)
        table += block([(b"z", handle)]) + bytes(5)
        footer = number(0) + number(0) + number(begin) + number(len(table) - 5 - begin)
        table += footer.ljust(40, b"\0") + bundle.MAGIC.to_bytes(8, "little")
        (tmp_path / "x.index").write_bytes(table)
        (tmp_path / "x.data").write_bytes(data)
        return tmp_path / "x.index", tmp_path / "x.data"

    return write


def test_a_checkpoint_is_read(checkpoint):
    rng = np.random.default_rng(0)
    shapes = {"dense/kernel": (300, 2), "dense/bias": (2,), "dense_1/bias": (50,), "step": ()}
    variables = {name: rng.standard_normal(shape).astype("f4") for name, shape in shapes.items()}
    found = bundle.read(*checkpoint(variables))
    assert set(found) == set(variables)
    for name, array in variables.items():
        np.testing.assert_array_equal(found[name], array)


def test_what_is_no_checkpoint_is_refused(checkpoint, tmp_path):
    index, data = checkpoint({"a": np.zeros(3, "f4")})
    with pytest.raises(ValueError, match="is no index"):
        bundle.read(data, data)
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(ValueError, match="is damaged"):
        bundle.read(index, data)
    for broken in ({"compressed": 1}, {"kind": 7}):
        with pytest.raises(ValueError, match="is damaged, or holds what is no plain variable"):
            bundle.read(*checkpoint({"a": np.zeros(3, "f4")}, **broken))


def test_the_spectrogram_is_librosas():
    import librosa

    x = music(4, 220, 330)[0].astype("f4")
    power = librosa.feature.melspectrogram(y=x, sr=RATE, n_fft=512, hop_length=256, n_mels=96)
    np.testing.assert_allclose(tagger.log_mel(x), np.log10(1 + 10000 * power.T), atol=1e-4)
    assert len(tagger.log_mel(x[:3000])) == tagger.FRAMES
    np.testing.assert_array_equal(tagger.log_mel(x[:3000]), tagger.log_mel(np.tile(x[:3000], 16)[: 186 * 256]))


def test_a_caption_names_tags():
    tags = ("cello", "drums", "vocals", "no vocals", "classical", "classic", "70s", "male vocal", "strings")
    named = tagger.Tagger(MusiCNN(), tags, "mtt", "").named
    assert named("A solo Cello, and a drum") == ("cello", "drums")
    assert named("no vocals") == ("no vocals",)
    assert named("classical strings") == ("classical", "strings")
    assert named("a string of the 70s") == ("70s", "strings")
    assert named("70 violoncellos, a maelstrom") == ()


def test_a_missing_package_is_one_line(monkeypatch, tmp_path, capsys):
    def absent(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(tagger.metadata, "distribution", absent)
    tagger.load.cache_clear()
    embeddings.load.cache_clear()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        soundfile.write(tmp_path / name / "x.wav", music(1, 440)[0], RATE)
    for metric in ("fad embedding=musicnn-mtt", "tag_gain tag=flute"):
        with pytest.raises(SystemExit) as stop:
            main(["evaluate", str(tmp_path / "a"), str(tmp_path / "b"), "--metrics", metric, "--prompt", "a flute"])
        assert stop.value.code == 2
        line = f"error: the package musicnn, whose weights are needed, is not installed: {tagger.INSTALL}\n"
        assert capsys.readouterr().err.endswith(line)


def test_another_package_of_that_name_is_refused(monkeypatch, tmp_path):
    class Other:
        version = "9"

        def locate_file(self, name):
            return tmp_path / name

    monkeypatch.setattr(tagger.metadata, "distribution", lambda name: Other())
    tagger.load.cache_clear()
    with pytest.raises(InputError, match=r"musicnn 9 in .* cannot be read \(.*No such file.*\): pip install --no-deps"):
        tagger.load("mtt")


def test_being_listed_imports_neither_torch_nor_numpy():
    (plugin,) = [each for each in registry().plugins if each.distribution == "diffmusic-musicnn"]
    assert plugin.error is None
    assert [spec.name for spec in plugin.offers["embedding"]] == ["musicnn-mtt", "musicnn-msd"]
    code = "import sys, diffmusic_musicnn.plugin; print({'torch', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr


def test_a_swap_is_a_margin():
    assert Swap((-5.0, 1.0), (-2.0, -1.0)).gain == 5
    assert not Swap((-5.0, 1.0), (-2.0, -1.0)).heard
    assert Swap((-5.0, 1.0), (0.0, -1.0)).heard


TENSORFLOW = {
    # The package's own graph and weights in TensorFlow 2.21: logits, and the penultimate layer.
    "mtt": (
        [-1.26975, -5.55983, -2.29945, -7.86244, -4.79304, -3.54252], -5.5975, 2.84196,
        [1.72127, -0.03288, 0.73047, -0.18606, -0.0787, 2.63169], 0.22884, 0.83038,
    ),
    "msd": (
        [-6.14504, -8.51956, -6.09515, -7.53073, -4.86825, -5.41133], -7.86175, 2.56121,
        [-0.17718, 6.37058, -0.28483, -0.27512, 2.72161, 1.75522], 0.67676, 1.61929,
    ),
}  # fmt: skip


@needs_weights
@pytest.mark.parametrize("songs", TENSORFLOW)
def test_the_network_is_tensorflows(songs):
    frame, band = np.mgrid[: tagger.FRAMES, : tagger.BANDS]
    patch = 2 + np.sin(frame / 7 + band / 5) + np.sin(frame * band / 300)
    with torch.no_grad():
        found = tagger.load(songs).model(torch.from_numpy(patch.astype("f4"))[None])
    expected = TENSORFLOW[songs]
    for values, first, mean, deviation in zip(found, expected[::3], expected[1::3], expected[2::3], strict=True):
        np.testing.assert_allclose(values[0, :6], first, atol=5e-5)
        assert float(values.mean()) == pytest.approx(mean, abs=5e-5)
        assert float(values.std(correction=0)) == pytest.approx(deviation, abs=5e-5)


@needs_weights
def test_patches_begin_every_93_frames():
    heard = tagger.load("mtt")
    x = music(6, 262, 392)
    spectrogram = torch.from_numpy(tagger.log_mel(x[0]))
    assert len(spectrogram) == 376
    starts = (0, 93, 186, 189)
    with torch.no_grad():
        expected = heard.model(torch.stack([spectrogram[start : start + 187] for start in starts]))[1]
    np.testing.assert_allclose(heard.audio(x, RATE), expected, atol=1e-5)
    np.testing.assert_allclose(heard.audio(np.repeat(x, 2, 0), RATE), expected, atol=1e-5)


@needs_weights
@pytest.mark.parametrize("songs", ["mtt", "msd"])
def test_the_embeddings_keep_their_contract(songs):
    check_embedding(embeddings.load(f"musicnn-{songs}"))
    metric = load_metric(f"fad embedding=musicnn-{songs}")
    assert metric.describe()["sha256"] == tagger.load(songs).sha256
    with pytest.raises(InputError, match="takes nothing after a colon, not 'big'"):
        embeddings.load(f"musicnn-{songs}:big")


@needs_weights
def test_the_judge_keeps_its_contract():
    check_metric(TagGain.example())
    with pytest.raises(InputError, match=r"no tag 'flut'\. Did you mean 'flute'"):
        load_metric("tag_gain tag=flut")(music(1, 440), music(1, 440), RATE, prompt="")


@needs_weights
def test_a_gain_is_a_difference_of_log_odds():
    heard = tagger.load("mtt")
    x, y = music(3.5, 262, 392), 0.1 * np.random.default_rng(1).standard_normal((1, 56000))
    p, q = (heard.probabilities(each, RATE)[heard.tags.index("piano")] for each in (x, y))
    gain = measure(TagGain(), x, y, RATE, "a grand piano")
    assert gain == pytest.approx(math.log(q / (1 - q)) - math.log(p / (1 - p)), abs=1e-9)
    assert measure(TagGain(), y, x, RATE, "a grand piano") == pytest.approx(-gain)
    assert math.isnan(measure(TagGain(), x, y, RATE, "a trombone"))
    judged = swap(x, y, RATE, "a drum solo", "a piano solo")
    assert judged.gain == pytest.approx(measure(TagGain(tag="drums"), x, y, RATE, "-") - gain)
    assert swap(x, y, RATE, "a trombone", "a piano") is None
