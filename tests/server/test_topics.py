"""Topics on a server: publishing, histories, presence, and what clients may not do."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

import framerpc
from framerpc import Change, Snapshot, TopicAction, TopicLimits, TopicPolicy
from framerpc.testing import Network, ScriptedPeer, virtual_time
from tests.services import Work, pair, wrapped
from tests.survival.siege import request

KEPT = [TopicPolicy("log.>", history=100)]


# ------------------------------------------------------------------- publishing


@virtual_time
async def test_a_receipt_says_where_and_to_how_many() -> None:
    """Offset and position where there is a history; subscribers, a queue group as one."""
    async with pair(framerpc.Server(topics=KEPT)) as client:
        async with (
            client.subscribe("log.a"),
            client.subscribe("log.a", group="g"),
            client.subscribe("log.*", group="g"),
            client.subscribe("log.*", group="g"),
        ):
            receipt = await client.publish("log.a", 1)
            assert (receipt.offset, receipt.subscribers, receipt.duplicate) == (1, 3, False)
        assert receipt.position is not None
        assert str(receipt.position) == f"{receipt.position.epoch}:1"
        receipt = await client.publish("elsewhere", 1)
        assert (receipt.offset, receipt.position, receipt.subscribers) == (None, None, 0)


@virtual_time
async def test_a_key_publishes_once() -> None:
    """A second publish under the same key has the first receipt; with other data it is refused."""
    async with pair(framerpc.Server(topics=KEPT)) as client, client.subscribe("log.a") as log:
        first = await client.publish("log.a", "once", key="k")
        again = await client.publish("log.a", "once", key="k")
        assert (again.offset, again.duplicate, again.subscribers) == (first.offset, True, 0)
        with pytest.raises(framerpc.InvalidArgument, match="another message"):
            await client.publish("log.a", "other", key="k")
        await client.publish("log.a", "next")
        assert [(await anext(log)).data for _ in range(2)] == ["once", "next"]


@virtual_time
async def test_publishing_without_a_receipt() -> None:
    """`ack=False` returns nothing at once; what the server cannot take is counted, not told."""
    server = framerpc.Server()
    async with pair(server) as client, client.subscribe("a") as messages:
        assert await client.publish("a", 1, ack=False) is None
        assert (await anext(messages)).data == 1
        await client.publish("$sys", 1, ack=False)
        await client.publish("a", 2)
        assert server.statistics()["refused_topics"] == 1


@virtual_time
async def test_the_server_publishes_where_clients_may_not() -> None:
    """`$`-topics and those that a policy reserves take messages from the server only."""
    server = framerpc.Server(topics=[TopicPolicy("state.>", publish="server")])
    async with pair(server) as client:
        async with client.subscribe("state.*") as state, client.subscribe("$sys.load") as load:
            for topic in ("state.a", "$sys.load"):
                with pytest.raises(framerpc.PermissionDenied) as caught:
                    await client.publish(topic, 1)
                assert caught.value.executed == "no"
                assert (await server.publish(topic, "ours")).subscribers == 1
            assert (await anext(state)).data == (await anext(load)).data == "ours"


@virtual_time
async def test_a_subscription_costs_no_task() -> None:
    """A hundred subscriptions add no task on the server, only those of the client."""
    async with framerpc.Server().listen("memory://work", grace=0) as server:
        del server
        async with framerpc.connect("memory://work") as client:
            await client.ready()
            await client.call("framerpc/health")  # by then the dial is over
            before = len(asyncio.all_tasks())
            subscriptions = [await client.subscribe(f"t.{n}").__aenter__() for n in range(100)]
            assert len(asyncio.all_tasks()) == before + 100  # one each, in the client
            assert (await client.call("framerpc/health"))["calls_in_flight"] == 1
            assert (await client.call("framerpc/health"))["subscriptions"] == 100
            for subscription in subscriptions:
                await subscription.aclose()
            assert (await client.call("framerpc/health"))["subscriptions"] == 0


@virtual_time
async def test_a_long_message_travels_in_parts_between_others() -> None:
    """Messages above the size of a part arrive whole and in order, beside short ones and calls."""
    async with pair(framerpc.Server(Work())) as client, client.subscribe("a") as messages:
        sizes = [10, 200_000, 10, 1_000_000, 70_000, 10]
        for size in sizes:
            await client.publish("a", "x" * size)
        assert await client.call("Work/echo", 1) == 1
        assert [len((await anext(messages)).data) for _ in sizes] == sizes


@virtual_time
async def test_a_message_longer_than_the_subscriber_takes_is_told_as_a_gap() -> None:
    """A client with a small `max_message` is told that something is missing, and goes on."""
    limits = framerpc.Limits(max_message=70_000)
    server = framerpc.Server()
    async with pair(server, limits=limits) as client, client.subscribe("a") as messages:
        await server.publish("a", "x" * 100_000)
        await server.publish("a", "short")
        message = await anext(messages)
        assert (message.data, message.gap) == ("short", framerpc.Gap(1, {"a": 1}))


# ---------------------------------------------------------------------- history


@virtual_time
async def test_history_comes_in_pages() -> None:
    """A page is bounded by the caller and the server; its last position continues there."""
    limits = TopicLimits(max_page=4)
    async with pair(framerpc.Server(topics=KEPT, topic_limits=limits)) as client:
        for n in range(10):
            await client.publish("log.a", n)
        seen: list[Any] = []
        page = await client.history("log.a", limit=3)
        sizes: list[int] = []
        while page.messages:
            sizes.append(len(page.messages))
            seen += [message.data for message in page.messages]
            assert page.more is (seen[-1] < 9)
            page = await client.history("log.a", since=page.messages[-1].position)
        assert (seen, sizes) == ([*range(10)], [3, 4, 3])
        assert page.top is not None
        assert page.top.offset == 10
        newest = await client.history("log.a", type=int, since=2)
        assert [message.data for message in newest.messages] == [8, 9]
        nothing = await client.history("elsewhere")
        assert (nothing.messages, nothing.top, nothing.more) == ((), None, False)


@virtual_time
async def test_a_history_that_does_not_reach_back_says_so() -> None:
    """Asked behind a position that is gone, a page is empty and not recovered."""
    policies = [TopicPolicy("log.>", history=2)]
    async with pair(framerpc.Server(topics=policies)) as client:
        first = await client.publish("log.a", 0)
        for n in range(5):
            await client.publish("log.a", n)
        page = await client.history("log.a", since=first.position)
        assert (page.recovered, page.messages) == (False, ())


# --------------------------------------------------------------------- presence


@virtual_time
async def test_presence_counts_identities_and_says_why_they_go() -> None:
    """A snapshot, then one join and one leave for an identity with two connections."""
    server = framerpc.Server(authenticate=lambda credentials: credentials.token)
    with Network() as network:
        async with server.listen("memory://a", "memory://b", "memory://c", grace=0):
            async with (
                framerpc.connect("memory://a", token="watcher") as watcher,
                framerpc.connect("memory://b", token="ada") as ada,
            ):
                presence = watcher.presence("room")
                update = await anext(presence)
                assert isinstance(update, Snapshot)
                assert update.value == framerpc.Presence((), 0)
                async with ada.subscribe("room"):
                    async with ada.subscribe("room"), ada.subscribe("*"):
                        there = await watcher.presence("room")
                        assert [member.name for member in there.members] == ["ada"]
                        assert there.total == 1
                    eve = await framerpc.connect("memory://c", token="eve").__aenter__()
                    lost = await eve.subscribe("room").__aenter__()
                    network.link("c").down()
                    changes = [(await anext(presence)) for _ in range(3)]
                changes.append(await anext(presence))
                told = [
                    (change.value.member.name, change.value.left)
                    for change in changes
                    if isinstance(change, Change)
                ]
                assert told == [("ada", None), ("eve", None), ("eve", "lost"), ("ada", "left")]
                await presence.aclose()
                await lost.aclose()
                await eve.close()
        assert not server.topics.guests._presence


@virtual_time
async def test_presence_notices_a_dead_connection_within_the_keepalive() -> None:
    """Somebody behind a network that swallows everything is gone after interval and timeout."""
    keepalive = framerpc.Keepalive(interval=5, timeout=2)
    server = framerpc.Server(keepalive=keepalive)
    with Network() as network:
        async with server.listen("memory://a", "memory://b", grace=0):
            async with (
                framerpc.connect("memory://a", keepalive=keepalive) as watcher,
                framerpc.connect("memory://b", keepalive=keepalive) as other,
            ):
                async with other.subscribe("room"):
                    presence = watcher.presence("room")
                    await anext(presence)
                    since = asyncio.get_running_loop().time()
                    network.link("b").drop()
                    change = await anext(presence)
                    assert isinstance(change, Change)
                    assert change.value.left == "lost"
                    assert asyncio.get_running_loop().time() - since <= 7.5
                    network.link("b").heal()
                    await presence.aclose()


# ----------------------------------------------------------------- authorisation


@virtual_time
async def test_the_rule_is_asked_about_names_as_they_are_written(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each action is asked with identity and name; a refusal is PermissionDenied, and audited."""
    asked: list[tuple[Any, TopicAction, str]] = []

    async def rule(identity: Any, action: TopicAction, topic: str) -> bool:
        await asyncio.sleep(0)
        asked.append((identity, action, topic))
        return False

    server = framerpc.Server(authenticate=lambda _: "ada", authorize_topic=rule)
    caplog.set_level(logging.WARNING, "framerpc.audit")
    async with pair(server) as client:
        for attempt in (
            client.publish("a", 1),
            client.subscribe("*.b").__aenter__(),
            client.history("c"),
            client.presence("d")._once(),
        ):
            with pytest.raises(framerpc.PermissionDenied) as caught:
                await attempt
            assert caught.value.executed == "no"
    assert asked == [
        ("ada", TopicAction.PUBLISH, "a"),
        ("ada", TopicAction.SUBSCRIBE, "*.b"),
        ("ada", TopicAction.HISTORY, "c"),
        ("ada", TopicAction.PRESENCE, "d"),
    ]
    assert len(caplog.records) == 4
    assert server.statistics()["refused_topics"] == 4


@virtual_time
async def test_a_rule_that_fails_allows_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """What a rule raises is an error of the call, and nothing is subscribed."""

    def rule(*_: object) -> bool:
        raise LookupError("no such user")

    caplog.set_level(logging.CRITICAL, "framerpc.server")
    async with pair(framerpc.Server(authorize_topic=rule)) as client:
        with pytest.raises(framerpc.RemoteError):
            await client.subscribe("a").__aenter__()
        assert (await client.call("framerpc/health"))["subscriptions"] == 0


# ------------------------------------------------------------------- boundaries


@virtual_time
async def test_frameworks_methods_are_no_methods_of_the_user() -> None:
    """They are described as the framework's own, and change no fingerprint."""
    async with pair(framerpc.Server()) as client:
        described = await client.call("framerpc/describe")
        names = [method["name"] for method in described["methods"]]
        assert all(name.startswith("framerpc/") for name in names)
        assert "framerpc/subscribe" in names


@virtual_time
async def test_a_server_can_listen_again_and_keeps_its_histories() -> None:
    """After a stop and a start, the history in memory is still there, with its positions."""
    server = framerpc.Server(topics=KEPT)
    async with pair(server) as client:
        receipt = await client.publish("log.a", 1)
        await client.publish("log.a", 2)
    async with pair(server) as client:
        async with client.subscribe("log.a", since=receipt.position) as messages:
            assert messages.recovered
            assert (await anext(messages)).data == 2


@pytest.mark.parametrize("interceptors", [(), (wrapped,)], ids=["bare", "wrapped"])
@virtual_time
async def test_a_drain_ends_subscriptions_at_once(
    interceptors: tuple[framerpc.Interceptor, ...],
) -> None:
    """END follows GOAWAY, while a call in flight still keeps the connection open."""
    server = framerpc.Server(Work(), interceptors=interceptors)
    async with server.listen("memory://work", grace=0), ScriptedPeer() as peer:
        await peer.connect("memory://work")
        peer.preamble()
        peer.hello()
        await peer.receive_frame()
        peer.send_frame(request(1, "framerpc/subscribe", "a", flags=1))
        await peer.expect([13, 1, ...])
        peer.send_frame(request(3, "Work/sleep", 2.0))
        await asyncio.sleep(0.5)
        closing = asyncio.create_task(server.close())
        await peer.expect([4, ..., ..., ...])
        await peer.expect([5, 1, None])
        await peer.expect([14, 1])
        assert asyncio.get_running_loop().time() < 1
        peer.send_frame([6, 1, None])
        await peer.expect([9, 3, ...])
        await closing
