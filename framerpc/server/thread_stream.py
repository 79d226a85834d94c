"""A generator in a worker thread, as the stream that the loop sends.

One thread runs it from start to end. It is ahead of its consumer by a bound and then waits;
the consumer is woken only if it waits, so that a fast producer costs the loop one wake-up for
many items. It does not know what an item is: it gets the encoder.

Spec: protocol.md, "Streams".
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from framerpc.errors import Cancelled
from framerpc.server.pool import Job

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from framerpc.server.pool import Pool

__all__ = ["ThreadStream"]

_AHEAD: Final = 64
"""Items that a generator may be ahead of its consumer: enough to hide a change of threads."""
_BYTES_AHEAD: Final = 1 << 20
"""The same in bytes, for long items; the last item may go beyond it."""


class ThreadStream(AsyncIterator[bytes]):
    """What a generator in a thread yields, encoded. One consumer at a time.

    Args:
        pool: Whose thread runs it.
        name: What it is, for people.
        make: Returns the iterator; called in the thread when the first item is asked for.
        encode: Called in the thread for each item.
        interrupt: Lets an iterator that waits for an upload go on; called on the loop.
    """

    __slots__ = (
        "_closed",
        "_encode",
        "_ended",
        "_full",
        "_interrupt",
        "_items",
        "_job",
        "_make",
        "_pool",
        "_room",
        "_size",
        "_started",
        "_waiting",
    )

    def __init__(
        self,
        pool: Pool,
        name: str,
        make: Callable[[], Iterator[Any]],
        encode: Callable[[Any], bytes],
        interrupt: Callable[[], None] | None,
    ) -> None:
        self._pool = pool
        self._make = make
        self._encode = encode
        self._interrupt = interrupt
        self._job = Job(name, partial(copy_context().run, self._produce), self._stop)
        self._started = False
        self._ended = False  # the consumer has seen the end
        self._room = threading.Condition()  # of what follows, which both threads change
        self._items: deque[bytes] = deque()
        self._size = 0  # bytes in `_items`
        self._full = False  # the producer waits for room
        self._waiting = False  # the consumer waits for an item
        self._closed = False  # no more items, please

    def __repr__(self) -> str:
        return f"<ThreadStream {self._job.name}, {len(self._items)} items ahead>"

    async def __anext__(self) -> bytes:
        """Return the next item. Cancelling it loses none.

        Raises:
            ResourceExhausted: The first time: too many calls wait for a thread.
            asyncio.CancelledError: Also when the server stops before the end.
        """
        if self._ended:
            raise StopAsyncIteration
        job = self._job
        if not self._started:
            self._started = True
            self._ended = True  # unless it can be submitted
            self._pool.submit(job)
            self._ended = False
        while True:
            ended = job.ended  # first this, then the items: it has put all of them
            item = self._take()
            if item is not None:
                return item
            if ended:
                break
            await job.wait()
        self._ended = True
        job.outcome(cancelled=self._closed)
        if self._closed:
            raise asyncio.CancelledError  # stopped by the pool: not all items came
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Close the generator; its `finally` has run, in the thread, when this returns.

        Idempotent. A generator that is busy cannot be closed before its next item: cancelling
        `aclose` does not stop waiting for it.

        Raises:
            Exception: What the generator raised meanwhile.
        """
        if self._ended or not self._started:
            self._ended = True
            return
        self._ended = True
        self._stop()
        if self._pool.drop(self._job):
            return
        try:
            await self._pool.finish(self._job)
        except Cancelled:
            pass  # as asked
        finally:
            self._items.clear()

    def _take(self) -> bytes | None:
        with self._room:
            if not self._items:
                self._waiting = True
                return None
            item = self._items.popleft()
            self._size -= len(item)
            if self._full and (len(self._items) <= _AHEAD // 2 and self._size <= _BYTES_AHEAD // 2):
                self._full = False
                self._room.notify()
            return item

    def _stop(self) -> None:
        """Ask the producer to close the generator."""
        with self._room:
            self._closed = True
            self._full = False
            self._room.notify()
        if self._interrupt is not None:
            self._interrupt()

    # ------------------------------------------------------------------ in the thread

    def _produce(self) -> None:
        if self._closed:
            return
        items = self._make()
        try:
            for item in items:
                if not self._put(self._encode(item)):
                    break
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()

    def _put(self, item: bytes) -> bool:
        """Hand an item over, once there is room; return False if none is wanted."""
        with self._room:
            while self._full:
                self._room.wait()
            if self._closed:
                return False
            self._items.append(item)
            self._size += len(item)
            self._full = len(self._items) >= _AHEAD or self._size >= _BYTES_AHEAD
            wake, self._waiting = self._waiting, False
        if wake:
            self._job.notify()
        return True
