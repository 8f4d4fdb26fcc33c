"""Discovery: which operators, solvers, backbones, metrics, embeddings and datasets are installed, and by whom.

A distribution joins by one entry point in the group ``diffmusic`` that names a module with hook
implementations. This module imports neither torch nor any component, so listing stays fast.
"""

from __future__ import annotations

import re
import sys
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import import_module, metadata
from importlib.util import find_spec
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from diffmusic.errors import DiffmusicError, InputError, reason, suggestion

if TYPE_CHECKING:
    import click

GROUP = "diffmusic"
OURS = "diffmusic"
"""The distribution whose names no plugin takes over."""
KINDS = ("operator", "solver", "backbone", "metric", "embedding", "dataset")

hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


@dataclass(frozen=True)
class Checkpoint:
    """Published weights that a backbone reads, as listed before a byte of them is there.

    Figures that nobody has measured are left out.

    Attributes:
        repository: Id on the hub.
        sample_rate: Hz.
        channels: Channels of audio.
        parameters: Parameters of all parts, in millions.
        licence: Licence, as the model card or the address ``stated`` names it.
        gated: The licence has to be accepted on the hub.
        excerpt_seconds: Length the model was trained on, seconds.
        sampling: Parameters of the parts that stay in memory once the prompts are read, in millions.
        gflop: Floating-point operations of one second of audio, 1e9: a pass of the network, a decoding, and a
            decoding with its gradient.
        memory: GB beyond the weights, at any length, and for each second of an excerpt.
        stated: Address at which the licence is stated, where the model card names none.
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
    stated: str = ""

    def __post_init__(self) -> None:
        _hold("repository", self.repository, r"[\w.-]+/[\w.-]+")
        _hold("licence", self.licence, r".+")
        numbers = (self.sample_rate, self.channels, self.parameters, self.excerpt_seconds)
        if not all(isinstance(each, int | float) and each > 0 for each in numbers):
            raise TypeError(
                f"checkpoint {self.repository}: rate, channels, parameters and seconds are positive numbers"
            )

    @property
    def licence_source(self) -> str:
        """Where the licence is stated."""
        return self.stated or f"https://huggingface.co/{self.repository}"

    @property
    def bytes(self) -> float:
        """Size of the weights in float32, about what is downloaded."""
        return 4e6 * self.parameters


@dataclass(frozen=True)
class Spec:
    """Offer of one component: cheap to list, imported when it is used.

    Attributes:
        name: Name in listings and on the command line.
        target: ``"module:attribute"``. For an operator, a solver or a dataset the attribute is a frozen dataclass,
            for a metric a frozen dataclass or a function. For a backbone it is a callable
            ``(source: Path | None, device: str) -> Backbone``, which may also take the keywords ``dtype`` and
            ``allow_pickle``. For an embedding it is a callable ``(argument: str, access: Access) -> Embedding``; the
            argument is what a user wrote after a colon, as in ``vae:audioldm2``, or empty.
        summary: One line for listings.
        tags: Words shown in listings. Those of a backbone name the ``_class_name`` of the model_index.json that it
            reads. Those of a metric are ``pair`` or ``set``, and ``solve`` for one of pairs that every run reports
            whose truth is known: it has to be fast, and its defaults have to do. A solver that edits has ``editor``.
        checkpoints: Published weights of a backbone, the first of them the one that its name stands for.
    """

    name: str
    target: str
    summary: str
    tags: tuple[str, ...] = ()
    checkpoints: tuple[Checkpoint, ...] = ()

    def __post_init__(self) -> None:
        # A plugin that offers nonsense fails here, in its own hook, and is listed as broken with the reason.
        _hold("name", self.name, r"[A-Za-z0-9][\w.-]*")
        _hold("target", self.target, r"[\w.]+:[\w.]+")
        _hold("summary", self.summary, r"[^\n]*")
        for field_name, kind in (("tags", str), ("checkpoints", Checkpoint)):
            value = getattr(self, field_name)
            if not isinstance(value, tuple | list) or not all(isinstance(each, kind) for each in value):
                raise TypeError(f"{self.name}: {field_name} is a tuple of {kind.__name__}, not {value!r}")
            object.__setattr__(self, field_name, tuple(value))

    def load(self) -> Any:
        """Import the target.

        Returns:
            The attribute that ``target`` names.

        Raises:
            InputError: The import fails; the message has the reason.
        """
        module, _, attribute = self.target.partition(":")
        try:
            with _foreign():
                return attrgetter(attribute)(import_module(module))
        except Broken as error:
            raise InputError(f"{self.name!r} cannot be loaded from {self.target}: {error}") from error.__cause__


def _hold(what: str, value: Any, pattern: str) -> None:
    """Raise TypeError unless ``value`` is a string of that pattern."""
    if not isinstance(value, str) or not re.fullmatch(pattern, value):
        raise TypeError(f"{what} {value!r} is not of the form {pattern}")


class Broken(Exception):
    """What a third party's code raised, as one line; the cause is kept."""


@contextmanager
def _foreign() -> Iterator[None]:
    """Run a third party's code: what it prints goes to stderr, whatever it raises becomes `Broken`."""
    try:
        with redirect_stdout(sys.stderr):
            yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit is none of Exception, and neither is a panic of Rust
        raise Broken(reason(error)) from error


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
            An offer for each, those that edit with the tag ``editor``.
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
        names = [name for name, spec in self.components("backbone").items() if pipeline in spec.tags]
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
            hook = getattr(plugin.module, "diffmusic_commands", None)
            if plugin.error is None and hook is not None:
                before = dict(cli.commands)
                try:
                    with _foreign():
                        hook(cli=cli)
                except Broken as error:
                    cli.commands = before
                    warnings.warn(f"plugin {plugin.distribution} adds no command: {error}", stacklevel=2)
                for name, command in cli.commands.items():
                    if before.get(name) is not command:
                        if name in before:
                            warnings.warn(f"plugin {plugin.distribution} replaces the command {name!r}", stacklevel=2)
                        command.invoke = _guarded(f"{plugin.distribution}: command {name}", command.invoke)  # type: ignore[method-assign]


def _guarded(whose: str, invoke: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(context: click.Context) -> Any:
        import click

        try:
            return invoke(context)
        except (
            DiffmusicError,
            click.ClickException,
            click.Abort,
            click.exceptions.Exit,
            SystemExit,
            KeyboardInterrupt,
        ):
            raise
        except BaseException as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            raise DiffmusicError(
                f"plugin {whose} failed: {reason(error)} ({Path(place.filename).name}, line {place.lineno})"
            ) from error

    return guarded


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
        with _foreign():
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
