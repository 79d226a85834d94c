"""Where a subscription to a pattern begins, and whether that is exact."""

from __future__ import annotations

from typing import Any

import pytest

from framerpc.backplane.memory import MemoryStore
from framerpc.errors import ResourceExhausted
from framerpc.pubsub.broker import Broker
from framerpc.pubsub.feed import Feed
from framerpc.pubsub.positions import Bookmark, Position
from framerpc.topic_config import TopicLimits, TopicPolicy
from tests.pubsub.sinks import ListSink

POLICY = TopicPolicy("log.>", history=3, ttl=10.0)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def opened(clock: Clock | None = None, **limits: Any) -> Broker:
    bounds = TopicLimits(**limits)
    broker = Broker(MemoryStore(bounds, instance="i"), (POLICY,), bounds, now=clock or Clock())
    await broker.open()
    return broker


async def publish(broker: Broker, *topics: str) -> None:
    for topic in topics:
        await broker.publish(topic, topic.encode())


async def watch(broker: Broker, since: Any = None) -> tuple[Feed, ListSink, Bookmark]:
    """Subscribe to `log.*`; return also the bookmark that a client would keep."""
    sink = ListSink()
    feed = await broker.subscribe("log.*", sink, since=since)
    return feed, sink, Bookmark(feed.epoch, dict(feed.bases), complete=feed.complete)


async def resume(broker: Broker, bookmark: Bookmark) -> tuple[Feed, list[tuple[str, int]]]:
    feed, sink, _ = await watch(broker, bookmark)
    return feed, [(event.topic, event.offset) for event in sink.events]  # type: ignore[union-attr]


async def test_all_topics_are_recovered() -> None:
    """What each topic got meanwhile comes once, in the order of each topic."""
    broker = await opened()
    await publish(broker, "log.a", "log.b")
    feed, _, bookmark = await watch(broker)
    broker.unsubscribe(feed)
    await publish(broker, "log.a", "log.b", "log.a")
    feed, got = await resume(broker, bookmark)
    assert feed.recovered
    assert [each for each in got if each[0] == "log.a"] == [("log.a", 2), ("log.a", 3)]
    assert [each for each in got if each[0] == "log.b"] == [("log.b", 2)]
    assert feed.bases == bookmark.positions


async def test_topics_that_appeared_meanwhile_are_included() -> None:
    """They are given from their first message, and the answer says that they begin there."""
    broker = await opened()
    feed, _, bookmark = await watch(broker)
    broker.unsubscribe(feed)
    await publish(broker, "log.new", "log.new")
    feed, got = await resume(broker, bookmark)
    assert (feed.recovered, got) == (True, [("log.new", 1), ("log.new", 2)])
    assert feed.bases == {"log.new": Position("i-0", 0)}


async def test_a_topic_that_appeared_and_moved_on_is_not() -> None:
    """One message of it has left its window: nothing at all is given, and it is said."""
    broker = await opened()
    await publish(broker, "log.a")
    feed, _, bookmark = await watch(broker)
    broker.unsubscribe(feed)
    await publish(broker, *["log.new"] * 4, "log.a")
    feed, got = await resume(broker, bookmark)
    assert (feed.recovered, got) == (False, [])
    assert feed.bases == {"log.a": Position("i-0", 2), "log.new": Position("i-0", 4)}


async def test_one_topic_that_cannot_spoils_all() -> None:
    """There is no partial answer."""
    broker = await opened()
    await publish(broker, "log.a", "log.b")
    feed, _, bookmark = await watch(broker)
    broker.unsubscribe(feed)
    await publish(broker, *["log.a"] * 4, "log.b")
    feed, got = await resume(broker, bookmark)
    assert (feed.recovered, got) == (False, [])


async def test_a_topic_that_was_forgotten_cannot() -> None:
    """The subscriber knew it, the server does not any more."""
    clock = Clock()
    broker = await opened(clock, max_topics=1)
    await publish(broker, "log.a")
    feed, _, bookmark = await watch(broker)
    broker.unsubscribe(feed)
    clock.now = 10.0
    await publish(broker, "log.b")
    feed, got = await resume(broker, bookmark)
    assert (feed.recovered, got) == (False, [])


async def test_a_topic_that_came_went_and_came_again_cannot() -> None:
    """A subscriber that knows nothing of it does not take its second life for its first."""
    clock = Clock()
    broker = await opened(clock, max_topics=1)
    feed, _, bookmark = await watch(broker)
    broker.unsubscribe(feed)
    await publish(broker, "log.a")
    clock.now = 10.0
    await publish(broker, "log.x.y")
    clock.now = 20.0
    await publish(broker, "log.a")
    feed, got = await resume(broker, bookmark)
    assert (feed.recovered, got) == (False, [])


async def test_more_topics_than_can_be_told() -> None:
    """Such a subscription works, says that it cannot resume, and is not given a part."""
    broker = await opened(max_positions=2)
    await publish(broker, "log.a", "log.b", "log.c")
    feed, sink, bookmark = await watch(broker)
    assert (feed.complete, len(feed.bases)) == (False, 2)
    await publish(broker, "log.c")
    assert sink.offsets == [2]
    feed, got = await resume(broker, bookmark)
    assert (feed.recovered, got) == (False, [])
    for since in ("start", 1, 0.0):
        with pytest.raises(ResourceExhausted, match="max_positions"):
            await watch(broker, since)


async def test_a_bookmark_that_overflowed_cannot() -> None:
    """A subscriber that has seen more topics than its map holds says so, and is believed."""
    broker = await opened()
    feed, _, bookmark = await watch(broker)
    bookmark.complete = False
    feed, got = await resume(broker, bookmark)
    assert (feed.recovered, got) == (False, [])


async def test_another_server_cannot() -> None:
    """A bookmark of another store is answered with no, also if it knows no topic."""
    broker = await opened()
    await publish(broker, "log.a")
    feed, got = await resume(broker, Bookmark("j-0", {}))
    assert (feed.recovered, got) == (False, [])
    feed, got = await resume(broker, Bookmark("j-0", {"log.a": Position("j-0", 0)}))
    assert (feed.recovered, got) == (False, [])


@pytest.mark.parametrize(("since", "count"), [("start", 5), (1, 2), (0, 0), (-1.0, 5)])
async def test_other_beginnings_of_a_pattern(since: Any, count: int) -> None:
    """The window, the last n and a time are those of each topic."""
    broker = await opened()
    await publish(broker, *["log.a"] * 3, *["log.b"] * 2)
    feed, sink, _ = await watch(broker, since)
    assert feed.recovered
    assert len(sink.data) == count
    for topic, base in feed.bases.items():
        mine = [event.offset for event in sink.events if event.topic == topic]  # type: ignore[union-attr]
        assert mine == list(range(base.offset + 1, 4 if topic == "log.a" else 3))


async def test_a_pattern_over_latest_topics_is_not_exact() -> None:
    """The subscriber is told that holes are no loss."""
    policies = (TopicPolicy("last.>", history=3, latest=True), POLICY)
    broker = Broker(MemoryStore(instance="i"), policies, now=Clock())
    await broker.open()
    await publish(broker, "last.a", "log.a")
    assert (await broker.subscribe(">", ListSink())).exact is False
    assert (await broker.subscribe("last.a", ListSink())).exact is False
    assert (await broker.subscribe("log.>", ListSink())).exact is True
