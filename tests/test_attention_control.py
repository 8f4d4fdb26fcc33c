"""Attention control on tiny AudioLDM2 and MusicLDM: nothing, everything, and each part by its formula."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from diffmusic.audio.signal import Samples
from diffmusic.editor.attention import Injected, Taps
from diffmusic.editor.contract import Edit
from diffmusic.editor.token_alignment import aligned
from diffmusic.errors import InputError
from diffmusic.models.load import load_model
from diffmusic.prior import Costs
from diffmusic.prior.guidance import Text
from diffmusic.tasks.edit import EditSetup
from diffmusic.tasks.settings import EditSettings
from diffmusic_solvers.attention_control import AttentionControl
from diffmusic_solvers.ddim_inversion import DDIMInversion
from diffmusic_solvers.ddpm_inversion import DDPMInversion

RATE = 16000
AUDIO = 0.1 * np.random.default_rng(0).standard_normal((2, RATE))
FULL = AttentionControl(own=1.0, features=1.0, injected="all", layers="all")
NONE = AttentionControl(cross=0.0, own=0.0)


@pytest.fixture(scope="module")
def task(built: Callable[[str], Path]) -> Callable[..., Edit]:
    """An edit of stereo noise with three levels on a tiny prior of a kind."""
    loaded: dict[str, Any] = {}

    def make(kind: str, source: str = "a flute", **more: Any) -> Edit:
        loaded.setdefault(kind, load_model(str(built(kind))))
        chosen = {"steps": 3, "guidance": 3.0, "source_guidance": 3.0, **more}
        settings = EditSettings(("a slow drum",), source, **chosen)
        return EditSetup.of(Samples(AUDIO), RATE, loaded[kind], Costs(), settings).task(0)

    return make


@pytest.mark.parametrize("kind", ["audioldm2", "musicldm"])
def test_nothing_is_the_plain_edit_and_everything_the_source_bit_for_bit(task: Callable[..., Edit], kind: str) -> None:
    given = task(kind)
    plain = DDPMInversion().edit(given)
    assert torch.equal(NONE.edit(given), plain)
    assert not torch.equal(plain, given.z0)
    full = replace(FULL, cross=1.0) if kind == "audioldm2" else FULL
    assert torch.equal(full.edit(given), given.z0)
    # An empty source has one pass, which both of the target's take: at any weight.
    assert torch.equal(full.edit(task(kind, "", guidance=7.0)), task(kind, "").z0)
    # Taps are gone afterwards.
    assert torch.equal(DDPMInversion().edit(given), plain)
    ddim = replace(NONE, inversion="ddim")
    assert torch.equal(ddim.edit(given), DDIMInversion().edit(given))


@pytest.mark.parametrize("part", ["cross", "own", "features"])
def test_each_part_changes_the_edit_and_more_levels_change_more(task: Callable[..., Edit], part: str) -> None:
    given = task("audioldm2")
    plain = DDPMInversion().edit(given)
    changes: list[float] = []
    for share in (0.34, 1.0):
        parts: dict[str, Any] = {"cross": 0.0, "own": 0.0, "layers": "all", part: share}
        changes.append(float((AttentionControl(**parts).edit(given) - plain).norm()))
    assert 0 < changes[0] != changes[1] > 0


def test_what_does_not_apply_is_said(task: Callable[..., Edit]) -> None:
    for editor in (AttentionControl(cross=0.5), AttentionControl(guide=0.1)):
        with pytest.raises(InputError, match="self-attention only"):
            editor.edit(task("musicldm"))
    assert AttentionControl().edit(task("musicldm")).shape == task("musicldm").z0.shape  # the default is what there is
    from diffmusic.testing.editors import task as oracle

    with pytest.raises(InputError, match="no UNet"):
        AttentionControl().edit(oracle((Text(),)))


def test_tokens_are_aligned_as_in_the_paper() -> None:
    # "a cat sits ." to "a big dog sits .": one word became two, and each has half of its map.
    matrix, new = aligned([1, 5, 3, 9], [1, 7, 8, 3, 9])
    expected = torch.tensor([[1.0, 0, 0, 0, 0], [0, 0.5, 0.5, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 1]])
    assert torch.equal(matrix, expected)
    assert not new.any()
    matrix, new = aligned([1, 3, 9], [1, 7, 3, 9])  # a word is added
    assert torch.equal(new, torch.tensor([0.0, 1, 0, 0]))
    assert torch.equal(matrix.argmax(0)[[0, 2, 3]], torch.tensor([0, 1, 2]))
    matrix, new = aligned([1, 2, 3], [1, 4, 3])
    assert torch.equal(matrix, torch.eye(3))


def test_a_cross_map_is_replaced_by_the_sources_own(task: Callable[..., Edit]) -> None:
    """Of one layer, by hand: softmax of the source's queries and keys, on the target's values."""
    given = task("audioldm2")
    unet: Any = given.denoise.backbone.unet  # type: ignore[attr-defined]
    source, target = given.source.conditions[0], given.targets[0].conditions[0]
    taps, seen = Taps(given.denoise.backbone, "all", "one"), dict[str, Any]()
    name = next(each for each in unet.attn_processors if each.startswith("down_blocks") and _is_cross(unet, each))
    layer = dict(unet.named_modules())[name.removesuffix(".processor")]

    def keep(_module: Any, words: Any, more: Any, out: Any) -> None:
        seen[state] = (words[0], more["encoder_hidden_states"], out)

    layer.register_forward_hook(keep, with_kwargs=True)
    sigma, point = given.sigmas[0], given.z0[:1]
    with taps.installed(), torch.no_grad():
        state = "source"
        with taps.recording() as record:
            given.denoise(point, sigma, Text((source,)))
        state = "target"
        with taps.injecting(record, Injected(cross=True), source, target):
            given.denoise(point, sigma, Text((target,)))
        (x, text, _), (y, other, out) = seen["source"], seen["target"]
        words, others = (
            (None, None) if text.shape[1:] == source.generated.shape[1:] and torch.equal(text, source.generated)
            else (source.tokens[0].tolist(), target.tokens[0].tolist())
        )  # fmt: skip
        matrix, new = aligned(words or range(text.shape[1]), others or range(other.shape[1]))
        heads = layer.heads

        def headed(made: torch.Tensor) -> torch.Tensor:
            return made.unflatten(2, (heads, -1)).transpose(1, 2)

        def map_of(hidden: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
            q, k = headed(layer.to_q(hidden)), headed(layer.to_k(attended))
            return (q @ k.transpose(2, 3) / q.shape[-1] ** 0.5).softmax(-1)

        maps = map_of(x, text) @ matrix + new * map_of(y, other)
        expected = layer.to_out[0]((maps @ headed(layer.to_v(other))).transpose(1, 2).flatten(2))
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-6)


def _is_cross(unet: Any, name: str) -> bool:
    layer = dict(unet.named_modules())[name.removesuffix(".processor")]
    return bool(layer.to_k.in_features != layer.to_q.in_features)


def test_guidance_goes_down_the_distance_of_the_maps_in_the_papers_frame(task: Callable[..., Edit]) -> None:
    """x <- x - guide grad_x on x = z / sqrt(1 + sigma^2), by finite differences, is the move in z."""
    given, guide = task("audioldm2", steps=1), 1e-3
    taps = Taps(given.denoise.backbone, "all", "one")
    sigma, condition, before = given.sigmas[0], given.targets[0].conditions[0], given.source.conditions[0]
    alpha = 1 / (1 + sigma**2) ** 0.5
    first = given.z0 + sigma * given.noise(0)
    moved: list[torch.Tensor] = []
    from diffmusic_solvers import attention_control

    def first_move(_task: Edit, _code: Any, _eta: float, nudge: Callable[[int, torch.Tensor], torch.Tensor]) -> Any:
        moved.append(nudge(0, first + 0.1))
        return first

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention_control, "replay", first_move)
        AttentionControl(cross=0.0, own=0.0, guide=guide).edit(given)
    start = first[:1] + 0.1

    def loss(x: torch.Tensor) -> float:
        with taps.comparing(record, before, condition) as distances, torch.no_grad():
            given.denoise((x / alpha), sigma, Text((condition,)))
        return float(torch.stack(distances).sum())

    with taps.installed():
        with taps.recording() as record:
            given.denoise(first[:1], sigma, Text((before,)))
        # What the move does along a direction, in x, is -guide times the slope along it.
        step = alpha * (moved[0][:1] - start)
        direction = step / step.norm()
        h = 0.02
        slope = (loss(alpha * start + h * direction) - loss(alpha * start - h * direction)) / (2 * h)
    assert float(step.norm()) == pytest.approx(-guide * slope, rel=0.02)
