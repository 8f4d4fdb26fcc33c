"""Capturing a recording by an adapter: it is remembered, the base weights stay, and the file brings it back."""

import builtins
import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from diffmusic.errors import Diverged, InputError
from diffmusic.models.load import load_model
from diffmusic.prior import Costs
from diffmusic.solver.noise import generator
from diffmusic.tasks import adapter, fine_tuning
from diffmusic.tasks.adapter import Adapter, attach
from diffmusic.tasks.fine_tuning import capture


def latents(backbone: Any, items: int = 1, samples: int = 8000) -> Tensor:
    shape = backbone.latent_shape(samples)
    return torch.stack([torch.randn(shape, generator=generator(seed)) for seed in range(items)])


def error(backbone: Any, z0: Tensor, prompt: str = "a harp", sigma: float = 2.0) -> float:
    noise = torch.randn(z0.shape, generator=generator(99))
    with torch.no_grad():
        clean = backbone.denoise(z0 + sigma * noise, sigma, backbone.embed(prompt))
    return float((clean - z0).square().mean())


@pytest.fixture(scope="module")
def backbone(tiny: Path) -> Any:
    return load_model(str(tiny))


@pytest.fixture(scope="module")
def captured(backbone: Any) -> Adapter:
    return capture(backbone, latents(backbone), "a harp", steps=50, rank=4, rate=3e-2)


def test_the_recording_is_remembered_and_the_base_weights_stay(backbone: Any, captured: Adapter) -> None:
    z0, before = latents(backbone), {k: v.clone() for k, v in backbone.unet.state_dict().items()}
    plain = error(backbone, z0)
    tuned: Any = attach(backbone, captured)
    assert captured.losses[-1] < 0.7 * captured.losses[0]
    assert error(tuned, z0) < 0.8 * plain
    assert error(backbone, z0) == plain
    after = backbone.unet.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert not any(parameter.requires_grad for parameter in tuned.unet.parameters())


def test_the_tuned_network_shares_the_weights_of_the_original(backbone: Any, captured: Adapter) -> None:
    tuned: Any = attach(backbone, captured)
    own = {parameter.data_ptr() for parameter in backbone.unet.parameters()}
    added = [parameter for parameter in tuned.unet.parameters() if parameter.data_ptr() not in own]
    assert sum(each.numel() for each in added) == sum(each.numel() for each in captured.weights.values())


def test_an_adapter_of_no_steps_changes_nothing(backbone: Any) -> None:
    z0 = latents(backbone)
    tuned = attach(backbone, capture(backbone, z0, "a harp", steps=0))
    assert error(tuned, z0) == pytest.approx(error(backbone, z0), rel=1e-6)


def test_the_same_seed_gives_the_same_adapter_and_leaves_the_global_generator(backbone: Any) -> None:
    state = torch.get_rng_state()
    first, again, other = (capture(backbone, latents(backbone, 2), "a harp", steps=2, seed=s) for s in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert first.encode() == again.encode()
    assert first.encode() != other.encode()


def test_a_file_brings_it_back(backbone: Any, captured: Adapter, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(captured.encode())
    loaded = Adapter.load(path)
    assert loaded.encode() == captured.encode()
    assert loaded.prompt == "a harp"
    z0 = latents(backbone)
    assert error(attach(backbone, loaded), z0) == error(attach(backbone, captured), z0)


def test_it_stops_when_nothing_falls_any_more(backbone: Any) -> None:
    costs = Costs()
    kept = capture(backbone, latents(backbone), "a harp", steps=500, rate=1e-9, patience=0, costs=costs)
    assert len(kept.losses) == 2  # at first, and once no better
    assert costs.network_backward == 25
    assert costs.network_forward == costs.network_calls == 25 + 2 * fine_tuning.PROBES


def test_what_was_best_is_kept(backbone: Any) -> None:
    z0 = latents(backbone)
    wild = capture(backbone, z0, "a harp", steps=5, rate=0.3)
    assert wild.losses[-1] > wild.losses[0]
    assert error(attach(backbone, wild), z0) == pytest.approx(error(backbone, z0), rel=1e-6)


def test_what_is_learnt_has_full_precision_whatever_the_network_has(tiny: Path) -> None:
    half: Any = load_model(str(tiny), dtype="bfloat16")
    z0 = latents(half)
    learnt = capture(half, z0, "a harp", steps=3)
    changed = [each for name, each in learnt.weights.items() if "lora_B" in name and bool(each.any())]
    assert changed
    assert not any(torch.equal(each, each.bfloat16().float()) for each in changed)
    tuned: Any = attach(half, learnt)
    assert tuned.unet.dtype == torch.bfloat16
    assert error(tuned, z0) != error(half, z0)


def test_progress_is_told(backbone: Any) -> None:
    told: list[float] = []
    capture(backbone, latents(backbone), "a harp", steps=4, tick=told.append)
    assert told == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_a_long_recording_is_learnt_a_window_at_a_time(backbone: Any) -> None:
    seen: list[int] = []

    class Watched(type(backbone)):  # type: ignore[misc]
        def denoise(self, z: Tensor, sigma: float, condition: Any = None) -> Tensor:
            seen.append(z.shape[2])
            return super().denoise(z, sigma, condition)

    watched = Watched(**{field.name: getattr(backbone, field.name) for field in dataclasses.fields(backbone)})
    capture(watched, latents(backbone, samples=32000), "a harp", steps=2, window=8)
    assert set(seen) == {8}


def test_one_line_says_what_is_wrong(backbone: Any, captured: Adapter, tmp_path: Path) -> None:
    def message(path: Path) -> str:
        with pytest.raises(InputError) as caught:
            Adapter.load(path)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "no such file" in message(tmp_path / "none")
    (tmp_path / "text").write_text("no tensors")
    assert "not a safetensors file" in message(tmp_path / "text")
    save_file({"a": torch.zeros(1)}, tmp_path / "other")
    assert "no adapter that fuse has learnt" in message(tmp_path / "other")
    save_file({"a": torch.zeros(1)}, tmp_path / "later", {adapter.FORMAT: '{"rank": 1, "twist": 2}'})
    assert "no adapter that this version understands" in message(tmp_path / "later")
    with pytest.raises(InputError, match="made for another model"):
        attach(backbone, dataclasses.replace(captured, model="0" * 64))

    class Strange:
        def describe(self) -> dict[str, str]:
            return {"name": "strange"}

    with pytest.raises(InputError, match="no network that can be tuned"):
        attach(Strange(), dataclasses.replace(captured, model="strange"))  # type: ignore[arg-type]


def test_without_peft_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, backbone: Any) -> None:
    original = builtins.__import__

    def refuse(name: str, *rest: Any, **more: Any) -> Any:
        if name == "peft":
            raise ImportError("No module named 'peft'")
        return original(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(InputError, match=r"pip install 'diffmusic\[finetune\]'"):
        capture(backbone, latents(backbone), "a harp", steps=1)


def test_a_diverging_run_says_so(backbone: Any) -> None:
    with pytest.raises(Diverged, match="diverged at step"):
        capture(backbone, latents(backbone) * float("nan"), "a harp", steps=1)
