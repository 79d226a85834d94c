"""The two ends of a stream on a live connection: a reader with credit, a writer that waits for it.

(A producer that cannot wait uses the `ItemFeeder` of `feeder`.)

A reader holds what arrived and was not taken yet, at most one window, and grants new credit as
items are taken. A writer sends while it has credit. Neither has a timer of its own: the
`StreamEnds` of a connection look at `stalled_since` when it may be time.

Spec: protocol.md, "Streams".
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from framerpc.connection.feeder import ItemFeeder
from framerpc.errors import CallError, Cancelled, DeadlineExceeded
from framerpc.protocol.frames import PART_SIZE, Kind, encode

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from framerpc.call import Buffer
    from framerpc.config import Limits
    from framerpc.connection.outbox import Outbox
    from framerpc.protocol.wire import Wire

__all__ = ["ItemReader", "ItemWriter", "StreamEnds"]


class StreamEnds:
    """All stream ends of one connection, by call.

    Args:
        loop: The connection's event loop.
        wire: Keeps the credit.
        outbox: Where items leave.
        limits: `stream_idle` is what we enforce.
    """

    __slots__ = (
        "_idle",
        "_outbox",
        "_readers",
        "_timer",
        "_watched",
        "_wire",
        "_writers",
        "loop",
    )

    def __init__(
        self, loop: asyncio.AbstractEventLoop, wire: Wire, outbox: Outbox, limits: Limits
    ) -> None:
        self.loop = loop
        self._wire = wire
        self._outbox = outbox
        self._idle = limits.stream_idle
        self._readers: dict[int, ItemReader] = {}
        self._writers: dict[int, ItemWriter | ItemFeeder] = {}
        self._watched: set[_StreamEnd] = set()
        self._timer: asyncio.TimerHandle | None = None

    def reader(
        self, call_id: int, on_close: Callable[[], None] | None = None, *, quiet: bool = False
    ) -> ItemReader:
        """Return the reading end of a new stream of a call; a quiet one may stand still."""
        reader = self._readers[call_id] = ItemReader(self, call_id, on_close, quiet=quiet)
        return reader

    def writer(self, call_id: int) -> ItemWriter:
        """Return the writing end of a new stream of a call."""
        writer = self._writers[call_id] = ItemWriter(self, call_id)
        return writer

    def feeder(self, call_id: int) -> ItemFeeder:
        """Return the writing end of a new stream whose producer does not wait."""
        feeder = self._writers[call_id] = ItemFeeder(self._wire, self._outbox, call_id)
        return feeder

    def forget(self, call_id: int, error: CallError | None = None) -> None:
        """Note that a call ended: its writer must stop, its reader gets nothing more."""
        reader = self._readers.pop(call_id, None)
        if reader is not None:
            self._watched.discard(reader)
            reader.finish(error)
        writer = self._writers.pop(call_id, None)
        if writer is not None:
            if type(writer) is ItemWriter:
                self._watched.discard(writer)
            writer.stop(error)

    def close(self, error: BaseException) -> None:
        """Note that the connection is gone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for reader in self._readers.values():
            reader.finish(error)
        for writer in list(self._writers.values()):
            writer.stop(error)
        self._readers.clear()
        self._writers.clear()
        self._watched.clear()

    # What the peer sent.

    def feed(self, call_id: int, item: Buffer) -> None:
        """Take an item."""
        reader = self._readers.get(call_id)
        if reader is not None:
            reader.feed(item)

    def finish(self, call_id: int, error: BaseException | None = None) -> None:
        """Take the end of a stream."""
        reader = self._readers.pop(call_id, None)
        if reader is not None:
            self._watched.discard(reader)
            reader.finish(error)

    def credit(self, call_id: int) -> None:
        """There is new credit."""
        writer = self._writers.get(call_id)
        if writer is not None:
            writer.wake()

    # What the ends do.

    def took(self, call_id: int, size: int) -> None:
        """Grant credit for an item that the application took."""
        frame = self._wire.calls.consumed(call_id, size)
        if frame is not None:
            self._outbox.send(frame)

    def may_send(self, call_id: int, size: int) -> bool:
        """Return whether the writer of this call may send an item of `size` bytes now."""
        outbox = self._outbox
        return (
            self._wire.calls.may_send(call_id)
            and outbox.paused is None
            and (size <= PART_SIZE or outbox.has_room(size))
        )

    def send(self, call_id: int, item: Buffer) -> asyncio.Future[bool] | None:
        """Send an item; return what to wait for if it leaves in parts."""
        size = len(item)
        self._wire.check_size(size, "", "maybe")
        self._wire.calls.sent_item(call_id, size)
        if size <= PART_SIZE:
            self._outbox.send(encode(_ITEM, call_id, item))
            return None
        sent: asyncio.Future[bool] = self.loop.create_future()
        head = encode(_ITEM, call_id, size)
        self._outbox.send_body(
            head, call_id, item, lambda whole: None if sent.done() else sent.set_result(whole)
        )
        return sent

    def writable(self) -> None:
        """The transport takes bytes again."""
        for writer in list(self._writers.values()):
            writer.wake()

    # Streams that make no progress.

    def watch(self, end: _StreamEnd) -> None:
        """Look after an end that began to wait."""
        if self._idle is None:
            return
        self._watched.add(end)
        if self._timer is None:
            self._timer = self.loop.call_later(self._idle, self._look)

    def _look(self) -> None:
        assert self._idle is not None
        self._timer = None
        now = self.loop.time()
        oldest = float("inf")
        for end in list(self._watched):
            since = end.stalled_since
            if since is None:
                self._watched.discard(end)
            elif now >= since + self._idle:
                self._watched.discard(end)
                end.stalled(self._idle)
            else:
                oldest = min(oldest, since)
        if self._watched:
            self._timer = self.loop.call_at(oldest + self._idle, self._look)


_ITEM = Kind.ITEM.value


class _StreamEnd:
    """What both ends of a stream do: wait for the other one, and be looked after meanwhile.

    Args:
        ends: The streams of its connection.
        call_id: The call that it belongs to.
        quiet: However long it waits, nothing is wrong.

    Attributes:
        stalled_since: Loop time since which it waits, or None.
    """

    __slots__ = ("_call_id", "_ends", "_quiet", "_waiter", "stalled_since")

    def __init__(self, ends: StreamEnds, call_id: int, *, quiet: bool = False) -> None:
        self.stalled_since: float | None = None
        self._quiet = quiet
        self._ends = ends
        self._call_id = call_id
        self._waiter: asyncio.Future[None] | None = None

    def wake(self) -> None:
        """Something may have changed for who waits."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait(self) -> None:
        if self._waiter is not None:
            raise RuntimeError("two tasks wait for the same stream; give each its own")
        loop = self._ends.loop
        self._waiter = loop.create_future()
        if not self._quiet:
            self.stalled_since = loop.time()
            self._ends.watch(self)
        try:
            await self._waiter
        finally:
            self._waiter = None
            self.stalled_since = None

    def stalled(self, idle: float) -> None:
        """Give the stream up: it has waited for `idle` seconds."""
        raise NotImplementedError


class ItemReader(_StreamEnd):
    """The items of one stream, in order, as an async iterator.

    Cancelling a wait loses no item. Only one task may wait at a time.

    Args:
        ends: The streams of its connection.
        call_id: The call that they belong to.
        on_close: Called once when the reader stops before the end.
        quiet: However long nothing comes, nothing is wrong.
    """

    __slots__ = ("_ended", "_error", "_items", "_on_close")

    def __init__(
        self,
        ends: StreamEnds,
        call_id: int,
        on_close: Callable[[], None] | None = None,
        *,
        quiet: bool = False,
    ) -> None:
        super().__init__(ends, call_id, quiet=quiet)
        self._on_close = on_close
        self._items: deque[Buffer] = deque()
        self._ended = False
        self._error: BaseException | None = None

    # Called by the connection.

    def feed(self, item: Buffer) -> None:
        """Take an item that arrived."""
        if not self._ended:
            self._items.append(item)
            self.wake()

    def finish(self, error: BaseException | None = None) -> None:
        """End the stream: after the items that are there comes the end, or `error`."""
        if not self._ended:
            self._ended = True
            self._error = error
            self.wake()

    # Called by the application.

    def __aiter__(self) -> ItemReader:
        return self

    async def __anext__(self) -> Buffer:
        """Return the next item.

        Raises:
            StopAsyncIteration: The stream ended.
            RuntimeError: Another task is waiting already.
        """
        while not self._items:
            if self._ended:
                error, self._error = self._error, None
                if error is not None:
                    raise error
                raise StopAsyncIteration
            await self._wait()
        item = self._items.popleft()
        self._ends.took(self._call_id, len(item))
        return item

    def stalled(self, idle: float) -> None:
        """Give the stream up because nothing came for too long."""
        self.finish(DeadlineExceeded("the stream stood still", timeout=idle))
        self._stop_producer()

    async def aclose(self) -> None:
        """Stop reading. What has arrived is dropped, and the other side is told to stop."""
        self.close()

    def close(self) -> None:
        """Stop reading, from a callback."""
        already_over = self._ended and self._error is None
        self._items.clear()
        self._ended = True
        self._error = None
        self.wake()
        if not already_over:
            self._stop_producer()

    def _stop_producer(self) -> None:
        on_close, self._on_close = self._on_close, None
        if on_close is not None:
            on_close()


class ItemWriter(_StreamEnd):
    """The sending end of one stream.

    Attributes:
        on_stop: Called once when nothing more can be sent.
    """

    __slots__ = ("_stopped", "on_stop")

    def __init__(self, ends: StreamEnds, call_id: int) -> None:
        super().__init__(ends, call_id)
        self.on_stop: Callable[[], object] | None = None
        self._stopped: BaseException | None = None

    def try_send(self, item: Buffer) -> bool:
        """Send a small item if there is credit for it now; return whether it was sent.

        Raises:
            ConnectionLost, Cancelled: The stream has no reader any more.
        """
        if self._stopped is not None:
            raise self._stopped
        if len(item) > PART_SIZE or not self._ends.may_send(self._call_id, len(item)):
            return False
        self._ends.send(self._call_id, item)
        return True

    async def send(self, item: Buffer) -> None:
        """Send an item as soon as there is credit for it.

        Cancelling it before there was credit sends nothing.

        Raises:
            MessageTooLarge: The item is over a limit; nothing was sent.
            ConnectionLost, Cancelled: The stream has no reader any more.
        """
        ends = self._ends
        while self._stopped is None and not ends.may_send(self._call_id, len(item)):
            await self._wait()
        if self._stopped is not None:
            raise self._stopped
        sent = ends.send(self._call_id, item)
        if sent is not None and not await sent:
            raise Cancelled("the call ended before the item was sent")

    def stop(self, error: BaseException | None = None) -> None:
        """Make every further `send` fail with `error`."""
        if self._stopped is None:
            self._stopped = error or Cancelled("the call that this stream belongs to has ended")
        self.wake()
        on_stop, self.on_stop = self.on_stop, None
        if on_stop is not None:
            on_stop()

    def stalled(self, idle: float) -> None:
        """Give the stream up because the reader granted nothing for too long."""
        self.stop(DeadlineExceeded("the stream's reader took nothing", timeout=idle))
