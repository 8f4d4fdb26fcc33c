"""Low-rank adapter of a prior's network, with the model and prompt it belongs to.

    W  ->  W + (alpha / r) B A,   A of rank r, B = 0 at first

for every linear and convolutional layer of the network. The layers are peft's; they are attached to a copy of the
network that shares its weights with the original, which never changes.

Source: E. Hu et al., "LoRA", arXiv:2106.09685.
"""

from __future__ import annotations

import copy
import dataclasses
import json
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from diffmusic.errors import InputError
from diffmusic.prior.backbone import Backbone

NETWORKS = ("unet", "transformer")
"""Field of a backbone that holds its network, by diffusers' names for it."""
FORMAT = "diffmusic-adapter-1"


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
    tuned, network = adapted(backbone, adapter.rank, adapter.alpha)
    device = backbone.device
    peft().set_peft_model_state_dict(network, {name: each.to(device) for name, each in adapter.weights.items()})
    network.requires_grad_(False)
    return tuned


def identity(backbone: Backbone) -> str:
    """Identify a model by the hash of its weights, or else by its name."""
    known = backbone.describe()
    return str(known.get("sha256") or known.get("name"))


def adapted(backbone: Any, rank: int, alpha: float) -> tuple[Any, nn.Module]:
    """Return a backbone whose network has adapters, and that network.

    The network is a copy that shares every weight with the original.
    """
    field = network_field(backbone)
    if field is None:
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


def network_field(backbone: Any) -> str | None:
    """Return the name of the field that holds the network; None for a backbone that has none to replace."""
    if not dataclasses.is_dataclass(backbone):
        return None
    return next((name for name in NETWORKS if isinstance(getattr(backbone, name, None), nn.Module)), None)


def shared_copy(network: nn.Module) -> nn.Module:
    """Return a copy of a network that shares every weight and buffer with it."""
    shared = {id(tensor): tensor for tensor in chain(network.parameters(), network.buffers())}
    return copy.deepcopy(network, shared)


def trained_weights(network: nn.Module) -> dict[str, Tensor]:
    state: dict[str, Tensor] = peft().get_peft_model_state_dict(network)
    return {name: each.detach().float().cpu().clone().contiguous() for name, each in state.items()}
