"""Plugins as found, and their components by kind and name."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from diffmusic.errors import InputError, suggestion
from diffmusic.plugins.foreign import Broken, foreign, guarded
from diffmusic.plugins.spec import Spec

if TYPE_CHECKING:
    import click

OURS = "diffmusic"
"""The distribution whose names no plugin takes over."""


@dataclass(frozen=True)
class Plugin:
    """One entry point as found: what it offers, or why it is broken."""

    distribution: str
    version: str
    entry_point: str
    offers: dict[str, tuple[Spec, ...]] = field(default_factory=dict)
    module: Any = None
    error: str | None = None

    @property
    def add_commands(self) -> Callable[..., None] | None:
        """The hook that adds commands, where the module has one."""
        hook: Callable[..., None] | None = getattr(self.module, "diffmusic_commands", None)
        return hook


class Registry:
    """All plugins found, and their components by kind and name."""

    def __init__(self, plugins: Iterable[Plugin]) -> None:
        self.plugins = tuple(plugins)

    def _listed(self, kind: str) -> dict[str, tuple[str, Spec]]:
        offers = [(plugin.distribution, spec) for plugin in self.plugins for spec in plugin.offers.get(kind, ())]
        counts = Counter(spec.name for _, spec in offers)

        def name(owner: str, spec: Spec) -> str:
            return spec.name if owner == OURS or counts[spec.name] == 1 else f"{owner}:{spec.name}"

        return dict(sorted(((name(*offer), offer) for offer in offers), key=lambda each: each[0]))

    def components(self, kind: str) -> dict[str, Spec]:
        """Return every component of a kind by its listed name.

        Names that clash are listed as ``dist:name``, but for those of diffmusic itself: no plugin takes them over.
        """
        return {name: spec for name, (_, spec) in self._listed(kind).items()}

    def owners(self, kind: str) -> dict[str, str]:
        """Return the distribution of every component of a kind, by its listed name."""
        return {name: owner for name, (owner, _) in self._listed(kind).items()}

    def find(self, kind: str, name: str) -> Spec:
        """Return the component called ``name`` (or ``dist:name``).

        Raises:
            InputError: There is none of that name, or several plugins offer one and diffmusic does not.
        """
        return self.locate(kind, name)[1]

    def locate(self, kind: str, name: str) -> tuple[str, Spec]:
        """Return the distribution and the component called ``name``; see `find`."""
        for plugin in self.plugins:
            for spec in plugin.offers.get(kind, ()):
                if name == f"{plugin.distribution}:{spec.name}":
                    return plugin.distribution, spec
        known = self._listed(kind)
        if name in known:
            return known[name]
        rivals = [listed for listed in known if listed.endswith(f":{name}")]
        if rivals:
            raise InputError(f"{kind} {name!r} is offered by several plugins: use {' or '.join(rivals)}.")
        raise InputError(f"unknown {kind} {name!r}.{suggestion(name, known)}")

    def readers(self, pipeline: Any) -> list[str]:
        """Return the names of the backbones that read folders of a pipeline, by its ``_class_name``, ours first."""
        names = [name for name, spec in self.components("backbone").items() if pipeline in spec.pipelines]
        owners = self.owners("backbone")
        return sorted(names, key=lambda name: owners[name] != OURS)

    def load(self, kind: str, name: str) -> Any:
        """Find a component and import its target."""
        return self.find(kind, name).load()

    def add_commands(self, cli: click.Group) -> None:
        """Let every working plugin add its commands; one that fails adds none and is passed over.

        What such a command raises becomes a DiffmusicError that names the plugin and the line.
        """
        for plugin in self.plugins:
            hook = plugin.add_commands
            if plugin.error is None and hook is not None:
                before = dict(cli.commands)
                try:
                    with foreign():
                        hook(cli=cli)
                except Broken as error:
                    cli.commands = before
                    warnings.warn(f"plugin {plugin.distribution} adds no command: {error}", stacklevel=2)
                for name, command in cli.commands.items():
                    if before.get(name) is not command:
                        if name in before:
                            warnings.warn(f"plugin {plugin.distribution} replaces the command {name!r}", stacklevel=2)
                        command.invoke = guarded(f"{plugin.distribution}: command {name}", command.invoke)  # type: ignore[method-assign]
