"""The layouts of topics are those of protocol.md."""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framerpc.protocol import topics
from framerpc.protocol.topics import ITEMS, Started, decode_item
from tests.protocol import spec


def _with_bytes(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_bytes(item) for item in value]
    if isinstance(value, dict) and value.keys() == {"bin"}:
        return bytes.fromhex(value["bin"])
    return value


def test_items_are_those_of_the_table() -> None:
    """Kind, name and fields of each item are those of the code, in order."""
    _, table = spec.tables("Subscribing")
    assert {int(row["kind"]) for row in table} == ITEMS.keys()
    for row in table:
        item = ITEMS[int(row["kind"])]
        name = item.__name__.removesuffix("Item").upper()
        fields = [field.split(": ")[0] for field in row["fields"].split(", ")]
        assert (row["name"], fields) == (name, list(item.__struct_fields__))


def test_examples_are_what_the_code_reads_and_writes() -> None:
    """The bytes of each example are the array beside it, and there is one for each kind."""
    kinds: list[int] = []
    texts, arrays = spec.blocks("hex item", "Topics"), spec.blocks("json", "Topics")
    for text, array in zip(texts, arrays, strict=True):
        data = bytes.fromhex(text)
        fields = _with_bytes(json.loads(array))
        assert msgspec.msgpack.decode(data) == fields
        item = decode_item(data)
        assert item is not None
        assert [msgspec.to_builtins(getattr(item, name), builtin_types=(bytes,))
                for name in item.__struct_fields__] == fields[1:]  # fmt: skip
        kinds.append(fields[0])
        assert _written(*fields) == data
    assert sorted(kinds) == sorted(ITEMS)


def _written(kind: int, *fields: Any) -> bytes:
    match kind:
        case 0:
            return topics.encode_message(*fields)
        case 1:
            return topics.encode_started(Started(*fields))
        case 2:
            return topics.encode_gap(*fields)
        case 3:
            return topics.encode_snapshot(*fields)
        case _:
            return topics.encode_check(*fields)


@pytest.mark.parametrize(
    ("heading", "index", "options"),
    [
        ("Calls about topics", 1, topics.PublishOptions),
        ("Subscribing", 0, topics.SubscribeOptions),
    ],
)
def test_options_are_those_of_the_tables(heading: str, index: int, options: Any) -> None:
    """The keys of the options, and their defaults, are those of the code."""
    table = spec.tables(heading)[index]
    assert [row["key"] for row in table] == list(options.__struct_fields__)
    plain = options()
    for row in table:
        default = {"nil": None, "empty": ""}[row["default"]]
        assert getattr(plain, row["key"]) == default


def test_methods_are_those_of_the_table() -> None:
    """The four methods, and the fields of their results."""
    table = spec.tables("Calls about topics")[0]
    assert [row["method"] for row in table] == [
        topics.SUBSCRIBE, topics.PUBLISH, topics.HISTORY, topics.PRESENCE,
    ]  # fmt: skip
    for row, result in zip(table[1:3], (topics.Receipt, topics.HistoryPage), strict=True):
        fields = [field.split(": ")[0] for field in row["result"].split(", ")]
        assert fields == list(result.__struct_fields__)
    assert f"the feature `{topics.TOPICS}`" in spec.section("Topics")
    assert f"under `{topics.SINCE}`" in spec.section("Watching")


def test_policies_are_those_of_the_text() -> None:
    """The names of the policies stand in both places that list them."""
    (listed,) = [table for table in spec.tables("Positions and history") if "policy" in table[0]]
    assert tuple(row["policy"] for row in listed) == topics.POLICIES
    row = next(row for row in spec.tables("Subscribing")[0] if row["key"] == "policy")
    assert tuple(re.findall(r'"(\w+)"', row["meaning"])) == topics.POLICIES


@given(st.integers(5, 2**63), st.lists(st.integers() | st.text() | st.none()))
def test_items_of_later_versions_are_ignored(kind: int, fields: list[Any]) -> None:
    """An item of an unknown kind is None, whatever its fields are; more fields are ignored."""
    small = [each for each in fields if not isinstance(each, int) or abs(each) < 2**63]
    assert decode_item(msgspec.msgpack.encode([kind, *small])) is None
    assert decode_item(msgspec.msgpack.encode([3, b"x", *small])) == topics.SnapshotItem(b"x")


@given(st.binary())
def test_any_bytes_are_an_item_or_refused(data: bytes) -> None:
    """What is no item raises ValueError and nothing else."""
    with contextlib.suppress(ValueError):
        decode_item(data)


@pytest.mark.parametrize(
    "body", ["93 01 c3 01", "92 02 81 a1 61 a1 62", "91 03", "90", "c0", "91 a1 61"]
)
def test_broken_items_are_refused(body: str) -> None:
    """A known kind with missing or wrong fields, or no kind, is no item."""
    with pytest.raises(ValueError):  # noqa: PT011 - the text is msgspec's
        decode_item(bytes.fromhex(body))
