"""Lengths and cuts: chunks of bytes in, frames out."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from framerpc.errors import CloseCode, FrameTooLarge, RemoteProtocolError
from framerpc.protocol.framing import LONG, PREFIX, FrameDecoder

if TYPE_CHECKING:
    from collections.abc import Iterable

    from framerpc.protocol.framing import Whole

SHORT = b"\x00\x00\x00\x05hello"
LENGTHY = PREFIX.pack(2 * LONG) + bytes(range(256)) * (2 * LONG // 256)


def frames(found: Iterable[memoryview | Whole]) -> list[bytes]:
    """Copy frames at once: views are not valid for long."""
    return [bytes(frame) for frame in found]  # type: ignore[arg-type]


@pytest.mark.parametrize("chunk", [1, 2, 3, 4, 5, 100, LONG - 1, LONG + 5, 10**6])
def test_chunking_does_not_matter(chunk: int) -> None:
    """The same frames come out however the stream was cut."""
    decoder, stream, got = FrameDecoder(4 * LONG), SHORT + LENGTHY + SHORT, []
    for start in range(0, len(stream), chunk):
        got += frames(decoder.feed(stream[start : start + chunk]))
    assert got == [b"hello", LENGTHY[4:], b"hello"]
    assert decoder.missing == 4


def test_a_frame_too_long_is_refused_before_it_arrives() -> None:
    """Four bytes are enough to refuse a frame of 6 bytes when the limit is 5."""
    decoder = FrameDecoder(5)
    with pytest.raises(FrameTooLarge) as caught:
        frames(decoder.feed(b"\x00\x00\x00\x06"))
    assert (caught.value.size, caught.value.limit) == (6, 5)
    assert caught.value.close_code is CloseCode.FRAME_TOO_LARGE


def test_a_frame_as_long_as_the_limit_is_taken() -> None:
    """The limit itself is allowed."""
    assert frames(FrameDecoder(5).feed(SHORT)) == [b"hello"]


def test_an_empty_frame_is_refused() -> None:
    """A length of 0 breaks the rules: it could be sent without end."""
    with pytest.raises(RemoteProtocolError, match="no bytes"):
        frames(FrameDecoder(5).feed(b"\x00\x00\x00\x00"))


def test_frames_before_a_bad_one_come_out() -> None:
    """What was good before the violation has been handed over."""
    found = FrameDecoder(5).feed(SHORT + b"\x00\x00\x00\x00")
    assert bytes(next(found)) == b"hello"  # type: ignore[arg-type]
    with pytest.raises(RemoteProtocolError):
        next(found)


def test_the_rest_of_a_long_frame_has_a_place() -> None:
    """Once its start is there, the kernel can write a long frame where it belongs."""
    decoder = FrameDecoder(4 * LONG)
    assert decoder.buffer() is None
    assert frames(decoder.feed(LENGTHY[:1000])) == []
    place = decoder.buffer()
    assert place is not None
    assert len(place) == decoder.missing == len(LENGTHY) - 1000
    place[:] = LENGTHY[1000:]
    assert decoder.written(10) is None
    assert bytes(cast("bytearray", decoder.written(len(LENGTHY) - 1010))) == LENGTHY[4:]
    assert decoder.buffer() is None


@pytest.mark.parametrize(
    ("seen", "missing"), [(b"", 4), (b"\x00\x00", 2), (b"\x00\x00\x00\x05", 5), (SHORT[:-1], 1)]
)
def test_missing_says_how_much_belongs_to_this_frame(seen: bytes, missing: int) -> None:
    """Nobody who reads just that many bytes reads into the next frame."""
    decoder = FrameDecoder(100)
    frames(decoder.feed(seen))
    assert decoder.missing == missing


def test_views_do_not_copy() -> None:
    """A whole frame is a view of the chunk that it came in."""
    chunk = bytearray(SHORT)
    (frame,) = FrameDecoder(100).feed(chunk)
    assert isinstance(frame, memoryview)
    assert frame.obj is chunk
