"""What every store must do: a suite that each one's tests inherit.

A store's test class names itself `Test…`, inherits `StoreSuite` and says how one is opened.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from framerpc.errors import InvalidArgument, ResourceExhausted
from framerpc.pubsub.events import Publication, Published
from framerpc.pubsub.positions import MAX_EPOCH, Position
from framerpc.pubsub.store import Message, Since, Store
from framerpc.topic_config import TopicPolicy

__all__ = ["LOG", "NEWS", "Bench", "StoreSuite", "bench"]

LOG = TopicPolicy("log.>", history=5)
NEWS = TopicPolicy("news")


class Bench:
    """A store, what it delivers, and a clock that is moved by hand."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now = 100.0
        self.delivered: list[Publication] = []
        self.subscribers = 1

    def deliver(self, publication: Publication) -> int:
        self.delivered.append(publication)
        return self.subscribers

    async def publish(
        self,
        topic: str = "log.a",
        data: bytes = b"x",
        policy: TopicPolicy = LOG,
        **options: Any,
    ) -> Published:
        return await self.store.append(Message(topic, data, policy, **options), self.now)

    async def fill(self, count: int, topic: str = "log.a", policy: TopicPolicy = LOG) -> Position:
        """Publish `1`, `2`, …, stamped likewise; return the last position."""
        receipts = [
            await self.publish(topic, b"%d" % number, policy, stamp=float(number))
            for number in range(1, count + 1)
        ]
        position = receipts[-1].position
        assert position
        return position

    async def read(
        self, since: Since, topic: str = "log.a", policy: TopicPolicy = LOG
    ) -> tuple[list[bytes], bool]:
        """Return all that a reader gets, page by page, and whether it is all it asked for."""
        found = await self.store.find(topic, since, policy, self.now)
        after, got = found.base, list[bytes]()
        while after.offset < found.top.offset:
            page = await self.store.read(topic, after, found.top.offset, policy, self.now)
            assert page.lost == 0
            assert page.upto > after.offset
            got += [each.data for each in page.messages]
            after = Position(after.epoch, page.upto)
        return got, found.recovered


@asynccontextmanager
async def bench(store: Store) -> AsyncIterator[Bench]:
    """Open a store, and close it at the end."""
    made = Bench(store)
    await store.open(made.deliver, made.now)
    try:
        yield made
    finally:
        await store.close(made.now)


class StoreSuite:
    """The tests; `open` makes a new, empty store."""

    def open(self, **limits: Any) -> AbstractAsyncContextManager[Bench]:
        raise NotImplementedError

    # ----------------------------------------------------------------- publishing

    async def test_offsets_are_dense_and_delivered_in_order(self) -> None:
        """Messages of a topic are 1, 2, 3, …, in one epoch, and delivered as they are."""
        async with self.open() as b:
            receipts = [await b.publish(data=b"%d" % n, stamp=2.5, conflate="c") for n in range(3)]
            assert [each.offset for each in receipts] == [1, 2, 3]
            epoch = b.delivered[0].epoch
            assert 0 < len(epoch) <= MAX_EPOCH
            assert Position.parse(str(receipts[0].position)) == Position(epoch, 1)
            for number, (made, receipt) in enumerate(zip(b.delivered, receipts, strict=True)):
                assert receipt == (made.offset, made.position, 1, False)
                assert (made.topic, made.data) == ("log.a", b"%d" % number)
                assert (made.stamp, made.conflate, made.epoch) == (2.5, "c", epoch)

    async def test_many_at_once_keep_their_order(self) -> None:
        """Publishes that wait together are delivered in the order in which they were made."""
        async with self.open() as b:
            jobs = [b.publish(f"log.{n % 3}", b"%d" % n) for n in range(300)]
            receipts = await asyncio.gather(*jobs)
            for topic in range(3):
                mine = [each for each in b.delivered if each.topic == f"log.{topic}"]
                assert [each.offset for each in mine] == list(range(1, 101))
                assert [int(each.data) for each in mine] == list(range(topic, 300, 3))
            assert [each.offset for each in receipts] == [n // 3 + 1 for n in range(300)]

    async def test_it_is_delivered_before_it_is_acknowledged(self) -> None:
        """When the receipt is there, subscribers have it, and the receipt counts them."""
        async with self.open() as b:
            b.subscribers = 7
            receipt = await b.publish()
            assert len(b.delivered) == 1
            assert receipt.subscribers == 7

    async def test_a_publisher_that_gives_up_stops_nothing(self) -> None:
        """A message that has an offset is delivered, whoever waits for its receipt."""
        async with self.open() as b:
            first = asyncio.ensure_future(b.publish(data=b"1"))
            await asyncio.sleep(0)
            first.cancel()
            await b.publish(data=b"2")
            assert [each.data for each in b.delivered] == [b"1", b"2"]
            assert (await b.read("start"))[0] == [b"1", b"2"]

    async def test_without_history_there_is_no_position(self) -> None:
        """Such a message is delivered, and nothing of it is kept."""
        async with self.open() as b:
            receipt = await b.publish("news", b"x", NEWS)
            assert receipt == Published(None, None, 1, duplicate=False)
            assert b.delivered[0].position is None
            assert (await b.store.topics(">", 9)).names == ()

    # ----------------------------------------------------------- idempotency keys

    async def test_a_key_publishes_once(self) -> None:
        """The second publish has the position of the first and reaches nobody."""
        async with self.open() as b:
            for topic, policy in (("log.a", LOG), ("news", NEWS)):
                first = await b.publish(topic, b"x", policy, key="k")
                await b.publish(topic, b"between", policy)
                second = await b.publish(topic, b"x", policy, key="k")
                assert second == first._replace(subscribers=0, duplicate=True)
            assert len(b.delivered) == 4

    async def test_a_key_publishes_once_also_at_the_same_time(self) -> None:
        """Of many publishes with one key that wait together, one is published."""
        async with self.open() as b:
            receipts = await asyncio.gather(*[b.publish(key="k") for _ in range(5)], b.publish())
            assert sorted(each.duplicate for each in receipts) == [
                False,
                False,
                True,
                True,
                True,
                True,
            ]
            assert {each.offset for each in receipts[:5]} == {receipts[0].offset}
            assert len(b.delivered) == 2

    async def test_a_key_for_another_message_is_an_error(self) -> None:
        """It is not published, whether it waits together with the first or comes later."""
        async with self.open() as b:
            same = await asyncio.gather(
                b.publish(data=b"1", key="k"), b.publish(data=b"2", key="k"), return_exceptions=True
            )
            assert isinstance(same[1], InvalidArgument)
            with pytest.raises(InvalidArgument, match="another message"):
                await b.publish(data=b"3", key="k")
            assert [each.data for each in b.delivered] == [b"1"]

    async def test_a_key_is_forgotten_after_its_time(self) -> None:
        """It counts as new when it is `key_ttl` old."""
        async with self.open(key_ttl=10.0) as b:
            await b.publish(key="k")
            b.now += 9.9
            assert (await b.publish(key="k")).duplicate
            b.now += 0.1
            assert not (await b.publish(key="k")).duplicate

    async def test_keys_are_bounded(self) -> None:
        """The oldest one is forgotten."""
        async with self.open(max_keys=3) as b:
            for key in "abcd":
                await b.publish(key=key)
            assert (await b.publish(key="d")).duplicate
            assert not (await b.publish(key="a")).duplicate

    # ---------------------------------------------------------------- recovering

    async def test_a_reader_gets_everything_or_nothing(self) -> None:
        """From each position: all behind it, or the word that it cannot be."""
        async with self.open() as b:
            top = await b.fill(8)
            for offset in range(10):
                got, recovered = await b.read(top._replace(offset=offset))
                assert recovered == (3 <= offset <= 8)
                expected = range(offset + 1, 9) if recovered else ()
                assert got == [b"%d" % number for number in expected]

    @pytest.mark.parametrize(
        ("since", "first", "recovered"),
        [
            ("start", 4, True),
            (None, 9, True),
            (0, 9, True),
            (2, 7, True),
            (99, 4, True),
            (6.5, 7, True),
            (99.0, 9, True),
            (3.5, 4, True),
            (3.0, 9, False),
        ],
    )
    async def test_other_beginnings(self, since: Since, first: int, recovered: bool) -> None:
        """The window whole, the last n, or what was stamped since."""
        async with self.open() as b:
            await b.fill(8)
            expected = [b"%d" % number for number in range(first, 9)]
            assert await b.read(since) == (expected, recovered)

    async def test_another_epoch_cannot_be_recovered(self) -> None:
        """A position of another store, or of another time, is answered with no."""
        async with self.open() as b:
            await b.fill(3)
            assert await b.read(Position("other", 2)) == ([], False)

    async def test_a_topic_that_nobody_knows_begins_where_it_would(self) -> None:
        """Its position is good for what is published later, and asking keeps nothing."""
        async with self.open() as b:
            found = await b.store.find("log.a", None, LOG, b.now)
            assert found.base == found.top
            assert found.top.offset == 0
            assert (await b.store.topics(">", 9)).epoch == found.top.epoch
            assert (await b.store.topics(">", 9)).names == ()
            await b.fill(3)
            assert await b.read(found.top) == ([b"1", b"2", b"3"], True)

    async def test_messages_come_in_pages(self) -> None:
        """A page is bounded in messages and bytes, and one message is always on it."""
        policy = TopicPolicy("log.>", history=100)
        async with self.open(max_page=4, max_page_bytes=300) as b:
            for size in (10, 10, 10, 10, 10, 200, 200, 400, 10):
                last = await b.publish("log.a", b"x" * size, policy)
            assert last.position
            after, pages = Position(last.position.epoch, 0), []
            while after.offset < 9:
                page = await b.store.read("log.a", after, 9, policy, b.now)
                pages.append([each.offset for each in page.messages])
                after = after._replace(offset=page.upto)
            assert pages == [[1, 2, 3], [4, 5], [6], [7], [8], [9]]

    async def test_what_left_while_reading_is_counted(self) -> None:
        """A reader that was overtaken by the window is told how many it missed."""
        async with self.open() as b:
            top = await b.fill(4)
            page = await b.store.read("log.a", top._replace(offset=1), 4, LOG, b.now)
            assert [each.offset for each in page.messages] == [2, 3, 4]
            await b.fill(4)
            page = await b.store.read("log.a", top._replace(offset=1), 4, LOG, b.now)
            assert ([each.offset for each in page.messages], page.lost, page.upto) == ([4], 2, 4)

    async def test_topics_are_found_by_pattern(self) -> None:
        """Those with a history, no more than asked for."""
        async with self.open() as b:
            for topic in ("log.a", "log.b", "log.b.c"):
                await b.publish(topic)
            known = await b.store.topics("log.*", 9)
            assert (sorted(known.names), known.complete) == (["log.a", "log.b"], True)
            known = await b.store.topics("log.*", 1)
            assert (len(known.names), known.complete) == (1, False)

    # -------------------------------------------------------------------- bounds

    async def test_messages_expire(self) -> None:
        """A message is gone when it is `ttl` old, exactly, also if nobody publishes."""
        policy = TopicPolicy("log.>", history=9, ttl=10.0)
        async with self.open() as b:
            await b.publish("log.a", b"1", policy)
            b.now += 4
            top = (await b.publish("log.a", b"2", policy)).position
            assert top
            b.now += 5.9
            assert await b.read(top._replace(offset=0), policy=policy) == ([b"1", b"2"], True)
            b.now += 0.1
            assert await b.read(top._replace(offset=0), policy=policy) == ([], False)
            assert await b.read(top._replace(offset=1), policy=policy) == ([b"2"], True)
            b.now += 4
            assert await b.read("start", policy=policy) == ([], True)
            assert await b.read(top, policy=policy) == ([], True)
            assert (await b.publish("log.a", b"3", policy)).offset == 3

    async def test_messages_are_bounded_in_bytes(self) -> None:
        """Each costs its data, its topic and 64 bytes."""
        policy = TopicPolicy("log.>", history=9, history_bytes=2 * (64 + 5 + 1))
        async with self.open() as b:
            await b.fill(4, policy=policy)
            assert await b.read("start", policy=policy) == ([b"3", b"4"], True)

    async def test_latest_keeps_one_message_for_each_key(self) -> None:
        """What was replaced is not missing."""
        policy = TopicPolicy("log.>", history=3, latest=True)
        async with self.open() as b:
            receipts = [
                await b.publish("log.a", b"%d" % number, policy, conflate=key)
                for number, key in enumerate("abacab")
            ]
            assert await b.read("start", policy=policy) == ([b"3", b"4", b"5"], True)
            assert receipts[0].position
            before = receipts[0].position
            assert await b.read(before, policy=policy) == ([b"3", b"4", b"5"], True)

    async def test_topics_are_bounded(self) -> None:
        """One too many is refused; one whose messages are gone makes room, in another epoch."""
        policy = TopicPolicy("log.>", history=9, ttl=10.0)
        async with self.open(max_topics=2) as b:
            old = (await b.publish("log.a", b"1", policy)).position
            await b.publish("log.b", b"1", policy)
            with pytest.raises(ResourceExhausted, match="max_topics"):
                await b.publish("log.c", b"1", policy)
            assert len(b.delivered) == 2
            b.now += 5
            await b.publish("log.b", b"2", policy)
            b.now += 5
            await b.publish("log.c", b"1", policy)
            assert old
            assert await b.read(old, policy=policy) == ([], False)
            b.now += 10
            again = (await b.publish("log.a", b"2", policy)).position
            assert again
            assert (again.offset, again.epoch == old.epoch) == (1, False)

    async def test_all_histories_together_are_bounded(self) -> None:
        """The topic that was silent for the longest gives first, and says so to its readers."""
        async with self.open(max_history_messages=4) as b:
            old = await b.fill(2, "log.old")
            await b.fill(3, "log.new")
            assert await b.read("start", "log.old") == ([b"2"], True)
            assert await b.read(old._replace(offset=0), "log.old") == ([], False)
            assert await b.read("start", "log.new") == ([b"1", b"2", b"3"], True)
        async with self.open(max_history_bytes=3 * 72) as b:
            await b.fill(2, "log.old")
            await b.fill(2, "log.new")
            assert await b.read("start", "log.old") == ([b"2"], True)
            assert await b.read("start", "log.new") == ([b"1", b"2"], True)

    async def test_closing_twice_is_once(self) -> None:
        """A store that was closed can be closed."""
        async with self.open() as b:
            await b.publish()
            await b.store.close(b.now)
