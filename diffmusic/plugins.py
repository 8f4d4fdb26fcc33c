"""Discovery: which operators, solvers, backbones, metrics, embeddings and datasets are installed, and by whom.

A distribution joins by one entry point in the group ``diffmusic`` that names a module with hook
implementations. This module imports neither torch nor any component, so listing stays fast.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module, metadata
from importlib.util import find_spec
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from diffmusic.errors import InputError, reason, suggestion

if TYPE_CHECKING:
    import click

GROUP = "diffmusic"
KINDS = ("operator", "solver", "backbone", "metric", "embedding", "dataset")

hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


@dataclass(frozen=True)
class Checkpoint:
    """Published weights that a backbone reads, as listed before a byte of them is there.

    repository: the id on the hub. parameters: of all parts, in millions; sampling: of those that stay in memory once
    the prompts are read. licence: as its model card names it. gated: it has to be accepted on the hub.
    gflop: floating-point operations of one second of audio, 1e9: a pass of the network, a decoding, and a
    decoding with its gradient. memory: GB beyond the weights, at any length, and for each second of an excerpt.
    Figures that nobody has measured are left out.
    """

    repository: str
    sample_rate: int
    channels: int
    parameters: float
    licence: str
    gated: bool = False
    excerpt_seconds: float = 10.24
    sampling: float | None = None
    gflop: tuple[float, float, float] | None = None
    memory: tuple[float, float] | None = None

    @property
    def bytes(self) -> float:
        """Size of the weights in float32, about what is downloaded."""
        return 4e6 * self.parameters


@dataclass(frozen=True)
class Spec:
    """An offer of one component: cheap to list, imported when it is used.

    ``target`` is ``"module:attribute"``. For an operator or a solver the attribute is a frozen dataclass,
    for a backbone a callable ``(source: Path | None, device: str) -> Backbone``, which may also take the keywords
    ``dtype`` and ``allow_pickle``; for a metric what ``diffmusic.metrics.contract`` describes, for a dataset what
    ``diffmusic.datasets.contract`` does. For an embedding it is a callable
    ``(argument: str, access: Access) -> Embedding``; the argument is what a user wrote after a colon, as in
    ``vae:audioldm2``, or empty. ``tags`` are words shown in listings. Those of a backbone name the
    ``_class_name`` of the model_index.json that it reads. Those of a metric are ``pair`` or ``set``, and ``solve`` for
    one of pairs that every run reports whose truth is known: it has to be fast, and its defaults have to do.
    ``checkpoints``: published weights of a backbone, the first of them the one that its name stands for.
    """

    name: str
    target: str
    summary: str
    tags: tuple[str, ...] = ()
    checkpoints: tuple[Checkpoint, ...] = ()

    def load(self) -> Any:
        """Import the target. Raises InputError with the reason when that fails."""
        module, _, attribute = self.target.partition(":")
        try:
            return attrgetter(attribute)(import_module(module))
        except (Exception, SystemExit) as error:  # a third party's import may raise anything
            raise InputError(f"{self.name!r} cannot be loaded from {self.target}: {reason(error)}") from error


class Hooks:
    """The hooks a plugin may implement, each decorated with ``diffmusic.hookimpl``."""

    @hookspec
    def diffmusic_operators(self) -> list[Spec]:
        """Return the operators of this plugin."""
        return []

    @hookspec
    def diffmusic_solvers(self) -> list[Spec]:
        """Return the solvers of this plugin."""
        return []

    @hookspec
    def diffmusic_backbones(self) -> list[Spec]:
        """Return the backbones of this plugin."""
        return []

    @hookspec
    def diffmusic_metrics(self) -> list[Spec]:
        """Return the metrics of this plugin."""
        return []

    @hookspec
    def diffmusic_embeddings(self) -> list[Spec]:
        """Return the embeddings of this plugin, in which metrics of sets compare recordings."""
        return []

    @hookspec
    def diffmusic_datasets(self) -> list[Spec]:
        """Return the datasets of this plugin."""
        return []

    @hookspec
    def diffmusic_commands(self, cli: click.Group) -> None:
        """Add commands to the ``diffmusic`` command line."""


@dataclass(frozen=True)
class Plugin:
    """One entry point as found: what it offers, or why it is broken."""

    distribution: str
    version: str
    entry_point: str
    offers: dict[str, tuple[Spec, ...]] = field(default_factory=dict)
    module: Any = None
    error: str | None = None


class Registry:
    """All plugins found, and their components by kind and name."""

    def __init__(self, plugins: Iterable[Plugin]) -> None:
        self.plugins = tuple(plugins)

    def components(self, kind: str) -> dict[str, Spec]:
        """Every component of a kind by its listed name; names that clash are listed as ``dist:name``."""
        offers = [(plugin, spec) for plugin in self.plugins for spec in plugin.offers.get(kind, ())]
        names = [spec.name for _, spec in offers]
        listed = {
            spec.name if names.count(spec.name) == 1 else f"{plugin.distribution}:{spec.name}": spec
            for plugin, spec in offers
        }
        return dict(sorted(listed.items()))

    def find(self, kind: str, name: str) -> Spec:
        """The component called ``name`` (or ``dist:name``). Raises InputError for an unknown or ambiguous one."""
        for plugin in self.plugins:
            for spec in plugin.offers.get(kind, ()):
                if name == f"{plugin.distribution}:{spec.name}":
                    return spec
        known = self.components(kind)
        if name in known:
            return known[name]
        rivals = [listed for listed in known if listed.endswith(f":{name}")]
        if rivals:
            raise InputError(f"{kind} {name!r} is offered by several plugins: use {' or '.join(rivals)}.")
        raise InputError(f"unknown {kind} {name!r}.{suggestion(name, known)}")

    def load(self, kind: str, name: str) -> Any:
        """Find a component and import its target."""
        return self.find(kind, name).load()

    def add_commands(self, cli: click.Group) -> None:
        """Let every working plugin add its commands; one that fails adds none and is passed over."""
        for plugin in self.plugins:
            hook = getattr(plugin.module, "diffmusic_commands", None)
            if plugin.error is None and hook is not None:
                try:
                    hook(cli=cli)
                except (Exception, SystemExit) as error:
                    import warnings

                    warnings.warn(f"plugin {plugin.distribution} adds no command: {reason(error)}", stacklevel=2)


def _offers(manager: pluggy.PluginManager, module: Any) -> Iterator[tuple[str, tuple[Spec, ...]]]:
    for caller in manager.get_hookcallers(module) or ():
        if caller.spec is None:
            raise ValueError(f"unknown hook {caller.name}.{suggestion(caller.name, _hook_names())}")
        kind = caller.name.removeprefix("diffmusic_").removesuffix("s")
        if kind in KINDS:
            implementation = next(impl for impl in caller.get_hookimpls() if impl.plugin is module)
            found = implementation.function()
            specs = tuple(found) if isinstance(found, Iterable) else (found,)
            if not isinstance(found, Iterable) or not all(isinstance(spec, Spec) for spec in specs):
                raise TypeError(f"{caller.name} must return a list of diffmusic.Spec")
            yield kind, specs


def _hook_names() -> list[str]:
    return [name for name in vars(Hooks) if name.startswith("diffmusic_")]


def _origin(entry_point: metadata.EntryPoint) -> tuple[str, str]:
    """Name and version of the distribution; what an interrupted removal left behind may have neither."""
    try:
        return getattr(entry_point.dist, "name", None) or "?", getattr(entry_point.dist, "version", None) or "?"
    except Exception:
        return "?", "?"


def _examine(distribution: str, version: str, name: str, load: Callable[[], Any]) -> Plugin:
    # Each plugin is loaded alone: whatever a third party's module does, the others are still listed.
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(Hooks)
    try:
        module = load()
        manager.register(module)
        offers = dict(_offers(manager, module))
    except (Exception, SystemExit) as error:
        return Plugin(distribution, version, name, error=reason(error))
    return Plugin(distribution, version, name, offers, module)


FILES: dict[Path, Plugin] = {}
"""Single-file plugins of this process, in the order they were added."""


def add_file(path: Path) -> None:
    """Add a plugin that is a file, not a distribution (``--plugin``); components are offered as by an installed one.

    A file of a package is imported as such, any other one under its own name. Raises InputError if it cannot be.
    """
    path = path.resolve()
    if path in FILES:
        return
    if not path.is_file() or path.suffix != ".py":
        raise InputError(f"--plugin {path}: no such Python file")
    packaged = (path.parent / "__init__.py").exists()
    folder, name = (path.parents[1], f"{path.parent.name}.{path.stem}") if packaged else (path.parent, path.stem)
    top = name.split(".")[0]
    if not top.isidentifier() or top in sys.modules or find_spec(top) is not None:
        raise InputError(f"--plugin {path}: {top!r} is no free name of a module; rename the file")
    sys.path.append(str(folder))
    plugin = _examine(path.name if not packaged else top, "-", path.stem, lambda: import_module(name))
    if plugin.error:
        raise InputError(f"--plugin {path} is broken: {plugin.error}")
    if not plugin.offers and not hasattr(plugin.module, "diffmusic_commands"):
        raise InputError(f"--plugin {path} offers nothing: it needs a hook such as {_hook_names()[0]}")
    FILES[path] = plugin
    registry.cache_clear()


@cache
def registry() -> Registry:
    """Discover every installed plugin, once per process, and the files that were added."""
    found = {
        (_origin(entry_point)[0], entry_point.name): entry_point for entry_point in metadata.entry_points(group=GROUP)
    }
    installed = [_examine(*_origin(found[key]), key[1], found[key].load) for key in sorted(found)]
    return Registry([*installed, *FILES.values()])
