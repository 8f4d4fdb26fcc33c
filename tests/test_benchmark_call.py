"""``diffmusic.benchmark`` ranks a solver that no plugin offers among those of the package."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import diffmusic
from diffmusic.solver import State, Step, transition
from diffmusic_solvers.repaint import RePaint


@dataclass(frozen=True)
class Deaf:
    """Samples of the prior, whatever was measured."""

    eta: float = 1.0

    def step(self, state: State, step: Step) -> State:
        clean = step.prior.denoise(state.z, step.sigma)
        return State(transition(state.z, clean, step, self.eta, 0.0))


@dataclass(frozen=True)
class Idle:
    """No solver at all."""


@pytest.fixture
def clips(song: Callable[..., Path]) -> Path:
    return song("a.wav").parent


def run(model: Path, clips: Path, solver: object, **more: object) -> diffmusic.Benchmark:
    settings = {"problems": ["inpainting gap=0.3:0.4"], "count": 2, "seconds": 0.7, "steps": 2} | more
    return diffmusic.benchmark(str(model), solver, clips=clips, against=["interpolate"], **settings)  # type: ignore[arg-type]


def test_a_strangers_solver_is_ranked(tiny: Path, clips: Path) -> None:
    seen: list[tuple[int, int]] = []
    made = run(tiny, clips, Deaf(eta=0.5), progress=lambda *count: seen.append(count))
    # Two tones go on through the gap, and straight lines continue them; random weights do not.
    assert [line.row for line in made.ranking()] == ["interpolate", "Deaf"]
    assert [line.row for line in made.ranking(metric="si_sdr")] == ["interpolate", "Deaf"]
    assert {line.done for line in made.ranking()} == {2}
    assert made.ranking()[1].costs["network_forward"] == 2
    assert seen == [(number, len(seen)) for number in range(1, len(seen) + 1)]
    assert "| Deaf (2) |" in str(made)


def test_an_instance_scores_as_the_same_solver_by_name(tiny: Path, clips: Path, tmp_path: Path) -> None:
    own, named = (run(tiny, clips, solver, count=1, folder=tmp_path / kind).ranking()
                  for kind, solver in (("own", RePaint(repeats=2)), ("named", "repaint repeats=2")))  # fmt: skip
    assert [line.row for line in own][-1] == "RePaint"
    assert [line.values for line in own] == [line.values for line in named]
    assert (tmp_path / "own" / "index.html").exists()


def test_what_cannot_be_run_is_said(tiny: Path, clips: Path) -> None:
    with pytest.raises(diffmusic.InputError, match="object is no dataclass"):
        run(tiny, clips, object())
    with pytest.raises(diffmusic.InputError, match="solver 'Idle' edits recordings and restores none"):
        run(tiny, clips, Idle())
    with pytest.raises(diffmusic.InputError, match="inpaintin"):
        run(tiny, clips, Deaf(), problems=["inpaintin gap=1:2"])
    with pytest.raises(diffmusic.InputError, match="no problem 'mixing' was run; inpainting were"):
        run(tiny, clips, Deaf(), count=1).ranking("mixing")
