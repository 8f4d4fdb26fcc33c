"""Editors that follow a difference of velocities, against formulas in the flow's ``x_t = (1 - t) x_0 + t n``."""

import dataclasses
import sys
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from diffmusic.editor.contract import Edit
from diffmusic.prior.guidance import Text
from diffmusic.testing.checks import relative
from diffmusic.testing.editors import DIM, DOWN, UP, task
from diffmusic_solvers import delta_velocity, flow_align
from diffmusic_solvers.flow_edit import FlowEdit
from tests.mutation import changed


def velocity(given: Edit, x: Tensor, t: float, text: Text) -> Tensor:
    return (x - given.denoise(x / (1 - t), t / (1 - t), text)) / t


def times(given: Edit) -> list[tuple[float, float]]:
    return [*pairwise(sigma / (1 + sigma) for sigma in given.sigmas)]


def paper_flow_align(given: Edit, editor: flow_align.FlowAlign) -> Tensor:
    """Algorithm 1 and its code: ``x += (t' - t) (v_p - v_q) + zeta (q - t v_q - p + t v_p)``."""
    (target,), x = given.targets, given.z0
    for index, (t, t_next) in enumerate(times(given)):
        q = (1 - t) * given.z0 + t * given.noise(index)
        p = x + q - given.z0
        own, wanted = (velocity(given, p, t, Text(text.conditions)) for text in (given.source, target))
        v_p, v_q = own + target.guidance * (wanted - own), velocity(given, q, t, given.source)
        x = x + (t_next - t) * (v_p - v_q) + editor.source_pull * (q - t * v_q - p + t * v_p)
    return x


def paper_delta_velocity(given: Edit, editor: delta_velocity.DeltaVelocity) -> Tensor:
    """Eq. 6 and 8: the target's point moved on by ``c_t (x - x_0)``, gradient steps on the clean latents."""
    (target,), x = given.targets, given.z0
    for index, (t, t_next) in enumerate(times(given)):
        eta, total = editor.shift * index / (len(given.sigmas) - 1), torch.zeros_like(x)
        for draw in range(editor.averages):
            noise = given.noise(index * editor.averages + draw)
            source = (1 - t) * given.z0 + t * noise
            moved = (1 - t) * x + t * noise + eta * t * (x - given.z0)
            total = total + velocity(given, moved, t, target) - velocity(given, source, t, given.source)
        x = x - (t - t_next) * (total / editor.averages + (1 - eta) * (x - given.z0))
    return x


CASES: dict[str, tuple[Any, Callable[[Edit, Any], Tensor]]] = {
    "flow-align": (flow_align.FlowAlign(source_pull=0.1), paper_flow_align),
    "delta-velocity": (delta_velocity.DeltaVelocity(shift=0.7, averages=2), paper_delta_velocity),
}


def given() -> Edit:
    """A target under guidance away from nothing, which flow-align puts the source in the place of."""
    return task((dataclasses.replace(UP, guidance=2.5),), DOWN)


@pytest.mark.parametrize("name", CASES)
def test_it_is_the_papers(name: str) -> None:
    editor, paper = CASES[name]
    assert relative(editor.edit(given()), paper(given(), editor)) < 1e-10


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("flow-align", "own + weights * (target - own)", "target"),
        ("flow-align", "self.source_pull * (1 + sigma_next)", "self.source_pull"),
        ("flow-align", "- self.source_pull", "+ self.source_pull"),
        ("delta-velocity", "(1 + ahead * sigma) * e]", "(1 + ahead) * e]"),
        ("delta-velocity", "(1 - time) * e - d", "e - d"),
        ("delta-velocity", "velocity + (1 - ahead) * e", "velocity"),
        ("delta-velocity", "/ self.averages", "/ 1"),
    ],
)
def test_a_mistake_is_noticed(name: str, right: str, wrong: str) -> None:
    editor, paper = CASES[name]
    mutant = getattr(changed(sys.modules[type(editor).__module__], right, wrong), type(editor).__name__)
    assert relative(mutant(**dataclasses.asdict(editor)).edit(given()), paper(given(), editor)) > 1e-4


def test_negative_prompts_take_no_part_in_flow_align_which_is_three_passes_a_level() -> None:
    low = torch.full((DIM,), 3.0).double()
    up, down = (dataclasses.replace(text, guidance=2.5, contrast=low) for text in (UP, DOWN))
    guided, plain = task((up,), down), given()
    assert torch.equal(flow_align.FlowAlign().edit(guided), flow_align.FlowAlign().edit(plain))
    assert guided.denoise.costs.network_forward == 3 * (len(guided.sigmas) - 1)


def test_without_what_is_new_they_are_flow_edit() -> None:
    # The target is asked where flow-edit asks it when c is 1 at every level; flow-align has no other guidance then.
    plain = task((UP,), DOWN)
    assert relative(flow_align.FlowAlign(source_pull=0.0).edit(plain), FlowEdit().edit(plain)) < 1e-12
    full = changed(delta_velocity, "self.shift * index / (len(task.sigmas) - 1)", "1.0").DeltaVelocity()
    assert relative(full.edit(plain), FlowEdit().edit(plain)) < 1e-10


@pytest.mark.parametrize("editor", [flow_align.FlowAlign(), delta_velocity.DeltaVelocity()])
def test_a_target_that_is_the_source_changes_nothing(editor: Any) -> None:
    same = task((UP,), UP)
    assert relative(editor.edit(same), same.z0) < 1e-12
