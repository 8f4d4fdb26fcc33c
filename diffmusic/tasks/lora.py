"""Low-rank adapters made elsewhere, by fine-tuning with peft or diffusers, on the network that they fit.

    W x  ->  W x + (alpha / r) B A x,   A of rank r          (E. Hu et al., "LoRA", arXiv:2106.09685)

The matrices are kept beside the weights, in float32, whatever the network computes in; the network is a copy that
shares every weight with the original, which never changes.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn import functional

from diffmusic.errors import InputError, reason
from diffmusic.prior.backbone import Backbone
from diffmusic.tasks.adapter import FORMAT, NETWORKS, identity, network_field, shared_copy

FILES = ("adapter_model.safetensors", "pytorch_lora_weights.safetensors")
"""The adapter in a folder, as peft and diffusers name it."""
PREFIX = re.compile(r"(?:base_model\.model\.)?(?:(unet|transformer|text_encoder\w*)\.)?(.+)")
MATRIX = re.compile(
    r"(?P<layer>.+?)(?:\.lora_(?P<new>[AB])(?:\.\w+)?\.weight|(?P<old>\.|_)lora\.(?P<way>down|up)\.weight|\.(?P<alpha>alpha))"
)
"""The keys of peft (``lora_A``), and of diffusers now (the same) and formerly (``lora.down``, ``to_q_lora.down``)."""


@dataclass(frozen=True)
class Lora:
    """An adapter as read from a file.

    layers: by the name of a layer of the network its ``A``, ``B`` and ``alpha / r``. network: diffusers' name of the
    network, "" where the file does not say. model: the hash of the weights that it was learnt on, "" if not known.
    """

    path: Path
    layers: Mapping[str, tuple[Tensor, Tensor, float]]
    network: str = ""
    model: str = ""


def read_lora(path: Path) -> Lora:
    """Read an adapter of diffmusic, peft or diffusers: a file of safetensors, or the folder that holds one.

    Raises:
        InputError: There is none, or it holds something else than low-rank matrices for one network.
    """
    file = next((path / name for name in FILES if (path / name).is_file()), path) if path.is_dir() else path
    try:
        with safe_open(file, "pt") as opened:
            facts = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name).float() for name in opened.keys()}  # noqa: SIM118 - no mapping
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, SafetensorError) as error:
        raise InputError(f"adapter {path} is no safetensors file that can be read: {reason(error)}") from None
    networks, matrices = set(), dict[str, dict[str, Tensor]]()
    for key, tensor in tensors.items():
        prefix = PREFIX.fullmatch(key)
        match = MATRIX.fullmatch(prefix[2]) if prefix else None
        if prefix is None or match is None:
            raise InputError(
                f"adapter {path}: {key} is no matrix of a low-rank adapter in the keys of peft or diffusers"
            )
        networks.add(prefix[1] or "")
        layer = match["layer"].replace(".processor", "")
        layer = layer.replace("to_out", "to_out.0") if match["old"] == "_" else layer
        kind = "alpha" if match["alpha"] else match["new"] or {"down": "A", "up": "B"}[match["way"]]
        matrices.setdefault(layer, {})[kind] = tensor
    if any(name.startswith("text_encoder") for name in networks):
        raise InputError(
            f"adapter {path} changes the text encoder too, which cannot be done: save that of the network alone"
        )
    if len(networks) != 1:
        raise InputError(
            f"adapter {path} is for {' and '.join(sorted(networks)) or 'no network'}; one is what it takes"
        )
    scale = _scales(file, facts, any(key.startswith("base_model.model.") for key in tensors))
    return Lora(
        path,
        {layer: _layer(path, layer, each, scale) for layer, each in matrices.items()},
        networks.pop(),
        _model(facts),
    )


def _model(facts: Mapping[str, str]) -> str:
    return str(json.loads(facts[FORMAT]).get("model", "")) if FORMAT in facts else ""


def _layer(path: Path, layer: str, found: dict[str, Tensor], scale: Any) -> tuple[Tensor, Tensor, float]:
    if not {"A", "B"} <= set(found) or found["A"].shape[0] != found["B"].shape[1]:
        raise InputError(f"adapter {path}: {layer} has no pair of matrices of one rank")
    rank = found["A"].shape[0]
    return found["A"], found["B"], float(found["alpha"]) / rank if "alpha" in found else scale(layer, rank)


def _scales(file: Path, facts: Mapping[str, str], peft: bool) -> Any:
    """``alpha / r`` of a layer by its name and rank, from what stands in the file or in peft's settings beside it."""
    settings: Mapping[str, Any] = {}
    if FORMAT in facts:
        settings = {"lora_alpha": json.loads(facts[FORMAT])["alpha"]}
    elif "lora_adapter_metadata" in facts:
        known = json.loads(facts["lora_adapter_metadata"])
        settings = {re.sub(r"^(unet|transformer)\.", "", name): value for name, value in known.items()}
    elif (file.parent / "adapter_config.json").is_file():
        settings = json.loads((file.parent / "adapter_config.json").read_text(encoding="utf-8-sig"))
    elif peft:
        raise InputError(
            f"adapter {file} needs the adapter_config.json that peft writes beside it: it says how strong it is"
        )
    if settings.get("use_dora"):
        raise InputError(f"adapter {file} is a DoRA, which is not supported: a LoRA is")

    def scale(layer: str, rank: int) -> float:
        patterns = settings.get("alpha_pattern") or {}
        own = next((value for name, value in patterns.items() if layer == name or layer.endswith(f".{name}")), None)
        alpha = own if own is not None else settings.get("lora_alpha", rank)
        return float(alpha) / (math.sqrt(rank) if settings.get("use_rslora") else rank)

    return scale


def adapted(backbone: Backbone, path: Path | None) -> Backbone:
    """Return a backbone whose network has the adapter in a file; the one given stays as it is. None: no adapter.

    Raises:
        InputError: The file holds no adapter, or one for another network; the message says for which.
    """
    if path is None:
        return backbone
    lora, model = read_lora(path), identity(backbone)
    name = str(backbone.describe().get("name"))
    field = network_field(backbone)
    if field is None:
        raise InputError(f"model {name!r} has no network that takes an adapter (a field {' or '.join(NETWORKS)})")
    if lora.network not in ("", field):
        raise InputError(f"adapter {path} is for a {lora.network}, and the network of model {name!r} is a {field}")
    if lora.model not in ("", model):
        raise InputError(
            f"adapter {path} was learnt on weights {lora.model[:12]}; those of model {name!r} are {model[:12]}"
        )
    network = shared_copy(getattr(backbone, field))
    modules = dict(network.named_modules())
    for layer, (down, up, scale) in lora.layers.items():
        module = modules.get(layer)
        if not isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d) or getattr(module, "groups", 1) != 1:
            raise InputError(f"adapter {path} does not fit the {field} of model {name!r}, which has no layer {layer}")
        taken, given = module.weight.shape[1:], module.weight.shape[0]
        if down.shape[1:] != taken or up.shape[0] != given:
            raise InputError(
                f"adapter {path} does not fit the {field} of model {name!r}: {layer} maps {taken[0]} channels to "
                f"{given} there, and {down.shape[1]} to {up.shape[0]} in the adapter"
            )
        module.register_forward_hook(_Branch(down.to(backbone.device), up.to(backbone.device), scale))
    changed: Any = backbone
    return dataclasses.replace(changed, **{field: network})


@dataclass(frozen=True)
class _Branch:
    """Adds ``scale * B A x`` to what a layer makes of ``x``."""

    down: Tensor
    up: Tensor
    scale: float

    def __call__(self, module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        x = inputs[0].float()
        if isinstance(module, nn.Linear):
            added = functional.linear(functional.linear(x, self.down), self.up)
        else:
            convolve: Any = functional.conv1d if isinstance(module, nn.Conv1d) else functional.conv2d
            added = convolve(convolve(x, self.down, None, module.stride, module.padding, module.dilation), self.up)
        return output + (self.scale * added).to(output.dtype)
