"""Deadlines by one timer, and what a blocked loop does to them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from framerpc.connection.timers import CATCH_UP, PatientTimeout, Sweeper
from framerpc.testing import VirtualClockLoop, virtual_time


@dataclass(eq=False)
class Entry:
    deadline: float | None


class Swept:
    """Entries under a sweeper, and when each of them expired."""

    def __init__(self, *deadlines: float) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualClockLoop)
        self.loop = loop
        self.entries = [Entry(deadline) for deadline in deadlines]
        self.expired: list[tuple[float | None, float]] = []
        self.sweeper = Sweeper(loop, lambda: self.entries, self._expire)
        for deadline in deadlines:
            self.sweeper.add(deadline)

    def _expire(self, entry: Entry) -> None:
        self.entries.remove(entry)
        self.expired.append((entry.deadline, self.loop.time()))


@virtual_time
async def test_deadlines_expire_when_they_are_due() -> None:
    """Each entry expires at its deadline, in order, with one timer."""
    swept = Swept(3, 1, 2)
    await asyncio.sleep(5)
    assert swept.expired == [(1, 1), (2, 2), (3, 3)]


@virtual_time
async def test_blocked_loop_reads_before_it_expires() -> None:
    """What passed while we had no turn expires a moment later; what was answered does not."""
    swept = Swept(1, 2, 100)
    await asyncio.sleep(0)
    swept.loop._virtual_time += 5
    await asyncio.sleep(0)
    assert swept.expired == []
    swept.entries[0].deadline = None  # its answer had arrived
    await asyncio.sleep(1)
    assert swept.expired == [(2, 5 + CATCH_UP)]
    swept.sweeper.stop()


@virtual_time
async def test_loop_that_is_always_late_expires_all_the_same() -> None:
    """One moment of grace for each time, so that a starved loop does not wait for ever."""
    swept = Swept(1)
    await asyncio.sleep(0)
    for _ in range(4):
        swept.loop._virtual_time += 5
        await asyncio.sleep(0)
    assert [deadline for deadline, _ in swept.expired] == [1]


def skip(seconds: float) -> None:
    """Do to the running loop what `time.sleep` does."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualClockLoop)
    loop._virtual_time += seconds


@virtual_time
async def test_patient_timeout_is_exact() -> None:
    """Without a block it ends like any other, and says that it did."""
    loop = asyncio.get_running_loop()
    scope = PatientTimeout(loop, 3.0)
    with pytest.raises(TimeoutError):
        async with scope:
            await loop.create_future()
    assert (loop.time(), scope.expired()) == (3.0, True)


@virtual_time
async def test_patient_timeout_lets_a_blocked_loop_read() -> None:
    """What was there when the loop came back is in time; what never comes is not."""
    loop = asyncio.get_running_loop()
    answer = loop.create_future()
    scope = PatientTimeout(loop, 3.0)
    async with scope:
        loop.call_later(4, lambda: loop.call_soon(answer.set_result, "read"))
        await asyncio.sleep(0)
        skip(5)
        assert await answer == "read"
    assert not scope.expired()


@virtual_time
async def test_patient_timeout_of_a_blocked_loop_comes_all_the_same() -> None:
    """What has not come after the block does not come late."""
    loop = asyncio.get_running_loop()

    async def wait() -> None:
        async with PatientTimeout(loop, 1.0):
            await asyncio.sleep(0)
            skip(10)
            await loop.create_future()

    with pytest.raises(TimeoutError):
        await wait()
    assert loop.time() == pytest.approx(10 + CATCH_UP)


@virtual_time
async def test_patient_timeout_leaves_no_timer() -> None:
    """A block that ends in time is not cancelled later, nor after a block of the loop."""
    async with PatientTimeout(asyncio.get_running_loop(), 3.0):
        await asyncio.sleep(1)
    await asyncio.sleep(0)
    skip(5)
    await asyncio.sleep(5)
