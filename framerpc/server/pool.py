"""A bounded pool of threads, and a coroutine that waits for what one of them does.

This module owns who runs when, and what cancelling means: a job that waits is dropped, one
that runs is asked to stop and awaited. It does not know what a job is.

The threads are daemons, unlike those of `concurrent.futures`, which the interpreter joins
when it exits: a function that never returns must not keep a process alive.

Spec: protocol.md, "Limits" and "Cancellation".
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from typing import TYPE_CHECKING, Any, Final

from framerpc.errors import Cancelled, ResourceExhausted, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Job", "Pool"]

_logger: Final = logging.getLogger("framerpc.server")

_CLOSE_GRACE: Final = 1.0
"""Seconds that `Pool.close` gives to what runs; its callers have waited a grace before."""

_CONTROL: Final = (StopIteration, StopAsyncIteration)


class Job:
    """Something that one thread does from start to end.

    Args:
        name: What it is, for people.
        work: Called in the thread.
        stop: Asks `work`, while it runs, to end soon; called on the loop, maybe more than once.
            If it can, it ends with `errors.Cancelled`.

    Attributes:
        ended: As the loop knows it.
        left: Nobody waits for it any more.
    """

    __slots__ = ("_error", "_loop", "_result", "_waiter", "ended", "left", "name", "stop", "work")

    def __init__(
        self, name: str, work: Callable[[], Any], stop: Callable[[], None] | None = None
    ) -> None:
        self.name = name
        self.work = work
        self.stop = stop
        self.ended = False
        self._loop = asyncio.get_running_loop()
        self.left = False
        self._waiter: asyncio.Future[None] | None = None
        self._result: Any = None
        self._error: BaseException | None = None

    def __repr__(self) -> str:
        return f"<Job {self.name}{', ended' if self.ended else ''}>"

    def run(self) -> None:
        """Do it; in the thread."""
        try:
            self._result = self.work()
        except BaseException as exc:  # noqa: BLE001  # SystemExit too is an outcome, not an order
            self._error = exc
        self._call(self._end)

    def notify(self) -> None:
        """Wake up who is in `wait`; from the thread."""
        self._call(self._wake)

    def _call(self, callback: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(callback)
        except RuntimeError:
            pass  # the loop is closed: nobody waits

    def _end(self) -> None:
        self.ended = True
        self._wake()

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
        if self._waiter is not None:
            self._waiter.cancel()

    def outcome(self, *, cancelled: bool) -> Any:
        """Return what `work` returned, or raise what it raised.

        Args:
            cancelled: Its coroutine was cancelled; then it may have ended for that reason.
        """
        error, self._error = self._error, None
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
    """Threads, started as they are needed, and the jobs that wait for one.

    Args:
        name: Of the threads.
        max_threads: How many.
        max_waiting: Jobs that wait when all threads are busy.
        limit: The option that bounds the waiting, for the error's text.
    """

    def __init__(self, name: str, max_threads: int, max_waiting: int, limit: str) -> None:
        self._name = name
        self._max_threads = max_threads
        self._max_waiting = max_waiting
        self._limit = limit
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()  # for what follows, which the threads change too
        self._waiting: set[Job] = set()
        self._running: set[Job] = set()
        self._threads: list[threading.Thread] = []
        self._closing: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<Pool {self._name}, {len(self._running)} running, {len(self._waiting)} waiting>"

    async def run(self, job: Job) -> Any:
        """Let a thread do it, and return what it returns.

        Cancelling it drops a job that waits. One that runs is asked to stop, and awaited all the
        same: nothing can end a thread from outside. If it ends otherwise than by that request,
        its outcome counts: it is returned or raised.

        Raises:
            ResourceExhausted: Too many wait already.
        """
        self.submit(job)
        return await self.finish(job)

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

    def submit(self, job: Job) -> None:
        """Let a thread do it; see `run`."""
        with self._lock:
            if self._closing is not None:
                raise Unavailable("the server is stopping")
            busy = len(self._running) + len(self._waiting)
            if busy >= self._max_threads + self._max_waiting:
                raise ResourceExhausted(
                    f"all {self._max_threads} are busy and {self._max_waiting} calls wait "
                    f"already ({self._limit})"
                )
            self._waiting.add(job)
            if busy >= len(self._threads) < self._max_threads:
                self._start_thread()
        self._queue.put(job)

    def _start_thread(self) -> None:
        name = f"{self._name}-{len(self._threads) + 1}"
        thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _serve(self) -> None:
        while (job := self._queue.get()) is not None:
            with self._lock:
                if job not in self._waiting:
                    continue  # dropped
                self._waiting.discard(job)
                self._running.add(job)
            job.run()
            with self._lock:
                self._running.discard(job)
            del job  # an idle thread keeps nothing alive

    def drop(self, job: Job) -> bool:
        """Take a job back; return False if a thread has it."""
        with self._lock:
            if job not in self._waiting:
                return False
            self._waiting.discard(job)
        return True

    async def close(self) -> None:
        """Drop what waits, stop what runs, and end the threads.

        Whoever still waits for a job that does not end is let go with CancelledError; its thread
        is left behind, and ends with the job or the process.
        """
        loop = asyncio.get_running_loop()
        with self._lock:
            self._closing = loop.create_future()
            waiting, running = list(self._waiting), list(self._running)
            self._waiting.clear()
        for job in waiting:
            job.leave()
        for job in running:
            if job.stop is not None:
                job.stop()
        for _ in self._threads:
            self._queue.put(None)
        await _joined(self._threads, loop)
        with self._lock:
            stuck = list(self._running)
        for job in stuck:
            _logger.warning("x %s does not end; its thread is left behind", job.name)
            job.leave()


async def _joined(threads: list[threading.Thread], loop: asyncio.AbstractEventLoop) -> None:
    """Wait for the threads to end, but not for ever."""
    ended = loop.create_future()

    def join() -> None:
        for thread in threads:
            thread.join()
        try:
            loop.call_soon_threadsafe(lambda: ended.done() or ended.set_result(None))
        except RuntimeError:
            pass  # the loop is closed: nobody waits

    if threads:
        threading.Thread(target=join, name="framerpc-close", daemon=True).start()
        await asyncio.wait([ended], timeout=_CLOSE_GRACE)
