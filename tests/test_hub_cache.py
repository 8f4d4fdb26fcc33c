"""What lies in the cache: other precisions, other tools' downloads, damage, revisions and folders."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from huggingface_hub import snapshot_download
from safetensors.torch import load_file, save_file

from diffmusic.errors import InputError
from diffmusic.models import hub, parts
from diffmusic.models.address import Address
from diffmusic.models.load import load_model
from tests.local_hub import COMMIT, Hub

Run = Callable[..., SimpleNamespace]
UNET = "unet/diffusion_pytorch_model.safetensors"
pytestmark = pytest.mark.filterwarnings("ignore:downloading")


@pytest.fixture(scope="session")
def halved(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny checkpoint in half precision and nothing else."""
    folder = shutil.copytree(tiny, tmp_path_factory.mktemp("halved") / "model")
    for path in folder.rglob("*.safetensors"):
        half = {name: value.half() if value.is_floating_point() else value for name, value in load_file(path).items()}
        save_file(half, path.with_suffix(".fp16.safetensors"), {"format": "pt"})
        path.unlink()
    return folder


def online(server: Hub, source: Path, tmp_path: Path) -> Path:
    """A copy of a model, as someone/tiny on the hub."""
    server.repositories["someone/tiny"] = shutil.copytree(source, tmp_path / "online")
    return server.repositories["someone/tiny"]


def answer(backbone: Any) -> torch.Tensor:
    z = torch.randn(1, *backbone.latent_shape(8000), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        result: torch.Tensor = backbone.denoise(z, 2.0, backbone.embed("a harp"))
    return result


def test_halves_alone_are_pulled_and_computed_with_in_full(server: Hub, halved: Path, tiny: Path, run: Run) -> None:
    server.repositories["someone/half"] = halved
    result = run("models", "pull", "someone/half")
    assert result.code == 0, result.err
    backbone: Any = load_model("someone/half", offline=True)
    assert {each.dtype for each in backbone.unet.parameters()} == {torch.float32}
    assert {each.dtype for each in backbone.vocoder.parameters()} == {torch.float32}
    full = answer(load_model(str(tiny)))
    assert 0 < float((answer(backbone) - full).norm() / full.norm()) < 1e-2
    assert load_model(str(halved)).describe()["sha256"] == backbone.describe()["sha256"]


def test_what_another_tool_cached_by_its_variant_is_read(server: Hub, tiny: Path, halved: Path, tmp_path: Path) -> None:
    both = online(server, tiny, tmp_path)
    shutil.copytree(halved, both, dirs_exist_ok=True)
    snapshot_download("someone/tiny", allow_patterns=["*.json", "*.txt", "*.fp16.safetensors"])
    backbone: Any = load_model("someone/tiny", offline=True)
    assert backbone.unet.dtype == torch.float32
    # On a machine without it, full precision is what is downloaded.
    assert "unet/diffusion_pytorch_model.fp16.safetensors" not in parts.choose(*hub.sizes("someone/tiny"))


def test_an_old_pickle_in_the_cache_is_passed_over_for_safetensors(server: Hub, tiny: Path, tmp_path: Path) -> None:
    both = online(server, tiny, tmp_path)
    (both / UNET).with_suffix(".bin").write_bytes(b"pickle")
    snapshot_download("someone/tiny", ignore_patterns=[UNET])
    assert hub.cached("someone/tiny") is None
    assert hub.cached("someone/tiny", allow_pickle=True) is not None
    with pytest.raises(InputError, match=r"only a part of it is \(unet/ has no safetensors.*models pull someone/tiny"):
        hub.locate("someone/tiny", offline=True)
    assert (hub.locate("someone/tiny") / UNET).is_file()


@pytest.mark.parametrize(
    "name",
    ["tokenizer/tokenizer_config.json", "tokenizer/vocab.json", "tokenizer/merges.txt", UNET, "unet/config.json",
     "scheduler/scheduler_config.json", "text_encoder/model.safetensors", "model_index.json"],
)  # fmt: skip
def test_a_file_that_is_missing_is_fetched(server: Hub, tiny: Path, name: str) -> None:
    server.repositories["someone/tiny"] = tiny
    folder = hub.pull("someone/tiny")
    (folder / name).unlink()
    with pytest.raises(InputError, match="only a part of it is"):
        hub.locate("someone/tiny", offline=True)
    assert (hub.locate("someone/tiny") / name).is_file()


@pytest.mark.parametrize("name", [UNET, "vae/config.json"])
def test_a_file_that_was_cut_off_is_fetched_again(server: Hub, tiny: Path, name: str) -> None:
    server.repositories["someone/tiny"] = tiny
    folder = hub.pull("someone/tiny")
    blob = (folder / name).resolve()
    blob.write_bytes(blob.read_bytes()[:-10])
    with pytest.raises(InputError, match=rf"\({name} is (cut off|damaged)\)"):
        hub.locate("someone/tiny", offline=True)
    load_model("someone/tiny")
    assert (folder / name).read_bytes() == (tiny / name).read_bytes()


def test_a_file_with_other_bytes_is_found_by_its_hash_when_pulled(server: Hub, tiny: Path, run: Run) -> None:
    server.repositories["someone/tiny"] = tiny
    folder = hub.pull("someone/tiny")
    blob = (folder / UNET).resolve()
    blob.write_bytes(blob.read_bytes()[:-1] + b"x")
    assert run("models", "pull", "someone/tiny").code == 0
    assert (folder / UNET).read_bytes() == (tiny / UNET).read_bytes()


@pytest.mark.parametrize("name", [UNET, "unet/config.json", "scheduler/scheduler_config.json", "tokenizer/merges.txt"])
def test_what_the_hub_itself_lacks_is_said(server: Hub, tiny: Path, tmp_path: Path, run: Run, name: str) -> None:
    (online(server, tiny, tmp_path) / name).unlink()
    result = run("models", "pull", "someone/tiny")
    assert result.code == 2
    assert name.split("/")[0] in result.err.splitlines()[-1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("owner/name", ("owner/name", "", None)),
        ("owner/name@v1", ("owner/name", "", "v1")),
        ("owner/name@refs/pr/3", ("owner/name", "", "refs/pr/3")),
        ("owner/name/a/b", ("owner/name", "a/b", None)),
        ("owner/name/a@v1", ("owner/name", "a", "v1")),
        ("https://huggingface.co/owner/name", ("owner/name", "", None)),
        ("https://huggingface.co/owner/name/", ("owner/name", "", None)),
        ("huggingface.co/owner/name?library=diffusers", ("owner/name", "", None)),
        ("https://hf.co/owner/name/tree/v1", ("owner/name", "", "v1")),
        ("https://huggingface.co/owner/name/tree/main/a/b", ("owner/name", "a/b", "main")),
        ("https://huggingface.co/datasets/owner/name", None),
        ("https://example.org/owner/name", None),
        ("name", None),
        ("./a/b", None),
        ("/a/b", None),
        ("owner/name@", None),
        ("owner//name", None),
        ("owner/name with space", None),
    ],
)
def test_addresses(text: str, expected: tuple[str, str, str | None] | None) -> None:
    found = Address.parse(text)
    assert (found and (found.repository, found.folder, found.revision)) == expected
    assert hub.is_repository(text) is (expected is not None)


@pytest.mark.parametrize(
    "address", ["someone/tiny@v1", f"someone/tiny@{COMMIT}", "https://huggingface.co/someone/tiny/tree/v1"]
)
def test_a_revision_is_pulled_and_found_offline_by_its_name_and_commit(server: Hub, tiny: Path, address: str) -> None:
    server.repositories["someone/tiny"] = tiny
    folder = hub.locate(address)
    server.asked.clear()
    # One that was cached under a commit alone is the one that is there.
    for same in (address, f"someone/tiny@{COMMIT}", f"someone/tiny@{COMMIT[:8]}", "someone/tiny"):
        assert hub.locate(same, offline=True) == folder
    assert hub.cached("someone/tiny@v2") is None
    assert server.asked == []
    assert load_model(address, offline=True).describe()["hub"] == {"repository": "someone/tiny", "revision": COMMIT}


def test_a_revision_that_does_not_exist_is_said(server: Hub, tiny: Path) -> None:
    server.repositories["someone/tiny"] = tiny
    with pytest.raises(InputError, match="someone/tiny has no branch, tag or commit 'v9'"):
        hub.locate("someone/tiny@v9")


def test_a_folder_in_a_repository_is_a_model(server: Hub, tiny: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny, tmp_path / "online" / "small" / "one")
    (tmp_path / "online" / "large.safetensors").write_bytes(b"another model")
    server.repositories["someone/several"] = tmp_path / "online"
    folder = hub.locate("someone/several/small/one")
    assert folder == hub.cached("someone/several/small/one")
    assert not (folder.parents[1] / "large.safetensors").exists()
    described = load_model("someone/several/small/one", offline=True).describe()
    assert described["hub"] == {"repository": "someone/several", "revision": COMMIT}
    assert described["sha256"] == load_model(str(tiny)).describe()["sha256"]


@pytest.mark.parametrize(
    ("files", "script"),
    [
        (("model_config.json", "model.safetensors"), "convert_stable_audio.py"),
        (("audioldm2-full.pth",), "convert_original_audioldm2_to_diffusers.py"),
        (("musicldm.ckpt",), "convert_original_musicldm_to_diffusers.py"),
        (("weights.ckpt",), "convert_..._to_diffusers.py"),
    ],
)
def test_the_original_layout_is_told_how_to_convert(
    server: Hub, tmp_path: Path, files: tuple[str, ...], script: str
) -> None:
    folder = tmp_path / "original"
    folder.mkdir()
    for name in files:
        (folder / name).write_bytes(b"{}")
    server.repositories["someone/original"] = folder
    for model in ("someone/original", str(folder), str(folder / files[-1])):
        with pytest.raises(InputError, match="convert it with scripts/") as caught:
            load_model(model)
        if model != str(folder / "model.safetensors"):
            assert script in str(caught.value)
