"""Parameters: a dataclass is its own command line, its own check and its own record."""

import json
from collections.abc import Callable
from dataclasses import MISSING, FrozenInstanceError, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from diffmusic.errors import InputError
from diffmusic.parameters import BOUND, SPAN, Doc, Field, Span, bind, build, parameters, values


@dataclass(frozen=True)
class Everything:
    """A component with a parameter of every kind."""

    order: Annotated[int, Field(ge=1, le=512), Doc("how many")]
    low: Annotated[float, Field(gt=0), Doc("lower edge, Hz")] = 300.0
    loud: Annotated[bool, Doc("or not")] = False
    name: str = "x"
    impulse: Annotated[Path | None, Doc("a file")] = None
    folder: Path = Path("a/b")
    method: Annotated[Literal["linear", "cubic"], Doc("which way")] = "linear"
    limit: Annotated[float | None, Field(ge=0), Doc("at most")] = None
    count: int | None = None
    gap: Annotated[tuple[Span, ...], Doc("a stretch")] = ()
    span: Span = (0.0, 1.0)
    gains: tuple[float, ...] = (0.5, 0.25)
    words: Annotated[tuple[Literal["a", "b"], ...], Doc("letters")] = ()
    taps: tuple[int, ...] = field(default_factory=lambda: (1, 2))
    sample_rate: int = 16000
    offset: float = 0.0
    computed: int = field(init=False, default=7)


@dataclass(frozen=True)
class Ordered:
    """A component whose parameters must agree with each other."""

    low: float = 1.0
    high: float = 2.0

    def __post_init__(self) -> None:
        if self.high <= self.low:
            raise ValueError("high must exceed low")


WHAT = "operator 'everything'"


@pytest.mark.parametrize(
    ("name", "kind", "default", "text", "choices", "repeatable"),
    [
        ("order", "INT", MISSING, "how many", (), False),
        ("low", "FLOAT", 300.0, "lower edge, Hz", (), False),
        ("loud", "BOOL", False, "or not", (), False),
        ("name", "STR", "x", "", (), False),
        ("impulse", "PATH", None, "a file", (), False),
        ("folder", "PATH", Path("a/b"), "", (), False),
        ("method", "linear|cubic", "linear", "which way", ("linear", "cubic"), False),
        ("limit", "FLOAT", None, "at most", (), False),
        ("count", "INT", None, "", (), False),
        ("gap", "START:END", (), "a stretch", (), True),
        ("span", "START:END", (0.0, 1.0), "", (), False),
        ("gains", "FLOAT", (0.5, 0.25), "", (), True),
        ("words", "a|b", (), "letters", ("a", "b"), True),
        ("taps", "INT", (1, 2), "", (), True),
    ],
)
def test_a_parameter_is_described_by_its_annotation(
    name: str, kind: str, default: Any, text: str, choices: tuple[str, ...], repeatable: bool
) -> None:
    found = {parameter.name: parameter for parameter in parameters(Everything)}[name]
    assert found.kind == kind
    assert found.default == default
    assert found.help == text
    assert found.choices == choices
    assert found.repeatable == repeatable
    assert found.required == (name == "order")


def test_parameters_come_in_order_without_what_the_core_sets() -> None:
    names = [parameter.name for parameter in parameters(Everything)]
    assert names[:3] == ["order", "low", "loud"]
    assert names[-1] == "taps"
    assert not set(BOUND) & set(names)
    assert "computed" not in names


@pytest.mark.parametrize(
    ("given", "name", "value"),
    [
        ({"low": "12.5"}, "low", 12.5),
        ({"loud": "true"}, "loud", True),
        ({"loud": "0"}, "loud", False),
        ({"count": "3"}, "count", 3),
        ({"count": None}, "count", None),
        ({"impulse": "room.wav"}, "impulse", Path("room.wav")),
        ({"method": "cubic"}, "method", "cubic"),
        ({"span": "2.0:3.5"}, "span", (2.0, 3.5)),
        ({"gap": ["1:2", (3, 4), [5.5, 6]]}, "gap", ((1.0, 2.0), (3.0, 4.0), (5.5, 6.0))),
        ({"gains": ["1", 2]}, "gains", (1.0, 2.0)),
        ({"gap": "1:2"}, "gap", ((1.0, 2.0),)),
        ({"gains": "3"}, "gains", (3.0,)),
    ],
)
def test_text_becomes_a_value_of_the_annotated_type(given: dict[str, Any], name: str, value: Any) -> None:
    built = build(Everything, {"order": "8", **given}, WHAT)
    assert built.order == 8
    assert getattr(built, name) == value
    assert type(getattr(built, name)) is type(value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"ordre": 3}, "has no parameter 'ordre'. Did you mean 'order'?"),
        ({"zzz": 3}, "has no parameter 'zzz'. Known: count, folder"),
        ({"order": 3, "sample_rate": 8000}, "has no parameter 'sample_rate'"),
        ({"order": 3, "offset": 1.0}, "has no parameter 'offset'"),
        ({}, "order: field required"),
        ({"order": "eight"}, "order: input should be a valid integer"),
        ({"order": "1.5"}, "order: input should be a valid integer"),
        ({"order": 0}, "order: input should be greater than or equal to 1 (got 0)"),
        ({"order": 3, "low": "loud"}, "low: input should be a valid number"),
        ({"order": 3, "low": "nan"}, "low: input should be greater than 0"),
        ({"order": 3, "low": None}, "low: input should be a valid number"),
        ({"order": 3, "loud": "maybe"}, "loud: input should be a valid boolean"),
        ({"order": 3, "method": "quadratic"}, "method: input should be 'linear' or 'cubic' (got 'quadratic')"),
        ({"order": 3, "limit": -1}, "limit: input should be greater than or equal to 0"),
        ({"order": 3, "span": "2"}, f"span: {SPAN} (got '2')"),
        ({"order": 3, "gap": ["1:2", "3:x"]}, f"gap: {SPAN} (got '3:x')"),
        ({"order": 3, "gap": ["1:2:3"]}, "gap: write START:END"),
        ({"order": 3, "gap": [[1]]}, "gap: "),
        ({"order": 3, "words": ["c"]}, "words: input should be 'a' or 'b'"),
        ({"order": 3, "name": "two\nlines", "low": "two\nlines"}, "low: input should be a valid number"),
    ],
)
def test_a_wrong_parameter_is_named_in_one_line(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        build(Everything, given, WHAT)
    text = str(caught.value)
    assert text.startswith(WHAT)
    assert message in text
    assert "\n" not in text


def test_a_check_of_the_component_itself_is_reported() -> None:
    with pytest.raises(InputError) as caught:
        build(Ordered, {"low": 3}, "operator 'ordered'")
    assert str(caught.value) == "operator 'ordered': high must exceed low"


@pytest.mark.parametrize(
    "given",
    [
        {"order": 1},
        {
            "order": 512,
            "low": 0.1 + 0.2,
            "loud": True,
            "name": "ä",
            "impulse": "c/d.wav",
            "folder": "e",
            "method": "cubic",
            "limit": 0,
            "count": 0,
            "gap": ["1:2", "3:4.1"],
            "span": "5:6",
            "gains": [],
            "words": ["b", "a"],
            "taps": [3],
        },
    ],
)
def test_values_written_as_json_build_an_equal_component(given: dict[str, Any]) -> None:
    component = build(Everything, given, WHAT)
    written = json.dumps(values(component))
    assert build(Everything, json.loads(written), WHAT) == component
    assert not set(BOUND) & set(json.loads(written))


def test_bind_sets_only_the_fields_that_a_component_has() -> None:
    component = Everything(3)
    bound = bind(component, sample_rate=44100, offset=2.5)
    assert (bound.sample_rate, bound.offset, bound.order) == (44100, 2.5, 3)
    assert (component.sample_rate, component.offset) == (16000, 0.0)
    with pytest.raises(FrozenInstanceError):
        bound.offset = 1.0  # type: ignore[misc]
    ordered = Ordered()
    assert bind(ordered, sample_rate=44100, offset=2.5) is ordered
    plain: Callable[..., Any] = len
    assert bind(plain, sample_rate=44100) is plain
