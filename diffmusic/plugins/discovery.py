"""Discovery of the plugins that are installed, and of those that are single files."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from diffmusic.errors import InputError, suggestion
from diffmusic.plugins.components import Plugin, Registry
from diffmusic.plugins.foreign import Broken, foreign
from diffmusic.plugins.hooks import GROUP, KINDS, Hooks
from diffmusic.plugins.roles import completed
from diffmusic.plugins.spec import Spec

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


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
            twice = [name for name, count in Counter(spec.name for spec in specs).items() if count > 1]
            if twice:
                raise ValueError(f"{caller.name} offers {twice[0]!r} more than once")
            yield kind, tuple(completed(spec, kind) for spec in specs)


def _hook_names() -> list[str]:
    return [name for name in vars(Hooks) if name.startswith("diffmusic_")]


def _origin(entry_point: EntryPoint) -> tuple[str, str]:
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
        with foreign():
            module = load()
            manager.register(module)
            offers = dict(_offers(manager, module))
    except Broken as error:
        return Plugin(distribution, version, name, error=str(error))
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
    if not plugin.offers and plugin.add_commands is None:
        raise InputError(f"--plugin {path} offers nothing: it needs a hook such as {_hook_names()[0]}")
    FILES[path] = plugin
    registry.cache_clear()


@cache
def registry() -> Registry:
    """Discover every installed plugin, once per process, and the files that were added."""
    from importlib.metadata import entry_points  # a third of the time that importing diffmusic takes

    found = {(_origin(entry_point)[0], entry_point.name): entry_point for entry_point in entry_points(group=GROUP)}
    installed = [_examine(*_origin(found[key]), key[1], found[key].load) for key in sorted(found)]
    return Registry(_each_name_once([*installed, *FILES.values()]))


def _each_name_once(plugins: Iterable[Plugin]) -> Iterator[Plugin]:
    """Break a plugin that offers what another entry point of the same distribution offers too: ``dist:name`` is one."""
    taken: set[tuple[str, str, str]] = set()
    for plugin in plugins:
        keys = [(plugin.distribution, kind, spec.name) for kind, specs in plugin.offers.items() for spec in specs]
        if clashes := taken.intersection(keys):
            _, kind, name = min(clashes)
            error = f"the {kind} {name!r} is offered by another entry point of {plugin.distribution}"
            plugin = replace(plugin, offers={}, module=None, error=error)
        else:
            taken.update(keys)
        yield plugin
