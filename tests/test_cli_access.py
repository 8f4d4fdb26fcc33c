"""Every command with a prior: by an id, from pickles only if asked, and in another precision."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from diffusers import UNet2DConditionModel
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

Run = Callable[..., SimpleNamespace]
Song = Callable[..., Path]

COMMANDS = {
    "solve": (
        "solve",
        "inpainting",
        "INPUT",
        "--gap",
        "0.2:0.3",
        "--solver",
        "diffmusic",
        "--steps",
        1,
        "-s",
        "repeats=1",
    ),
    "edit": ("edit", "INPUT", "--target", "a drum", "--steps", 1),
    "explore": ("explore", "INPUT", "--components", 1, "--products", 1, "--steps", 1),
    "fuse": ("fuse", "INPUT", "INPUT", "--prompt", "rain", "--level", 1, "--steps", 2, "--finetune-steps", 1),
    "reconstruct": ("reconstruct", "INPUT", "--level", 1, "--steps", 2),
}


@pytest.fixture(params=COMMANDS)
def command(request: pytest.FixtureRequest, song: Song, run: Run, tmp_path: Path) -> Run:
    """A command on a short recording, or with other words; its outputs go to the folder ``out``."""
    words = [song(seconds=0.5) if word == "INPUT" else word for word in COMMANDS[request.param]]
    folder = tmp_path / "out"
    folder.mkdir()

    def call(*more: object, name: str = "made", again: bool = False) -> SimpleNamespace:
        out = folder / (name if request.param == "explore" else f"{name}.wav")
        result = run(*(words[:1] if again else words), *more, "-o", out)
        sound = out / "pc1-plus.wav" if request.param == "explore" else out
        record = out / "directions.safetensors.json" if request.param == "explore" else Path(f"{out}.json")
        return SimpleNamespace(**vars(result), folder=folder, sound=sound, record=record)

    return call


def refused(result: SimpleNamespace, message: str) -> None:
    assert (result.code, result.err.count("\n")) == (2, 1), result.err
    assert message in result.err
    assert list(result.folder.iterdir()) == []


def test_offline_downloads_nothing(command: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    refused(command("--model", "nobody/nothing", "--offline"), "--offline forbids")


@pytest.fixture(scope="session")
def pickled(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny checkpoint with a UNet that is a pickle."""
    folder = shutil.copytree(tiny, tmp_path_factory.mktemp("pickled") / "model")
    unet = UNet2DConditionModel.from_pretrained(folder / "unet")
    shutil.rmtree(folder / "unet")
    unet.save_pretrained(folder / "unet", safe_serialization=False)
    return folder


def test_pickles_are_read_only_if_this_run_asks_for_it(command: Run, pickled: Path) -> None:
    refused(command("--model", pickled), "--allow-pickle")
    made = command("--model", pickled, "--allow-pickle")
    assert made.code == 0, made.err
    assert made.sound.exists()
    # The record asks for no pickle: whoever repeats it has to.
    assert not {"offline", "allow_pickle"} & set(json.loads(made.record.read_text())["job"])
    repeated = command("--config", made.record, name="again", again=True)
    assert (repeated.code, repeated.err.count("\n")) == (2, 1)
    assert not repeated.sound.exists()
    assert command("--config", made.record, "--allow-pickle", name="again", again=True).code == 0


def test_precision_is_recorded_and_repeated(command: Run, tiny: Path) -> None:
    made = command("--model", tiny, "--dtype", "bfloat16")
    assert made.code == 0, made.err
    document = json.loads(made.record.read_text())
    assert document["job"]["dtype"] == document["model"]["dtype"] == "bfloat16"
    repeated = command("--config", made.record, name="again", again=True)
    assert repeated.code == 0, repeated.err
    assert repeated.sound.read_bytes() == made.sound.read_bytes()
    assert json.loads(repeated.record.read_text())["model"] == document["model"]
    unknown = command("--model", tiny, "--dtype", "int8", name="unknown")
    assert (unknown.code, unknown.err.count("\n")) == (2, 1)
    assert "dtype 'int8' is not known" in unknown.err
    assert not unknown.sound.exists()


def test_another_model_than_that_of_the_record_is_said_and_refused_if_asked(
    command: Run, tiny: Path, tmp_path: Path
) -> None:
    model = shutil.copytree(tiny, tmp_path / "model")
    made = command("--model", model)
    assert made.code == 0, made.err
    same = command("--config", made.record, "--exact", name="same", again=True)
    assert same.code == 0, same.err
    assert same.sound.read_bytes() == made.sound.read_bytes()
    path = model / "unet" / "diffusion_pytorch_model.safetensors"
    save_file({name: 1.1 * value for name, value in load_file(path).items()}, path, {"format": "pt"})
    refused = command("--config", made.record, "--exact", name="refused", again=True)
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "is not the one of the run record: its weights are " in refused.err
    assert not refused.sound.exists()
    changed = command("--config", made.record, name="changed", again=True)
    assert changed.code == 0
    assert "note: model" in changed.err
    assert changed.sound.read_bytes() != made.sound.read_bytes()
    # Whoever names a model means it.
    named = command("--config", made.record, "--model", tiny, name="named", again=True)
    assert (named.code, "note: model" in named.err) == (0, False)


def test_exact_needs_a_record(command: Run) -> None:
    refused(command("--exact"), "--exact repeats a run: give its record with --config RUN.json")
