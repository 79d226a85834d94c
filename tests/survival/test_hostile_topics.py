"""Hostile use of topics (rows 32 to 36): churn, bad names, wide patterns, long histories."""

from __future__ import annotations

import logging
import tracemalloc
from typing import Any

import msgpack
import pytest

import framerpc
from framerpc import TopicLimits, TopicPolicy
from framerpc.codecs import packb
from framerpc.errors import Status
from framerpc.testing import ScriptedPeer, virtual_time
from tests.survival.siege import Siege, besieged, frame, request, settled


def subscribe(call_id: int, pattern: Any, **options: Any) -> list[Any]:
    return request(call_id, "framerpc/subscribe", pattern, options, flags=1, timeout_ms=None)


def publish(call_id: int, topic: Any, data: Any = b"\x01") -> list[Any]:
    return request(call_id, "framerpc/publish", topic, data)


async def refused(peer: ScriptedPeer, call_id: int, status: Status) -> str:
    answer = await peer.expect([10, call_id, status, 0, ..., ...])
    return str(answer[4])


async def started(peer: ScriptedPeer, call_id: int) -> list[Any]:
    item = await peer.expect([13, call_id, ...])
    body: list[Any] = msgpack.unpackb(item[2])
    assert body[0] == 1
    return body


def is_deserted(siege: Siege) -> bool:
    return siege.server.statistics()["subscriptions"] == 0


@virtual_time
async def test_subscriptions_are_bounded() -> None:
    """Row 32: the 129th subscription is refused; with the connection, all of them are gone."""
    async with besieged() as siege:
        attacker = await siege.guest()
        for number in range(128):
            attacker.send_frame(subscribe(2 * number + 1, f"t.{number}"))
            await started(attacker, 2 * number + 1)
        for number in range(128, 200):
            attacker.send_frame(subscribe(2 * number + 1, f"t.{number}"))
            text = await refused(attacker, 2 * number + 1, Status.RESOURCE_EXHAUSTED)
            assert "max_subscriptions" in text
        await siege.answers()
        attacker.abort()
        await settled(lambda: is_deserted(siege))


@virtual_time
async def test_churn_is_bounded() -> None:
    """Row 32: who subscribes and unsubscribes for ever is slowed down, and told when to come again."""
    async with besieged() as siege:
        attacker = await siege.guest()
        done = 0
        while True:
            call_id = 2 * done + 1
            attacker.send_frame(subscribe(call_id, "t"))
            answer = await attacker.receive_frame()
            if answer[0] == 10:
                break
            attacker.send_frame([11, call_id, 0])
            await attacker.expect([12, call_id, 0])
            done += 1
        assert answer[2] == Status.RESOURCE_EXHAUSTED
        assert 0 < answer[5]["retry_after_ms"] <= 1000
        limits = TopicLimits()
        assert done == 2 * limits.max_subscriptions + limits.subscribe_rate
        assert is_deserted(siege)


BAD_NAMES = {
    "carriage return": "a\rb",
    "line feed": "a\n",
    "space": "a b",
    "NUL": "a\0",
    "64 KB": "a" * 65_000,
    "256 bytes": "é" * 128,
    "33 tokens": ".".join("a" * 33),
    "empty": "",
    "empty token": "a..b",
    "trailing dot": "a.",
    "wildcard inside a token": "a.b*",
    "rest in the middle": "a.>.b",
    "line separator": "a\u2028b",
    "no text": 5,
    "nothing": None,
}


@pytest.mark.parametrize("name", BAD_NAMES.values(), ids=BAD_NAMES)
@virtual_time
async def test_bad_names_reach_nothing(name: Any) -> None:
    """Row 33: a name that breaks the rules is INVALID_ARGUMENT in all four methods."""
    async with besieged() as siege:
        attacker = await siege.guest()
        attacker.send_frame(subscribe(1, name))
        await refused(attacker, 1, Status.INVALID_ARGUMENT)
        attacker.send_frame(publish(3, name))
        await refused(attacker, 3, Status.INVALID_ARGUMENT)
        attacker.send_frame(request(5, "framerpc/history", name))
        await refused(attacker, 5, Status.INVALID_ARGUMENT)
        attacker.send_frame(request(7, "framerpc/presence", name, flags=1))
        await refused(attacker, 7, Status.INVALID_ARGUMENT)
        assert is_deserted(siege)


@pytest.mark.parametrize("name", ["*", "a.*", "a.>", ">"])
@virtual_time
async def test_patterns_are_no_topics(name: str) -> None:
    """Row 33: nobody publishes to a pattern, or asks for its history or presence."""
    async with besieged() as siege:
        attacker = await siege.guest()
        attacker.send_frame(publish(1, name))
        await refused(attacker, 1, Status.INVALID_ARGUMENT)
        attacker.send_frame(request(3, "framerpc/history", name))
        await refused(attacker, 3, Status.INVALID_ARGUMENT)
        attacker.send_frame(request(5, "framerpc/presence", name, flags=1))
        await refused(attacker, 5, Status.INVALID_ARGUMENT)


@pytest.mark.parametrize("pattern", ["*", ">", "inbox.*", "inbox.>", "*.eve", "inbox.ada"])
@virtual_time
async def test_patterns_that_overlap_what_is_denied_are_refused_whole(pattern: str) -> None:
    """Row 34: the rule is asked about the pattern as written, and nothing of it is delivered."""
    asked: list[str] = []

    def rule(_identity: object, _action: object, topic: str) -> bool:
        asked.append(topic)
        return topic == "inbox.eve"

    async with besieged(authorize_topic=rule) as siege:
        attacker = await siege.guest()
        attacker.send_frame(subscribe(1, pattern))
        await refused(attacker, 1, Status.PERMISSION_DENIED)
        assert (asked, is_deserted(siege)) == ([pattern], True)
        await siege.server.publish("inbox.eve", 1)
        attacker.send_frame(subscribe(3, "inbox.eve"))
        await started(attacker, 3)


@virtual_time
async def test_histories_come_in_bounded_pages() -> None:
    """Row 35: asked for everything, a history answers with a page; `since` is bounded as well."""
    topics = [TopicPolicy("log", history=5000)]
    async with besieged(topics=topics) as siege:
        for n in range(5000):
            await siege.server.publish("log", n)
        attacker = await siege.guest()
        for number, limit in enumerate((None, 2**53 - 1, 1_000_000)):
            options = {"since": "start", "limit": limit}
            attacker.send_frame(request(2 * number + 1, "framerpc/history", "log", options))
            answer = await attacker.receive_frame()
            recovered, _, messages, more = msgpack.unpackb(answer[2])
            assert (recovered, len(messages), more) == (True, TopicLimits().max_page, True)
        long = {f"t.{n}": "e:1" for n in range(20_000)}
        attacker.send_frame(subscribe(9, ">", since=long))
        body = await started(attacker, 9)
        assert body[1] is False  # too much to be a position: nothing is recovered


@virtual_time
async def test_the_presence_of_many_is_a_page() -> None:
    """Row 35: who is on a topic of thousands is told in part, with their number."""
    limits = TopicLimits(max_presence_page=10)
    async with besieged(topic_limits=limits) as siege:
        guests = [await siege.guest() for _ in range(50)]
        for guest in guests:
            guest.send_frame(subscribe(1, "room"))
            await started(guest, 1)
        guests[0].send_frame(request(3, "framerpc/presence", "room", flags=1))
        await started(guests[0], 3)
        item = await guests[0].expect([13, 3, ...])
        state = msgpack.unpackb(msgpack.unpackb(item[2])[1])
        assert (len(state["members"]), state["total"]) == (10, 50)


@virtual_time
async def test_publishing_where_it_is_not_allowed_is_audited(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Row 36: without permission, and to `$`-topics: PERMISSION_DENIED, and a line in the audit log."""
    caplog.set_level(logging.WARNING, "framerpc.audit")

    def rule(_identity: object, _action: object, topic: str) -> bool:
        return topic != "private"

    async with besieged(authorize_topic=rule) as siege:
        attacker = await siege.guest()
        async with siege.witness.subscribe("$sys.state") as state:
            for call_id, topic in ((1, "private"), (3, "$sys.state"), (5, "$presence.a")):
                attacker.send_frame(publish(call_id, topic))
                await refused(attacker, call_id, Status.PERMISSION_DENIED)
            await siege.server.publish("$sys.state", "ours")
            assert (await anext(state)).data == "ours"
    audited = [record.getMessage() for record in caplog.records]
    assert [line.split()[-1] for line in audited] == ["'private'", "'$sys.state'", "'$presence.a'"]


BAD_OPTIONS: list[Any] = [
    {"since": -1},
    {"since": 1.5},
    {"since": "yesterday"},
    {"since": {"t": "no position"}},
    {"since": {"t": "e:-1"}},
    {"since": {"t": 5}},
    {"since": "start", "since_ms": 1},
    {"policy": "everything"},
    {"max_queue": -1},
    {"group": 5},
    {"group": "g" * 300},
    {"group": "g", "since": "start"},
    {"mark": None},
    "options",
    [1],
]


@pytest.mark.parametrize("options", BAD_OPTIONS, ids=str)
@virtual_time
async def test_bad_options_are_refused(options: Any) -> None:
    """An option of the wrong type or range is INVALID_ARGUMENT; an unknown one is ignored."""
    async with besieged() as siege:
        attacker = await siege.guest()
        body = packb(["t", options])
        attacker.send_frame(request(1, "framerpc/subscribe", flags=1, body=body))
        await refused(attacker, 1, Status.INVALID_ARGUMENT)
        assert is_deserted(siege)
        attacker.send_frame(subscribe(3, "t", unheard_of=1))
        await started(attacker, 3)


@virtual_time
async def test_what_is_published_is_never_opened() -> None:
    """Bytes that are no msgpack, or hostile, pass through; only who decodes them sees an error."""
    hostile = [b"\xc1", b"", b"\xdd\xff\xff\xff\xff", b"\x91" * 5000]
    async with besieged() as siege, siege.witness.subscribe("t") as messages:
        attacker = await siege.guest()
        for number, data in enumerate(hostile):
            attacker.send_frame(publish(2 * number + 1, "t", data))
            await attacker.expect([9, 2 * number + 1, ...])
            with pytest.raises(framerpc.InvalidArgument):
                await anext(messages)
        attacker.send_frame(publish(99, "t", packb("fine")))
        assert (await anext(messages)).data == "fine"


@virtual_time
async def test_a_subscriber_that_grants_no_credit_costs_its_queue() -> None:
    """Row 37 for topics: what waits for it is bounded in bytes; others get everything at once."""
    limits = TopicLimits(max_queue=50_000)
    async with besieged(topic_limits=limits) as siege, siege.witness.subscribe("t") as messages:
        attacker = await siege.guest(limits={"window": 1024})
        for number in range(20):
            attacker.send_frame(subscribe(2 * number + 1, "t", max_queue=2**40))
            await started(attacker, 2 * number + 1)
        await siege.server.publish("t", "x")
        await anext(messages)
        tracemalloc.start()
        try:
            for _ in range(2000):
                await siege.server.publish("t", bytes(1000))
                assert len((await anext(messages)).data) == 1000
            grown = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        assert grown < 20 * 2 * limits.max_queue


@virtual_time
async def test_frames_about_a_subscription_break_only_by_the_rules() -> None:
    """CREDIT beyond its limit closes the connection; a second CANCEL, and late CREDIT, do nothing."""
    async with besieged() as siege:
        attacker = await siege.guest()
        attacker.send_frame(subscribe(1, "t"))
        await started(attacker, 1)
        attacker.send(frame(11, 1, 0) + frame(11, 1, 0) + frame(15, 1, 5))
        await attacker.expect([12, 1, 0])
        attacker.send_frame(subscribe(1, "t"))
        await started(attacker, 1)
        attacker.send(frame(15, 1, 2**31 - 1))
        await attacker.expect_close(1)
        await settled(lambda: is_deserted(siege))
