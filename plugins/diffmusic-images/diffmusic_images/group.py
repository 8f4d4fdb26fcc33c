"""The group of commands ``diffmusic image``, which are imported when one is called: help and listings stay fast."""

from __future__ import annotations

import click


class Commands(click.Group):
    """Group whose commands are those of ``diffmusic_images.commands``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return ["edit", "explore", "solve"]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        from diffmusic_images import commands

        return getattr(commands, name) if name in self.list_commands(ctx) else None


@click.group(cls=Commands)
def image() -> None:
    """Restore, edit and explore images.

    The prior is Stable Diffusion, the methods are those for music.

    \b
    diffmusic image edit cat.png --source "a sketch of a cat" --target "a sculpture of a cat"
    diffmusic image solve "box-mask box=64:192,64:192" photo.png
    diffmusic image explore cat.png --source "a sketch of a cat" -o found
    """
