"""``diffmusic new KIND NAME``: write a distribution to start from."""

from __future__ import annotations

from pathlib import Path

import click

from diffmusic import scaffold
from diffmusic.plugins import KINDS


@click.command()
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("name")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path(),
    metavar="DIR",
    help="Where to write it.  [default: here]",
)
def new(kind: str, name: str, output: Path) -> None:
    """Write a plugin to begin from: the distribution diffmusic-NAME, which offers one component NAME.

    \b
    diffmusic new operator tape-hiss
    """
    files = scaffold.write(kind, name, output)
    root = output / f"diffmusic-{name}"
    for path in files:
        click.echo(f"wrote {path}")
    plugin = next(path for path in files if path.name == "plugin.py")
    click.echo(f"\npip install -e {root}       from then on it is there\ndiffmusic check {name}\n")
    click.echo(f"or, without installing it:\ndiffmusic check {name} --plugin {plugin}")
