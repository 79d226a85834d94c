"""The longest map of a frame: which frames are refused, and which are not."""

from __future__ import annotations

from typing import Any

import pytest

from framerpc.codecs import packb
from framerpc.errors import InvalidArgument, RemoteProtocolError
from framerpc.protocol.frames import decode, encode
from framerpc.protocol.maps import MAX_MAP, check_headers


def padded(size: int) -> dict[str, Any]:
    """A map whose encoding has `size` bytes."""
    empty = len(packb({"pad": bytes(60_000)})) - 60_000
    wide = 2 if size - empty > 0xFFFF else 0  # a longer bin has a longer head
    return {"pad": bytes(size - empty - wide)}


@pytest.mark.parametrize(
    "fields",
    [
        (3, 1, "", padded(MAX_MAP)),
        (5, 1, padded(MAX_MAP)),
        (6, 1, padded(MAX_MAP)),
        (8, 1, 0, "m", None, padded(MAX_MAP), b""),
        (10, 1, 9, 2, "", padded(MAX_MAP)),
        (16, 1, "m", padded(MAX_MAP), b""),
    ],
    ids=lambda fields: f"kind {fields[0]}",
)
def test_a_map_of_the_limit_is_read_and_a_longer_one_is_not(fields: tuple[Any, ...]) -> None:
    """One byte makes the difference, in every kind of frame that has a map."""
    assert decode(encode(*fields)[4:]) is not None
    longer = [padded(MAX_MAP + 1) if isinstance(field, dict) else field for field in fields]
    with pytest.raises(RemoteProtocolError, match=f"a map of {MAX_MAP + 1} bytes in a frame"):
        decode(encode(*longer)[4:])


def test_long_bodies_and_texts_are_no_maps() -> None:
    """What is long and one piece costs its size only."""
    long = 10 * MAX_MAP
    assert decode(encode(8, 1, 0, "m", None, None, bytes(long))[4:]) is not None
    assert decode(encode(9, 1, bytes(long))[4:]) is not None
    assert decode(encode(10, 1, 9, 2, "x" * long, None)[4:]) is not None


def test_fields_and_traceback_of_an_error_may_be_long() -> None:
    """An error that a service declares may carry more than headers may, as one piece."""
    details = {"name": "E", "fields": bytes(10 * MAX_MAP), "traceback": "x" * 10 * MAX_MAP}
    assert decode(encode(10, 1, 10, 2, "", details)[4:]) is not None
    with pytest.raises(RemoteProtocolError, match="a map of"):
        decode(encode(10, 1, 10, 2, "", {"fields": [0] * 10 * MAX_MAP})[4:])
    with pytest.raises(RemoteProtocolError, match="a map of"):
        decode(encode(9, 1, {"fields": bytes(10 * MAX_MAP)})[4:])


def test_what_is_behind_the_known_fields_is_skipped_whatever_its_size() -> None:
    """A later version may add a field; a peer that does not know it reads past it."""
    assert decode(encode(5, 1, None, *[None] * 4, padded(2 * MAX_MAP))[4:]) is not None


def test_a_long_frame_that_is_none_is_refused_as_a_short_one() -> None:
    """The look at its fields changes nothing for what is not even a frame."""
    with pytest.raises(RemoteProtocolError, match="is not an array that starts with its kind"):
        decode(encode(*["x"] * MAX_MAP)[4:])
    with pytest.raises(RemoteProtocolError, match="not one msgpack value"):
        decode(encode(9, 1, bytes(2 * MAX_MAP))[4:-1])


def test_headers_over_the_limit_are_an_error_of_their_call() -> None:
    """The sender is told, with the numbers, before anything is sent."""
    check_headers(padded(MAX_MAP), "a/b")
    with pytest.raises(InvalidArgument, match=r"a/b: .* 65537 bytes, .* 65536") as caught:
        check_headers(padded(MAX_MAP + 1), "a/b")
    assert caught.value.executed == "no"
