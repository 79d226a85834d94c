"""Bodies that arrive in parts: one buffer of the right size, filled piece by piece.

An announced size is a claim. The buffer starts small and grows fourfold as bytes really
arrive, so that a claim costs its author about as much as it costs us.

Spec: protocol.md, "Bodies in parts".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from framerpc.errors import RemoteProtocolError
from framerpc.protocol.frames import Kind

if TYPE_CHECKING:
    from framerpc.protocol.frames import Item, Notify, Request, Response

__all__ = ["IncomingBody", "parse_part_header"]

_FIRST: Final = 1 << 20
"""Bytes allocated on the strength of a claim alone; most bodies in parts fit in it."""

_PART_ARRAY: Final = 0x93  # an array of three
_PART_KIND: Final = Kind.PART.value


class IncomingBody:
    """A body on its way.

    Args:
        frame: The frame that announced it.
        size: The announced size, in bytes.
        keep: False to count the bytes only, because the body was refused.
    """

    __slots__ = ("_room", "_view", "frame", "received", "size")

    def __init__(
        self, frame: Request | Response | Item | Notify, size: int, *, keep: bool = True
    ) -> None:
        self.frame = frame
        self.size = size
        self.received = 0
        self._room: bytearray | None = bytearray(min(size, _FIRST)) if keep else None
        self._view = memoryview(self._room) if self._room is not None else None

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
        if self._room is None or self._view is None:
            return None
        if end > len(self._room):
            self._grow(end)
        return self._view[self.received : end]

    def _grow(self, at_least: int) -> None:
        assert self._room is not None  # noqa: S101 - checked by the only caller
        room = bytearray(min(self.size, max(at_least, 4 * len(self._room))))
        room[: self.received] = self._room[: self.received]
        self._room = room
        self._view = memoryview(room)

    def add(self, chunk: bytes | memoryview) -> None:
        """Take one part that was decoded as a whole."""
        place = self.reserve(len(chunk))
        if place is not None:
            place[:] = chunk
        self.received += len(chunk)

    def take(self) -> bytearray:
        """Return the complete body."""
        assert self._room is not None  # noqa: S101 - callers ask `kept` first
        return self._room


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
