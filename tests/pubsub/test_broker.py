"""Where publishes meet subscriptions."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from framerpc.backplane.memory import MemoryStore
from framerpc.errors import InvalidArgument, PermissionDenied, ResourceExhausted, Unavailable
from framerpc.pubsub.broker import Broker, run_at_once
from framerpc.pubsub.events import Check, Publication, Published
from framerpc.pubsub.feed import Feed
from framerpc.pubsub.positions import Bookmark, Position
from framerpc.pubsub.queues import Overflow
from framerpc.pubsub.store import Found, Page, Since, StoreError
from framerpc.topic_config import TopicLimits, TopicPolicy
from tests.pubsub.sinks import ListSink

LOG = TopicPolicy("log.>", history=5)


async def open_broker(*policies: TopicPolicy, **limits: Any) -> Broker:
    """Return a broker on a memory store; its time stands still."""
    bounds = TopicLimits(**limits)
    broker = Broker(MemoryStore(bounds, instance="i"), policies or (LOG,), bounds, now=lambda: 0.0)
    await broker.open()
    return broker


async def fill(broker: Broker, topic: str, count: int) -> None:
    for number in range(1, count + 1):
        await broker.publish(topic, b"%d" % number, stamp=float(number))


# ------------------------------------------------------------------ publishing


async def test_all_get_the_very_same_object() -> None:
    """Nothing is copied or encoded for a subscriber, and each of 50 costs one call."""
    broker = await open_broker()
    sinks = [ListSink() for _ in range(50)]
    for sink in sinks:
        await broker.subscribe("news.*", sink)
    data = b"x" * 128
    receipt = await broker.publish("news.sport", data)
    assert receipt == Published(None, None, 50, duplicate=False)
    (first,) = sinks[0].events
    assert isinstance(first, Publication)
    assert first.data is data
    assert all(sink.events == [first] for sink in sinks)


async def test_a_receipt_says_the_position() -> None:
    """Where there is a history, the message has its place in it."""
    broker = await open_broker()
    await broker.publish("log.a", b"1")
    receipt = await broker.publish("log.a", b"2")
    assert receipt == Published(2, Position("i-0", 2), 0, duplicate=False)


async def test_a_key_publishes_once() -> None:
    """The second publish reaches nobody, also without history."""
    broker = await open_broker()
    sink = ListSink()
    await broker.subscribe(">", sink)
    for topic in ("log.a", "news"):
        first = await broker.publish(topic, b"1", key="k")
        second = await broker.publish(topic, b"1", key="k")
        assert second == first._replace(subscribers=0, duplicate=True)
        with pytest.raises(InvalidArgument):
            await broker.publish(topic, b"2", key="k")
    assert sink.data == [b"1", b"1"]


async def test_only_the_server_publishes_to_its_topics() -> None:
    """A client is refused on marked topics and on those that begin with $."""
    broker = await open_broker(TopicPolicy("own", publish="server"))
    for topic in ("own", "$sys.x"):
        with pytest.raises(PermissionDenied):
            await broker.publish(topic, b"x")
        await broker.publish(topic, b"x", by_server=True)


@pytest.mark.parametrize("options", [{"key": "k" * 256}, {"conflate": "k" * 256}, {"key": 7}])
async def test_keys_are_checked(options: Any) -> None:
    """Long keys and what is no text are refused."""
    broker = await open_broker()
    with pytest.raises(InvalidArgument):
        await broker.publish("log.a", b"x", **options)


async def test_a_bad_topic_is_refused() -> None:
    """Nobody publishes to a pattern."""
    broker = await open_broker()
    with pytest.raises(InvalidArgument):
        await broker.publish("log.*", b"x")


# ------------------------------------------------------------------ subscribing


async def test_subscribing_tells_where_it_begins() -> None:
    """For each topic with a history that matches, and in which epoch new ones begin."""
    broker = await open_broker()
    await fill(broker, "log.a", 7)
    await fill(broker, "news", 3)
    feed = await broker.subscribe(">", ListSink())
    assert feed.bases == {"log.a": Position("i-0", 7)}
    assert (feed.epoch, feed.recovered, feed.complete, feed.exact) == ("i-0", None, True, True)
    feed = await broker.subscribe("log.new", ListSink())
    assert feed.bases == {"log.new": Position("i-0", 0)}


async def test_it_is_announced_before_the_first_event() -> None:
    """Whoever answers the subscriber can do so before anything is written."""
    broker = await open_broker()
    await fill(broker, "log.a", 3)
    sink, seen = ListSink(), list[object]()

    def announce(feed: Feed) -> None:
        seen.append((feed.recovered, dict(feed.bases), list(sink.events)))

    await broker.subscribe("log.a", sink, since="start", announce=announce)
    assert seen == [(True, {"log.a": Position("i-0", 0)}, [])]
    assert sink.offsets == [1, 2, 3]


async def test_a_subscriber_without_history_cannot_recover() -> None:
    """A position of a topic that keeps nothing is answered with no, never with a part."""
    broker = await open_broker()
    feed = await broker.subscribe("news", ListSink(), since=Position("i-0", 3))
    assert (feed.recovered, feed.bases) == (False, {})


LARGE = Bookmark("i-0", {f"log.{number}": Position("i-0", 1) for number in range(1001)})


@pytest.mark.parametrize("since", [-1, True, False, float("nan"), float("inf"), LARGE], ids=type)
async def test_since_must_make_sense(since: Any) -> None:
    """A number of messages is 0 or more, a time is finite, a bookmark is bounded."""
    broker = await open_broker()
    with pytest.raises(InvalidArgument, match=r"since|bookmark has at most"):
        await broker.subscribe("log.a", ListSink(), since=since)


async def test_a_position_is_not_for_a_pattern_nor_since_for_a_group() -> None:
    """What cannot be exact is refused."""
    broker = await open_broker()
    with pytest.raises(InvalidArgument, match="bookmark"):
        await broker.subscribe("log.*", ListSink(), since=Position("i-0", 3))
    with pytest.raises(InvalidArgument, match="group"):
        await broker.subscribe("log.a", ListSink(), since="start", group="g")
    assert broker.statistics()["subscriptions"] == 0


async def test_subscriptions_are_bounded_by_owner_and_in_all() -> None:
    """One too many is refused, and one that ends makes room."""
    broker = await open_broker(max_subscriptions=2, max_all_subscriptions=3)
    first = [await broker.subscribe("a", ListSink(), owner="x") for _ in range(2)]
    with pytest.raises(ResourceExhausted, match="max_subscriptions"):
        await broker.subscribe("a", ListSink(), owner="x")
    await broker.subscribe("a", ListSink(), owner="y")
    with pytest.raises(ResourceExhausted, match="max_all_subscriptions"):
        await broker.subscribe("a", ListSink(), owner="y")
    broker.unsubscribe(first[0])
    broker.unsubscribe(first[0])
    await broker.subscribe("a", ListSink(), owner="x")
    assert broker.statistics()["owners"] == 2


async def test_nothing_is_left_of_subscriptions_that_ended() -> None:
    """Tables are empty after the last one, and what was dropped is still counted."""
    broker = await open_broker()
    sink = ListSink(credit=0)
    feed = await broker.subscribe(
        "a.>", sink, owner="x", overflow=Overflow.DROP_NEWEST, queue_limit=1
    )
    await fill(broker, "a.b", 5)
    broker.unsubscribe(feed)
    assert (await broker.publish("a.b", b"x")).subscribers == 0
    left = broker.statistics()
    assert (left["subscriptions"], left["owners"], left["dropped"]) == (0, 0, 4)
    assert (sink.ended, sink.error) == (1, None)


async def test_a_queue_is_never_longer_than_the_server_allows() -> None:
    """A subscriber may ask for a shorter queue, not for a longer one."""
    broker = await open_broker(max_queue=100)
    long = await broker.subscribe("a", ListSink(), queue_limit=10**9)
    short = await broker.subscribe("a", ListSink(), queue_limit=50)
    assert (long._queue.limit, short._queue.limit) == (100, 50)


async def test_one_slow_subscriber_costs_itself() -> None:
    """It ends; all others get everything, and the publisher notices nothing."""
    broker = await open_broker()
    slow, quick = ListSink(credit=0), ListSink()
    await broker.subscribe("a", slow, queue_limit=200)
    await broker.subscribe("a", quick)
    receipts = [await broker.publish("a", b"%d" % number) for number in range(10)]
    assert receipts[-1].subscribers == 1
    assert isinstance(slow.error, ResourceExhausted)
    assert len(quick.data) == 10


async def test_closing_ends_all_subscriptions_with_a_reason() -> None:
    """Subscribers are told why nothing more comes."""
    broker = await open_broker()
    sinks = [ListSink() for _ in range(3)]
    for sink in sinks:
        await broker.subscribe("a", sink)
    await broker.close(Unavailable("the server restarts"))
    assert [str(sink.error) for sink in sinks] == ["the server restarts"] * 3


# ---------------------------------------------------------------- reading, checking


async def test_history_comes_in_pages() -> None:
    """A page is bounded, says where it begins, and the next one follows its last message."""
    broker = await open_broker(TopicPolicy("log.>", history=100), max_page=4)
    await fill(broker, "log.a", 10)
    offsets: list[int] = []
    since: Any = "start"
    while True:
        page = await broker.history("log.a", since)
        offsets += [each.offset for each in page.messages]
        if page.complete:
            break
        since = page.messages[-1].position
    assert offsets == list(range(1, 11))
    assert page.found.top == Position("i-0", 10)


async def test_history_of_an_unknown_topic_is_empty() -> None:
    """Asking leaves nothing behind."""
    broker = await open_broker()
    page = await broker.history("log.a")
    assert (page.messages, page.complete, page.found.top) == ((), True, Position("i-0", 0))
    assert (await broker.history("log.a", Position("x", 3))).found.recovered is False
    assert broker._store.statistics()["topics"] == 0  # type: ignore[attr-defined]


async def test_a_check_tells_the_tops_in_order() -> None:
    """A subscriber without credit learns them behind the messages that wait."""
    broker = await open_broker()
    sink = ListSink(credit=0)
    feed = await broker.subscribe("log.*", sink)
    await fill(broker, "log.a", 2)
    await broker.check(feed)
    sink.grant(feed, 9)
    assert sink.offsets == [1, 2]
    assert sink.events[2] == Check({"log.a": Position("i-0", 2)})


async def test_statistics_of_a_broker() -> None:
    """They say what is there."""
    broker = await open_broker()
    await broker.subscribe("a", ListSink(), group="g")
    assert broker.statistics() | {"visited": 0} == {
        "subscriptions": 1,
        "groups": 1,
        "owners": 0,
        "dropped": 0,
        "visited": 0,
    }
    assert repr(broker).startswith("<Broker subscriptions=1 store=<MemoryStore")


# ------------------------------------------------------------- stores that wait


class Waiting(MemoryStore):
    """A store whose reading waits until it is let go."""

    def __init__(self) -> None:
        super().__init__(TopicLimits(max_page=2), instance="i")
        self.let_go = asyncio.Event()
        self.error: StoreError | None = None

    async def find(self, topic: str, since: Since, policy: TopicPolicy, now: float) -> Found:
        await self.let_go.wait()
        return await super().find(topic, since, policy, now)

    async def read(
        self, topic: str, after: Position, upto: int, policy: TopicPolicy, now: float
    ) -> Page:
        await asyncio.sleep(0)
        if self.error:
            raise self.error
        return await super().read(topic, after, upto, policy, now)


async def waiting_broker() -> tuple[Broker, Waiting, set[asyncio.Task[None]]]:
    store, tasks = Waiting(), set[asyncio.Task[None]]()
    broker = Broker(
        store, (LOG,), now=lambda: 0.0, spawn=lambda job: tasks.add(asyncio.ensure_future(job))
    )
    await broker.open()
    return broker, store, tasks


async def test_no_hole_while_the_store_answers() -> None:
    """What is published between subscribing and the answer comes once, in order."""
    broker, store, tasks = await waiting_broker()
    await fill(broker, "log.a", 2)
    sink = ListSink()
    opening = asyncio.ensure_future(broker.subscribe("log.a", sink, since=Position("i-0", 1)))
    await asyncio.sleep(0)
    await fill(broker, "log.a", 2)
    store.let_go.set()
    feed = await opening
    await fill(broker, "log.a", 1)
    while tasks:
        await asyncio.gather(*[tasks.pop() for _ in range(len(tasks))])
    assert feed.recovered
    assert sink.offsets == [2, 3, 4, 5]


async def test_cancelling_a_subscribe_leaves_nothing() -> None:
    """A subscriber that gave up while the store answered is not subscribed."""
    broker, _, _ = await waiting_broker()
    opening = asyncio.ensure_future(broker.subscribe("log.a", ListSink(), since="start"))
    await asyncio.sleep(0)
    opening.cancel()
    await asyncio.wait([opening])
    assert broker.statistics()["subscriptions"] == 0


async def test_too_much_while_opening_is_an_error() -> None:
    """A subscription that is slow before it began does not begin."""
    broker, store, _ = await waiting_broker()
    sink = ListSink()
    opening = asyncio.ensure_future(broker.subscribe("log.a", sink, since="start", queue_limit=1))
    await asyncio.sleep(0)
    await fill(broker, "log.a", 2)
    store.let_go.set()
    with pytest.raises(ResourceExhausted, match="while subscribing"):
        await opening
    assert (sink.events, sink.ended) == ([], 1)


async def test_a_store_that_fails_ends_the_subscription() -> None:
    """What cannot be read is not skipped: the subscriber is told, and can begin again."""
    broker, store, tasks = await waiting_broker()
    store.let_go.set()
    await fill(broker, "log.a", 2)
    store.error = StoreError("no disk")
    sink = ListSink()
    await broker.subscribe("log.a", sink, since="start")
    await asyncio.gather(*tasks)
    assert (sink.events, sink.error) == ([], store.error)


async def test_a_store_that_waits_needs_tasks() -> None:
    """Without a `spawn`, only stores that never wait can be used."""

    async def never() -> None:
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="spawn"):
        run_at_once(never())


async def test_a_bookmark_works_for_one_topic() -> None:
    """A subscriber of a topic may send its map as well."""
    broker = await open_broker()
    await fill(broker, "log.a", 4)
    sink = ListSink()
    bookmark = Bookmark("i-0", {"log.a": Position("i-0", 2)})
    feed = await broker.subscribe("log.a", sink, since=bookmark)
    assert (feed.recovered, sink.offsets) == (True, [3, 4])
