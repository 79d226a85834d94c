"""Tests of `framerpc.contract.declared`."""

from __future__ import annotations

import copy
import pickle
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from framerpc.contract.declared import declared_name, decode_error, encode_error, error
from framerpc.errors import CallError, ConfigurationError, InvalidResult, Status
from tests.contract.examples import Item

pack = msgspec.msgpack.encode


@error
@dataclass(eq=False)
class HallFull(CallError):
    room: str
    limit: int = 3


@error(name="not_there")
class NotThere(CallError):
    """Has no fields but its detail."""


@error
@dataclass(eq=False)
class OutOfStock(CallError):
    item: Item
    left: dict[str, Decimal] = field(default_factory=dict)
    token: str = field(default="", repr=False)


@error
@dataclass(eq=False)
class Described(CallError):
    detail: str
    code: int = 0

    def __str__(self) -> str:
        return f"<{self.code}>"


class VeryFull(HallFull):
    """Not declared itself."""


@error
@dataclass(eq=False, slots=True)
class Slotted(CallError):
    a: int


ITEM = Item(uuid.UUID(int=1), Decimal("1.5"))


def test_errors_cross_by_name_with_their_fields() -> None:
    """The wire carries a name and a map of fields; the same class comes out."""
    name, body = encode_error(HallFull(room="lobby", limit=4))
    assert name == "HallFull"
    assert msgspec.msgpack.decode(body) == {"room": "lobby", "limit": 4}
    again = decode_error(name, body)
    assert isinstance(again, HallFull)
    assert (again.room, again.limit) == ("lobby", 4)
    assert again.status is Status.APPLICATION


def test_fields_arrive_as_their_types() -> None:
    """Fields are decoded into what is declared."""
    again = decode_error(*encode_error(OutOfStock(ITEM, {"a": Decimal(1)}, token="x")))
    assert isinstance(again, OutOfStock)
    assert (again.item, again.left, again.token) == (ITEM, {"a": Decimal(1)}, "x")


def test_plain_errors_carry_their_detail() -> None:
    """A class without fields of its own crosses with its detail."""
    name, body = encode_error(NotThere("no such user"))
    assert name == "not_there"
    again = decode_error(name, body)
    assert isinstance(again, NotThere)
    assert again.detail == "no such user"


def test_undeclared_errors_have_no_name() -> None:
    """Only declared errors cross by name."""
    assert declared_name(HallFull("x")) == "HallFull"
    assert declared_name(CallError("x")) is None
    assert declared_name(KeyError("x")) is None
    with pytest.raises(ConfigurationError, match="not declared"):
        encode_error(KeyError("x"))


def test_derived_errors_cross_as_their_base() -> None:
    """An undeclared subclass is seen as what it is declared to be."""
    name, body = encode_error(VeryFull("lobby"))
    assert name == "HallFull"
    assert type(decode_error(name, body)) is HallFull


def test_unknown_errors_are_left_to_the_caller() -> None:
    """A name that is not declared here builds nothing."""
    assert decode_error("Nobody", pack({})) is None
    assert decode_error("KeyError", pack({})) is None


@pytest.mark.parametrize(
    "body",
    [b"", b"\xc1", pack([1]), pack({"room": 3}), pack({}), pack({"limit": 1})],
)
def test_bodies_that_do_not_fit_build_nothing(body: bytes) -> None:
    """Fields that are missing, wrong, or no msgpack make the error unknown."""
    assert decode_error("HallFull", body) is None


def test_newer_fields_are_ignored_and_missing_ones_defaulted() -> None:
    """Both sides may be of different age."""
    again = decode_error("HallFull", pack({"room": "lobby", "colour": "red"}))
    assert isinstance(again, HallFull)
    assert again.limit == 3


def test_constructors_that_refuse_build_nothing() -> None:
    """An exception of `__post_init__` makes the error unknown, and goes no further."""

    @error
    @dataclass(eq=False)
    class Picky(CallError):
        a: int

        def __post_init__(self) -> None:
            raise LookupError

    assert decode_error("Picky", pack({"a": 1})) is None


def test_text_is_made_of_the_fields() -> None:
    """A declared error reads well without any work by its author."""
    full = HallFull(room="lobby")
    assert full.detail == "HallFull: room='lobby', limit=3"
    full.method = "Rooms/join"
    assert str(full) == "Rooms/join: HallFull: room='lobby', limit=3"
    assert str(VeryFull("x")) == "VeryFull: room='x', limit=3"


def test_text_hides_what_repr_hides() -> None:
    """A field with `repr=False` is not shown, and long ones are cut."""
    text = str(OutOfStock(ITEM, {"k" * 1000: Decimal(1)}, token="secret"))
    assert "secret" not in text
    assert len(text) < 600


def test_text_without_fields_is_the_name() -> None:
    """An error with nothing to say says what it is."""

    @error
    @dataclass(eq=False)
    class Empty(CallError):
        pass

    assert str(Empty()) == "Empty"
    assert isinstance(decode_error(*encode_error(Empty())), Empty)


def test_classes_have_no_text() -> None:
    """Only an instance has fields to show."""
    cls: Any = HallFull
    assert cls.detail == ""


def test_own_texts_are_kept() -> None:
    """An author's `__str__` and `detail` win."""
    described = Described("why", code=7)
    assert (described.detail, str(described)) == ("why", "<7>")
    full = HallFull("x")
    full.detail = "mine"
    assert str(full) == "mine"


def test_attributes_of_every_error_are_there() -> None:
    """A dataclass whose `__init__` calls no other still has what the framework fills in."""
    full = HallFull("x")
    assert (full.method, full.executed, full.retry_after, full.retry) == ("", "no", None, "no")


@pytest.mark.parametrize(
    "original",
    [
        HallFull(room="lobby", limit=4),
        HallFull("lobby"),
        OutOfStock(ITEM),
        Described("x", 3),
        NotThere("x"),
        VeryFull("x"),
        Slotted(3),
    ],
    ids=lambda each: type(each).__name__,
)
def test_errors_can_be_pickled_and_copied(original: CallError) -> None:
    """Type, fields and what the framework filled in survive."""
    original.method, original.executed = "Rooms/join", "yes"
    original.add_note("noted")
    for again in (pickle.loads(pickle.dumps(original)), copy.copy(original)):
        assert type(again) is type(original)
        assert again.__dict__ == original.__dict__
        assert str(again) == str(original)
        assert encode_error(again) == encode_error(original)


def test_equality_is_left_alone() -> None:
    """Two errors with equal fields are two errors."""
    assert HallFull("x") != HallFull("x")
    assert hash(HallFull("x"))


def test_unencodable_fields_are_an_invalid_result() -> None:
    """The error says which error, and why."""
    with pytest.raises(InvalidResult, match=r"HallFull cannot be encoded: .*`complex`"):
        encode_error(HallFull(1j))  # type: ignore[arg-type]


def test_names_clash() -> None:
    """Two classes cannot share a name; the text names both."""

    @dataclass(eq=False)
    class Other(CallError):
        pass

    with pytest.raises(ConfigurationError, match=r"test_declared\.HallFull and .*Other"):
        error(name="HallFull")(Other)
    assert isinstance(decode_error("HallFull", pack({"room": "x"})), HallFull)


def test_a_class_may_be_declared_again() -> None:
    """A notebook cell that runs twice replaces its class, and old instances still cross."""

    def cell() -> Any:
        @error
        @dataclass(eq=False)
        class InACell(CallError):
            a: int

        return InACell

    first, second = cell(), cell()
    assert first is not second
    assert type(decode_error(*encode_error(first(1)))) is second


def test_forward_references_are_resolved_later() -> None:
    """A field may name a type that is defined below."""
    globals_now = globals()
    globals_now.pop("DefinedLater", None)

    @error
    @dataclass(eq=False)
    class Early(CallError):
        later: DefinedLater  # type: ignore[name-defined]  # noqa: F821

    assert decode_error("Early", pack({"later": 1})) is None
    globals_now["DefinedLater"] = int
    again: Any = decode_error("Early", pack({"later": 1}))
    assert again.later == 1


class OwnInit(CallError):
    def __init__(self, a: int) -> None:
        super().__init__(str(a))


@dataclass(eq=False)
class OwnInitOfDataclass(CallError):
    a: int

    def __init__(self) -> None:
        self.a = 1


@dataclass(frozen=True, eq=False)
class Frozen(CallError):
    a: int


@dataclass(eq=False)
class Clashing(CallError):
    method: str


@dataclass(eq=False)
class Complex(CallError):
    a: complex


@pytest.mark.parametrize(
    ("cls", "text"),
    [
        (OwnInit, r"@dataclass\(eq=False\)"),
        (OwnInitOfDataclass, "__post_init__"),
        (Frozen, "frozen"),
        (Clashing, "field `method`"),
        (Complex, "field `a` of the error Complex: .*`complex`"),
        (KeyError, "subclass of"),
        (3, "subclass of"),
    ],
)
def test_impossible_declarations_are_refused(cls: Any, text: str) -> None:
    """What could not be built again, or raised, is refused when it is declared."""
    with pytest.raises(ConfigurationError, match=text):
        error(cls)


def test_names_are_checked() -> None:
    """A name that the wire does not allow is refused."""
    with pytest.raises(ConfigurationError, match="'a b'"):
        error(name="a b")(NotThere)


def test_class_comes_back_as_it_was() -> None:
    """`@error` returns the very class."""
    assert error(HallFull) is HallFull
