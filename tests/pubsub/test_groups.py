"""Queue groups."""

from __future__ import annotations

from framerpc.backplane.memory import MemoryStore
from framerpc.pubsub.broker import Broker
from framerpc.pubsub.feed import Feed
from tests.pubsub.sinks import ListSink


async def workers(count: int, credit: int = 10**9) -> tuple[Broker, list[ListSink], list[Feed]]:
    broker = Broker(MemoryStore(instance="i"), now=lambda: 0.0)
    await broker.open()
    sinks = [ListSink(credit) for _ in range(count)]
    return broker, sinks, [await broker.subscribe("jobs", sink, group="g") for sink in sinks]


async def publish(broker: Broker, count: int) -> None:
    for number in range(count):
        receipt = await broker.publish("jobs", b"%d" % number)
        assert receipt.subscribers == 1


async def test_members_share_fairly() -> None:
    """Each message goes to one member, and all get as many."""
    broker, sinks, _ = await workers(4)
    await publish(broker, 100)
    assert [len(sink.data) for sink in sinks] == [25] * 4
    assert sorted(int(data) for sink in sinks for data in sink.data) == list(range(100))


async def test_groups_are_told_apart_by_name_and_pattern() -> None:
    """Another group, another pattern and a plain subscription get every message."""
    broker, _, _ = await workers(2)
    others = [ListSink() for _ in range(3)]
    await broker.subscribe("jobs", others[0], group="h")
    await broker.subscribe("*", others[1], group="g")
    await broker.subscribe("jobs", others[2])
    receipt = await broker.publish("jobs", b"x")
    assert receipt.subscribers == 4
    assert [sink.data for sink in others] == [[b"x"]] * 3


async def test_slow_members_are_skipped() -> None:
    """A member without credit gets nothing as long as another one can take it."""
    broker, sinks, feeds = await workers(3, credit=2)
    sinks[1].credit = 10**9
    await publish(broker, 20)
    assert [len(sink.data) for sink in sinks] == [2, 16, 2]
    assert [feed.waiting for feed in feeds] == [0, 0, 0]
    sinks[0].grant(feeds[0], 100)
    await publish(broker, 10)
    assert len(sinks[0].data) == 2 + 5


async def test_when_all_are_slow_the_shortest_queue_gets_it() -> None:
    """Messages wait where the fewest bytes wait."""
    broker, sinks, feeds = await workers(3, credit=0)
    await publish(broker, 9)
    assert [feed.waiting for feed in feeds] == [3 * 69] * 3
    for sink, feed in zip(sinks, feeds, strict=True):
        sink.grant(feed, 10)
    assert sorted(int(data) for sink in sinks for data in sink.data) == list(range(9))


async def test_what_waited_for_a_member_that_leaves_goes_to_the_others() -> None:
    """Nothing that was not written is lost with it."""
    broker, sinks, feeds = await workers(2, credit=0)
    await publish(broker, 10)
    broker.unsubscribe(feeds[0])
    sinks[1].grant(feeds[1], 100)
    assert sorted(map(int, sinks[1].data)) == list(range(10))


async def test_turns_stay_fair_when_members_leave() -> None:
    """Whoever leaves, the rest go on in turns, and the last one takes the group with it."""
    broker, sinks, feeds = await workers(4)
    await publish(broker, 3)
    broker.unsubscribe(feeds[0])
    broker.unsubscribe(feeds[3])
    await publish(broker, 10)
    assert sorted(len(sinks[n].data) for n in (1, 2)) == [6, 6]
    broker.unsubscribe(feeds[1])
    broker.unsubscribe(feeds[2])
    assert (await broker.publish("jobs", b"x")).subscribers == 0
    assert broker.statistics()["groups"] == 0


async def test_a_group_without_room_does_not_fall_down_at_once() -> None:
    """Only the member that was too slow ends; what waited for it is lost, and counted."""
    broker, _, _ = await workers(0)
    sinks = [ListSink(credit=0) for _ in range(500)]
    for sink in sinks:
        await broker.subscribe("jobs", sink, group="g", queue_limit=2 * 71)
    await publish(broker, 1000)
    assert sum(sink.ended for sink in sinks) == 0
    await publish(broker, 1)
    assert sum(sink.ended for sink in sinks) == 1
    assert broker.statistics()["dropped"] == 3
