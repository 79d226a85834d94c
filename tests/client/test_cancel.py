"""Cancelling a call, wherever it waits: the handler stops, and no other call notices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import pytest

import framerpc
from framerpc import Limits, Outcome
from framerpc.testing import Network, virtual_time
from tests.services import Work, pair, soon


async def upto(n: int) -> AsyncIterator[int]:
    for i in range(n):
        yield i
        await asyncio.sleep(0)


async def collect(stream: framerpc.ResultStream[Any]) -> list[Any]:
    async with stream:
        return [item async for item in stream]


Call = Callable[[framerpc.Client], Awaitable[Any]]

SHAPES: Final[dict[str, Call]] = {
    "unary": lambda client: client.call(Work.sleep, 0),
    "big arguments": lambda client: client.call("Work/echo", bytes(300_000)),
    "thread": lambda client: client.call("Work/call_in_thread"),
    "stream out": lambda client: collect(client.stream(Work.count, 5)),
    "stream from a thread": lambda client: collect(client.stream("Work/count_in_thread", 5)),
    "stream in": lambda client: client.call(Work.total, upto(5)),
    "both": lambda client: collect(client.stream(Work.squares, upto(5))),
}


@pytest.mark.parametrize("ready", [True, False], ids=["ready", "dialling"])
@pytest.mark.parametrize("shape", SHAPES)
def test_call_may_be_cancelled_at_each_of_its_await_points(shape: str, ready: bool) -> None:
    """Whatever a call waits for when it is cancelled, nothing of it is left on either side."""
    for steps in range(400):
        if not _cancelled_after(steps, SHAPES[shape], ready):
            assert steps > 2, "it never waited"
            return
    pytest.fail("the call never ended by itself")


def _cancelled_after(steps: int, call: Call, ready: bool) -> bool:
    """Cancel a call after so many steps of the loop; return whether it was still running."""

    @virtual_time
    async def run() -> bool:
        work = Work()
        server = framerpc.Server(work)
        async with pair(server, ready=ready) as client:
            task = asyncio.ensure_future(call(client))
            for _ in range(steps):
                await asyncio.sleep(0)
                if task.done():
                    task.result()
                    return False
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.sleep(2)  # past every grace
            assert client.statistics()["calls_in_flight"] == 0
            assert server.statistics()["calls_in_flight"] == 0
            assert work.started == work.cancelled + work.finished
            answers = await asyncio.gather(*(client.call("Work/echo", n) for n in range(3)))
            assert answers == [0, 1, 2]
            return True

    return run()


@virtual_time
async def test_call_cancelled_before_there_is_a_connection_is_never_sent() -> None:
    """A call that waits for the first connection can be cancelled, and never reaches a handler."""
    work = Work()
    with Network() as network:
        network.drop()
        async with (
            framerpc.Server(work).listen("memory://late"),
            framerpc.connect("memory://late") as client,
        ):
            task = asyncio.create_task(client.call(Work.sleep, 1))
            await asyncio.sleep(1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            network.heal()
            await client.ready()
            assert await client.call("Work/echo", 1) == 1
            assert work.started == 0


@virtual_time
async def test_call_cancelled_while_it_waits_for_its_slot_leaves_the_slot_to_others() -> None:
    """With one slot, the call behind a cancelled waiter is the next to run."""
    work = Work()
    async with pair(framerpc.Server(work, limits=Limits(max_calls=1))) as client:
        running = asyncio.create_task(client.call(Work.sleep, 1))
        await work.entered.wait()
        waiting = asyncio.create_task(client.call(Work.sleep, 1))
        behind = asyncio.create_task(client.call("Work/echo", "next"))
        await asyncio.sleep(0.5)
        waiting.cancel()
        assert await behind == "next"
        assert running.done()
        assert waiting.cancelled()
        assert work.started == 1


@virtual_time
async def test_slot_given_to_a_call_that_is_cancelled_goes_to_the_next() -> None:
    """A waiter that is woken and cancelled in the same moment passes its turn on."""
    work = Work()
    async with pair(framerpc.Server(work, limits=Limits(max_calls=1))) as client:
        first = asyncio.create_task(client.call(Work.sleep, 1))
        await work.entered.wait()
        waiting = asyncio.create_task(client.call("Work/echo", "dropped"))
        behind = asyncio.create_task(client.call("Work/echo", "next"))
        await asyncio.sleep(0)
        first.add_done_callback(lambda _: waiting.cancel())
        assert await behind == "next"


RECEIPTS: Final[list[tuple[str, float, Outcome, str]]] = [
    ("Work/sleep", 3600, Outcome.STOPPED, "cancelled_stopped"),
    ("Work/stubborn", 0.5, Outcome.FINISHED, "cancelled_finished"),
    ("Work/stubborn", 60, Outcome.STILL_RUNNING, "cancelled_still_running"),
]


@pytest.mark.parametrize(("method", "seconds", "outcome", "counter"), RECEIPTS)
def test_receipt_says_what_became_of_a_cancelled_call(
    method: str, seconds: float, outcome: Outcome, counter: str
) -> None:
    """`on_receipt` is told once what became of the call, and it is counted."""
    told: list[tuple[str, Outcome]] = []

    @virtual_time
    async def run() -> None:
        work = Work()
        on_receipt = lambda *receipt: told.append(receipt)  # noqa: E731
        async with pair(framerpc.Server(work), on_receipt=on_receipt) as client:
            task = asyncio.create_task(client.call(method, seconds))
            await work.entered.wait()
            task.cancel()
            await asyncio.sleep(5)
            assert told == [(method, outcome)]
            assert client.statistics()[counter] == 1
            assert client.statistics()["calls_in_flight"] == 0

    run()


async def test_thread_that_cannot_be_stopped_is_reported_as_running() -> None:
    """A plain function goes on in its thread: the receipt says so after the grace."""
    work = Work()
    told: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    server = framerpc.Server(work, limits=Limits(cancel_grace=0.02))
    on_receipt = lambda _, outcome: told.set_result(outcome)  # noqa: E731
    async with pair(server, on_receipt=on_receipt) as client:
        task = asyncio.create_task(client.call("Work/block"))
        await soon(lambda: work.started)
        task.cancel()
        assert await told is Outcome.STILL_RUNNING
        work.let_go.set()


@virtual_time
async def test_late_answer_never_reaches_another_call() -> None:
    """Calls cancelled just as their answer is under way leave others with their own answers."""
    with Network() as network:
        async with pair(framerpc.Server(Work())) as client:
            network.delay(0.001)
            for n in range(100):
                slow = asyncio.create_task(client.call("Work/echo", "late"))
                await asyncio.sleep(0.0005 * (n % 6))
                slow.cancel()
                assert await client.call("Work/echo", n) == n


@virtual_time
async def test_failing_receipt_callback_harms_nobody() -> None:
    """What `on_receipt` raises is logged, and the connection lives on."""

    def broken(method: str, outcome: Outcome) -> None:
        raise RuntimeError(method)

    work = Work()
    async with pair(framerpc.Server(work), on_receipt=broken) as client:
        task = asyncio.create_task(client.call(Work.sleep, 9))
        await work.entered.wait()
        task.cancel()
        await asyncio.sleep(2)
        assert client.state is framerpc.State.READY
        assert await client.call("Work/echo", 1) == 1
