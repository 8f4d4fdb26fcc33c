"""Zero-shot restoration and editing of music with pretrained latent-diffusion priors.

    import diffmusic

    audio, rate = diffmusic.read("song.flac")
    result = diffmusic.restore(audio, rate, "inpainting gap=4:5")
    diffmusic.write("restored.flac", result.audio[0], rate, like="song.flac")

Everything is imported when it is first used: ``import diffmusic`` alone loads no torch.
"""

from __future__ import annotations

from importlib import import_module as _import_module
from typing import TYPE_CHECKING, Any

from diffmusic.errors import DiffmusicError, Diverged, InputError
from diffmusic.plugins import Spec, hookimpl

if TYPE_CHECKING:
    from diffmusic.bench.api import Benchmark, benchmark
    from diffmusic.datasets.contract import Clip, Dataset, load_dataset
    from diffmusic.editor.contract import AudioEditor, Edit, Editor
    from diffmusic.metrics.contract import PairMetric, SetMetric, load_metric
    from diffmusic.parameters import Doc, Field
    from diffmusic.prior import Backbone, Costs, Prior
    from diffmusic.problem import STFT, Operator, Problem, chain
    from diffmusic.solver import DirectSolver, Optimisation, OptimisingSolver, Solver, State, Step
    from diffmusic.tasks.api import edit, explore, fuse, restore
    from diffmusic.tasks.edit_result import Edited
    from diffmusic.tasks.explore import Exploration
    from diffmusic.tasks.fuse import Fused
    from diffmusic.tasks.loading import load_model, load_operator, load_solver, read, write
    from diffmusic.tasks.restore import Restoration
    from diffmusic.tasks.settings import EditSettings, ExploreSettings, FuseSettings, LearnSettings, RestoreSettings
    from diffmusic.tasks.snapshot import Snapshot

    __version__: str

_HOMES = {
    "diffmusic.bench.api": ("Benchmark", "benchmark"),
    "diffmusic.datasets.contract": ("Clip", "Dataset", "load_dataset"),
    "diffmusic.editor.contract": ("AudioEditor", "Edit", "Editor"),
    "diffmusic.metrics.contract": ("PairMetric", "SetMetric", "load_metric"),
    "diffmusic.parameters": ("Doc", "Field"),
    "diffmusic.prior": ("Backbone", "Costs", "Prior"),
    "diffmusic.problem": ("STFT", "Operator", "Problem", "chain"),
    "diffmusic.solver": ("DirectSolver", "Optimisation", "OptimisingSolver", "Solver", "State", "Step"),
    "diffmusic.tasks.api": ("edit", "explore", "fuse", "restore"),
    "diffmusic.tasks.edit_result": ("Edited",),
    "diffmusic.tasks.explore": ("Exploration",),
    "diffmusic.tasks.fuse": ("Fused",),
    "diffmusic.tasks.loading": ("load_model", "load_operator", "load_solver", "read", "write"),
    "diffmusic.tasks.restore": ("Restoration",),
    "diffmusic.tasks.settings": (
        "EditSettings", "ExploreSettings", "FuseSettings", "LearnSettings", "RestoreSettings",
    ),
    "diffmusic.tasks.snapshot": ("Snapshot",),
}  # fmt: skip
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "STFT", "AudioEditor", "Backbone", "Benchmark", "Clip", "Costs", "Dataset", "DiffmusicError", "DirectSolver",
    "Diverged", "Doc", "Edit", "EditSettings", "Edited", "Editor", "Exploration", "ExploreSettings", "Field",
    "FuseSettings", "Fused", "InputError", "LearnSettings", "Operator", "Optimisation", "OptimisingSolver",
    "PairMetric", "Prior", "Problem", "Restoration", "RestoreSettings", "SetMetric", "Snapshot", "Solver", "Spec",
    "State", "Step", "__version__", "benchmark", "chain", "edit", "explore", "fuse", "hookimpl", "load_dataset",
    "load_metric", "load_model", "load_operator", "load_solver", "read", "restore", "write",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import what is asked for."""
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("diffmusic")
    elif name in _HOME:
        value = getattr(_import_module(_HOME[name]), name)
    else:
        raise AttributeError(f"module 'diffmusic' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
