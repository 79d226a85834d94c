"""Tests of `framerpc.contract.schema`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec
import pydantic
import pytest

from framerpc.contract.schema import SchemaWriter
from tests.contract.examples import Address, Colour, Item, Node, Options, Person, Point

T = TypeVar("T")


def schema(annotation: Any) -> Any:
    return SchemaWriter().schema(annotation)


def definition(annotation: Any) -> Any:
    writer = SchemaWriter()
    written = writer.schema(annotation)
    return writer.definitions[written["name"]]


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (int, {"type": "int"}),
        (None, {"type": "none"}),
        (Any, {"type": "any"}),
        (object, {"type": "any"}),
        (bytearray, {"type": "bytes"}),
        (frozenset[int], {"type": "set", "items": {"type": "int"}}),
        (tuple[int, ...], {"type": "list", "items": {"type": "int"}}),
        (tuple[int, str], {"type": "tuple", "items": [{"type": "int"}, {"type": "str"}]}),
        (
            dict[str, bool],
            {"type": "dict", "keys": {"type": "str"}, "values": {"type": "bool"}},
        ),
        (Literal["b", "a", 1], {"type": "enum", "values": [1, "a", "b"]}),
        (Annotated[int, msgspec.Meta(ge=0, lt=9)], {"type": "int", "ge": 0, "lt": 9}),
        (Annotated[str, msgspec.Meta(title="x", extra={"a": 1})], {"type": "str"}),
        (str | None, {"type": "union", "any_of": [{"type": "none"}, {"type": "str"}]}),
        (Item, {"type": "ref", "name": "Item"}),
    ],
)
def test_types_are_written(annotation: Any, expected: Any) -> None:
    """A schema says what the wire shows of a type."""
    assert schema(annotation) == expected


def test_order_of_a_union_means_nothing() -> None:
    """Unions are equal however they were written."""
    assert schema(int | str | None) == schema(None | str | int)


def test_objects_are_defined_by_their_fields() -> None:
    """A dataclass is an object with sorted fields; what has a default is not required."""
    fields = definition(Item)["fields"]
    assert [each["name"] for each in fields] == ["colour", "id", "made", "price", "tags"]
    assert [each["required"] for each in fields] == [False, True, False, True, False]
    assert all(each["always"] for each in fields)


def test_typed_dicts_may_omit_fields() -> None:
    """A key that is not required may be missing on the wire."""
    assert [each["always"] for each in definition(Options)["fields"]] == [False, False]


def test_structs_say_how_they_are_encoded() -> None:
    """Tags, positions, renamed fields and strictness are seen on the wire, so they are written."""

    class Tagged(msgspec.Struct, tag="t", rename="upper", forbid_unknown_fields=True):
        a: int

    class Array(msgspec.Struct, array_like=True, omit_defaults=True):
        a: int
        b: int = 0

    tagged = definition(Tagged)
    assert (tagged["type"], tagged["tag"], tagged["closed"]) == ("object", ["type", "t"], True)
    assert tagged["fields"][0]["name"] == "A"
    array = definition(Array)
    assert array["type"] == "array"
    assert [each["always"] for each in array["fields"]] == [True, False]
    assert definition(Point)["type"] == "array"


def test_types_may_contain_themselves() -> None:
    """A recursive type refers to its own definition."""
    union = definition(Node)["fields"][0]["type"]
    assert {"type": "ref", "name": "Node"} in union["any_of"]


def test_enums_are_their_values() -> None:
    """Names of enum members are not on the wire."""
    assert definition(Colour) == {"type": "enum", "values": ["blue", "red"]}


def test_models_are_objects() -> None:
    """A pydantic model is defined like a dataclass, with its constraints as text."""
    fields = {each["name"]: each for each in definition(Address)["fields"]}
    assert fields["number"]["type"] == {"type": "int", "constraints": ["Ge(ge=1)"]}
    assert fields["street"] == {
        "name": "street",
        "type": {"type": "str"},
        "required": True,
        "always": True,
    }
    assert not {each["name"]: each for each in definition(Person)["fields"]}["photo"]["required"]


def test_models_may_hold_what_only_pydantic_knows() -> None:
    """A type that msgspec cannot describe is kept by name."""

    class Host(pydantic.BaseModel, extra="forbid"):
        url: pydantic.HttpUrl = pydantic.Field(alias="link")
        either: int | pydantic.HttpUrl

    writer = SchemaWriter()
    host = writer.definitions[writer.schema(Host)["name"]]
    assert host["closed"]
    assert [each["name"] for each in host["fields"]] == ["either", "link"]
    assert host["fields"][0]["type"]["type"] == "other"
    assert host["fields"][1]["type"] == {"type": "ref", "name": "HttpUrl"}
    assert writer.definitions["HttpUrl"] == {"type": "other", "name": "pydantic.networks.HttpUrl"}


def test_root_models_are_what_they_hold() -> None:
    """A root model is its root on the wire."""

    class Names(pydantic.RootModel[list[str]]):
        pass

    assert definition(Names) == {"type": "root", "items": schema(list[str])}


def test_equal_names_are_told_apart() -> None:
    """Two classes of one name have two definitions."""

    def make(kind: type) -> Any:
        return dataclass(type("Same", (), {"__annotations__": {"a": kind}}))

    writer = SchemaWriter()
    assert writer.schema(make(int)) == {"type": "ref", "name": "Same"}
    assert writer.schema(make(str)) == {"type": "ref", "name": "Same#2"}


def test_generics_have_a_definition_for_each_argument() -> None:
    """`Page[int]` and `Page[str]` are two types."""

    class Page(msgspec.Struct, Generic[T]):
        items: list[T]

    writer = SchemaWriter()
    names = {writer.schema(Page[int])["name"], writer.schema(Page[str])["name"]}
    assert len(names) == 2
