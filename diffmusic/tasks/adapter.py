"""Fine-tuning on one recording: a low-rank adapter by which a prior's network reproduces it from its prompt.

    W  ->  W + (alpha / r) B A,   A of rank r, B = 0 at first

    min_{A, B}  E_sigma,n  (1 + sigma^2) / sigma^2  mean |D(z_0 + sigma n, sigma, c) - z_0|^2

for every linear and convolutional layer of the network, with ``z_0`` the recording's latents and ``c`` its prompt. The
weight makes the error of a latent of unit variance equally large at every noise level (table 1 of Karras et al., with
``sigma_data = 1``); it is the plain error of ``v``, whatever the network predicts. The adapter is meant to remember the
recording, not to generalise. The layers are peft's; training works on a copy of the network that shares its weights
with the original, which never changes.

Source: E. Hu et al., "LoRA", arXiv:2106.09685; T. Karras et al., arXiv:2206.00364.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from diffmusic.errors import Diverged, InputError
from diffmusic.prior.backbone import Backbone, Costs
from diffmusic.prior.guidance import Embedder
from diffmusic.solver.noise import generator

NETWORKS = ("unet", "transformer")
"""Field of a backbone that holds its network, by diffusers' names for it."""
FORMAT = "diffmusic-adapter-1"
PROBES = 6
"""Noise levels, spread over all, at which the loss is measured, always with the same noise."""
GAIN = 0.01
"""Relative decrease of the measured loss that counts as progress."""


@dataclass(frozen=True)
class Adapter:
    """Trained low-rank weights, with the model and prompt they belong to.

    Attributes:
        weights: the matrices ``A`` and ``B`` of every layer, by peft's names, float32 on the CPU. They are trained and
            used in float32 too, whatever the network computes in.
        rank: ``r``.
        alpha: the scale of ``B A``, over its rank.
        prompt: the text that stands for the recording.
        model: identity of the backbone, its hash above all.
        losses: measured losses, first and last included.
    """

    weights: dict[str, Tensor]
    rank: int
    alpha: float
    prompt: str
    model: str
    losses: tuple[float, ...] = ()

    def encode(self) -> bytes:
        """Encode as the bytes of a safetensors file."""
        facts = {field: getattr(self, field) for field in ("rank", "alpha", "prompt", "model", "losses")}
        return save(self.weights, {FORMAT: json.dumps(facts)})  # one key, because the library does not keep their order

    @classmethod
    def load(cls, path: Path) -> Adapter:
        """Read an adapter from a file. Raises InputError for a file that holds none."""
        try:
            with safe_open(path, "pt") as file:
                if FORMAT not in (kept := file.metadata() or {}):
                    raise InputError(
                        f"{path} holds no adapter that fuse has learnt; one of peft or diffusers is for solve and edit"
                    )
                facts = json.loads(kept[FORMAT])
                weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
                return cls(weights, **facts | {"losses": tuple(facts["losses"])})
        except FileNotFoundError:
            raise InputError(f"{path}: no such file") from None
        except InputError:
            raise
        except (OSError, SafetensorError, ValueError) as error:
            raise InputError(f"{path} is not a safetensors file that can be read: {error}") from None
        except (TypeError, KeyError):
            raise InputError(f"{path} holds no adapter that this version understands") from None


def peft() -> Any:
    """Import peft, the library of the layers. Raises InputError if it is not installed."""
    try:
        import peft
    except ImportError:
        raise InputError(
            "fine-tuning needs peft: pip install 'diffmusic[finetune]', or go without it by `finetune=False`"
        ) from None
    return peft


def attach(backbone: Backbone, adapter: Adapter) -> Backbone:
    """Return a copy of a backbone with the adapter attached; the original and its weights stay as they are.

    Raises InputError for an adapter that was made for another model.
    """
    model = identity(backbone)
    if adapter.model != model:
        raise InputError(
            f"the adapter was made for another model: its weights are {adapter.model[:12]}, these are {model[:12]}"
        )
    tuned, network = _adapted(backbone, adapter.rank, adapter.alpha)
    device = backbone.device
    peft().set_peft_model_state_dict(network, {name: each.to(device) for name, each in adapter.weights.items()})
    network.requires_grad_(False)
    return tuned


def identity(backbone: Backbone) -> str:
    """Identify a model by the hash of its weights, or else by its name."""
    known = backbone.describe()
    return str(known.get("sha256") or known.get("name"))


def _adapted(backbone: Any, rank: int, alpha: float) -> tuple[Any, nn.Module]:
    """Return a backbone whose network has adapters, and that network.

    The network is a copy that shares every weight with the original.
    """
    field = next((name for name in NETWORKS if isinstance(getattr(backbone, name, None), nn.Module)), None)
    if field is None or not dataclasses.is_dataclass(backbone):
        raise InputError(f"this backbone has no network that can be tuned (a field {' or '.join(NETWORKS)})")
    network = shared_copy(getattr(backbone, field))
    layers = [
        name
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d) and getattr(layer, "groups", 1) == 1
    ]
    config = peft().LoraConfig(r=rank, lora_alpha=alpha, target_modules=layers)
    peft().inject_adapter_in_model(config, network)
    for parameter in network.parameters():  # half precision would lose most steps of the optimiser
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return dataclasses.replace(backbone, **{field: network.eval()}), network  # type: ignore[type-var]


def shared_copy(network: nn.Module) -> nn.Module:
    """Return a copy of a network that shares every weight and buffer with it."""
    shared = {id(tensor): tensor for tensor in chain(network.parameters(), network.buffers())}
    return copy.deepcopy(network, shared)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed torch's own generator, which draws the first ``A``, and restore its state afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def capture(
    backbone: Backbone,
    z0: Tensor,
    prompt: str,
    *,
    steps: int = 300,
    rank: int = 8,
    rate: float = 2e-3,
    patience: int = 3,
    seed: int = 0,
    window: int | None = None,
    seconds: float = 0.0,
    costs: Costs | None = None,
    tick: Callable[[float], None] = lambda done: None,
) -> Adapter:
    """Learn a recording by its prompt, with Adam. The weights with the lowest measured loss are kept.

    Args:
        z0: latents of the recording, (items, channels, frames, ...).
        prompt: the text that is to stand for it.
        steps: of the optimiser, at most; each sees one item at one noise level.
        rank: ``r``.
        rate: learning rate, falling to 0 along a cosine.
        patience: how often the loss, measured every 25 steps, may fail to fall before training stops.
        window: frames of an item that a step sees, where it has more.
        seconds: duration of ``z0``.

    Raises:
        InputError: peft is not installed.
        Diverged: the loss is no longer finite.
    """
    costs = costs or Costs()
    with _seeded(seed):
        tuned, network = _adapted(backbone, rank, alpha=rank)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    condition, draw = Embedder(backbone, 0.0, seconds)(prompt), generator(seed, 1)
    highest, lowest = (float(backbone.sigmas(2)[k]) for k in (0, 1))
    span = math.log(highest / lowest)
    optimizer = torch.optim.Adam(trained, lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)

    def loss(item: Tensor, sigma: float, noise: Tensor) -> Tensor:
        costs.network_forward += len(item)
        costs.network_calls += 1
        clean = tuned.denoise(item + sigma * noise, sigma, condition)
        return (1 + sigma**-2) * (clean - item).square().mean()

    def excerpt(start: float) -> slice:
        length = min(window or z0.shape[2], z0.shape[2])
        first = round(start * (z0.shape[2] - length))
        return slice(first, first + length)

    def normal(like: Tensor, source: torch.Generator) -> Tensor:
        return torch.randn(like.shape, generator=source, dtype=torch.float32).to(like)

    def measure() -> float:
        values = []
        for number in range(PROBES):
            item = z0[number % len(z0)][None][:, :, excerpt(number / PROBES)]
            sigma = lowest * math.exp(span * (number + 0.5) / PROBES)
            values.append(float(loss(item, sigma, normal(item, generator(seed, 2, number)))))
        return sum(values) / len(values)

    losses, best, failures = list[float](), _weights(network), 0
    for step in range(steps + 1):
        if step % 25 == 0 or step == steps:
            with torch.no_grad():
                losses.append(measure())
            if not math.isfinite(losses[-1]):
                raise Diverged(f"fine-tuning diverged at step {step}; a lower rate would help")
            if losses[-1] <= min(losses):
                best = _weights(network)
            better = len(losses) < 2 or losses[-1] < (1 - GAIN) * min(losses[:-1])
            failures = 0 if better else failures + 1
            if failures > patience or step == steps:
                break
        place, start, which = torch.rand(3, generator=draw).tolist()
        # Noise levels follow the golden ratio, so that any few of them are spread over all.
        sigma = lowest * math.exp(span * ((step * 0.618034 + place / 10) % 1))
        item = z0[int(which * len(z0))][None][:, :, excerpt(start)]
        optimizer.zero_grad(set_to_none=True)
        loss(item, sigma, normal(item, draw)).backward()
        costs.network_backward += 1
        optimizer.step()
        schedule.step()
        tick((step + 1) / steps)
    tick(1.0)
    return Adapter(best, rank, float(rank), prompt, identity(backbone), tuple(losses))


def _weights(network: nn.Module) -> dict[str, Tensor]:
    state: dict[str, Tensor] = peft().get_peft_model_state_dict(network)
    return {name: each.detach().float().cpu().clone().contiguous() for name, each in state.items()}
