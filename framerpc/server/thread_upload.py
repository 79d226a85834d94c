"""An upload, as a method in a worker thread iterates over it.

A task on the loop reads ahead of the thread, by a bound, and then waits; each wakes the other
up only if that one waits, so that most items cost neither side a change of threads. It does not
know what an item is.

Spec: protocol.md, "Streams" and "Cancellation".
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from framerpc.errors import Cancelled, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["BlockingIterator", "blocking_iterator"]

_AHEAD: Final = 32
"""Items that are read ahead of the thread: enough to hide a change of threads."""
_BYTES_AHEAD: Final = 1 << 20
"""The same in bytes, for items that are bytes or text; the last one may go beyond it."""


class BlockingIterator(Iterator[Any]):
    """Items that belong to a loop, for one other thread. Made by `blocking_iterator`."""

    __slots__ = (
        "_changed",
        "_error",
        "_full",
        "_items",
        "_loop",
        "_over",
        "_room",
        "_size",
        "_source",
        "_started",
        "_stopped",
        "_task",
        "_waiting",
    )

    def __init__(self, items: AsyncIterator[Any], loop: asyncio.AbstractEventLoop) -> None:
        self._source = items
        self._loop = loop
        # The loop alone touches these:
        self._task: asyncio.Task[None] | None = None
        self._stopped = False
        self._room = asyncio.Event()
        # The thread alone:
        self._started = False
        # Both, under the lock:
        self._changed = threading.Condition()
        self._items: deque[Any] = deque()
        self._size = 0  # bytes in `_items`, as far as we know
        self._full = False  # the task waits for room
        self._waiting = False  # the thread waits for an item
        self._over = False  # no more items come
        self._error: BaseException | None = None  # why, if it is not the end

    def __repr__(self) -> str:
        return f"<BlockingIterator {len(self._items)} items ahead{', over' * self._over}>"

    def __next__(self) -> Any:
        """Wait for the next item.

        Raises:
            Cancelled: The call was cancelled, or the server stops.
        """
        if not self._started:
            self._start()
        with self._changed:
            while not self._items and not self._over:
                self._waiting = True
                self._changed.wait()
            if not self._items:
                error, self._error = self._error, None
                if error is not None:
                    raise error
                raise StopIteration
            item = self._items.popleft()
            self._size -= _size(item)
            low = len(self._items) <= _AHEAD // 2 and self._size <= _BYTES_AHEAD // 2
            wake = self._full and low
            if wake:
                self._full = False
        if wake:
            self._on_loop(self._room.set)
        return item

    def _start(self) -> None:
        if asyncio._get_running_loop() is self._loop:  # noqa: SLF001  # its documented use
            raise ConfigurationError("this iterator blocks; use it in a thread, not on the loop")
        self._started = True
        if not self._on_loop(self._begin):
            self._end(Cancelled("the server has stopped"))

    def _on_loop(self, callback: Any) -> bool:
        try:
            self._loop.call_soon_threadsafe(callback)
        except RuntimeError:  # the loop is closed
            return False
        return True

    def release(self) -> None:
        """Read no further; called in the thread that has iterated, when it is done with it."""
        self._on_loop(self.stop)

    # ------------------------------------------------------------------- on the loop

    def stop(self) -> None:
        """Let whoever waits for an item, now or later, get `Cancelled`. Called on the loop."""
        self._stopped = True
        if self._task is not None:
            self._task.cancel()
        self._cancelled()

    def _cancelled(self) -> None:
        with self._changed:  # also at the end of the upload: items that are cut off are no end
            self._items.clear()
            self._over = True
            self._error = Cancelled("the call was cancelled while it waited for an item")
            self._changed.notify()

    def _begin(self) -> None:
        if not self._stopped:
            self._task = self._loop.create_task(self._read_ahead())

    async def _read_ahead(self) -> None:
        error: BaseException | None = None
        try:
            async for item in self._source:
                if not self._put(item):
                    self._room.clear()
                    with self._changed:  # did the thread make room before it was cleared?
                        full = self._full
                    if full:
                        await self._room.wait()
        except asyncio.CancelledError:
            self._cancelled()
            raise
        except BaseException as exc:  # noqa: BLE001  # it belongs to the thread
            error = exc
        self._end(error)

    def _put(self, item: Any) -> bool:
        """Hand an item over; return False if there is no room for another."""
        with self._changed:
            self._items.append(item)
            self._size += _size(item)
            self._full = len(self._items) >= _AHEAD or self._size >= _BYTES_AHEAD
            if self._waiting:
                self._waiting = False
                self._changed.notify()
            return not self._full

    def _end(self, error: BaseException | None) -> None:
        with self._changed:
            if self._over:
                return
            self._over = True
            self._error = error
            self._changed.notify()


def blocking_iterator(
    items: AsyncIterator[Any], loop: asyncio.AbstractEventLoop
) -> BlockingIterator:
    """Return `items`, which belong to `loop`, as an iterator for one other thread.

    Its `next` blocks. When the call that it is an argument of is cancelled, it raises
    `Cancelled`.
    """
    return BlockingIterator(items, loop)


def _size(item: Any) -> int:
    return len(item) if isinstance(item, (bytes, bytearray, str)) else 0
