"""The store in memory."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any

from framerpc.backplane.memory import MemoryStore
from framerpc.pubsub.broker import run_at_once
from framerpc.topic_config import TopicLimits, TopicPolicy
from tests.backplane.store_suite import Bench, StoreSuite, bench


class TestMemoryStore(StoreSuite):
    """It does what every store does."""

    def open(self, **limits: Any) -> AbstractAsyncContextManager[Bench]:
        return bench(MemoryStore(TopicLimits(**limits)))

    def test_nothing_waits(self) -> None:
        """All its methods end without a loop, so that a publish needs no task."""

        async def main() -> None:
            async with self.open() as b:
                await b.fill(3)
                await b.read("start")
                await b.store.topics(">", 9)

        run_at_once(main())

    async def test_each_one_has_epochs_of_its_own(self) -> None:
        """After a restart, no position is taken for one from before."""
        async with self.open() as first:
            old = await first.fill(3)
        async with self.open() as second:
            new = await second.fill(3)
            assert new.epoch != old.epoch
            assert await second.read(old) == ([], False)

    async def test_statistics(self) -> None:
        """What is kept is counted."""
        async with self.open(max_history_messages=3) as b:
            await b.fill(3, "log.a")
            await b.publish("log.b", key="k")
            assert b.store.statistics() == {  # type: ignore[attr-defined]
                "topics": 2,
                "messages": 3,
                "bytes": 3 * (64 + 5 + 1),
                "keys": 1,
                "evicted": 1,
                "forgotten_topics": 0,
                "forgotten_keys": 0,
            }
            assert repr(b.store) == ("<MemoryStore <Shelf topics=2 messages=3 bytes=210 keys=1>>")

    async def test_silent_topics_expire_without_a_timer(self) -> None:
        """Publishing to one topic frees what has expired in all others, a topic each time."""
        policy = TopicPolicy(">", history=9, ttl=10.0)
        async with self.open() as b:
            for number in range(20):
                await b.publish(f"log.{number}", b"x", policy)
            b.now += 10
            for _ in range(21):
                await b.publish("busy", b"x", policy)
            assert b.store.statistics()["messages"] == 9  # type: ignore[attr-defined]
