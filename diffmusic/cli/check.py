"""``diffmusic check NAME``: the contract tests, on any operator, solver, backbone or metric."""

from __future__ import annotations

from pathlib import Path

import click

from diffmusic import hub
from diffmusic.errors import InputError
from diffmusic.plugins import KINDS, registry, suggestion


@click.command()
@click.argument("name")
@click.option("-s", "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Set one of its parameters.")
@click.option("--device", default="cpu", show_default=True, help="Where a backbone is checked.")
@click.pass_context
def check(ctx: click.Context, name: str, settings: tuple[str, ...], device: str) -> None:
    """Run the contract tests on the operator, solver, backbone or metric NAME, or on a model in a folder or the cache.

    Exit code 0 if all pass, 1 if one fails.
    """
    found = registry()
    kinds = [kind for kind in KINDS if name in found.components(kind)]
    if not kinds and (Path(name).is_dir() or hub.is_repository(name)):
        kinds = ["backbone"]
    if not kinds:
        everything = [known for kind in KINDS for known in found.components(kind)]
        raise InputError(f"no operator, solver, backbone or metric is called {name!r}.{suggestion(name, everything)}")

    from diffmusic import models, testing
    from diffmusic.cli.flags import assignments
    from diffmusic.parameters import build

    failed = 0
    for kind in kinds:
        if kind == "backbone":
            component = models.load(name, models.device(device), offline=True)
        elif kind == "metric":
            component = found.load(kind, name)
        else:
            target, given = found.load(kind, name), assignments(settings)
            component = build(target, given, f"{kind} {name!r}") if given else testing.example(target)
        results = testing.run_checks(kind, component)
        click.echo(f"{kind} {name}")
        for result in results:
            click.echo(f"  {'ok    ' if result.passed else 'FAILED'}  {result.name}: {result.detail}")
        failed += sum(not result.passed for result in results)
    click.echo(f"{failed} failed" if failed else "all passed")
    ctx.exit(1 if failed else 0)
