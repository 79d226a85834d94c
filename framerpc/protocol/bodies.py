"""Bodies that arrive in parts: one buffer for each, filled piece by piece, within limits.

An announced size is a claim, and costs nothing before the first part. A long body then gets its
whole address space, but memory only where bytes have arrived: the system maps a page when it is
first written, so it is never copied to make room. A shorter one gets at most sixteen times what
has arrived. The sum of all claims has a limit as well.

Spec: protocol.md, "Bodies in parts".
"""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING, Final, TypeAlias

from framerpc.errors import CloseCode, RemoteProtocolError, Status
from framerpc.protocol.events import Refused
from framerpc.protocol.frames import Item, Kind, Notify, Request, Response

if TYPE_CHECKING:
    from framerpc.config import Limits

__all__ = ["Announcement", "IncomingBodies", "IncomingBody", "PlacedPart", "parse_part_header"]

Announcement: TypeAlias = Request | Response | Item | Notify
"""A frame that may announce a body."""

_MAPPED: Final = 1 << 20
"""Bytes from which on a body gets a mapping of its own; below, the allocator is cheaper."""

_GROWTH: Final = 16
"""Bytes allocated for a byte that arrived: a first part of 64 KiB makes room for 1 MiB."""

_LEAST: Final = 1024
"""What a body counts at least towards the limit: more than our notes about it take."""

_MOST_REFUSED: Final = 64
"""Refused bodies on their way at once, if calls in flight have a lower limit than that."""

_PART_ARRAY: Final = 0x93  # an array of three
_PART_KIND: Final = Kind.PART.value
_SHORTEST_HEADER: Final = 12


class IncomingBody:
    """A body on its way.

    Args:
        frame: The frame that announced it.
        size: The announced size, in bytes.
        keep: False to count the bytes only, because the body was refused.
    """

    __slots__ = ("_room", "frame", "keep", "received", "size")

    def __init__(self, frame: Announcement, size: int, *, keep: bool = True) -> None:
        self.frame = frame
        self.size = size
        self.keep = keep
        self.received = 0
        self._room = memoryview(b"")

    @property
    def complete(self) -> bool:
        """All announced bytes have arrived."""
        return self.received == self.size

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
        if not self.keep:
            return None
        if end > len(self._room):
            self._grow(end)
        return self._room[self.received : end]

    def _grow(self, at_least: int) -> None:
        room = _map(self.size) if self.size >= _MAPPED and not self._room else None
        if room is None:
            room = memoryview(bytearray(min(self.size, _GROWTH * at_least)))
        room[: self.received] = self._room[: self.received]
        self._room = room

    def add(self, chunk: bytes | memoryview) -> None:
        """Take one part that is here as a whole."""
        place = self.reserve(len(chunk))
        if place is not None:
            place[:] = chunk
        self.received += len(chunk)

    def take(self) -> memoryview:
        """Return the complete body."""
        return self._room


def _map(size: int) -> memoryview | None:
    """Return room for a long body without touching its memory; None if the system refuses."""
    try:
        if hasattr(mmap, "MAP_PRIVATE"):
            return memoryview(mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
        return memoryview(mmap.mmap(-1, size))  # Windows
    except OSError:
        return None


class PlacedPart:
    """A PART frame whose chunk is being written straight into its body."""

    __slots__ = ("body", "call_id", "count", "target")

    def __init__(self, call_id: int, body: IncomingBody, count: int, target: memoryview) -> None:
        self.call_id = call_id
        self.body = body
        self.count = count
        self.target = target


class IncomingBodies(dict[int, IncomingBody]):
    """The bodies that one connection is receiving in parts, by the id of their call.

    Args:
        limits: What we are ready to receive.
    """

    __slots__ = ("_limits", "_most", "_receiving", "_refused")

    def __init__(self, limits: Limits) -> None:
        super().__init__()
        self._limits = limits
        self._most = max(limits.max_receiving or 0, _LEAST)
        self._receiving = 0  # sum of what the kept ones count
        self._refused = 0

    def announce(self, frame: Announcement, size: int) -> Refused | None:
        """Expect a body; return why it is not going to be kept, if so.

        Raises:
            RemoteProtocolError: Too many refused ones are on their way already.
        """
        refused = self.too_long(frame, size) or self._too_many(frame, size)
        self[frame.id] = IncomingBody(frame, size, keep=refused is None)
        if refused is None:
            self._receiving += max(size, _LEAST)
            return None
        self._refused += 1
        if self._refused > max(_MOST_REFUSED, self._limits.max_calls):
            raise RemoteProtocolError("too many bodies over a limit", CloseCode.FLOOD)
        return refused

    def too_long(self, frame: Announcement, size: int) -> Refused | None:
        """Return why a body of `size` bytes is over the limit of one body, if it is."""
        limit = self._limits.max_message
        return Refused(frame, size, limit, Status.MESSAGE_TOO_LARGE) if size > limit else None

    def _too_many(self, frame: Announcement, size: int) -> Refused | None:
        if self._receiving + max(size, _LEAST) <= self._most:
            return None
        return Refused(frame, size, self._most, Status.RESOURCE_EXHAUSTED)

    def forget(self, call_id: int) -> None:
        """Expect nothing more for a call."""
        body = self.pop(call_id, None)
        if body is None:
            return
        if body.keep:
            self._receiving -= max(body.size, _LEAST)
        else:
            self._refused -= 1

    def place(self, start: memoryview, size: int) -> PlacedPart | None:
        """Return where the rest of a long frame goes, if it is a PART of a body that we keep.

        Raises:
            RemoteProtocolError: The part is longer than its body.
        """
        header = parse_part_header(start, size)
        body = self.get(header[0]) if header is not None else None
        if header is None or body is None:
            return None
        call_id, begin = header
        room = body.reserve(size - begin)
        if room is None:
            return None
        here = len(start) - begin
        room[:here] = start[begin:]
        return PlacedPart(call_id, body, size - begin, room[here:])


def parse_part_header(start: memoryview, size: int) -> tuple[int, int] | None:
    """Read the start of a PART frame of `size` bytes: its id and where its chunk begins.

    Returns None for any other frame, and for one that is written in an unusual way: it is
    then read as a whole.
    """
    if len(start) < _SHORTEST_HEADER or start[0] != _PART_ARRAY or start[1] != _PART_KIND:
        return None
    first = start[2]
    width = {0xCC: 1, 0xCD: 2, 0xCE: 4}.get(first, 0)
    if not width and first >= 0x80:  # noqa: PLR2004 - not a positive fixint
        return None
    call_id = int.from_bytes(start[3 : 3 + width], "big") if width else first
    position = 3 + width
    width = {0xC4: 1, 0xC5: 2, 0xC6: 4}.get(start[position], 0)
    begin = position + 1 + width
    if not width or len(start) < begin:
        return None
    length = int.from_bytes(start[position + 1 : begin], "big")
    return (call_id, begin) if begin + length == size else None
