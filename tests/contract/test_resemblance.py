"""Which results are plainly not what was declared, and that right ones are not looked into."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

import msgspec
import pytest

from framerpc.contract.method import MethodSpec, function_spec
from framerpc.contract.resemblance import Resemblance
from framerpc.errors import InvalidResult


@dataclass
class Point:
    x: int


@dataclass
class Point3(Point):
    z: int = 0


class Stone(msgspec.Struct):
    weight: float


class Row(NamedTuple):
    n: int


class Entry(TypedDict):
    n: int


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


def spec_of(annotation: Any) -> MethodSpec:
    async def method() -> None: ...

    method.__annotations__["return"] = annotation
    return function_spec(method)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (str, "x"), (int, 1), (int, Level.LOW), (float, 1.5), (float, 1), (bool, True), (None, None),
        (bytes, b"x"), (bytes, bytearray(b"x")), (bytes, memoryview(b"x")),
        (str | None, None), (str | None, "x"), (int | str, 1),
        (list[int], [1]), (list[int], (1,)), (set[int], frozenset({1})), (tuple[int, ...], (1,)),
        (dict[str, int], OrderedDict(a=1)), (dict[str, int], defaultdict(int, a=1)),
        (Sequence[int], [1]), (Mapping[str, int], {"a": 1}), (Iterable[int], [1]), (Any, object),
        (Point, Point(1)), (Point, Point3(1)), (Stone, Stone(1.0)), (Stone, {"weight": 2.0}),
        (Row, Row(1)), (Row, (1,)), (Entry, {"n": 1}), (Colour, Colour.RED), (Colour, "red"),
        (Annotated[int, msgspec.Meta(ge=0)], 1), (Literal["a", "b"], "a"),
        (dt.date, dt.date(2026, 1, 2)), (decimal.Decimal, decimal.Decimal("1.5")),
        (decimal.Decimal, "1.5"),
    ],
    ids=lambda it: type(it).__name__ if isinstance(it, memoryview) or it is object else repr(it),
)  # fmt: skip
def test_what_the_caller_would_take_is_sent(annotation: Any, value: Any) -> None:
    """A look at the class refuses nothing that decodes as the declared type."""
    spec = spec_of(annotation)
    if value is not object:
        spec.decode_result(spec.encode_result(value))


@pytest.mark.parametrize(
    ("annotation", "value", "words"),
    [
        (str, None, "Expected `str`, got `None`"),
        (str, 5, "Expected `str`, got `int`"),
        (int, True, "Expected `int`, got `bool`"),
        (int, 1.5, "Expected `int`, got `float`"),
        (bool, 1, "Expected `bool`, got `int`"),
        (float, "1", "Expected `float`, got `str`"),
        (bytes, "x", "Expected `bytes`, got `str`"),
        (None, 5, "Expected `null`, got `int`"),
        (str | None, 5, "Expected `str | null`, got `int`"),
        (list[int], None, "Expected `array`, got `None`"),
        (dict[str, int], [1], "Expected `object`, got `array`"),
        (Point, None, "Expected `object`, got `None`"),
        (Point, Stone(1.0), "missing required field `x`"),
        (Stone, [1.0], "Expected `object`, got `array`"),
        (Entry, None, "Expected `object`, got `None`"),
        (Colour, "blue", "Invalid enum value 'blue'"),
    ],
    ids=repr,
)
def test_what_is_plainly_wrong_is_refused_in_the_callers_words(
    annotation: Any, value: Any, words: str
) -> None:
    """A result of a foreign class is InvalidResult at the server already, and executed."""
    with pytest.raises(InvalidResult) as caught:
        spec_of(annotation).encode_result(value)
    assert f"is not what the method declares: {words}" in caught.value.detail.replace("Object ", "")
    assert caught.value.executed == "yes"


def test_what_is_inside_is_left_to_the_caller() -> None:
    """A right class costs one look, whatever is in it: who decodes it sees all of it."""
    spec = spec_of(list[int])
    body = spec.encode_result(["text"])
    with pytest.raises(InvalidResult, match=r"\[0\]: Expected `int`, got `str`"):
        spec.decode_result(body)


def test_types_that_are_no_classes_let_anything_pass() -> None:
    """What cannot be told from its class is not guessed at."""
    for annotation in (Any, object, Literal["a"], Sequence[int], int | Sequence[int]):
        assert Resemblance(annotation).exact is None
        assert Resemblance(annotation).fits(object())
