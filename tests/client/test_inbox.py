"""The inbox: each message to one who waits, and no wake-up is lost."""

from __future__ import annotations

import asyncio

import pytest

from framerpc.client.inbox import Inbox
from framerpc.errors import Unavailable
from framerpc.testing import virtual_time


@virtual_time
async def test_a_wake_up_that_is_not_used_goes_to_the_next() -> None:
    """Of two who wait, the first is woken and cancelled at once: the second gets the message."""
    inbox: Inbox[int] = Inbox(asyncio.get_running_loop())
    first, second = (asyncio.create_task(inbox.get()) for _ in range(2))
    await asyncio.sleep(0)
    inbox.put(1)
    first.cancel()
    assert await asyncio.wait_for(second, 1) == 1
    assert first.cancelled()


@virtual_time
async def test_who_fills_it_waits_until_there_is_room() -> None:
    """It takes some messages ahead; `room` waits until one of them is taken, or it has ended."""
    inbox: Inbox[int] = Inbox(asyncio.get_running_loop())
    while not inbox.full:
        inbox.put(0)
    waiting = asyncio.create_task(inbox.room())
    await asyncio.sleep(1)
    assert not waiting.done()
    inbox.take()
    await asyncio.wait_for(waiting, 1)
    inbox.put(0)
    waiting = asyncio.create_task(inbox.room())
    await asyncio.sleep(0)
    inbox.end()
    await asyncio.wait_for(waiting, 1)


@virtual_time
async def test_its_end_comes_behind_what_is_there() -> None:
    """After an error the messages that are there come first, then the error, every time."""
    inbox: Inbox[int] = Inbox(asyncio.get_running_loop())
    inbox.put(1)
    inbox.end(Unavailable("over"))
    inbox.put(2)  # too late
    assert await inbox.get() == 1
    for _ in range(2):
        with pytest.raises(Unavailable, match="over"):
            await inbox.get()
    inbox.end(drop=True)
    with pytest.raises(StopAsyncIteration):
        await inbox.get()
