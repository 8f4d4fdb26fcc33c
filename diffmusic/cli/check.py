"""``diffmusic check NAME``: the contract tests, on any operator, solver, backbone, metric, embedding or dataset."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from diffmusic.errors import InputError, suggestion
from diffmusic.models import hub
from diffmusic.plugins import KINDS, registry


@click.command()
@click.argument("name")
@click.option("-s", "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Set one of its parameters.")
@click.option("--device", default="cpu", show_default=True, help="Where a backbone is checked.")
@click.pass_context
def check(ctx: click.Context, name: str, settings: tuple[str, ...], device: str) -> None:
    """Run the contract tests on the operator, solver, backbone, metric, embedding or dataset NAME, or on a model in a
    folder or the cache.

    Exit code 0 if all pass, 1 if one fails.
    """
    found = registry()
    kinds = [kind for kind in KINDS if name in found.components(kind)]
    if not kinds and (Path(name).is_dir() or hub.is_repository(name)):
        kinds = ["backbone"]
    if not kinds:
        everything = [known for kind in KINDS for known in found.components(kind)]
        raise InputError(f"no {', '.join(KINDS[:-1])} or {KINDS[-1]} is called {name!r}.{suggestion(name, everything)}")

    from diffmusic import testing
    from diffmusic.parameters import assignments

    failed = 0
    for kind in kinds:
        component = _component(kind, name, assignments(settings), device)
        results = testing.run_checks(kind, component)
        click.echo(f"{kind} {name}")
        for result in results:
            click.echo(f"  {'ok    ' if result.passed else 'FAILED'}  {result.name}: {result.detail}")
        failed += sum(not result.passed for result in results)
    click.echo(f"{failed} failed" if failed else "all passed")
    ctx.exit(1 if failed else 0)


def _component(kind: str, name: str, given: Mapping[str, Any], device: str) -> Any:
    """Load the component to check: its example, or one made from the settings. Nothing is downloaded for it."""
    from diffmusic.models.components import load_component
    from diffmusic.models.load import Access, load_latent_model, resolve_device
    from diffmusic.parameters import bind
    from diffmusic.testing.checks import HasExample

    if kind == "backbone":
        return load_latent_model(name, resolve_device(device), offline=True)
    target = registry().load(kind, name)
    if kind == "embedding":
        if given:
            raise InputError(f"{kind} {name!r} has no parameters, and was given {', '.join(given)}")
        return target("", Access(offline=True))
    if not given and isinstance(target, HasExample):
        return target.example()
    return bind(load_component(kind, name, given), access=Access(offline=True))
