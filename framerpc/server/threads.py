"""`def` methods in worker threads: calls, generators, and uploads that a thread iterates over.

A method runs in a copy of its call's context, so `current_call()` works in the thread. A
thread cannot be stopped from outside: who cancels a call that runs still waits for the end of
its function, so that nobody is told that it stopped while it goes on (the peer says "still
running" after `Limits.cancel_grace`). Two places do listen: a generator is closed between two
items, and a method that waits for the next item of an upload gets `Cancelled`.

Spec: protocol.md, "Cancellation" and "Limits".
"""

from __future__ import annotations

from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from framerpc.server.pool import Job, Pool
from framerpc.server.thread_stream import ThreadStream
from framerpc.server.thread_upload import BlockingIterator, blocking_iterator

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from framerpc.call import CallContext

__all__ = ["BlockingIterator", "ThreadWorkers", "blocking_iterator"]


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
        upload = _upload(args, kwargs)

        def enter() -> Any:
            context.started = context.now()
            try:
                return function(*args, **kwargs)
            finally:
                if upload is not None:
                    upload.release()

        stop = None if upload is None else upload.stop
        job = Job(context.method, partial(copy_context().run, enter), stop)
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
        upload = _upload(args, kwargs)

        def make() -> Iterator[Any]:
            context.started = context.now()
            items = iter(function(*args, **kwargs))
            return items if upload is None else _releasing(items, upload)

        stop = None if upload is None else upload.stop
        return ThreadStream(self._threads(), context.method, make, encode, stop)

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


def _upload(args: tuple[Any, ...], kwargs: dict[str, Any]) -> BlockingIterator | None:
    """Return the upload among the arguments; None if there is none."""
    for value in (*args, *kwargs.values()):
        if isinstance(value, BlockingIterator):
            return value
    return None


def _releasing(items: Iterator[Any], upload: BlockingIterator) -> Generator[Any, None, None]:
    try:
        yield from items
    finally:
        upload.release()
