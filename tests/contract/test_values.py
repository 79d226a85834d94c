"""Tests of `framerpc.contract.values`."""

from __future__ import annotations

import datetime as dt
import ipaddress
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Never, NoReturn

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framerpc.contract import values
from tests.contract.examples import (
    Address,
    Attributes,
    Colour,
    Household,
    Item,
    Level,
    Node,
    Options,
    Order,
    Person,
    Point,
)

UUID = uuid.UUID("12345678-1234-5678-1234-567812345678")
PERSON = Person(id=UUID, born=dt.date(2000, 1, 2), photo=b"\xff\x00")


def round_trip(annotation: Any, value: object) -> Any:
    values.check_type(annotation)
    return values.decoder(annotation)(values.encode(value))


def why(annotation: Any, value: object) -> tuple[str, str]:
    """Return what `explain` says of a value that does not fit."""
    return why_bytes(annotation, values.encode(value))


def why_bytes(annotation: Any, body: bytes) -> tuple[str, str]:
    with pytest.raises(Exception) as caught:  # noqa: PT011  # whatever it is gets explained
        values.decoder(annotation)(body)
    return values.explain(caught.value)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Item, Item(UUID, Decimal("1.10"), Colour.BLUE, dt.date(2026, 1, 2), {"a", "b"})),
        (
            Order,
            Order([], dt.datetime(2026, 1, 2, tzinfo=dt.UTC), dt.timedelta(seconds=1.5)),
        ),
        (Node, Node(1, Node(2))),
        (Point, Point(1, 2)),
        (Options, {"depth": 3}),
        (Attributes, Attributes(1, ["a"])),
        (Person, PERSON),
        (list[Person], [PERSON]),
        (dict[str, Address | None], {"a": Address(street="x", number=1), "b": None}),
        (Household, Household([PERSON], {"cat": Address(street="x", number=2)})),
        (Level, Level.HIGH),
        (set[int], {1, 2}),
        (dict[tuple[int, int], bytes], {(1, 2): b"\x00"}),
        (dt.time, dt.time(1, 2, 3)),
        (dt.datetime, dt.datetime(2026, 1, 2, 3)),  # noqa: DTZ001  # naive on purpose
        (memoryview, memoryview(b"abc")),
        (object, [1, {"a": None}]),
    ],
)
def test_values_survive(annotation: Any, value: object) -> None:
    """What is encoded comes back equal, as the type that was declared."""
    again = round_trip(annotation, value)
    assert again == value
    if isinstance(annotation, type) and annotation is not Options:
        assert isinstance(again, annotation)


TEXT = st.text(st.characters(exclude_categories=["Cs"]))  # lone surrogates are no UTF-8

plain_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | TEXT
    | st.binary()
    | st.datetimes(timezones=st.just(dt.UTC)),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(0, 99), inner),
    max_leaves=20,
)


@given(plain_values)
def test_plain_values_survive_without_a_type(value: object) -> None:
    """Values that msgpack knows need no annotation."""
    assert round_trip(Any, value) == value


@dataclass
class Everything:
    """One field of each kind that a test can make up."""

    number: int
    real: float
    text: str
    blob: bytes
    money: Decimal
    key: uuid.UUID
    day: dt.date
    moment: dt.datetime
    hour: dt.time
    span: dt.timedelta
    colours: list[Colour]
    unique: frozenset[int]
    table: dict[str, tuple[int, ...]]
    maybe: int | str | None


@given(
    st.builds(
        Everything,
        number=st.integers(-(2**63), 2**64 - 1),
        text=TEXT,
        real=st.floats(allow_nan=False),
        unique=st.frozensets(st.integers(0, 99)),
        maybe=st.none() | st.integers(0, 99) | st.just("x"),
        money=st.decimals(allow_nan=False, allow_infinity=False),
        moment=st.datetimes(timezones=st.just(dt.UTC)),
        table=st.dictionaries(st.text(), st.lists(st.integers(0, 9)).map(tuple)),
    )
)
def test_typed_values_survive(value: Everything) -> None:
    """A dataclass with fields of every kind comes back equal."""
    assert round_trip(Everything, value) == value


@given(st.binary(max_size=64))
def test_no_bytes_do_more_than_raise(body: bytes) -> None:
    """Any bytes are decoded or explained in words, whatever the type."""
    for annotation in (Any, Order, Household, list[Person], dict[str, int]):
        try:
            values.decoder(annotation)(body)
        except Exception as exc:  # noqa: BLE001  # that is what explain is for
            place, text = values.explain(exc)
            assert isinstance(place, str)
            assert text


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (complex, "`complex`"),
        (list[complex], "`complex`"),
        (Callable[[], int], "`Callable`"),
        (Item | Order, "not supported"),
        (int | Person, "not supported"),
        (ipaddress.IPv4Address, "`IPv4Address`"),
        (3, "not supported"),
    ],
)
def test_types_that_cannot_be_carried_are_refused(annotation: Any, text: str) -> None:
    """A type that nobody could decode is refused before the first call."""
    with pytest.raises(values.UnsupportedTypeError, match=text):
        values.check_type(annotation)


def test_unresolvable_fields_are_refused() -> None:
    """A class whose own annotations cannot be resolved is refused, with advice."""

    class Local(msgspec.Struct):
        other: Missing  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(values.UnsupportedTypeError, match="module level"):
        values.check_type(Local)


@pytest.mark.parametrize(
    ("annotation", "carried"),
    [
        (object, Any),
        (Iterable[int], list[int]),
        (Iterable, list[Any]),
        (Never, type(None)),
        (NoReturn, type(None)),
        (None, type(None)),
        (int, int),
    ],
)
def test_some_annotations_stand_for_others(annotation: Any, carried: Any) -> None:
    """`object` is anything, an Iterable is a list, and Never is nil."""
    assert values.carried_type(annotation) == carried


@pytest.mark.parametrize(
    ("annotation", "value", "place", "text"),
    [
        (int, "x", "", "Expected `int`"),
        (list[Item], [{"id": "x"}], "[0].id", "UUID"),
        (dict[str, list[int]], {"a": [1, "x"]}, "[...][1]", "Expected `int`"),
        (list[dict[str, int]], [{1: 1}], "[0]", "in a key"),
        (Item, {"id": str(UUID)}, "", "missing required field `price`"),
        (list[Address], [{"street": "x", "number": "y"}], "[0].number", "valid integer"),
        (list[Address], [{"street": "x", "number": 0}], "[0].number", "greater than"),
        (list[Address], [3], "[0]", "valid dictionary"),
        (Household, {"people": [{"id": 1}]}, ".people[0].id", "UUID"),
        (list[Person], [{**PERSON.model_dump(), "addresses": [1]}], "[0].addresses[0]", "Address"),
    ],
)
def test_misfits_are_explained(annotation: Any, value: object, place: str, text: str) -> None:
    """The place is a path inside the value; the text says what was expected."""
    got_place, got_text = why(annotation, value)
    assert got_place == place
    assert text in got_text
    assert "\n" not in got_text


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x92\x01",
        b"\xc1",
        b"\x01\x02",
        b"\xa1\xff",
        b"\xdd\xff\xff\xff\xff",
        b"\xc7\x01\x05x",
    ],
)
def test_bad_msgpack_is_explained(body: bytes) -> None:
    """Truncated, invalid, trailing bytes and unknown extensions are no msgpack of ours."""
    place, text = why_bytes(Any, body)
    assert place == ""
    assert text.startswith("not valid msgpack: ")


def test_deep_nesting_is_explained() -> None:
    """A hundred thousand nested arrays are refused, not crashed upon."""
    assert why_bytes(Any, b"\x91" * 100_000) == ("", "nested too deeply")


@pytest.mark.parametrize("head", [b"\x91", b"\x81\x01"])
def test_depth_of_64_is_accepted(head: bytes) -> None:
    """Values nested 64 deep are decoded (protocol.md, "Limits")."""
    values.decoder(Any)(head * 64 + b"\x01")


def test_texts_are_bounded() -> None:
    """What a stranger sent is quoted up to a length."""

    class Closed(msgspec.Struct, forbid_unknown_fields=True):
        pass

    _, text = why(Closed, {"x" * 100_000: 1})
    assert len(text) < 500


def test_errors_of_constructors_are_explained_by_type() -> None:
    """An exception that a value's own code raises is named, and its text is not shown."""

    @dataclass
    class Fragile:
        a: int

        def __post_init__(self) -> None:
            raise LookupError("a secret")

    assert why(Fragile, {"a": 1}) == ("", "refused by their type (LookupError)")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1j, "`complex` cannot be sent"),
        (2**64, "2\\*\\*64"),
        ("\ud800", "surrogates"),
        (Address, "`ModelMetaclass` cannot be sent"),
        (iter(range(0)), "`range_iterator` cannot be sent"),
    ],
)
def test_unencodable_values_are_explained(value: object, text: str) -> None:
    """The text names the type, or the limit."""
    with pytest.raises(Exception, match=text) as caught:
        values.encode([value])
    assert values.explain_unencodable(caught.value)


def test_values_that_contain_themselves_are_explained() -> None:
    """Recursion is named, not left to a RecursionError."""
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(RecursionError) as caught:
        values.encode(loop)
    assert "contains itself" in values.explain_unencodable(caught.value)


def test_leaves_of_models_cross_as_text() -> None:
    """What pydantic knows and msgspec does not is sent as text, and validated back."""

    class Host(pydantic.BaseModel):
        address: ipaddress.IPv4Address
        url: pydantic.HttpUrl

    host = Host.model_validate({"address": "10.0.0.1", "url": "http://a.b/c"})
    assert round_trip(Host, host) == host


def test_secrets_do_not_cross_as_stars() -> None:
    """A SecretStr is refused: its text is not its value."""

    class Login(pydantic.BaseModel):
        password: pydantic.SecretStr

    with pytest.raises(TypeError, match="SecretStr"):
        values.encode(Login(password=pydantic.SecretStr("x")))


def test_aliases_of_models_round_trip() -> None:
    """A model is sent under the names that it accepts."""

    class Renamed(pydantic.BaseModel):
        inner: int = pydantic.Field(alias="outer")

    assert round_trip(Renamed, Renamed(outer=3)) == Renamed(outer=3)


def test_computed_fields_stay_at_home() -> None:
    """A model that forbids extra fields takes back what it sent."""

    class Square(pydantic.BaseModel, extra="forbid"):
        side: int

        @pydantic.computed_field  # type: ignore[prop-decorator]
        @property
        def area(self) -> int:
            return self.side**2

    assert round_trip(Square, Square(side=3)) == Square(side=3)


def test_root_models_cross_as_what_they_hold() -> None:
    """A root model is its root on the wire."""

    class Names(pydantic.RootModel[list[str]]):
        pass

    assert values.encode(Names(["a"])) == values.encode(["a"])
    assert round_trip(Names, Names(["a"])) == Names(["a"])
