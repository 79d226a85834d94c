"""Jobs in threads, and the threads."""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from framerpc.errors import Cancelled, ResourceExhausted, Unavailable
from framerpc.server import pool as module
from framerpc.server.daemons import DaemonThreads
from framerpc.server.pool import Job, Pool

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


@asynccontextmanager
async def pool_of(max_threads: int = 1, max_waiting: int = 1) -> AsyncGenerator[Pool]:
    pool = Pool("pool-test", max_threads, max_waiting, "Limits.most")
    try:
        yield pool
    finally:
        await pool.close()
        assert [each for each in threading.enumerate() if each.name.startswith("pool-test")] == []


async def reached(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, 10), "the thread did not get there"


class Busy:
    """Work that says when it began, and ends when it is asked to, as `end` says."""

    def __init__(self, end: Any = "ended") -> None:
        self.began = threading.Event()
        self.asked = threading.Event()
        self.end = end
        self.job = Job("busy", self, self.asked.set)

    def __call__(self) -> Any:
        self.began.set()
        assert self.asked.wait(10)
        if isinstance(self.end, BaseException):
            raise self.end
        return self.end


async def test_a_job_runs_in_a_daemon_thread() -> None:
    """It returns what its work returns, and its thread keeps no process alive."""
    async with pool_of() as pool:
        daemon, name = await pool.run(
            Job("job", lambda: (threading.current_thread().daemon, threading.current_thread().name))
        )
    assert (daemon, name) == (True, "pool-test-1")


async def test_the_error_of_a_job_is_raised() -> None:
    """It is the very exception."""
    error = ValueError("x")

    def work() -> None:
        raise error

    async with pool_of() as pool:
        with pytest.raises(ValueError, match="x") as caught:
            await pool.run(Job("job", work))
    assert caught.value is error


async def test_a_job_too_many_is_refused() -> None:
    """One runs and one waits; a third is refused at once, by the name of the limit."""
    busy = Busy()
    async with pool_of() as pool:
        pool.submit(busy.job)
        waiting = Job("waits", int)
        pool.submit(waiting)
        with pytest.raises(ResourceExhausted, match=r"1 calls run and 1 wait .*\(Limits\.most\)"):
            pool.submit(Job("refused", int))
        busy.asked.set()
        assert await pool.finish(waiting) == 0


async def test_a_job_that_waits_can_be_dropped() -> None:
    """It never runs, its waiter is let go, and its place is free."""
    busy = Busy()
    ran = threading.Event()
    async with pool_of() as pool:
        pool.submit(busy.job)
        dropped = Job("dropped", ran.set)
        pool.submit(dropped)
        assert pool.drop(dropped)
        with pytest.raises(asyncio.CancelledError):
            await pool.finish(dropped)
        pool.submit(Job("instead", int))
        busy.asked.set()
        await pool.finish(busy.job)
    assert not ran.is_set()


async def test_a_job_that_runs_is_not_dropped() -> None:
    """A thread has it."""
    busy = Busy()
    async with pool_of() as pool:
        pool.submit(busy.job)
        await reached(busy.began)
        assert not pool.drop(busy.job)


async def test_cancelling_asks_a_job_to_stop() -> None:
    """A job that ends by that request was cancelled."""
    busy = Busy(end=Cancelled("as asked"))
    async with pool_of() as pool:
        task = asyncio.create_task(pool.run(busy.job))
        await reached(busy.began)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert busy.asked.is_set()


async def test_the_outcome_of_a_cancelled_job_counts() -> None:
    """A job that ended with a result all the same has that result."""
    busy = Busy(end=42)
    async with pool_of() as pool:
        task = asyncio.create_task(pool.run(busy.job))
        await reached(busy.began)
        task.cancel()
        assert await task == 42


async def test_a_pool_that_is_closed_takes_nothing() -> None:
    """A job that comes too late is told that the server stops."""
    async with pool_of() as pool:
        await pool.close()
        with pytest.raises(Unavailable, match="stopping"):
            pool.submit(Job("late", int))


async def test_closing_asks_what_runs_and_drops_what_waits() -> None:
    """Neither keeps it from closing."""
    busy = Busy()
    async with pool_of() as pool:
        runs = asyncio.create_task(pool.run(busy.job))
        await reached(busy.began)
        waits = asyncio.create_task(pool.run(Job("waits", int)))
        await asyncio.sleep(0)
        await pool.close()
        assert await runs == "ended"
        with pytest.raises(asyncio.CancelledError):
            await waits


async def test_a_stuck_thread_is_left_behind(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Closing waits for a bounded time, says who is stuck, and lets its waiter go."""
    monkeypatch.setattr(module, "_CLOSE_GRACE", 0.01)
    began, release = threading.Event(), threading.Event()

    def stuck() -> None:
        began.set()
        release.wait(10)

    async with pool_of() as pool:
        task = asyncio.create_task(pool.run(Job("Files/read", stuck)))
        await reached(began)
        with caplog.at_level(logging.WARNING, "framerpc.server"):
            await pool.close()
        with pytest.raises(asyncio.CancelledError):
            await task
        release.set()
        for thread in threading.enumerate():
            if thread.name.startswith("pool-test"):
                await asyncio.to_thread(thread.join, 10)
    assert "Files/read does not end; its thread is left behind" in caplog.text


def test_an_idle_thread_is_used_again() -> None:
    """One item after the other needs one thread."""
    threads = DaemonThreads("pool-test", 5)
    names = []
    for _ in range(3):
        # An item's future is done a moment before its thread is idle.
        while threads._threads and not threads._idle:
            pass
        names.append(threads.submit(lambda: threading.current_thread().name).result(10))
    threads.shutdown()
    assert names == ["pool-test-1"] * 3


def test_threads_that_were_told_to_end_take_nothing() -> None:
    """To submit anything then is our own bug."""
    threads = DaemonThreads("pool-test", 1)
    threads.shutdown()
    with pytest.raises(RuntimeError, match="told to end"):
        threads.submit(int)
