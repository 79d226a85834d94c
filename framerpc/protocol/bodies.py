"""Bodies that arrive in parts: one buffer of the right size, filled piece by piece.

An announced size is a claim. A long body gets its whole address space at once, but memory only
where bytes have arrived: the system maps a page when it is first written. So a claim costs
nothing, and a body is never copied to make room.

Spec: protocol.md, "Bodies in parts".
"""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING, Final

from framerpc.errors import RemoteProtocolError
from framerpc.protocol.frames import Kind

if TYPE_CHECKING:
    from framerpc.protocol.frames import Item, Notify, Request, Response

__all__ = ["IncomingBody", "parse_part_header"]

_MAPPED: Final = 1 << 20
"""Bytes from which on a body gets a mapping of its own; below, the allocator is cheaper."""

_PART_ARRAY: Final = 0x93  # an array of three
_PART_KIND: Final = Kind.PART.value


class IncomingBody:
    """A body on its way.

    Args:
        frame: The frame that announced it.
        size: The announced size, in bytes.
        keep: False to count the bytes only, because the body was refused.
    """

    __slots__ = ("_room", "frame", "received", "size")

    def __init__(
        self, frame: Request | Response | Item | Notify, size: int, *, keep: bool = True
    ) -> None:
        self.frame = frame
        self.size = size
        self.received = 0
        self._room = _allocate(size) if keep else None

    @property
    def complete(self) -> bool:
        """All announced bytes have arrived."""
        return self.received == self.size

    @property
    def kept(self) -> bool:
        """The bytes are kept, not only counted."""
        return self._room is not None

    def reserve(self, count: int) -> memoryview | None:
        """Return the place of the next `count` bytes, or None if they are not kept.

        Raises:
            RemoteProtocolError: The parts are longer than announced, or empty.
        """
        end = self.received + count
        if end > self.size:
            raise RemoteProtocolError(
                f"the parts of a body are {end} bytes or more, {self.size} were announced"
            )
        if count == 0:
            raise RemoteProtocolError("a part of no bytes")
        return None if self._room is None else self._room[self.received : end]

    def add(self, chunk: bytes | memoryview) -> None:
        """Take one part that was decoded as a whole."""
        place = self.reserve(len(chunk))
        if place is not None:
            place[:] = chunk
        self.received += len(chunk)

    def take(self) -> memoryview:
        """Return the complete body."""
        assert self._room is not None  # noqa: S101 - callers ask `kept` first
        return self._room


def _allocate(size: int) -> memoryview:
    """Return room for a body, for a long one without touching its memory."""
    if size < _MAPPED:
        return memoryview(bytearray(size))
    if hasattr(mmap, "MAP_PRIVATE"):
        return memoryview(mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
    return memoryview(mmap.mmap(-1, size))  # Windows


def parse_part_header(start: memoryview, size: int) -> tuple[int, int] | None:
    """Read the start of a PART frame of `size` bytes: its id and where its chunk begins.

    Returns None for any other frame, and for one that is written in an unusual way: it is
    then read as a whole.
    """
    if len(start) < 12 or start[0] != _PART_ARRAY or start[1] != _PART_KIND:  # noqa: PLR2004
        return None
    first = start[2]
    width = {0xCC: 1, 0xCD: 2, 0xCE: 4}.get(first, 0)
    if not width and first >= 0x80:  # noqa: PLR2004 - not a positive fixint
        return None
    call_id = int.from_bytes(start[3 : 3 + width], "big") if width else first
    position = 3 + width
    width = {0xC4: 1, 0xC5: 2, 0xC6: 4}.get(start[position], 0)
    if not width or len(start) <= position + width:
        return None
    begin = position + 1 + width
    length = int.from_bytes(start[position + 1 : begin], "big")
    return (call_id, begin) if begin + length == size else None
