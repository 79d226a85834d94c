"""Rights that are taken away while somebody subscribes: `Server.recheck`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

import framerpc
from framerpc import Change, Snapshot, TopicAction, TopicPolicy
from framerpc.codecs import packb
from framerpc.testing import ScriptedPeer, virtual_time
from tests.services import soon, wrapped
from tests.survival.siege import request

KEPT = [TopicPolicy("log.>", history=100, presence=True)]


@framerpc.service
class Club:
    """A place that one may be thrown out of."""

    def __init__(self) -> None:
        self.banned: set[str] = set()
        self.asked: list[str] = []
        self.snapshots = 0
        self.open = asyncio.Event()  # closed, the answers wait
        self.open.set()

    def _check(self) -> None:
        name = framerpc.current_call().identity
        self.asked.append(name)
        if name in self.banned:
            raise framerpc.PermissionDenied(f"{name} is out")

    async def _state(self) -> int:
        self.snapshots += 1
        await self.open.wait()
        return self.snapshots

    async def rule(self, identity: str, action: TopicAction, topic: str) -> bool:
        """Say who may subscribe."""
        self.asked.append(identity)
        allowed = identity not in self.banned
        await self.open.wait()
        return allowed

    @framerpc.method
    def follow(self) -> framerpc.Watch[int, int]:
        return framerpc.Watch("log.club", self._state, authorize=self._check)

    @framerpc.method
    def checked_inside(self) -> framerpc.Watch[int, int]:
        self._check()
        return framerpc.Watch("log.club", self._state)

    @framerpc.method
    async def wait(self) -> str:
        await self.open.wait()
        return "done"

    @framerpc.method
    async def count(self) -> AsyncIterator[int]:
        yield 1
        await self.open.wait()
        yield 2


Connect = Callable[..., Any]


@asynccontextmanager
async def club(**options: Any) -> AsyncIterator[tuple[Club, framerpc.Server, Connect]]:
    """Serve a club; clients are made by their names, which are their identities."""
    place = Club()
    options.setdefault("topics", KEPT)
    server = framerpc.Server(
        place,
        authenticate=lambda credentials: credentials.token,
        authorize_topic=place.rule,
        **options,
    )
    async with server.listen("memory://club", grace=0), AsyncExitStack() as stack:

        async def connect(name: str) -> framerpc.Client:
            client = await stack.enter_async_context(framerpc.connect("memory://club", token=name))
            await client.ready()
            return client

        yield place, server, connect


# ------------------------------------------------------------- who may goes on


@virtual_time
async def test_who_is_still_allowed_misses_nothing() -> None:
    """A subscription is made again at once, and each message comes once, in order."""
    async with club() as (place, server, connect):
        ada = await connect("ada")
        async with ada.subscribe("log.>") as messages:
            before = asyncio.get_running_loop().time()
            for number in range(5):
                await server.publish("log.a", 2 * number)
                assert server.recheck("ada") == 1
                await server.publish("log.a", 2 * number + 1)
                found = [(await anext(messages)) for _ in range(2)]
                assert [each.data for each in found] == [2 * number, 2 * number + 1]
                assert all(each.gap is None for each in found)
            assert (messages.resumed, messages.recovered, messages.dropped) == (5, True, 0)
            assert asyncio.get_running_loop().time() == before
        assert place.asked == ["ada"] * 6


@virtual_time
async def test_what_waited_at_the_server_comes_from_the_history() -> None:
    """Messages that the client had no credit for are dropped by the end, and read again."""
    async with club() as (_, server, connect):
        ada = await connect("ada")
        async with ada.subscribe("log.a") as messages:
            for number in range(20):
                await server.publish("log.a", [number, bytes(50_000)])
            (peer,) = server.peers.welcome
            assert peer.guest is not None
            (sink,) = peer.guest.sinks.values()
            assert sink.feed is not None
            assert sink.feed.waiting
            server.recheck("ada")
            assert [(await anext(messages)).data[0] for _ in range(20)] == list(range(20))


@virtual_time
async def test_without_a_history_a_gap_is_told() -> None:
    """What was published while a subscription was made again is lost, and said to be."""
    async with club(topics=()) as (_, server, connect):
        ada = await connect("ada")
        async with ada.subscribe("news") as messages:
            server.recheck("ada")
            await server.publish("news", "missed")
            await soon(lambda: messages.resumed)
            await server.publish("news", "heard")
            message = await anext(messages)
            assert message.data == "heard"
            assert message.gap is not None


@virtual_time
async def test_a_watch_goes_on_without_a_snapshot() -> None:
    """A caller that may still watch sees the next change, and was asked about twice."""
    async with club() as (place, server, connect):
        ada = await connect("ada")
        for method in (Club.follow, Club.checked_inside):
            place.asked.clear()
            place.snapshots = 0
            async with ada.stream(method) as updates:
                assert await anext(updates) == Snapshot(1)
                server.recheck("ada")
                await server.publish("log.club", 5)
                assert await anext(updates) == Change(5)
            assert (place.asked, place.snapshots) == (["ada", "ada"], 1)


@virtual_time
async def test_a_presence_stream_begins_again() -> None:
    """It yields a new state; who is on the topic has left and come back."""
    async with club() as (_, server, connect):
        ada, eve = await connect("ada"), await connect("eve")
        async with eve.subscribe("log.a"), ada.presence("log.a") as presence:
            first = await anext(presence)
            server.recheck("ada")
            assert await anext(presence) == first
            server.recheck("eve")
            changes = [(await anext(presence)).value for _ in range(2)]
            assert [(each.member.name, each.left) for each in changes] == [
                ("eve", "closed"),
                ("eve", None),
            ]


# ------------------------------------------------------------ who may not is told


@virtual_time
async def test_who_is_no_longer_allowed_gets_the_error() -> None:
    """Subscription, watches and presence stream end with what the rule, or the method, says."""
    async with club() as (place, server, connect):
        ada = await connect("ada")
        async with ada.subscribe("log.a") as messages:
            watches = [ada.stream(Club.follow), ada.stream(Club.checked_inside)]
            presence = ada.presence("log.b")
            streams: list[AsyncIterator[Any]] = [*watches, presence]
            for stream in streams:
                await anext(stream)
            place.banned.add("ada")
            assert server.recheck("ada") == 1
            for stream in [*streams, messages]:
                for _ in range(2):  # it does not try again
                    with pytest.raises(framerpc.PermissionDenied):
                        await anext(stream)
            assert len(place.asked) == 8
            assert server.statistics()["subscriptions"] == 0


@virtual_time
async def test_nothing_that_is_published_later_is_told_before_they_are_asked() -> None:
    """While the rule thinks about somebody who is out, messages pass by, and are not sent later."""
    async with club() as (place, server, connect):
        ada = await connect("ada")
        async with ada.subscribe("log.a") as messages:
            await server.publish("log.a", "before")
            place.open.clear()
            place.banned.add("ada")
            server.recheck("ada")
            await server.publish("log.a", "secret")
            assert (await anext(messages)).data == "before"
            waiting = asyncio.create_task(anext(messages))
            await asyncio.sleep(5)
            assert not waiting.done()
            place.open.set()
            with pytest.raises(framerpc.PermissionDenied):
                await waiting


@virtual_time
async def test_others_are_left_alone() -> None:
    """Only connections of this identity are ended, all of them, and they are counted."""
    async with club() as (place, server, connect):
        ada, twin, eve = await connect("ada"), await connect("ada"), await connect("eve")
        async with (
            ada.subscribe("log.a") as first,
            twin.subscribe("log.a") as second,
            eve.subscribe("log.a") as other,
        ):
            place.asked.clear()
            assert server.recheck("ada") == 2
            assert server.recheck("nobody") == 0
            await server.publish("log.a", 1)
            for messages in (first, second, other):
                await anext(messages)
            assert [each.resumed for each in (first, second, other)] == [1, 1, 0]
            assert place.asked == ["ada", "ada"]


@virtual_time
async def test_calls_and_streams_in_flight_go_on() -> None:
    """What is no subscription was allowed when it began, and ends by itself."""
    async with club() as (place, server, connect):
        ada = await connect("ada")
        place.open.clear()
        async with ada.stream(Club.count) as numbers:
            assert await anext(numbers) == 1
            call = asyncio.create_task(ada.call(Club.wait))
            await asyncio.sleep(1)
            assert server.recheck("ada") == 1
            place.open.set()
            assert await anext(numbers) == 2
            assert await call == "done"


# ----------------------------------------------------------------- while it begins


@pytest.mark.parametrize("banned", [True, False])
@virtual_time
async def test_one_that_the_rule_is_just_allowing_is_asked_about_again(banned: bool) -> None:
    """A permission of before does not count for a subscription that has not begun."""
    async with club() as (place, server, connect):
        ada = await connect("ada")
        place.open.clear()
        messages = ada.subscribe("log.a", since="start")
        entering = asyncio.create_task(messages.__aenter__())
        await asyncio.sleep(1)
        assert place.asked == ["ada"]
        if banned:
            place.banned.add("ada")
        server.recheck("ada")
        await server.publish("log.a", "secret")
        place.open.set()
        if banned:
            with pytest.raises(framerpc.PermissionDenied):
                await entering
        else:
            await entering
            assert (await anext(messages)).data == "secret"
            await messages.aclose()
        assert place.asked == ["ada", "ada"]


@virtual_time
async def test_one_whose_snapshot_is_being_taken_is_asked_about_again() -> None:
    """The caller does not get a snapshot that was taken for somebody who is out by now."""
    async with club() as (place, server, connect):
        ada = await connect("ada")
        place.open.clear()
        updates = ada.stream(Club.follow)
        waiting = asyncio.create_task(anext(updates))
        await asyncio.sleep(1)
        assert place.snapshots == 1
        place.banned.add("ada")
        server.recheck("ada")
        place.open.set()
        with pytest.raises(framerpc.PermissionDenied):
            await waiting
        assert server.statistics()["subscriptions"] == 0


# ----------------------------------------------------------- behind an interceptor


@virtual_time
async def test_subscriptions_behind_an_interceptor_are_ended_too() -> None:
    """A stream that an interceptor wraps is no less a subscription; an ordinary one goes on."""
    async with club(interceptors=[wrapped]) as (place, server, connect):
        ada = await connect("ada")
        async with ada.subscribe("log.a") as messages, ada.stream(Club.count) as numbers:
            assert await anext(numbers) == 1
            server.recheck("ada")
            await server.publish("log.a", 1)
            assert (await anext(messages)).data == 1
            assert (messages.resumed, messages.recovered) == (1, True)
            place.banned.add("ada")
            server.recheck("ada")
            with pytest.raises(framerpc.PermissionDenied):
                await anext(messages)
            assert await anext(numbers) == 2
        assert not any(peer.guest and peer.guest.loose for peer in server.peers.welcome)


@virtual_time
async def test_a_drain_ends_a_watch_whose_snapshot_is_being_taken() -> None:
    """It ends without an item: a snapshot without the beginning before it would mean nothing."""
    place = Club()
    server = framerpc.Server(place, topics=KEPT)
    async with server.listen("memory://club", grace=0), ScriptedPeer() as peer:
        await peer.connect("memory://club")
        peer.preamble()
        peer.hello()
        await peer.receive_frame()
        peer.send_frame(request(1, "framerpc/subscribe", "log.a", flags=1))
        await peer.expect([13, 1, ...])
        place.open.clear()
        peer.send_frame(request(3, "Club/follow", body=packb([]), flags=1))
        await asyncio.sleep(0.5)
        closing = asyncio.create_task(server.close())
        await peer.expect([4, ..., ..., ...])
        await peer.expect([5, 1, None])
        await peer.expect([14, 1])
        place.open.set()
        await peer.expect([14, 3])
        peer.send_frame([6, 1, None])
        await closing


# ------------------------------------------------------------------------- threads


@virtual_time
async def test_another_thread_is_told_where_it_belongs() -> None:
    """Called from a thread, it does nothing and says so; without a server, there is nobody."""
    assert framerpc.Server().recheck("ada") == 0
    async with club() as (_, server, _):
        with pytest.raises(framerpc.ConfigurationError, match="not into a `def` method"):
            await asyncio.to_thread(server.recheck, "ada")
