"""Tests of `framerpc.contract.plain`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from framerpc.contract import plain
from framerpc.errors import InvalidArgument, InvalidResult
from tests.contract.examples import Flaky


class Feed:
    """Something to iterate asynchronously."""

    def __aiter__(self) -> AsyncIterator[int]:
        raise NotImplementedError


def encoded(*args: Any, **kwargs: Any) -> Any:
    body, stream = plain.encode_arguments(args, kwargs)
    assert stream is None
    return msgspec.msgpack.decode(body)


def test_positional_arguments_are_an_array() -> None:
    """Without names the body is an array."""
    assert encoded(1, "a", None) == [1, "a", None]
    assert encoded() == []


def test_named_arguments_are_a_map() -> None:
    """With names the body is a map."""
    assert encoded(a=1) == {"a": 1}


def test_positional_ones_go_under_the_empty_string() -> None:
    """Both kinds together are a map, the positional ones under the empty string."""
    assert encoded(1, 2, a=3) == {"": [1, 2], "a": 3}


def test_the_empty_string_is_no_name() -> None:
    """An argument cannot be named by the empty string."""
    with pytest.raises(InvalidArgument, match="empty string"):
        plain.encode_arguments((), {"": [1]})


@pytest.mark.parametrize(
    ("args", "kwargs", "body"),
    [
        ((1, Feed()), {}, [1, None]),
        ((1,), {"feed": Feed()}, {"": [1], "feed": None}),
        ((), {"feed": Feed(), "scale": 2}, {"feed": None, "scale": 2}),
    ],
)
def test_a_stream_leaves_nil_in_its_place(args: Any, kwargs: Any, body: Any) -> None:
    """An asynchronous iterable is taken out, and nil stands for it."""
    encoded_body, stream = plain.encode_arguments(args, kwargs)
    assert isinstance(stream, Feed)
    assert msgspec.msgpack.decode(encoded_body) == body


def test_two_streams_are_refused() -> None:
    """A call carries at most one stream."""
    with pytest.raises(InvalidArgument, match="at most one stream"):
        plain.encode_arguments((Feed(),), {"other": Feed()})


@pytest.mark.parametrize(
    ("args", "kwargs", "place"),
    [((1, 1j), {}, "argument 2: "), ((1,), {"x": 1j}, "argument `x`: ")],
)
def test_unencodable_arguments_are_named(args: Any, kwargs: Any, place: str) -> None:
    """The error says which argument cannot be sent, and that nothing was."""
    with pytest.raises(InvalidArgument, match=place) as caught:
        plain.encode_arguments(args, kwargs)
    assert caught.value.executed == "no"


def test_values_round_trip() -> None:
    """One value is encoded and decoded without a type; aware datetimes are known."""
    value = {"at": datetime(2026, 1, 2, tzinfo=UTC), "n": [1, b"\x00"]}
    assert plain.decode_value(plain.encode_value(value)) == value


def test_bad_values_are_refused() -> None:
    """What is no msgpack is an invalid result; what cannot be sent an invalid argument."""
    with pytest.raises(InvalidResult, match="not valid msgpack"):
        plain.decode_value(b"\xc1")
    with pytest.raises(InvalidResult, match="extension type 5"):
        plain.decode_value(b"\xd4\x05x")
    with pytest.raises(InvalidArgument, match="complex"):
        plain.encode_value(1j)


def test_values_that_fail_once_are_refused() -> None:
    """A value that cannot be encoded now and then is refused with what it said."""
    with pytest.raises(InvalidArgument, match="only the first time"):
        plain.encode_arguments((Flaky(),), {})
