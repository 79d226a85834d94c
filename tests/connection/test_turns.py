"""Who waits for room: first come, first served, at one place or at several."""

from __future__ import annotations

import asyncio

from framerpc.connection.turns import Turns, any_turn


def places(count: int) -> list[Turns]:
    return [Turns(asyncio.get_running_loop()) for _ in range(count)]


async def test_turn_at_any_place_is_taken_once() -> None:
    """Who was let in at one place waits nowhere any more."""
    first, second = places(2)
    waiting = asyncio.create_task(any_turn([first, second]))
    await asyncio.sleep(0)
    second.next()
    await waiting
    assert not first.waiting
    assert not second.waiting


async def test_turns_go_to_different_waiters() -> None:
    """Room at two places at the same moment lets two in, the first to come first."""
    both = places(2)
    tasks = [asyncio.create_task(any_turn(both)) for _ in range(3)]
    await asyncio.sleep(0)
    for turns in both:
        turns.next()
    done, (left,) = await asyncio.wait(tasks, timeout=0.01)
    assert done == set(tasks[:2])
    left.cancel()
    await asyncio.wait([left])
    assert not any(turns.waiting for turns in both)


async def test_cancelled_waiter_hands_its_turn_on() -> None:
    """The turn of who is cancelled just then goes to the next."""
    both = places(2)
    first, second = (asyncio.create_task(any_turn(both)) for _ in range(2))
    await asyncio.sleep(0)
    both[0].next()
    first.cancel()
    await second
    assert first.cancelled()
