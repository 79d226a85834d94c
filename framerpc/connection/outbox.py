"""What leaves a connection: small frames in batches, long bodies in parts, within bounds.

All frames of one wake-up leave in one write; but as soon as `BATCH` are queued they leave
at once, so that the two processes work at the same time instead of in turns. Long bodies
queue up beside them and send a part in turn, so that small frames, pings and cancellations
are never stuck behind them.

Bounds: nothing more of a body is written while the transport is above its high-water mark.
Bodies wait up to `Limits.max_outbox` together, and who has another one asks `has_room` first.
The frames that the application still sends are counted, and over the same number the peer is
given up as slow.

Spec: protocol.md, "Bodies in parts" and "Limits".
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from framerpc.protocol.frames import PART_SIZE, part_header

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from framerpc.call import Buffer

__all__ = ["BATCH", "Outbox"]

BATCH: Final = 32
"""Frames queued before they are written without waiting for the rest of the wake-up.

Measured: without a bound client and server take turns; much smaller costs system calls."""

_HIGH_WATER: Final = 4 * PART_SIZE
"""Bytes in the transport above which no further part is written. Four parts keep the kernel
busy until the loop comes round, and keep a small frame from waiting behind more than that."""

_PARTS_PER_TURN: Final = 4


class _Bulk:
    """A long body on its way out."""

    __slots__ = ("call_id", "done", "position", "view")

    def __init__(self, call_id: int, body: Buffer, done: Callable[[bool], None]) -> None:
        self.call_id = call_id
        self.view = memoryview(body)
        self.position = 0
        self.done = done


class Outbox:
    """The sending half of one connection.

    Args:
        loop: The connection's event loop.
        limit: Bytes that may wait for a peer that does not read: of bodies, and of frames.
        overflow: Called once when there are more frames.
        room: Called when a long body no longer waits and another one found no room before.

    Attributes:
        limit: Bytes of long bodies that may wait together.
        bulk: Bytes of long bodies that wait, parts that have left included.
        paused: Since when (loop time) the transport is above its high-water mark, or None.
    """

    __slots__ = (
        "_added",
        "_bulk",
        "_loop",
        "_out",
        "_overflow",
        "_pumping",
        "_room",
        "_transport",
        "_waiting",
        "_wanted",
        "bulk",
        "limit",
        "paused",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        limit: int,
        overflow: Callable[[], None],
        room: Callable[[], None],
    ) -> None:
        self.limit = limit
        self.bulk = 0
        self.paused: float | None = None
        self._added = 0  # bytes written while the transport was above its high-water mark
        self._loop = loop
        self._overflow = overflow
        self._room = room
        self._wanted = False  # somebody was told that there is no room
        self._transport: asyncio.Transport | None = None
        self._out: list[bytes] = []
        self._waiting = False  # a flush is already certain
        self._bulk: deque[_Bulk] = deque()
        self._pumping = False

    def open(self, transport: asyncio.Transport) -> None:
        """Start writing to `transport`."""
        self._transport = transport
        transport.set_write_buffer_limits(high=_HIGH_WATER)

    def shut(self) -> None:
        """Drop what is queued; nothing is written any more."""
        self._transport = None
        self._out.clear()
        bulk, self._bulk, self.bulk = self._bulk, deque(), 0
        for body in bulk:
            body.done(False)  # noqa: FBT003 - "not sent"

    @property
    def queued(self) -> int:
        """Bytes that wait in the transport."""
        return self._transport.get_write_buffer_size() if self._transport else 0

    @property
    def taken(self) -> int:
        """A number that grows as long as the peer reads while the transport is full."""
        return self._added - self.queued

    # ----------------------------------------------------------- small frames

    def send(self, frame: bytes) -> None:
        """Queue a frame; it leaves with the others of this wake-up."""
        out = self._out
        out.append(frame)
        if len(out) >= BATCH:
            self.flush()
        elif not self._waiting:
            self._waiting = True
            self._loop.call_soon(self.uncork)

    def send_now(self, frame: bytes) -> None:
        """Write a frame at once, unless a flush is certain anyway: for a call that is alone."""
        if self._waiting or self.paused is not None or self._transport is None:
            self.send(frame)
        else:
            self._transport.write(frame)

    def cork(self) -> None:
        """Promise to call `uncork` at the end of this wake-up."""
        self._waiting = True

    def uncork(self) -> None:
        """Write what is queued."""
        self._waiting = False
        if self._out:
            self.flush()

    def flush(self) -> None:
        """Write what is queued."""
        out = self._out
        data = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        self._write(data)

    def _write(self, data: bytes) -> None:
        if self._transport is None:
            return
        self._transport.write(data)
        if self.paused is not None:
            self._added += len(data)
            if self.queued > self.limit:
                self._overflow()

    # ------------------------------------------------------------ long bodies

    def has_room(self, size: int) -> bool:
        """Return whether a body may be queued now: one alone always may, whatever its size.

        Args:
            size: Its bytes; no more than `PART_SIZE` always may, for it leaves in its frame.
        """
        if size <= PART_SIZE or not self.bulk or self.bulk + size <= self.limit:
            return True
        self._wanted = True
        return False

    def send_body(
        self, head: bytes, call_id: int, body: Buffer, done: Callable[[bool], None]
    ) -> None:
        """Send `head`, then `body` in parts, interleaved with everything else.

        Args:
            head: The frame that announces the body.
            call_id: The call that it belongs to.
            body: More than `PART_SIZE` bytes; not to be changed until `done` was called.
            done: Called once: with True after the last part was written, with False if the
                body was dropped.
        """
        self.send(head)
        self._bulk.append(_Bulk(call_id, body, done))
        self.bulk += len(body)
        self._pump_soon()

    def drop_body(self, call_id: int) -> bool:
        """Forget the rest of a body; return whether there was one."""
        for body in self._bulk:
            if body.call_id == call_id:
                self._bulk.remove(body)
                self._gone(body, sent=False)
                return True
        return False

    def _pump_soon(self) -> None:
        if not self._pumping and self._bulk and self.paused is None:
            self._pumping = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        """Write a few parts, a different body's each time."""
        self._pumping = False
        if self._out:
            self.flush()  # the heads
        for _ in range(_PARTS_PER_TURN):
            if not self._bulk or self.paused is not None or self._transport is None:
                return
            body = self._bulk.popleft()
            chunk = body.view[body.position : body.position + PART_SIZE]
            body.position += len(chunk)
            # Joining costs a copy. `writelines` of asyncio from 3.12 on would not, but up to 3.12.8 and
            # 3.13.1 it heeds neither the high-water mark (CVE-2024-12254) nor that `abort` was called.
            self._transport.write(b"".join((part_header(body.call_id, len(chunk)), chunk)))
            if body.position < len(body.view):
                self._bulk.append(body)
            else:
                self._gone(body, sent=True)
        self._pump_soon()

    def _gone(self, body: _Bulk, *, sent: bool) -> None:
        """Note that a body no longer waits."""
        self.bulk -= len(body.view)
        body.done(sent)
        if self._wanted:
            self._wanted = False
            self._room()

    # ------------------------------------------------------------ water marks

    def pause(self) -> None:
        """The transport is above its high-water mark."""
        self.paused = self._loop.time()

    def resume(self) -> None:
        """The transport is below its low-water mark again."""
        self.paused = None
        self._pump_soon()
