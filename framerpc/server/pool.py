"""Jobs in threads: how many run, how many wait, and what it means to cancel one.

A job that waits for a thread is dropped when its coroutine is cancelled; one that runs is asked
to stop, and awaited all the same. This module does not know what a job does.

Only the loop's thread touches a pool, and of a job the thread that does it touches no more than
`__call__` and `notify`.

Spec: protocol.md, "Limits" and "Cancellation".
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from framerpc.errors import Cancelled, ResourceExhausted, Unavailable
from framerpc.server.daemons import DaemonThreads

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Job", "Pool"]

_logger: Final = logging.getLogger("framerpc.server")

_CLOSE_GRACE: Final = 1.0
"""Seconds that `Pool.close` gives to what runs. A server has given it a grace of its own before."""

_CONTROL: Final = (StopIteration, StopAsyncIteration)


class Job:
    """Something that one thread does from start to end.

    Args:
        name: What it is, for people.
        work: Called in the thread.
        stop: Asks `work` to end soon; called on the loop while it runs, maybe more than once. If
            it can, `work` raises `errors.Cancelled`.

    Attributes:
        name: As given.
        stop: As given.
        ended: `work` has returned or raised.
        left: Nobody waits for it any more.
    """

    __slots__ = (
        "_error",
        "_loop",
        "_result",
        "_running",
        "_waiter",
        "_work",
        "ended",
        "left",
        "name",
        "stop",
    )

    def __init__(
        self, name: str, work: Callable[[], Any], stop: Callable[[], None] | None = None
    ) -> None:
        self.name = name
        self.stop = stop
        self.ended = False
        self.left = False
        self._work: Callable[[], Any] | None = work
        self._loop = asyncio.get_running_loop()
        self._running: asyncio.Future[Any] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._result: Any = None
        self._error: BaseException | None = None

    def __repr__(self) -> str:
        return f"<Job {self.name}{', ended' if self.ended else ''}>"

    def __call__(self) -> None:
        """Do it; in the thread."""
        work, self._work = self._work, None
        assert work is not None
        try:
            self._result = work()
        except BaseException as exc:  # noqa: BLE001  # SystemExit too is an outcome, not an order
            self._error = exc

    def notify(self) -> None:
        """Wake up who is in `wait`; from the thread."""
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            self._loop.call_soon_threadsafe(self._wake)

    def start(self, threads: DaemonThreads, then: Callable[[Job], None]) -> asyncio.Future[Any]:
        """Let one of the threads do it.

        Args:
            threads: Some.
            then: Called on the loop when it has ended, or was taken back, or left.
        """

        def end(running: asyncio.Future[Any]) -> None:
            self.ended = not running.cancelled()
            self._work = None
            then(self)
            self._wake()

        self._running = self._loop.run_in_executor(threads, self)
        self._running.add_done_callback(end)
        return self._running

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self) -> None:
        """Wait for the end or for `notify`. Cancelling it stops waiting, and nothing else.

        Raises:
            asyncio.CancelledError: Also after `leave`.
        """
        if self.ended:
            return
        if self.left:
            raise asyncio.CancelledError
        self._waiter = self._loop.create_future()
        await self._waiter

    def leave(self) -> None:
        """Stop waiting for it, for good."""
        self.left = True
        self.stop = None
        if self._running is not None:
            self._running.cancel()
        if self._waiter is not None:
            self._waiter.cancel()

    def outcome(self, *, cancelled: bool) -> Any:
        """Return what `work` returned, or raise what it raised.

        Args:
            cancelled: Its coroutine was cancelled; then it may have ended for that reason.
        """
        error, self._error = self._error, None
        self.stop = None
        if error is None:
            return self._result
        try:
            if cancelled and isinstance(error, Cancelled):
                raise asyncio.CancelledError from error
            if isinstance(error, Exception) and not isinstance(error, _CONTROL):
                raise error
            # As it is, it would end the server's loop or a stream, or pass for a cancelled call.
            raise RuntimeError(f"{self.name} raised {error!r}") from error
        finally:
            del error  # it holds this frame


class Pool:
    """The jobs of a bounded number of threads, which are started as they are needed.

    Args:
        name: Of the threads.
        max_threads: How many.
        max_waiting: Jobs that may wait when all threads are busy.
        limit: The option that bounds the waiting, for the error's text.
    """

    def __init__(self, name: str, max_threads: int, max_waiting: int, limit: str) -> None:
        self._max_threads = max_threads
        self._max_waiting = max_waiting
        self._limit = limit
        self._threads = DaemonThreads(name, max_threads)
        self._jobs: dict[Job, asyncio.Future[Any]] = {}  # those that run and those that wait
        self._closing = False

    def __repr__(self) -> str:
        return f"<Pool {self._threads}, {len(self._jobs)} jobs>"

    async def run(self, job: Job) -> Any:
        """Let a thread do it, and return what it returns.

        Cancelling it drops a job that waits. One that runs is asked to stop, and awaited all the
        same: nothing can end a thread from outside. Unless it ends by that request, its outcome
        counts, and is returned or raised.

        Raises:
            ResourceExhausted: Too many wait already.
            Unavailable: The pool is closed.
        """
        self.submit(job)
        return await self.finish(job)

    def submit(self, job: Job) -> None:
        """Let a thread do it; `finish` waits for the end. Raises what `run` raises."""
        if self._closing:
            raise Unavailable("the server is stopping")
        if len(self._jobs) >= self._max_threads + self._max_waiting:
            raise ResourceExhausted(
                f"{self._max_threads} calls run and {self._max_waiting} wait already "
                f"({self._limit})"
            )
        self._jobs[job] = job.start(self._threads, self._forget)

    def _forget(self, job: Job) -> None:
        self._jobs.pop(job, None)

    async def finish(self, job: Job) -> Any:
        """Wait for the end of a job that was submitted; see `run`."""
        cancelled = False
        while not job.ended:
            try:
                await job.wait()
            except asyncio.CancelledError:
                if job.left or self.drop(job):
                    raise
                cancelled = True
                if job.stop is not None:
                    job.stop()
        return job.outcome(cancelled=cancelled)

    def drop(self, job: Job) -> bool:
        """Take a job back and let go who waits for it; return False if a thread has it."""
        if not self._threads.take_back(job):
            return False
        self._forget(job)
        job.leave()
        return True

    async def close(self) -> None:
        """Drop what waits, stop what runs, and end the threads.

        Whoever still waits for a job that does not end is let go with CancelledError; its thread
        is left behind, and ends with the job or the process.
        """
        self._closing = True
        for job in list(self._jobs):
            if not self.drop(job) and job.stop is not None:
                job.stop()
        if self._jobs:
            await asyncio.wait(list(self._jobs.values()), timeout=_CLOSE_GRACE)
        for job in list(self._jobs):
            _logger.warning("x %s does not end; its thread is left behind", job.name)
            job.leave()
        self._threads.shutdown()
