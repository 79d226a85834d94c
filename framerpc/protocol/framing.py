"""Length-prefixed framing: chunks of bytes in, frames out.

On the wire a frame is a 4-byte big-endian length, then that many bytes. This module owns
that rule and no other: it does not know what a frame means, and it never sees a socket.

Strategy: whole frames are cut from the chunk as views, without a copy. The rest of a short
frame is kept as bytes and joined with the next chunk; the rest of a long one is written
straight to where it belongs, into one buffer of the right size (`buffer()` hands out that
place, so that the kernel can write there). Every byte is copied at most once.

Spec: protocol.md, "Framing".
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from framerpc.errors import FrameTooLarge, RemoteProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["PREFIX", "Destination", "FrameDecoder", "Whole"]

PREFIX: Final = struct.Struct(">I")

# Below this, joining is cheaper than a buffer of its own.
_LONG: Final = 4096


class Destination(Protocol):
    """A place for the rest of a long frame, chosen by someone who knows what it means."""

    target: memoryview
    """Where the rest goes; exactly as long as the rest."""


Whole: TypeAlias = bytearray | Destination
"""A long frame that is complete: as bytes, or as the place where its rest was written."""


class FrameDecoder:
    """Cut a byte stream into frames.

    Args:
        max_frame: Longest frame accepted, in bytes, the prefix not counted.
        place: Asked when the start of a long frame is there and its rest is not: gets what
            there is of the frame and its length; returns where the rest shall go, or None
            for a buffer of our own.
    """

    __slots__ = ("_filled", "_frame", "_place", "_tail", "_target", "max_frame")

    def __init__(
        self,
        max_frame: int,
        place: Callable[[memoryview, int], Destination | None] | None = None,
    ) -> None:
        self.max_frame = max_frame
        self._place = place
        self._tail = b""  # a short incomplete frame, with its prefix
        self._target: memoryview | None = None  # the rest of a long one goes here
        self._filled = 0
        self._frame: bytearray | Destination | None = None

    @property
    def pending(self) -> int:
        """Bytes of the incomplete frame that have arrived."""
        return len(self._tail) + self._filled

    def buffer(self) -> memoryview | None:
        """Return where the next bytes belong, or None if any buffer will do.

        After bytes were written there, call `written`; otherwise use `feed`.
        """
        return None if self._target is None else self._target[self._filled :]

    def written(self, count: int) -> Whole | None:
        """Account for `count` bytes written into `buffer()`; return the frame if it is complete."""
        assert self._target is not None  # noqa: S101 - a bug of ours, never the peer's
        assert self._frame is not None  # noqa: S101 - likewise
        self._filled += count
        if self._filled < len(self._target):
            return None
        frame = self._frame
        self._target = self._frame = None
        self._filled = 0
        return frame

    def feed(self, data: bytes | bytearray | memoryview) -> Iterator[memoryview | Whole]:
        """Take a chunk and yield the frames that are complete now, one by one.

        The views among them are only valid until `data` changes. A frame is to be handled
        before the next is asked for: it may decide where the next one belongs. The iterator
        must be exhausted, unless it raises.

        Raises:
            FrameTooLarge: As soon as a prefix is readable, so that nothing is buffered for
                a frame that is going to be refused.
            RemoteProtocolError: A frame of no bytes.
        """
        view = memoryview(data)
        position = 0
        if self._target is not None:
            position = min(len(self._target) - self._filled, len(view))
            self._target[self._filled : self._filled + position] = view[:position]
            whole = self.written(position)
            if whole is not None:
                yield whole
        elif self._tail:
            view = memoryview(self._tail + view)
            self._tail = b""
        end = len(view)
        while end - position >= 4:  # noqa: PLR2004 - PREFIX.size, inlined on the hot path
            (size,) = PREFIX.unpack_from(view, position)
            if not 0 < size <= self.max_frame:
                self._refuse(size)
            start = position + 4
            position = start + size
            if position > end:
                self._keep(view[start:], size)
                return
            yield view[start:position]
        if position < end:
            self._tail = bytes(view[position:])

    def _refuse(self, size: int) -> None:
        if size == 0:
            raise RemoteProtocolError("a frame of no bytes")
        raise FrameTooLarge(size, self.max_frame)

    def _keep(self, start: memoryview, size: int) -> None:
        """Remember an incomplete frame of which `start` is there."""
        if size < _LONG:
            self._tail = PREFIX.pack(size) + start
            return
        destination = self._place(start, size) if self._place else None
        if destination is not None:
            self._frame = destination
            self._target = destination.target
            return
        whole = bytearray(size)
        whole[: len(start)] = start
        self._frame = whole
        self._target = memoryview(whole)
        self._filled = len(start)
