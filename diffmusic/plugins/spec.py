"""Offers of a plugin: a component as it is listed, and the published weights that a backbone reads."""

from __future__ import annotations

import re
from dataclasses import KW_ONLY, dataclass
from importlib import import_module
from operator import attrgetter
from typing import Any

from diffmusic.errors import InputError
from diffmusic.plugins.foreign import Broken, foreign


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
        tags: Further words for listings; nothing depends on them.
        checkpoints: Published weights of a backbone, the first of them the one that its name stands for.
        role: Of a solver: ``prior``, ``classical`` or ``editor``. Of a metric: ``pair`` or ``set``.
        higher_is_better: Of a metric; None where neither direction is better.
        reported: Of a metric of pairs: every run reports it whose truth is known. It has to be fast, and its defaults
            have to do.
        pipelines: Of a backbone: each ``_class_name`` of a model_index.json that it reads.
        licence: Of the weights of a backbone that lists no checkpoints.
        stated: Where that licence is stated.
    """

    name: str
    target: str
    summary: str
    tags: tuple[str, ...] = ()
    checkpoints: tuple[Checkpoint, ...] = ()
    _: KW_ONLY
    role: str = ""
    higher_is_better: bool | None = None
    reported: bool = False
    pipelines: tuple[str, ...] = ()
    licence: str = ""
    stated: str = ""

    def __post_init__(self) -> None:
        # A plugin that offers nonsense fails here, in its own hook, and is listed as broken with the reason.
        _hold("name", self.name, r"[A-Za-z0-9][\w.-]*")
        _hold("target", self.target, r"[\w.]+:[\w.]+")
        _hold("summary", self.summary, r"[^\n]*")
        _hold("role", self.role, r"\w*")
        _hold("licence", self.licence, r"[^\n]*")
        _hold("stated", self.stated, r"[^\n]*")
        if self.higher_is_better not in (None, True, False) or self.reported not in (True, False):
            raise TypeError(f"{self.name}: higher_is_better and reported are True or False")
        for field_name, kind in (("tags", str), ("checkpoints", Checkpoint), ("pipelines", str)):
            value = getattr(self, field_name)
            if not isinstance(value, tuple | list) or not all(isinstance(each, kind) for each in value):
                raise TypeError(f"{self.name}: {field_name} is a tuple of {kind.__name__}, not {value!r}")
            object.__setattr__(self, field_name, tuple(value))

    @property
    def words(self) -> tuple[str, ...]:
        """What a listing says in a word each: role, whether every run reports it, pipelines, tags."""
        every = (self.role, "solve" if self.reported else "", *self.pipelines, *self.tags)
        return tuple(dict.fromkeys(word for word in every if word))

    @property
    def description(self) -> str:
        """The summary, with the better direction of a metric."""
        direction = f"({'higher' if self.higher_is_better else 'lower'} is better)"
        if self.higher_is_better is None or direction in self.summary:
            return self.summary
        return f"{self.summary} {direction}"

    def load(self) -> Any:
        """Import the target.

        Returns:
            The attribute that ``target`` names.

        Raises:
            InputError: The import fails; the message has the reason.
        """
        module, _, attribute = self.target.partition(":")
        try:
            with foreign():
                return attrgetter(attribute)(import_module(module))
        except Broken as error:
            raise InputError(f"{self.name!r} cannot be loaded from {self.target}: {error}") from error.__cause__


def _hold(what: str, value: Any, pattern: str) -> None:
    """Raise TypeError unless ``value`` is a string of that pattern."""
    if not isinstance(value, str) or not re.fullmatch(pattern, value):
        raise TypeError(f"{what} {value!r} is not of the form {pattern}")
