"""Tests of `framerpc.contract.acceptance`."""

from __future__ import annotations

import enum
from dataclasses import make_dataclass
from datetime import date
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, TypedDict

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct

from framerpc.contract import values
from framerpc.contract.acceptance import accepts
from framerpc.contract.schema import SchemaWriter
from tests.contract.examples import Address, Colour, Level, Node, Options, Point


def fits(reader: Any, writer: Any) -> bool:
    reading, writing = SchemaWriter(), SchemaWriter()
    schemas = reading.schema(reader), writing.schema(writer)
    return accepts(*schemas, reading.definitions, writing.definitions)


def data(**fields: Any) -> Any:
    """Return a dataclass; a field whose type is a tuple has a default."""
    required = [(name, kind) for name, kind in fields.items() if not isinstance(kind, tuple)]
    optional = [(n, kind[0], kind[1]) for n, kind in fields.items() if isinstance(kind, tuple)]
    return make_dataclass("Data", [*required, *optional])


class Closed(Struct, forbid_unknown_fields=True):
    a: int


class TaggedA(Struct, tag="a"):
    a: int


class TaggedB(Struct, tag="b"):
    a: int


class Longer(NamedTuple):
    x: int
    y: int = 0
    z: int = 0


class Shorter(NamedTuple):
    x: int


class Needs(TypedDict):
    depth: int
    name: NotRequired[str]


class More(enum.Enum):
    RED = "red"
    BLUE = "blue"
    GREEN = "green"


class LongNode(Struct):
    value: int
    next: LongNode | None = None
    extra: int = 0


class OtherNode(Struct):
    value: int
    next: OtherNode | str | None = None


class Names(pydantic.RootModel[list[str]]):
    pass


@pytest.mark.parametrize(
    ("reader", "writer"),
    [
        (int, int),
        (Any, Node),
        (float, int),
        (int | None, int),
        (int | str | None, int | None),
        (str, date),
        (str, Colour),
        (str, Literal["a"]),
        (int, Level),
        (More, Colour),
        (list[int], set[int]),
        (list[int], tuple[int, int]),
        (tuple[int, str], tuple[int, str]),
        (dict[str, float], dict[str, int]),
        (bytes, bytearray),
        (int, Annotated[int, Meta(ge=0)]),
        (Annotated[int, Meta(ge=0)], Annotated[int, Meta(ge=1)]),
        (Annotated[int, Meta(le=9)], Annotated[int, Meta(le=8)]),
        (data(a=int), data(a=int, b=str)),
        (data(a=int, b=(str, "x")), data(a=int)),
        (data(a=float), Closed),
        (Closed, data(a=int)),
        (TaggedA | TaggedB, TaggedA),
        (Node, LongNode),
        (LongNode, Node),
        (Options, Needs),
        (Shorter, Longer),
        (Longer, Shorter),
        (list[str], Names),
        (Names, list[str]),
        (Address, Address),
    ],
)
def test_fits(reader: Any, writer: Any) -> None:
    """Whatever is written with the second type can be read as the first."""
    assert fits(reader, writer)


@pytest.mark.parametrize(
    ("reader", "writer"),
    [
        (int, str),
        (int, float),
        (int, Any),
        (int, int | None),
        (int, bool),
        (date, str),
        (int, Colour),
        (int, Literal["a"]),
        (str, Level),
        (Colour, More),
        (Colour, str),
        (list[int], list[str]),
        (list[int], tuple[int, str]),
        (tuple[int, str], tuple[int]),
        (tuple[int, int], list[int]),
        (dict[str, int], dict[int, int]),
        (dict[str, int], dict[str, str]),
        (Annotated[int, Meta(ge=0)], int),
        (Annotated[int, Meta(ge=1)], Annotated[int, Meta(ge=0)]),
        (Annotated[int, Meta(le=8)], Annotated[int, Meta(le=9)]),
        (Annotated[str, Meta(pattern="a")], Annotated[str, Meta(pattern="b")]),
        (data(a=int, b=str), data(a=int)),
        (data(a=int), data(a=str)),
        (Closed, data(a=int, b=str)),
        (TaggedA, TaggedB),
        (TaggedA, TaggedA | TaggedB),
        (Node, OtherNode),
        (Needs, Options),
        (Point, tuple[int, str]),
        (data(x=int), Point),
        (Names, list[int]),
        (Address, data(street=str, number=str)),
        (Address, data(street=str, number=int)),
    ],
)
def test_does_not_fit(reader: Any, writer: Any) -> None:
    """Some value written with the second type cannot be read as the first."""
    assert not fits(reader, writer)


def test_unknown_types_fit_by_name() -> None:
    """What is known by name only fits what has the same name."""
    ours, theirs = {"type": "other", "name": "a"}, {"type": "other", "name": "b"}
    assert accepts(ours, ours, {}, {})
    assert not accepts(ours, theirs, {}, {})


def test_arrays_with_tags_and_ends() -> None:
    """Closed arrays take no more fields, and tags must agree."""

    class Strict(Struct, array_like=True, forbid_unknown_fields=True):
        x: int

    class Tagged(Struct, array_like=True, tag="t"):
        x: int

    assert not fits(Strict, Longer)
    assert fits(Strict, Shorter)
    assert not fits(Tagged, Strict)


simple_types = st.sampled_from([int, str, float, bool, type(None), Colour, Level, date, bytes])
types = st.recursive(
    simple_types,
    lambda inner: st.one_of(
        inner.map(lambda a: list[a]),  # type: ignore[valid-type]
        inner.map(lambda a: dict[str, a]),  # type: ignore[valid-type]
        st.tuples(inner, inner).map(lambda two: tuple[two]),  # type: ignore[valid-type]
        inner.map(lambda a: a | None),
        inner.map(lambda a: data(a=a, b=(int, 0))),
    ),
    max_leaves=4,
)


@given(st.data(), types, types)
def test_a_yes_is_kept(draw: st.DataObject, reader: Any, writer: Any) -> None:
    """If types fit, then every value that one writes is read by the other."""
    if not fits(reader, writer):
        return
    value = draw.draw(st.from_type(writer))
    try:
        body = values.encode(value)
    except (OverflowError, UnicodeEncodeError):
        return
    values.decoder(reader)(body)


@given(types)
def test_every_type_fits_itself(annotation: Any) -> None:
    """Nothing changes if nothing changed."""
    assert fits(annotation, annotation)


def test_msgspec_agrees_on_floats() -> None:
    """An int is read as a float, and not the other way round."""
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(1), type=float) == 1.0
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode(1.5), type=int)
