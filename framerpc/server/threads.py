"""`def` methods in worker threads: calls, generators, and uploads that a thread iterates over.

A method runs in a copy of its call's context, so `current_call()` works in the thread. A
thread cannot be stopped from outside: who cancels a call that runs still waits for the end of
its function, so that nobody is told that it stopped while it goes on (the peer says "still
running" after `Limits.cancel_grace`). Two places do listen: a generator is closed between two
items, and a method that waits for the next item of an upload gets `Cancelled`.

Spec: protocol.md, "Cancellation" and "Limits".
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Iterator
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from framerpc.errors import Cancelled, ConfigurationError
from framerpc.server.pool import Job, Pool
from framerpc.server.thread_stream import ThreadStream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from framerpc.call import CallContext

__all__ = ["BlockingIterator", "ThreadWorkers", "blocking_iterator"]

_END: Final = object()


class ThreadWorkers:
    """The worker threads of one server. They are started when they are needed.

    Args:
        max_threads: How many there are at most.
        max_waiting: Calls that may wait for one.
    """

    def __init__(self, max_threads: int, max_waiting: int) -> None:
        self._max_threads = max_threads
        self._max_waiting = max_waiting
        self._pool: Pool | None = None

    def __repr__(self) -> str:
        return f"<ThreadWorkers {self._pool or 'idle'}>"

    async def run(
        self,
        context: CallContext,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Call `function` in a thread, and return what it returns.

        Cancelling it drops a call that waits for a thread. One that runs goes on, and so does
        this coroutine: it then ends as the function ends.

        Raises:
            ResourceExhausted: Too many calls wait already.
            RuntimeError: The function raised SystemExit, KeyboardInterrupt or the like, which
                is the cause.
        """

        def enter() -> Any:
            context.started = context.now()
            return function(*args, **kwargs)

        job = Job(context.method, partial(copy_context().run, enter), _stopper(args, kwargs))
        return await self._threads().run(job)

    def stream(
        self,
        context: CallContext,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        encode: Callable[[Any], bytes],
    ) -> ThreadStream:
        """Return the encoded items of a generator that runs in a thread.

        It is entered when the first item is asked for.

        Args:
            context: The call.
            function: Returns an iterator.
            args: Its arguments.
            kwargs: Its named arguments.
            encode: Called in the thread for each item.
        """

        def make() -> Iterator[Any]:
            context.started = context.now()
            return iter(function(*args, **kwargs))

        return ThreadStream(
            self._threads(), context.method, make, encode, _stopper(args, kwargs)
        )

    def _threads(self) -> Pool:
        if self._pool is None:
            self._pool = Pool(
                "framerpc-thread",
                self._max_threads,
                self._max_waiting,
                "Limits.max_waiting_threads",
            )
        return self._pool

    async def close(self) -> None:
        """End the threads. What does not end within a second is left behind, with a warning."""
        pool = self._pool
        if pool is not None:
            await pool.close()
            self._pool = None


class BlockingIterator(Iterator[Any]):
    """An upload, as a method in a thread iterates over it. Made by `blocking_iterator`."""

    __slots__ = ("_ended", "_items", "_loop", "_stopped", "_task")

    def __init__(self, items: AsyncIterator[Any], loop: asyncio.AbstractEventLoop) -> None:
        self._items = items
        self._loop = loop
        self._ended = False
        self._stopped = False
        self._task: asyncio.Task[Any] | None = None  # the loop alone touches it

    def __next__(self) -> Any:
        """Wait for the next item.

        Raises:
            Cancelled: The call was cancelled, or the server stops.
        """
        if self._ended:
            raise StopIteration
        try:
            item = _wait_for(self._fetch(), self._loop)
        except concurrent.futures.CancelledError:
            raise Cancelled("the call was cancelled while it waited for an item") from None
        if item is _END:
            self._ended = True
            raise StopIteration
        return item

    async def _fetch(self) -> Any:
        if self._stopped:
            raise asyncio.CancelledError
        self._task = asyncio.current_task()
        try:
            return await anext(self._items, _END)
        finally:
            self._task = None

    def stop(self) -> None:
        """Let whoever waits for an item, now or later, get `Cancelled`. Called on the loop."""
        self._stopped = True
        if self._task is not None:
            self._task.cancel()


def blocking_iterator(
    items: AsyncIterator[Any], loop: asyncio.AbstractEventLoop
) -> BlockingIterator:
    """Return `items`, which belong to `loop`, as an iterator for one other thread.

    Its `next` blocks. When the call that it is an argument of is cancelled, it raises
    `Cancelled`.
    """
    return BlockingIterator(items, loop)


def _wait_for(coro: Any, loop: asyncio.AbstractEventLoop) -> Any:
    """Run `coro` on a loop that runs in another thread, and wait for it."""
    if asyncio._get_running_loop() is loop:  # noqa: SLF001  # its documented use
        coro.close()
        raise ConfigurationError("this iterator blocks; use it in a thread, not on the loop")
    try:
        future = asyncio.run_coroutine_threadsafe(coro, loop)
    except RuntimeError:  # the loop is closed
        coro.close()
        raise Cancelled("the server has stopped") from None
    return future.result()


def _stopper(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[[], None] | None:
    """Return what interrupts the upload among the arguments; None if there is none."""
    for value in (*args, *kwargs.values()):
        if isinstance(value, BlockingIterator):
            return value.stop
    return None
