"""Things that are kept for a while."""

from __future__ import annotations

import asyncio

from framerpc.server.expiry import Expiry
from framerpc.testing import virtual_time


@virtual_time
async def test_each_member_leaves_when_its_time_is_over() -> None:
    """One timer serves all, and what was taken out is not told of."""
    loop, left = asyncio.get_running_loop(), list[tuple[str, float]]()
    expiry = Expiry[str](10.0, lambda member: left.append((member, loop.time())))
    for member in ("a", "b", "c"):
        expiry.add(member)
        await asyncio.sleep(1)
    expiry.discard("b")
    expiry.discard("never there")
    assert list(expiry) == ["a", "c"]
    await asyncio.sleep(20)
    assert left == [("a", 10.0), ("c", 12.0)]
    expiry.add("d")
    assert len(expiry) == 1
    await asyncio.sleep(20)
    assert left[2:] == [("d", 33.0)]


@virtual_time
async def test_member_that_takes_out_another_as_it_leaves() -> None:
    """What is gone by then is not told of."""
    left: list[str] = []

    def expire(member: str) -> None:
        left.append(member)
        expiry.discard("b")

    expiry = Expiry[str](1.0, expire)
    for member in ("a", "b", "c"):
        expiry.add(member)
    await asyncio.sleep(2)
    assert left == ["a", "c"]


@virtual_time
async def test_cleared_queue_has_no_timer() -> None:
    """Nobody is told any more."""
    left: list[str] = []
    expiry = Expiry[str](1.0, left.append)
    expiry.add("a")
    expiry.clear()
    expiry.clear()
    await asyncio.sleep(2)
    assert left == []
