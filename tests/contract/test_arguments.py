"""Tests of `framerpc.contract.arguments`."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framerpc.contract.arguments import ArgumentsCodec
from framerpc.contract.signature import read_signature
from framerpc.errors import InvalidArgument
from tests.contract.examples import Address, Flaky, Item

pack = msgspec.msgpack.encode
STREAM = iter(())


def add(a: int, b: int = 1) -> None: ...
def greet(name: str, *, excited: bool = False) -> None: ...
def mixed(a: int, /, b: str, c: float = 1.5, *, d: bool, e: int = 0) -> None: ...
def nothing() -> None: ...
def items(items: list[Item], where: Address | None = None) -> None: ...
def many(
    a: int, b: int, c: int, d: int, e: int, f: int, g: int, h: int, i: int, j: int, k: int,
    m: int, n: int, o: int, p: int, q: int, r: int,
) -> None: ...  # fmt: skip


async def total(numbers: AsyncIterator[int], scale: int = 1) -> None: ...
async def later(scale: int, numbers: AsyncIterator[int]) -> None: ...
async def by_name(*, numbers: AsyncIterator[int]) -> None: ...


def codec(function: Callable[..., Any]) -> ArgumentsCodec:
    return ArgumentsCodec("S/m", read_signature(function, "m").parameters)


def refusal(function: Callable[..., Any], body: bytes, stream: Any = None) -> str:
    with pytest.raises(InvalidArgument) as caught:
        codec(function).decode(body, stream)
    assert caught.value.executed == "no"
    assert caught.value.method == "S/m"
    return caught.value.detail


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "body"),
    [
        (add, (1, 2), {}, [1, 2]),
        (add, (1,), {}, [1]),
        (add, (1,), {"b": 2}, {"": [1], "b": 2}),
        (add, (), {"b": 2, "a": 1}, {"b": 2, "a": 1}),
        (greet, ("Ada",), {"excited": True}, {"": ["Ada"], "excited": True}),
        (mixed, (1, "b"), {"d": True}, {"": [1, "b"], "d": True}),
        (nothing, (), {}, []),
        (many, tuple(range(17)), {}, list(range(17))),
    ],
)
def test_arguments_cross(function: Any, args: Any, kwargs: Any, body: Any) -> None:
    """The body has the shape of protocol.md, and decodes into what the caller wrote."""
    encoded, stream = codec(function).encode(args, kwargs)
    assert stream is None
    assert msgspec.msgpack.decode(encoded) == body
    for buffer in (encoded, bytearray(encoded), memoryview(encoded)):
        assert codec(function).decode(buffer) == (args, kwargs)


def test_second_call_takes_the_short_way() -> None:
    """The decoder of a number of arguments is compiled once, and used from then on."""
    shared = codec(add)
    body = pack([1, 2])
    assert shared.decode(body) == shared.decode(body) == ((1, 2), {})
    assert list(shared._by_head) == [0x92]


def test_misfits_are_named_on_the_short_way_too() -> None:
    """The text is the same whichever way the body was decoded."""
    shared = codec(add)
    shared.decode(pack([1, 2]))
    with pytest.raises(InvalidArgument, match="b: Expected `int`, got `str`"):
        shared.decode(pack([1, "x"]))


def test_impossible_numbers_are_never_on_the_short_way() -> None:
    """What does not bind is refused the first time and every time."""
    shared = codec(mixed)
    for _ in range(2):
        with pytest.raises(InvalidArgument, match="missing argument `d`"):
            shared.decode(pack([1, "b"]))
    shared.decode(pack({"": [1, "b"], "d": True}))
    with pytest.raises(InvalidArgument, match="missing argument `d`"):
        shared.decode(pack([1, "b"]))


@given(
    st.integers(-(2**63), 2**64 - 1),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.none() | st.floats(allow_nan=False),
    st.booleans(),
    st.booleans(),
)
def test_any_way_of_calling_crosses(
    a: int, b: str, c: float | None, d: bool, b_by_name: bool
) -> None:
    """Whichever way an argument is given, the handler gets it that way."""
    args: tuple[Any, ...] = (a,) if b_by_name else (a, b)
    kwargs: dict[str, Any] = {"d": d, **({"b": b} if b_by_name else {})}
    if c is not None:
        kwargs["c"] = c
    body, _ = codec(mixed).encode(args, kwargs)
    assert codec(mixed).decode(body) == (args, kwargs)


@given(st.binary(max_size=40))
def test_no_body_does_more_than_be_refused(body: bytes) -> None:
    """Any bytes either decode, or raise InvalidArgument."""
    for function in (add, mixed, items, nothing):
        with contextlib.suppress(InvalidArgument):
            codec(function).decode(body)


@pytest.mark.parametrize(
    ("function", "body", "text"),
    [
        (add, pack(["x"]), "a: Expected `int`, got `str`"),
        (add, pack({"b": "x", "a": 1}), "b: Expected `int`, got `str`"),
        (add, pack({"": ["x"], "b": 1}), "a: Expected `int`, got `str`"),
        (items, pack([[{"id": "x"}]]), "items[0].id: Invalid UUID"),
        (items, pack({"items": [{"id": "x"}]}), "items[0].id: Invalid UUID"),
        (
            items,
            pack([[], {"street": "x", "number": 0}]),
            "where.number: Input should be greater than or equal to 1",
        ),
        (add, pack([]), "missing argument `a`"),
        (add, pack([1, 2, 3]), "takes 2 arguments, got 3"),
        (add, pack({"a": 1, "x": 2}), "unexpected argument `x`"),
        (add, pack({"": [1], "a": 2}), "argument `a` is given twice"),
        (add, pack({"": {"a": 1}}), "the value under the empty string is not an array"),
        (mixed, pack({"a": 1, "b": "x", "d": True}), "argument `a` can only be given by position"),
        (many, pack([0] * 18), "takes 17 arguments, got 18"),
        (add, pack(1), "the arguments do not fit: Expected `object`, got `int`"),
        (add, pack({1: 2}), "the arguments do not fit: Expected `str`, got `int` in a key"),
        (add, b"", "the arguments are not valid msgpack: Input data was truncated"),
        (add, b"\x92\x01", "the arguments are not valid msgpack: Input data was truncated"),
        (
            add,
            b"\x92\x01\x02\x03",
            "the arguments are not valid msgpack: "  # noqa: ISC004
            "MessagePack data is malformed: trailing characters (byte 3)",
        ),
        (add, b"\xdd\xff\xff\xff\xff", "takes 2 arguments, got 4294967295"),
        (
            add,
            b"\xdf\xff\xff\xff\xff",
            "the arguments are not valid msgpack: Input data was truncated",
        ),
    ],
)
def test_misfits_are_named(function: Any, body: bytes, text: str) -> None:
    """The text names the parameter and the field, and says what was expected."""
    assert refusal(function, body) == text


def test_deep_bodies_are_refused() -> None:
    """Nesting beyond reason is an invalid argument."""

    def anything(value: Any) -> None: ...

    assert refusal(anything, b"\x91" * 100_000) == "the arguments are nested too deeply"


def test_unknown_extensions_are_refused() -> None:
    """An extension type that we do not know is an invalid argument."""

    def anything(value: Any) -> None: ...

    assert "extension type 5" in refusal(anything, b"\x91\xd4\x05x")


def test_names_given_twice_follow_the_last() -> None:
    """Of equal keys the last one wins (protocol.md, "Arguments")."""
    assert codec(add).decode(b"\x82\xa1a\x01\xa1a\x02") == ((), {"a": 2})


@pytest.mark.parametrize("array", [b"\xdc\x00\x02", b"\xdd\x00\x00\x00\x02"])
def test_long_heads_are_understood(array: bytes) -> None:
    """Another encoder may write the length of an array in two or four bytes."""
    assert codec(add).decode(array + b"\x01\x02") == ((1, 2), {})
    assert codec(add).decode(b"\xde\x00\x01\xa1a\x01") == ((), {"a": 1})
    assert codec(add).decode(b"\x81\xa0" + array + b"\x01\x02") == ((1, 2), {})


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "body"),
    [
        (total, (STREAM,), {}, [None]),
        (total, (STREAM, 3), {}, [None, 3]),
        (total, (STREAM,), {"scale": 3}, {"": [None], "scale": 3}),
        (total, (), {"numbers": STREAM}, {"numbers": None}),
        (later, (3, STREAM), {}, [3, None]),
        (by_name, (), {"numbers": STREAM}, {"numbers": None}),
    ],
)
def test_streams_are_put_at_their_place(function: Any, args: Any, kwargs: Any, body: Any) -> None:
    """Nil stands for the stream on the wire; the handler gets the stream where the caller had it."""
    encoded, stream = codec(function).encode(args, kwargs)
    assert stream is STREAM
    assert msgspec.msgpack.decode(encoded) == body
    assert codec(function).decode(encoded, stream) == (args, kwargs)
    shared = codec(function)
    assert shared.decode(encoded, stream) == shared.decode(encoded, stream)


def test_streams_where_there_should_be_none_are_refused() -> None:
    """A stream for a method that takes none, or none for one that does, is an invalid argument."""
    assert "none of its arguments is a stream" in refusal(add, pack([1]), STREAM)
    assert refusal(total, pack([None])) == "numbers: a stream is expected, and none was sent"
    assert refusal(total, pack([[1, 2]]), STREAM) == "numbers: a stream is expected, not a value"
    assert refusal(total, pack({"numbers": 1}), STREAM).startswith("numbers: a stream is expected")
    assert refusal(total, pack([]), STREAM) == "missing argument `numbers`"


def test_callers_must_pass_a_stream() -> None:
    """What cannot be iterated is refused before anything is sent."""
    with pytest.raises(InvalidArgument, match="numbers: a stream is expected, not a `int`"):
        codec(total).encode((3,), {})


@pytest.mark.parametrize(
    ("args", "kwargs", "text"),
    [
        ((), {}, "missing argument `a`"),
        ((1, 2, 3), {}, "takes 2 arguments, got 3"),
        ((1,), {"x": 1}, "unexpected argument `x`"),
        ((1,), {"": 1}, "unexpected argument ``"),
        ((1,), {"a": 1}, "argument `a` is given twice"),
        ((1j,), {}, "a: values of type `complex` cannot be sent"),
        ((1,), {"b": 1j}, "b: values of type `complex` cannot be sent"),
        ((1, 2**64), {}, "b: can't serialize ints < -2**63 or > 2**64 - 1"),
    ],
)
def test_callers_learn_at_once(args: Any, kwargs: Any, text: str) -> None:
    """What does not bind, or cannot be encoded, is refused before anything is sent."""
    with pytest.raises(InvalidArgument) as caught:
        codec(add).encode(args, kwargs)
    assert caught.value.detail == text
    assert caught.value.executed == "no"


def test_values_that_fail_once_are_refused() -> None:
    """A value that cannot be encoded now and then has no name, and is refused all the same."""
    with pytest.raises(InvalidArgument, match="the arguments cannot be encoded"):
        codec(add).encode((Flaky(),), {})
