"""Component as a suite names it: ``dps steps=25 zeta=0.5``, or a mapping."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from diffmusic.errors import InputError
from diffmusic.models.components import load_component
from diffmusic.parameters import BAR, assignments
from diffmusic.plugins import registry


@dataclass(frozen=True)
class Named:
    """Name of a component, and its parameters as they were written."""

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, value: Any) -> Named:
        """Parse ``NAME key=value ...`` or ``{name: NAME, key: value}``; a chain of operators is a name as a whole.

        Raises ValueError for anything else.
        """
        if isinstance(value, cls):
            return value
        if isinstance(value, str) and BAR in value:
            return cls(value)
        if isinstance(value, str) and value.split():
            name, *words = shlex.split(value)
            return cls(name, assigned(words))
        if isinstance(value, Mapping) and isinstance(value.get("name"), str):
            return cls(value["name"], {_key(key): each for key, each in value.items() if key != "name"})
        raise ValueError("write NAME key=value ..., or a mapping with a name")

    def __str__(self) -> str:
        return " ".join(
            [
                self.name,
                *(
                    f"{key}={shlex.quote(shown(value)) if ' ' in shown(value) else shown(value)}"
                    for key, value in self.parameters.items()
                ),
            ]
        )

    def changed(self, more: Mapping[str, Any]) -> Named:
        """Return a copy with these parameters added or replaced."""
        return replace(self, parameters={**self.parameters, **more})

    def type(self, kind: str) -> Any:
        """Return the component's class. Raises InputError for an unknown name."""
        return registry().load(kind, self.name)

    def component(self, kind: str) -> Any:
        """Return the component. Raises InputError for an unknown name or parameter."""
        target = self.name if BAR in self.name else self.type(kind)
        key = target, repr(sorted(self.parameters.items()))
        if key not in _MADE:
            _MADE[key] = load_component(kind, self.name, self.parameters)
        return _MADE[key]


@dataclass(frozen=True)
class Given(Named):
    """Component that is there already, and that no plugin offers: known by the name of its class."""

    made: Any = None

    @classmethod
    def of(cls, component: Any) -> Given:
        return cls(type(component).__name__, {}, component)

    def type(self, kind: str) -> Any:
        return type(self.made)

    def component(self, kind: str) -> Any:
        return self.made


_MADE: dict[tuple[Any, str], Any] = {}
"""Cache of components: they are frozen, so every cell that names one can share it."""


def assigned(value: Any) -> dict[str, Any]:
    """Convert ``"rate=2 gap=1:2 gap=3:4"``, a list of words, or a mapping to a mapping; repeated keys become a list."""
    if isinstance(value, Mapping):
        return {_key(key): each for key, each in value.items()}
    if not isinstance(value, str | Sequence):
        raise ValueError("write key=value ..., or a mapping")
    try:
        return assignments([str(word) for word in (shlex.split(value) if isinstance(value, str) else value)])
    except InputError as error:
        raise ValueError(str(error)) from None


def _key(key: Any) -> str:
    return str(key).replace("-", "_")


def shown(value: Any) -> str:
    """Format a parameter's value in the suite's compact form."""
    return ",".join(map(shown, value)) if isinstance(value, list | tuple) else str(value)
