"""Hooks that a plugin implements, with pluggy's markers for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

from diffmusic.plugins.spec import Spec

if TYPE_CHECKING:
    import click

GROUP = "diffmusic"
"""Group of the entry points, and pluggy's name of the project."""
KINDS = ("operator", "solver", "backbone", "metric", "embedding", "dataset")

hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


class Hooks:
    """Hooks that a plugin may implement, each as a function of its module decorated with ``diffmusic.hookimpl``."""

    @hookspec
    def diffmusic_operators(self) -> list[Spec]:
        """Return the operators of this plugin.

        Returns:
            An offer for each.
        """
        return []

    @hookspec
    def diffmusic_solvers(self) -> list[Spec]:
        """Return the solvers of this plugin.

        Returns:
            An offer for each, those that edit with the role ``editor``.
        """
        return []

    @hookspec
    def diffmusic_backbones(self) -> list[Spec]:
        """Return the backbones of this plugin.

        Returns:
            An offer for each.
        """
        return []

    @hookspec
    def diffmusic_metrics(self) -> list[Spec]:
        """Return the metrics of this plugin.

        Returns:
            An offer for each.
        """
        return []

    @hookspec
    def diffmusic_embeddings(self) -> list[Spec]:
        """Return the embeddings of this plugin, in which metrics of sets compare recordings.

        Returns:
            An offer for each.
        """
        return []

    @hookspec
    def diffmusic_datasets(self) -> list[Spec]:
        """Return the datasets of this plugin.

        Returns:
            An offer for each.
        """
        return []

    @hookspec
    def diffmusic_commands(self, cli: click.Group) -> None:
        """Add commands to the ``diffmusic`` command line.

        Args:
            cli: The group of all commands.
        """
