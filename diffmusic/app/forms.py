"""What the page's forms are made of: components and their parameters, from their dataclasses.

It imports every operator and solver, so it runs in a process of its own: ``python -m diffmusic.app.forms``.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from diffmusic.errors import InputError
from diffmusic.models import hub
from diffmusic.parameters import Parameter, parameters
from diffmusic.plugins import Spec, add_file, registry
from diffmusic.tasks.loading import default_solver
from diffmusic.tasks.settings import EditSettings, RestoreSettings


def forms() -> dict[str, Any]:
    """Describe operators, solvers, models and settings in JSON values; what cannot be loaded has its ``error``."""
    known = registry()
    operators = [_operator(name, spec) for name, spec in known.components("operator").items()]
    solvers = [_component(name, spec) for name, spec in known.components("solver").items()]
    return {
        "operators": operators,
        "solvers": solvers,
        "models": [_model(name, spec) for name, spec in known.components("backbone").items()],
        "defaults": {"solve": _defaults(RestoreSettings()), "edit": _defaults(EditSettings())},
        "owners": {kind: known.owners(kind) for kind in ("operator", "solver", "backbone")},
    }


def _component(name: str, spec: Spec) -> dict[str, Any]:
    facts: dict[str, Any] = {"name": name, "summary": spec.summary, "role": spec.role, "parameters": [], "error": ""}
    try:
        component = spec.load()
        facts["parameters"] = [_parameter(each) for each in parameters(component)]
    except InputError as error:
        facts["error"] = str(error)
    return facts


def _operator(name: str, spec: Spec) -> dict[str, Any]:
    facts = _component(name, spec)
    return facts if facts["error"] else facts | {"solver": default_solver(spec.load())}


def _parameter(parameter: Parameter) -> dict[str, Any]:
    default = None if parameter.required else parameter.default
    # Lists begin empty, and other values that are no text are shown as the command line would.
    shown = default if isinstance(default, bool | int | float | str) else None
    facts = {"name": parameter.name, "help": parameter.help, "kind": parameter.kind, "choices": parameter.choices}
    return facts | {"default": shown, "repeatable": parameter.repeatable, "required": parameter.required}


def _model(name: str, spec: Spec) -> dict[str, Any]:
    checkpoint = spec.checkpoints[0] if spec.checkpoints else None
    here = checkpoint is None or hub.cached(checkpoint.repository) is not None
    size = 0.0 if checkpoint is None or here else checkpoint.bytes / 1e9
    return {"name": name, "summary": spec.summary, "here": here, "download_gb": size}


def _defaults(settings: Any) -> dict[str, Any]:
    found = {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}
    return {name: value for name, value in found.items() if isinstance(value, bool | int | float | str)}


def main() -> None:
    """Print the forms as JSON. Arguments: plugins that are files."""
    for path in sys.argv[1:]:
        add_file(Path(path))
    print(json.dumps(forms()))


if __name__ == "__main__":
    main()
