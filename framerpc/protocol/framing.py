"""Length-prefixed framing: chunks of bytes in, frames out.

On the wire a frame is a 4-byte big-endian length, then that many bytes. This module owns
that rule and no other: it does not know what a frame means, and it never sees a socket.

Strategy: whole frames are cut from the chunk as views, without a copy. The rest of a short
frame is kept as bytes and joined with the next chunk; the rest of a long one is written
straight to where it belongs, into one buffer of the right size (`buffer()` hands out that
place, so that the kernel can write there). A frame that is dribbled byte by byte is joined
anew each time while it is short, which bounds the copying by 4 KiB for each byte received.

Spec: protocol.md, "Framing".
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from framerpc.errors import FrameTooLarge, RemoteProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["LONG", "PREFIX", "Destination", "FrameDecoder", "Whole"]

PREFIX: Final = struct.Struct(">I")

LONG: Final = 4096
"""Bytes of a frame from which on a buffer of its own is cheaper than joining."""


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

    Attributes:
        max_frame: Longest frame accepted, in bytes.
        tail: The start of a short frame, with its prefix, while the rest is missing.
        target: Where the rest of a long frame goes, while there is one.
    """

    __slots__ = ("_filled", "_frame", "_place", "max_frame", "tail", "target")

    def __init__(
        self,
        max_frame: int,
        place: Callable[[memoryview, int], Destination | None] | None = None,
    ) -> None:
        self.max_frame = max_frame
        self._place = place
        self.tail = b""
        self.target: memoryview | None = None
        self._filled = 0
        self._frame: Whole | None = None

    @property
    def missing(self) -> int:
        """Bytes until the next frame is complete, as far as can be told: at most that many."""
        if self.target is not None:
            return len(self.target) - self._filled
        have = len(self.tail)
        if have < PREFIX.size:
            return PREFIX.size - have
        (size,) = PREFIX.unpack_from(self.tail)
        return int(size) + PREFIX.size - have

    def buffer(self) -> memoryview | None:
        """Return where the next bytes belong, or None if any buffer will do.

        After bytes were written there, call `written`; otherwise use `feed`.
        """
        return None if self.target is None else self.target[self._filled :]

    def written(self, count: int) -> Whole | None:
        """Account for `count` bytes written into `buffer()`; return the frame if it is complete."""
        assert self.target is not None  # a bug of ours, never the peer's
        self._filled += count
        if self._filled < len(self.target):
            return None
        frame = self._frame
        self.target = self._frame = None
        self._filled = 0
        return frame

    def joined(self, data: memoryview) -> memoryview:
        """Return `data` behind the start of a short frame that was kept, which is not any more."""
        if not self.tail:
            return data
        tail, self.tail = self.tail, b""
        return memoryview(tail + data)

    def feed(self, data: bytes | bytearray | memoryview) -> Iterator[memoryview | Whole]:
        """Take a chunk and yield the frames that are complete now, one by one.

        The views among them are only valid until `data` changes. A frame is to be handled
        before the next is asked for: it may decide where the next one belongs. The iterator
        must be exhausted, unless it raises or nothing more is going to be fed.

        Raises:
            FrameTooLarge: As soon as a prefix is readable, so that nothing is buffered for
                a frame that is going to be refused.
            RemoteProtocolError: A frame of no bytes.
        """
        view = self.joined(memoryview(data))
        position = 0
        if self.target is not None:
            position = min(len(self.target) - self._filled, len(view))
            self.target[self._filled : self._filled + position] = view[:position]
            whole = self.written(position)
            if whole is not None:
                yield whole
        end = len(view)
        last = end - 4  # PREFIX.size, inlined on the hot path
        unpack_from, max_frame = PREFIX.unpack_from, self.max_frame
        while position <= last:
            (size,) = unpack_from(view, position)
            if not 0 < size <= max_frame:
                self._refuse(size)
            start = position + 4
            position = start + size
            if position > end:
                self._keep(view[start:], size)
                return
            yield view[start:position]
        if position < end:
            self.tail = bytes(view[position:])

    def _refuse(self, size: int) -> None:
        if size == 0:
            raise RemoteProtocolError("a frame of no bytes")
        raise FrameTooLarge(size, self.max_frame)

    def _keep(self, start: memoryview, size: int) -> None:
        """Remember an incomplete frame of which `start` is there."""
        if size < LONG:
            self.tail = PREFIX.pack(size) + start
            return
        destination = self._place(start, size) if self._place else None
        if destination is not None:
            self._frame = destination
            self.target = destination.target
            return
        whole = bytearray(size)
        whole[: len(start)] = start
        self._frame = whole
        self.target = memoryview(whole)
        self._filled = len(start)
