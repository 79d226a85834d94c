"""One end of a connection inside a process: a transport that behaves like TCP's.

This module owns how bytes, an end of file and a reset go from one end to the other, flow
control, and the order of the protocol's callbacks. It does not know how two ends find each
other (see `memory`), nor what the bytes mean.

Each end belongs to one loop and is touched on that loop alone. What comes from the other end
comes through `arrive`, `arrive_eof`, `arrive_reset` and `acknowledge`, which are called on the
other end's loop and hop over. A protocol is never called from within a call that it made,
except for `pause_writing`, as in asyncio.
"""

from __future__ import annotations

import asyncio
import collections
import enum
import errno
from typing import TYPE_CHECKING, Any, Final, cast

from framerpc.connection.evidence import Acknowledged
from framerpc.connection.memory_flow import FlowControl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from framerpc.connection.memory_link import Link

__all__ = ["MemoryTransport"]

_MAX_READ: Final = 256 * 1024
"""Bytes given to a protocol before others have their turn; as much as asyncio reads at once."""

_SOCKET_BUFFER: Final = 64 * 1024
"""Bytes that may still be under way when a transport that closes is done with them: with TCP,
the kernel takes about as much off its hands."""


class _State(enum.Enum):
    OPEN = "open"
    CLOSING = "closing"  # too many bytes are still under way
    CLOSED = "closed"  # connection_lost has been called, or will be in a moment


class _Eof(enum.Enum):
    NONE = "none"
    ARRIVED = "arrived"  # behind the bytes that are still queued
    SEEN = "seen"  # by the protocol


class MemoryTransport(FlowControl):
    """One end of a connection inside this process.

    Bytes come out in the order in which they were written, cut in any way. What is written
    counts as buffered until the other end's protocol has it.
    """

    _peer: MemoryTransport

    def __init__(
        self, loop: asyncio.AbstractEventLoop, link: Link, *, sockname: str, peername: str
    ) -> None:
        super().__init__(loop, {"sockname": sockname, "peername": peername})
        self._link = link
        self._state = _State.OPEN
        self._eof_sent = False
        self._sent = 0
        self._incoming: collections.deque[bytes | memoryview] = collections.deque()
        self._eof = _Eof.NONE
        self._reading_paused = False
        self._pump_due = False

    def __repr__(self) -> str:
        ours, theirs = self.get_extra_info("sockname"), self.get_extra_info("peername")
        return (
            f"<MemoryTransport {ours} -> {theirs}, {self._state.value}, {self._buffered} bytes out>"
        )

    # Setting up

    def join(self, peer: MemoryTransport) -> None:
        """Make `peer` the other end."""
        self._peer = peer
        self._link.attach(peer)

    def begin(self, protocol_factory: Callable[[], asyncio.BaseProtocol]) -> None:
        """Start a protocol on this end; on its loop, and before anything can arrive."""
        try:
            self._protocol = protocol_factory()
        except Exception as exc:  # noqa: BLE001 (asyncio reports it like this too)
            self._state = _State.CLOSED
            self._report("the protocol factory of a memory:// listener failed", exc)
            self._link.send_reset()
            return
        self._loop.call_soon(self._protocol.connection_made, self)

    # Writing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes; they are copied unless they are `bytes`. Ignored once it is closing.

        Raises:
            RuntimeError: After `write_eof`.
        """
        if not isinstance(data, (bytes, bytearray, memoryview)):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"data must be bytes-like, not {type(data).__name__}")
        if self._state is not _State.OPEN:
            return
        if self._eof_sent:
            raise RuntimeError("Cannot call write() after write_eof()")
        copy = bytes(data)
        if not copy:
            return
        self._buffered += len(copy)
        self._sent += len(copy)
        self._link.send(copy)
        self._pause_if_full()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Send several pieces as one."""
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        """Say that one direction can be ended alone."""
        return True

    def write_eof(self) -> None:
        """End our direction behind what was written; the other one stays open."""
        if self._state is _State.OPEN and not self._eof_sent:
            self._eof_sent = True
            self._link.send_eof()

    def acknowledged(self) -> Acknowledged:
        """Say how far our bytes have come, as a kernel would: to the other host, read or not."""
        if self._peer._link.blocked:  # noqa: SLF001 (of this class): how we would hear of it
            return Acknowledged(0, complete=False)
        under_way = self._link.unacknowledged()
        return Acknowledged(self._sent - under_way, not under_way)

    def acknowledge(self, size: int, *, gone: bool) -> None:
        """Hear that `size` bytes are consumed, or were thrown away because the end is `gone`."""
        self._on_our_loop(self._acknowledge, size, gone)

    def _acknowledge(self, size: int, gone: bool) -> None:  # noqa: FBT001 (a plain callback)
        if self._state is _State.CLOSED:
            return
        self._buffered -= size
        if gone and self._eof is _Eof.SEEN:  # writing on to one who has hung up
            self._reset()
            return
        self._resume_if_drained()
        self._finish_if_flushed()

    # Reading

    def is_reading(self) -> bool:
        """Say whether the protocol is being given what arrives."""
        return self._state is _State.OPEN and not self._reading_paused

    def pause_reading(self) -> None:
        """Give the protocol nothing until `resume_reading`. Idempotent."""
        self._reading_paused = True

    def resume_reading(self) -> None:
        """Give the protocol what arrives. Idempotent."""
        self._reading_paused = False
        self._pump_soon()

    def arrive(self, data: bytes) -> None:
        """Take bytes from the link."""
        if not self._on_our_loop(self._queue, data):
            self._peer._undeliverable(len(data))  # noqa: SLF001 (of this class)

    def arrive_eof(self) -> None:
        """Take the end of the other direction from the link."""
        self._on_our_loop(self._queue, None)

    def arrive_reset(self) -> None:
        """Take the news from the link that the connection is broken."""
        self._on_our_loop(self._reset)

    def _on_our_loop(self, callback: Callable[..., None], *arguments: Any) -> bool:
        """Run one of our callbacks on our loop; called on the other end's loop.

        Returns:
            False if our loop is closed, so that nothing will ever happen here again.
        """
        if self._peer._loop is self._loop:  # noqa: SLF001 (of this class)
            callback(*arguments)
            return True
        try:
            self._loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:
            return False
        return True

    def _undeliverable(self, size: int) -> None:
        """Learn that `size` bytes found the other end's loop closed."""
        if self._eof is _Eof.NONE:  # it went without a goodbye
            self._loop.call_soon(self._reset)
        else:
            self._loop.call_soon(self._acknowledge, size, True)  # noqa: FBT003

    def _queue(self, data: bytes | None) -> None:
        if data is None:
            self._eof = _Eof.ARRIVED
        else:
            self._incoming.append(data)
        self._pump_soon()

    def _pump_soon(self) -> None:
        if not self._pump_due and (self._incoming or self._eof is _Eof.ARRIVED):
            self._pump_due = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        """Give the protocol what has arrived, or throw it away when we are closing."""
        self._pump_due = False
        taken = 0
        while self._incoming and taken < _MAX_READ and self.is_reading():
            chunk = self._incoming.popleft()
            size = self._hand_over(chunk[: _MAX_READ - taken])
            if size < len(chunk):
                self._incoming.appendleft(memoryview(chunk)[size:])
            taken += size
        if self._state is not _State.OPEN:
            taken += sum(map(len, self._incoming))
            self._incoming.clear()
            self._eof = _Eof.SEEN
        if taken:
            self._peer.acknowledge(taken, gone=self._state is not _State.OPEN)
        if self.is_reading():
            if not self._incoming and self._eof is _Eof.ARRIVED:
                self._hand_over_eof()
            self._pump_soon()

    def _hand_over(self, chunk: bytes | memoryview) -> int:
        """Give the protocol at least a part of `chunk`, and return how many bytes it took."""
        protocol = self._protocol
        try:
            if not isinstance(protocol, asyncio.BufferedProtocol):
                cast("asyncio.Protocol", protocol).data_received(bytes(chunk))
                return len(chunk)
            buffer = memoryview(protocol.get_buffer(len(chunk)))
            size = min(len(buffer), len(chunk))
            if not size:
                raise RuntimeError("get_buffer() returned an empty buffer")  # noqa: TRY301
            buffer[:size] = chunk[:size]
            protocol.buffer_updated(size)
        except Exception as exc:  # noqa: BLE001 (asyncio reports it like this too)
            self._fail("the protocol failed on what it received", exc)
            return len(chunk)
        return size

    def _hand_over_eof(self) -> None:
        self._eof = _Eof.SEEN
        try:
            stay_open = cast("asyncio.Protocol", self._protocol).eof_received()
        except Exception as exc:  # noqa: BLE001 (asyncio reports it like this too)
            self._fail("protocol.eof_received() failed", exc)
            return
        if not stay_open:
            self.close()

    # Ending

    def is_closing(self) -> bool:
        """Say whether the connection is ending or over."""
        return self._state is not _State.OPEN

    def close(self) -> None:
        """End the connection behind what was written. Idempotent."""
        if self._state is not _State.OPEN:
            return
        self.write_eof()
        self._state = _State.CLOSING
        self._pump_soon()
        self._finish_if_flushed()

    def abort(self) -> None:
        """End the connection now; what the other end has not got is lost. Idempotent."""
        self._break(None)

    def _finish_if_flushed(self) -> None:
        if self._state is _State.CLOSING and self._buffered <= _SOCKET_BUFFER:
            self._end(None)

    def _fail(self, message: str, exc: Exception) -> None:
        self._report(message, exc)
        self._break(exc)

    def _break(self, exc: Exception | None) -> None:
        if self._state is not _State.CLOSED:
            self._link.send_reset()
            self._end(exc)

    def _reset(self) -> None:
        if self._state is not _State.CLOSED:
            self._incoming.clear()
            self._end(ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"))

    def _end(self, exc: Exception | None) -> None:
        self._state = _State.CLOSED
        self._buffered = 0
        self._loop.call_soon(self._protocol.connection_lost, exc)
