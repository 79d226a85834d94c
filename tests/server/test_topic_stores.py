"""Topics on stores that wait, and what a subscriber is told of its positions."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import framerpc
from framerpc import SqliteStore, TopicPolicy
from framerpc.server.checks import INTERVAL
from framerpc.testing import virtual_time
from tests.services import pair

KEPT = [TopicPolicy("log.>", history=100)]


async def data(messages: framerpc.Subscription[Any], n: int) -> list[Any]:
    return [(await asyncio.wait_for(anext(messages), 10)).data for _ in range(n)]


async def test_a_subscription_survives_the_server(tmp_path: Path) -> None:
    """With a store in a file, a server that starts again continues a subscription where it was."""
    file = tmp_path / "topics.db"
    async with framerpc.connect("memory://work") as client:
        first = framerpc.Server(topics=KEPT, store=SqliteStore(file))
        await first.start("memory://work")
        async with client.subscribe("log.>") as messages:
            published = [await client.publish("log.a", n) for n in range(3)]
            assert await data(messages, 2) == [0, 1]
            await first.close(grace=0)
            second = framerpc.Server(topics=KEPT, store=SqliteStore(file))
            async with second.listen("memory://work", grace=0):
                await second.publish("log.a", 3)
                again = await client.publish("log.a", 4)
                assert await data(messages, 3) == [2, 3, 4]
                assert messages.recovered
                assert again.offset == 5
                assert again.position is not None
                assert published[0].position is not None
                assert again.position.epoch == published[0].position.epoch


async def test_many_publish_at_once_to_a_store_that_waits(tmp_path: Path) -> None:
    """Publishes that wait for the disk together keep their order, for all subscribers."""
    server = framerpc.Server(topics=KEPT, store=SqliteStore(tmp_path / "topics.db"))
    async with pair(server) as client:
        async with client.subscribe("log.a") as one, client.subscribe("log.*") as other:
            receipts = await asyncio.gather(*(client.publish("log.a", n) for n in range(50)))
            offsets = [receipt.offset or 0 for receipt in receipts]
            assert sorted(offsets) == [*range(1, 51)]
            expected = [n for _, n in sorted(zip(offsets, range(50), strict=True))]
            assert await data(one, 50) == await data(other, 50) == expected


@virtual_time
async def test_positions_are_told_at_times() -> None:
    """A subscriber that lost the last message of a quiet topic on its way comes again for it."""
    server = framerpc.Server(topics=KEPT)
    async with pair(server) as client, client.subscribe("log.a") as messages:
        await client.publish("log.a", 0)
        assert await data(messages, 1) == [0]
        await asyncio.sleep(INTERVAL * 2)
        assert messages.resumed == 0  # nothing is missing
        take, drop = messages._take, True

        def lose_one(body: Any) -> Any:
            nonlocal drop
            if drop and bytes(body).startswith(b"\x96\x00"):
                drop = False
                return None
            return take(body)

        messages._follower._take = lose_one  # type: ignore[union-attr] # pyright: ignore[reportOptionalMemberAccess]
        await client.publish("log.a", 1)
        started = asyncio.get_running_loop().time()
        message = await asyncio.wait_for(anext(messages), INTERVAL + 3)
        assert (message.data, messages.recovered, messages.resumed) == (1, True, 1)
        assert asyncio.get_running_loop().time() - started > 1


@virtual_time
async def test_nothing_is_checked_without_history() -> None:
    """Subscriptions to topics without history, and those that have ended, set no timer."""
    server = framerpc.Server(topics=KEPT)

    def checking() -> bool:
        return server.topics._checks._timer is not None

    async with pair(server) as client:
        async with client.subscribe("news.*"):
            assert not checking()
        async with client.subscribe("log.a"):
            assert checking()
        await asyncio.sleep(INTERVAL + 2)
        assert not checking()
