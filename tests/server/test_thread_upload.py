"""Uploads that a thread iterates over: how far the loop reads ahead, and how it ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import framerpc
from framerpc.config import Limits
from framerpc.errors import Cancelled, InvalidArgument, ResourceExhausted
from framerpc.protocol.frames import Outcome
from framerpc.server.thread_upload import blocking_iterator
from tests.services import soon


class Source:
    """Items that count how many of them were taken; each is the same."""

    def __init__(self, number: int, item: Any = 0) -> None:
        self.number = number
        self.item = item
        self.taken = 0

    def __aiter__(self) -> Source:
        return self

    async def __anext__(self) -> Any:
        if self.taken == self.number:
            raise StopAsyncIteration
        self.taken += 1
        return self.item


async def passes() -> None:
    """Let everything that is ready on the loop run."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.parametrize(("item", "most"), [(0, 32), (b"x" * 300_000, 4), ("x" * 2_000_000, 1)])
async def test_the_loop_reads_ahead_by_a_bound(item: Any, most: int) -> None:
    """It takes so many items or bytes and then waits for the thread."""
    source = Source(1000, item)
    items = blocking_iterator(source, asyncio.get_running_loop())
    await asyncio.to_thread(next, items)
    await passes()
    assert most <= source.taken <= most + 1
    items.stop()
    await passes()


async def test_the_loop_goes_on_when_there_is_room() -> None:
    """All items arrive, in order, however often it had to wait."""

    async def upload() -> AsyncIterator[int]:
        for number in range(1000):
            yield number

    items = blocking_iterator(upload(), asyncio.get_running_loop())
    assert await asyncio.to_thread(list, items) == list(range(1000))


async def test_items_before_an_error_are_not_lost() -> None:
    """The error comes after them, also one that says that the caller has gone."""

    async def upload() -> AsyncIterator[int]:
        yield 1
        yield 2
        raise Cancelled("the caller's stream broke")

    got: list[int] = []
    items = blocking_iterator(upload(), asyncio.get_running_loop())
    with pytest.raises(Cancelled, match="broke"):
        await asyncio.to_thread(got.extend, items)
    assert got == [1, 2]


async def test_items_that_were_read_ahead_are_no_end() -> None:
    """Cancelled behind the last item but before its consumption, it raises instead of ending."""
    items = blocking_iterator(Source(5), asyncio.get_running_loop())
    await asyncio.to_thread(next, items)
    await passes()
    items.stop()
    with pytest.raises(Cancelled):
        await asyncio.to_thread(list, items)


async def test_release_stops_reading() -> None:
    """A thread that is done with half an upload leaves no task behind."""
    items = blocking_iterator(Source(1000), asyncio.get_running_loop())
    await asyncio.to_thread(next, items)
    items.release()
    await passes()
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


# ------------------------------------------------------- through a server and a client


@framerpc.service
class Blocking:
    """Methods that tell the test where they are."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.leave = threading.Event()

    @framerpc.method
    def wait(self) -> str:
        self.entered.set()
        assert self.leave.wait(10)
        return "done"

    @framerpc.method
    def total(self, items: Iterator[int]) -> int:
        return sum(items)

    @framerpc.method
    def first(self, items: Iterator[int]) -> int:
        return next(items)

    @framerpc.method
    def exit(self) -> None:
        raise SystemExit

    @framerpc.method
    def where(self) -> tuple[str, str]:
        return framerpc.current_call().method, threading.current_thread().name


async def test_an_upload_reaches_a_def() -> None:
    """A plain function adds up what the client sends."""

    async def numbers() -> AsyncIterator[int]:
        for number in range(500):
            yield number

    server = framerpc.Server(Blocking())
    async with server.listen("memory://t"), framerpc.connect("memory://t") as client:
        assert await client.call("Blocking/total", numbers()) == sum(range(500))


async def test_a_def_may_leave_an_upload_unread() -> None:
    """Its result arrives, and nothing goes on reading."""

    async def numbers() -> AsyncIterator[int]:
        for number in range(5000):
            yield number

    server = framerpc.Server(Blocking())
    async with server.listen("memory://t"), framerpc.connect("memory://t") as client:
        assert await client.call("Blocking/first", numbers()) == 0


async def test_a_bad_item_is_raised_in_the_thread() -> None:
    """An item that is not what was declared fails the call that it is sent to."""

    async def numbers() -> AsyncIterator[Any]:
        yield 1
        yield "two"

    server = framerpc.Server(Blocking())
    async with server.listen("memory://t"), framerpc.connect("memory://t") as client:
        with pytest.raises(InvalidArgument) as caught:
            await client.call("Blocking/total", numbers())
    assert caught.value.executed == "yes"


async def test_the_receipt_tells_that_a_function_still_runs() -> None:
    """Nobody is told that a thread stopped while it goes on."""
    receipts: asyncio.Queue[Outcome] = asyncio.Queue()

    def on_receipt(method: str, outcome: Outcome) -> None:
        receipts.put_nowait(outcome)

    service = Blocking()
    server = framerpc.Server(service, limits=Limits(cancel_grace=0.05))
    async with (
        server.listen("memory://t"),
        framerpc.connect("memory://t", on_receipt=on_receipt) as client,
    ):
        call = asyncio.create_task(client.call(Blocking.wait))
        assert await asyncio.to_thread(service.entered.wait, 10)
        call.cancel()
        assert await receipts.get() == Outcome.STILL_RUNNING
        service.leave.set()
        await soon(lambda: not server.statistics()["calls_in_flight"])


async def test_a_thread_too_many_is_refused_at_once() -> None:
    """The client learns which limit it met, and that nothing was executed."""
    service = Blocking()
    limits = Limits(max_threads=1, max_waiting_threads=1)
    server = framerpc.Server(service, limits=limits)
    async with server.listen("memory://t"), framerpc.connect("memory://t") as client:
        calls = [asyncio.create_task(client.call(Blocking.wait)) for _ in range(3)]
        (refused,), rest = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        error = refused.exception()
        assert isinstance(error, ResourceExhausted)
        assert error.executed == "no"
        assert "Limits.max_waiting_threads" in str(error)
        service.leave.set()
        assert await asyncio.gather(*rest) == ["done", "done"]


async def test_sys_exit_in_a_def_ends_its_call_only() -> None:
    """The server goes on."""
    async with (
        framerpc.Server(Blocking()).listen("memory://t"),
        framerpc.connect("memory://t") as client,
    ):
        with pytest.raises(framerpc.RemoteError):
            await client.call(Blocking.exit)
        method, thread = await client.call(Blocking.where)
    assert method == "Blocking/where"
    assert thread.startswith("framerpc-thread")
