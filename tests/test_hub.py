"""Models by their id: a small hub on this machine answers as the real one does."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub import constants

from diffmusic.errors import InputError
from diffmusic.models import hub, parts
from diffmusic.models.load import load_model
from tests.local_hub import Hub

Run = Callable[..., SimpleNamespace]


def test_a_model_is_pulled_once_and_then_found_in_the_cache(server: Hub, tiny: Path, run: Run, tmp_path: Path) -> None:
    online = shutil.copytree(tiny, tmp_path / "online")
    (online / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"pickle")
    (online / "vae" / "diffusion_pytorch_model.fp16.safetensors").write_bytes(b"half")
    (online / "README.md").write_text("no part of the model")
    server.repositories["someone/tiny"] = online
    result = run("models", "pull", "someone/tiny")
    assert result.code == 0, result.err
    assert len(result.err.splitlines()) == 1
    assert "note: downloading someone/tiny" in result.err
    folder = hub.cached("someone/tiny")
    assert folder is not None
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names == {path.relative_to(tiny).as_posix() for path in tiny.rglob("*") if path.is_file()}
    server.asked.clear()
    backbone = load_model("someone/tiny", offline=True)
    assert server.asked == []
    # The cache names a blob by its sha256: the hash of the model is that of the same files anywhere else.
    assert backbone.describe()["sha256"] == load_model(str(tiny)).describe()["sha256"]
    assert "all passed" in run("check", "someone/tiny").out


def test_what_is_not_in_the_cache_is_downloaded_unless_that_is_forbidden(
    server: Hub, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.repositories["someone/tiny"] = tiny
    with pytest.raises(InputError, match=r"not in the cache.*--offline forbids.*diffmusic models pull someone/tiny"):
        load_model("someone/tiny", offline=True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="HF_HUB_OFFLINE forbids"):
        load_model("someone/tiny")
    assert server.asked == []
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    assert load_model("someone/tiny").describe()["sample_rate"] == 16000


def test_a_model_of_which_a_part_is_missing_is_not_taken_for_whole(server: Hub, tiny: Path) -> None:
    server.repositories["someone/tiny"] = tiny
    folder = hub.pull("someone/tiny")
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(InputError, match="only a part of it"):
        hub.locate("someone/tiny", offline=True)
    assert hub.locate("someone/tiny") == hub.cached("someone/tiny") == folder


def message(repository: str, **settings: Any) -> str:
    with pytest.raises(InputError) as caught:
        hub.locate(repository, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_refusals_are_one_line_that_says_what_to_do(
    server: Hub, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "the hub has no model of that id" in message("someone/none")
    server.repositories["someone/gated"] = tiny
    server.gated.add("someone/gated")
    assert "accept its licence at https://huggingface.co/someone/gated" in message("someone/gated")
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "README.md").write_text("weights will follow")
    server.repositories["someone/empty"] = empty
    assert "holds no model_index.json" in message("someone/empty")
    server.repositories["someone/tiny"] = tiny
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    assert "make room, or set HF_HOME" in message("someone/tiny")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert "the hub cannot be reached" in message("someone/tiny")


def test_pickles_are_downloaded_only_if_that_is_asked_for(server: Hub, tiny: Path, tmp_path: Path) -> None:
    online = shutil.copytree(tiny, tmp_path / "online")
    (online / "unet" / "diffusion_pytorch_model.safetensors").rename(online / "unet" / "diffusion_pytorch_model.bin")
    server.repositories["someone/pickled"] = online
    assert "unet/ has no safetensors" in message("someone/pickled")
    assert (hub.pull("someone/pickled", allow_pickle=True) / "unet" / "diffusion_pytorch_model.bin").is_file()


def test_shards_are_chosen_and_other_precisions_are_not() -> None:
    files = {
        "model_index.json": 1, "unet/config.json": 2, "unet/model-00001-of-00002.safetensors": 3,
        "unet/model-00002-of-00002.safetensors": 4, "unet/model.safetensors.index.json": 5,
        "unet/model.fp16.safetensors": 6, "unet/model.fp16-00001-of-00002.safetensors": 7, "unet/pytorch_model.bin": 8,
        "model.safetensors": 9, "tokenizer/vocab.json": 10,
    }  # fmt: skip
    index = {
        "_class_name": "Any",
        "unet": ["diffusers", "U"],
        "tokenizer": ["transformers", "TTokenizer"],
        "none": [None, None],
    }
    assert sum(parts.choose(files, index).values()) == 1 + 2 + 3 + 4 + 5 + 10


@pytest.mark.parametrize(
    ("model", "is_id"), [("a/b", True), ("cvssp/audioldm2-music", True), ("./a", False), ("/a/b", False), ("a", False)]
)
def test_ids_and_paths(model: str, is_id: bool) -> None:
    assert hub.is_repository(model) is is_id


def test_models_are_listed_with_size_rate_licence_and_presence(server: Hub, run: Run) -> None:
    shown, _, licences = run("models").out.partition("Licences, where they are stated")
    rows = {line.split()[1]: line for line in shown.strip().splitlines()}
    for repository in ("cvssp/audioldm2-music", "ucsd-reach/musicldm", "stabilityai/stable-audio-open-1.0"):
        assert all(word in rows[repository] for word in ("GB", "kHz"))
        assert "to pull" in rows[repository] or "gated" in rows[repository]
    listed = json.loads(run("models", "--json").out)
    names = {"mini", "audioldm", "audioldm2", "musicldm", "stable-audio", "stable-audio-3", "ace-step"}
    assert names <= {row["name"] for row in listed}
    published = [row["checkpoint"] for row in listed if row["checkpoint"]]
    assert len(published) >= 8
    assert all(each["licence"] and each["stated"].startswith("https://") for each in published)
    # The source of every licence is in the list, that of the weights inside this package among them.
    assert all(each["stated"] in licences for each in published)
    assert all(row["licence"] and row["stated"] in licences for row in listed if not row["checkpoint"])
    assert "https://huggingface.co/ACE-Step/Ace-Step1.5" in run("models", "ace-step").out
    assert not any(row.get("present") for row in listed)
    assert server.asked == []


def test_an_estimate_asks_nobody_and_grows_with_the_excerpt(server: Hub, run: Run) -> None:
    short, long, longer = (
        json.loads(run("models", "audioldm2", "--estimate", "--seconds", seconds, "--json").out)
        for seconds in (5, 10, 60)
    )
    # Reading the prompt takes the most: every part is in memory.
    assert short["memory_gb"] == long["memory_gb"] == longer["memory_gb"] == pytest.approx(4.9)
    assert long["tflop"] == pytest.approx(2 * short["tflop"])
    assert longer["seconds"] == 10.24
    shown = run("models", "audioldm2").out
    assert "H. Liu et al." in shown
    assert "cvssp/audioldm2-large" in shown
    assert "minutes of one core" in run("models", "cvssp/audioldm2", "--estimate").out
    heavy = run("models", "ace-step", "--estimate").out
    assert "memory       23.0 GB" in heavy
    assert "minutes of one core" in heavy
    assert "has not been measured" in run("models", "cvssp/audioldm2-large", "--estimate").out
    assert server.asked == []


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("pull",), "say which"),
        (("pull", "audioldm3"), "Did you mean 'audioldm"),
        (("audioldm2", "musicldm"), "one name at a time"),
        (("nothing", "--estimate"), "nothing is known"),
        (("audioldm2", "--estimate", "--seconds", "-1"), "--seconds must lie"),
        (("audioldm4",), "Did you mean 'audioldm"),
    ],
)
def test_wrong_words_are_refused(run: Run, words: tuple[str, ...], expected: str) -> None:
    result = run("models", *words)
    assert result.code == 2
    assert expected in result.err
    assert len(result.err.splitlines()) == 1


def test_a_module_by_itself_is_pulled_where_one_is_wanted(server: Hub, tiny: Path, tmp_path: Path) -> None:
    online = shutil.copytree(tiny / "text_encoder", tmp_path / "online")
    shutil.copytree(tiny / "tokenizer", online, dirs_exist_ok=True)
    (online / "pytorch_model.bin").write_bytes(b"pickle")
    (online / "README.md").write_text("no part of the model")
    server.repositories["someone/clap"] = online
    # As a prior it is refused before a byte of it is downloaded.
    assert "holds no model_index.json" in message("someone/clap")
    assert hub.cached("someone/clap", alone=True) is None
    folder = hub.locate("someone/clap", alone=True)
    names = {path.name for path in folder.iterdir()}
    assert {"config.json", "model.safetensors", "vocab.json", "merges.txt"} <= names
    assert not names & {"pytorch_model.bin", "README.md"}
    server.asked.clear()
    assert hub.locate("someone/clap", offline=True, alone=True) == folder
    assert server.asked == []
    (folder / "model.safetensors").unlink()
    assert "run the same command without it first" in message("someone/clap", offline=True, alone=True)
