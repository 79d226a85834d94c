"""Subscriptions: what comes, in which order, and what is said about what does not."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import msgspec
import pytest

import framerpc
from framerpc import Position, Topic, TopicPolicy
from framerpc.backplane.memory import MemoryStore
from framerpc.call import Body, CallContext, Handler, Stream
from framerpc.client.inbox import Inbox
from framerpc.testing import Network, ScriptedPeer, virtual_time
from tests.services import Work, pair, soon

KEPT = [TopicPolicy("log.>", history=100)]


@dataclass
class Score:
    player: str
    points: int


SCORES = Topic[Score]("scores.*")


async def data(subscription: framerpc.Subscription[Any], n: int) -> list[Any]:
    return [(await asyncio.wait_for(anext(subscription), 5)).data for _ in range(n)]


async def nothing_comes(subscription: framerpc.Subscription[Any]) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(subscription), 1)


async def greeted(server: ScriptedPeer) -> None:
    """Welcome the client that dials."""
    await server.accept()
    await server.expect_preamble()
    await server.receive_frame()
    server.preamble()
    server.welcome()


def items(server: ScriptedPeer, call_id: int, *bodies: list[Any]) -> None:
    """Send items of a subscription."""
    for body in bodies:
        server.send_frame([13, call_id, msgspec.msgpack.encode(body)])


@asynccontextmanager
async def cut_off(
    server: framerpc.Server, **options: Any
) -> AsyncIterator[tuple[framerpc.Client, framerpc.Client]]:
    """Yield two clients; only the first one's connections are cut by `network.cut()`."""
    async with server.listen("memory://topics", "memory://safe", grace=0):
        async with (
            framerpc.connect("memory://topics", **options) as reader,
            framerpc.connect("memory://safe") as writer,
        ):
            yield reader, writer


# --------------------------------------------------------------------- waiting


@virtual_time
async def test_a_wait_that_times_out_loses_nothing() -> None:
    """`wait_for` on the next message, again and again, changes nothing about the messages."""
    async with pair(framerpc.Server()) as client, client.subscribe("a") as messages:
        for n in range(3):
            await nothing_comes(messages)
            await client.publish("a", n)
            await client.publish("a", -n)
            assert await data(messages, 2) == [n, -n]


@pytest.mark.parametrize("late", [False, True])
@virtual_time
async def test_a_wait_cancelled_as_its_message_comes_loses_nothing(late: bool) -> None:
    """A task that is cancelled in the very step that wakes it leaves the message to others."""
    async with pair(framerpc.Server()) as client, client.subscribe("a") as messages:
        waiting = asyncio.create_task(anext(messages))
        await asyncio.sleep(0)
        put = messages._inbox.put

        def put_and_cancel(message: Any) -> None:
            put(message)  # wakes the task, which has not run yet
            if late:
                asyncio.get_running_loop().call_soon(waiting.cancel)
            else:
                waiting.cancel()

        with mock.patch.object(Inbox, "put", lambda _, message: put_and_cancel(message)):
            await client.publish("a", "kept")
            await asyncio.wait([waiting])
        if late:
            assert waiting.result().data == "kept"
        else:
            assert waiting.cancelled()
            assert await data(messages, 1) == ["kept"]


@virtual_time
async def test_several_tasks_may_wait_and_each_message_goes_to_one() -> None:
    """Ten tasks wait at once: ten messages go to them, in order of waiting, and none twice."""
    async with pair(framerpc.Server()) as client, client.subscribe("a") as messages:
        waiting = [asyncio.create_task(anext(messages)) for _ in range(10)]
        await asyncio.sleep(0)
        waiting[3].cancel()
        for n in range(9):
            await client.publish("a", n)
        done, _ = await asyncio.wait(waiting)
        assert sorted(task.result().data for task in done if not task.cancelled()) == [*range(9)]


@virtual_time
async def test_closing_wakes_everybody() -> None:
    """Who waits when the subscription is closed gets StopAsyncIteration, as does who comes later."""
    async with pair(framerpc.Server()) as client:
        async with client.subscribe("a") as messages:
            waiting = [asyncio.create_task(anext(messages)) for _ in range(3)]
            await asyncio.sleep(0)
        for task in waiting:
            with pytest.raises(StopAsyncIteration):
                await task
        with pytest.raises(StopAsyncIteration):
            await anext(messages)
        await messages.aclose()
        assert (await client.publish("a", 1)).subscribers == 0


@virtual_time
async def test_a_subscription_that_was_not_entered_says_how() -> None:
    """Iterating without `async with` is an error that shows the way; entering twice is one, too."""
    async with pair(framerpc.Server()) as client:
        with pytest.raises(framerpc.ConfigurationError, match="async with"):
            await anext(client.subscribe("a"))
        async with client.subscribe("a") as messages:
            with pytest.raises(framerpc.ConfigurationError, match="once"):
                await messages.__aenter__()


@virtual_time
async def test_leaving_the_client_ends_a_subscription() -> None:
    """Closing the client under a subscription ends it with Unavailable, and leaves no task."""
    async with framerpc.Server().listen("memory://work"):
        client = framerpc.connect("memory://work")
        async with client:
            messages = await client.subscribe("a").__aenter__()
        with pytest.raises(framerpc.Unavailable, match="closed"):
            await anext(messages)


# ------------------------------------------------------------------------ types


@virtual_time
async def test_messages_have_their_type() -> None:
    """`Topic[Score]` and `type=Score` decode into the type."""
    async with pair(framerpc.Server()) as client:
        async with (
            client.subscribe(SCORES) as declared,
            client.subscribe("scores.*", type=Score) as typed,
        ):
            await client.publish(SCORES.at("tennis"), Score("ada", 3))
            assert await data(declared, 1) == await data(typed, 1) == [Score("ada", 3)]


@virtual_time
async def test_a_message_that_does_not_fit_costs_itself_only() -> None:
    """It raises InvalidArgument where it is taken, with the place; the next one is fine."""
    async with pair(framerpc.Server()) as client, client.subscribe(SCORES) as scores:
        await client.publish("scores.a", {"player": "ada", "points": "many"})
        await client.publish("scores.a", Score("ada", 4))
        with pytest.raises(framerpc.InvalidArgument, match="points"):
            await anext(scores)
        assert (await anext(scores)).data == Score("ada", 4)


@virtual_time
async def test_a_message_says_where_it_stands() -> None:
    """Topic, offset, position and time come with it; without history there is no position."""
    async with pair(framerpc.Server(topics=KEPT)) as client, client.subscribe(">") as messages:
        receipt = await client.publish("log.a", 1)
        await client.publish("b", 2)
        first, second = await anext(messages), await anext(messages)
        assert (first.topic, first.offset, first.position) == ("log.a", 1, receipt.position)
        assert (second.topic, second.offset, second.position) == ("b", None, None)
        assert first.published is not None
        assert first.published.tzinfo is dt.UTC


# --------------------------------------------------------------------- callbacks


@virtual_time
async def test_a_callback_gets_each_message_in_turn() -> None:
    """`on_message` is called one at a time, awaited if it is async, and survives what it raises."""
    seen: list[Any] = []

    async def handle(message: framerpc.Message[Any]) -> None:
        await asyncio.sleep(1)
        if message.data == 1:
            raise ValueError("as planned")
        seen.append(message.data)

    async with pair(framerpc.Server()) as client, client.subscribe("a", on_message=handle):
        for n in range(3):
            await client.publish("a", n)
        await asyncio.sleep(3.5)
        assert seen == [0, 2]


# -------------------------------------------------------------------- recovering


@virtual_time
async def test_what_was_missed_comes_once_and_in_order() -> None:
    """After a lost connection the history fills the gap, and `recovered` is true."""
    resumed: list[bool] = []
    with Network() as network:
        async with cut_off(framerpc.Server(topics=KEPT)) as (reader, writer):
            note = lambda it: resumed.append(it.recovered)  # noqa: E731
            async with reader.subscribe("log.>", on_resume=note) as messages:
                for n in range(10):
                    await writer.publish("log.a", n)
                assert await data(messages, 5) == [0, 1, 2, 3, 4]
                network.link("topics").down()
                for n in range(10, 20):
                    await writer.publish("log.a", n)
                await writer.publish("log.new", "a topic that was not there before")
                network.link("topics").heal()
                assert await data(messages, 15) == [*range(5, 20)]
                assert (await data(messages, 1))[0].startswith("a topic")
                assert (resumed, messages.recovered, messages.resumed) == ([True], True, 1)
                await writer.publish("log.a", 20)
                assert await data(messages, 1) == [20]


@virtual_time
async def test_without_history_a_gap_is_told() -> None:
    """A subscription without history says `recovered=False` after a gap, and marks the message."""
    resumed: list[bool] = []
    with Network() as network:
        async with cut_off(framerpc.Server()) as (reader, writer):
            note = lambda it: resumed.append(it.recovered)  # noqa: E731
            async with reader.subscribe("news.*", on_resume=note) as messages:
                assert messages.recovered
                network.link("topics").cut()
                await soon(lambda: resumed)
                await writer.publish("news.a", "after")
                message = await anext(messages)
                assert (message.data, message.gap) == ("after", framerpc.Gap(None))
                assert (resumed, messages.recovered) == ([False], False)
                await writer.publish("news.a", "next")
                assert (await anext(messages)).gap is None


@virtual_time
async def test_a_gap_longer_than_the_history_gives_nothing_of_it() -> None:
    """Of a history that does not reach back, none is sent: live messages follow, marked."""
    policies = [TopicPolicy("log.>", history=3)]
    with Network() as network:
        async with cut_off(framerpc.Server(topics=policies)) as (reader, writer):
            async with reader.subscribe("log.a") as messages:
                network.link("topics").down()
                for n in range(5):
                    await writer.publish("log.a", n)
                network.link("topics").heal()
                await soon(lambda: messages.resumed)
                await writer.publish("log.a", "live")
                message = await anext(messages)
                assert (message.data, message.gap) == ("live", framerpc.Gap(None))
                assert not messages.recovered


@virtual_time
async def test_positions_go_on_in_another_client() -> None:
    """`positions` of a pattern, and `position` of a message, are where another one begins."""
    async with pair(framerpc.Server(topics=KEPT)) as client:
        for n in range(4):
            await client.publish("log.a", n)
            await client.publish("log.b", -n)
        async with client.subscribe("log.a", since="start") as messages:
            third = [await anext(messages) for _ in range(3)][-1]
            positions = messages.positions
        async with client.subscribe("log.a", since=positions) as messages:
            assert await data(messages, 1) == [3]
        assert isinstance(third.position, Position)
        async with client.subscribe("log.a", since=str(third.position)) as messages:
            assert messages.recovered
            assert await data(messages, 1) == [3]
        async with client.subscribe("log.*", since=2) as messages:
            assert sorted(await data(messages, 4)) == [-3, -2, 2, 3]
        async with client.subscribe("log.b", since=dt.datetime(1999, 1, 1, tzinfo=dt.UTC)) as old:
            assert await data(old, 4) == [0, -1, -2, -3]


@pytest.mark.parametrize(
    ("pattern", "since"),
    [
        ("a", True),
        ("a", -1),
        ("a", 1.5),
        ("a", "nowhere"),
        ("a", dt.datetime(2020, 1, 1)),  # noqa: DTZ001 - that is what is wrong with it
        ("a.*", Position("e", 1)),
    ],
)
@virtual_time
async def test_impossible_places_to_begin_are_refused_at_once(pattern: str, since: Any) -> None:
    """What says nowhere to begin raises InvalidArgument before anything is sent."""
    async with pair(framerpc.Server()) as client:
        with pytest.raises(framerpc.InvalidArgument):
            client.subscribe(pattern, since=since)


@virtual_time
async def test_history_and_live_messages_meet_without_a_seam() -> None:
    """A subscriber that begins while others publish gets each message once, in order."""
    async with pair(framerpc.Server(topics=KEPT)) as client:
        for n in range(20):
            await client.publish("log.a", n)

        async def publish() -> None:
            for n in range(20, 60):
                await client.publish("log.a", n)
                await asyncio.sleep(0)

        publishing = asyncio.create_task(publish())
        for _ in range(3):
            async with client.subscribe("log.a", since="start") as messages:
                first = [await anext(messages) for _ in range(30)]
                assert [m.data for m in first] == [*range(30)]
        await publishing


@virtual_time
async def test_a_hole_is_found_and_filled() -> None:
    """A message whose offset is not the next one makes the subscription go back for the rest."""

    def message(offset: int) -> list[Any]:
        return [0, "log.a", b"\x01", "e", offset, None]

    async with ScriptedPeer() as server:
        await server.listen("memory://holes")
        async with framerpc.connect("memory://holes") as client:
            entering = asyncio.create_task(client.subscribe("log.a").__aenter__())
            await greeted(server)
            first = (await server.receive_frame())[1]
            items(server, first, [1, True, "e", {"log.a": "e:4"}, True, True])
            items(server, first, message(5), message(7))
            messages = await entering
            await server.expect([11, first, 0])
            server.send_frame([12, first, 0])
            again = await server.receive_frame()
            arguments = msgspec.msgpack.decode(again[-1])
            assert arguments == ["log.a", {"since": {"log.a": "e:5"}, "mark": "e"}]
            items(server, again[1], [1, True, "e", {"log.a": "e:5"}, True, True])
            items(server, again[1], *map(message, (6, 7, 8)))
            assert [(await anext(messages)).offset for _ in range(4)] == [5, 6, 7, 8]
            items(server, again[1], [4, {"log.a": "e:8"}], [99, "unknown"], message(8), message(9))
            assert (await anext(messages)).offset == 9  # what repeats is dropped
            items(server, again[1], [4, {"log.a": "e:10"}])
            await server.expect([11, again[1], 0])
            server.send_frame([12, again[1], 0])
            third = await server.receive_frame()
            assert msgspec.msgpack.decode(third[-1])[1]["since"] == {"log.a": "e:9"}
            server.abort()
            closing = asyncio.create_task(messages.aclose())
            await closing


# ---------------------------------------------------------------- slow consumers


@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest", "latest"])
@virtual_time
async def test_what_is_dropped_is_counted_and_told_in_its_place(policy: Any) -> None:
    """Whatever a slow subscriber loses: messages taken and messages told as missing are all."""
    limits = framerpc.Limits(stream_window=2048)
    async with pair(framerpc.Server(), limits=limits) as client:
        async with client.subscribe("a", policy=policy, max_queue=2048) as messages:
            for n in range(400):
                await client.publish("a", n)
            taken: list[int] = []
            missing = 0
            while not taken or taken[-1] != 399:
                try:
                    message = await asyncio.wait_for(anext(messages), 1)
                except TimeoutError:
                    break
                if message.gap is not None:
                    assert message.gap.dropped
                    missing += message.gap.dropped
                taken.append(message.data)
            await client.publish("a", "last")
            last = await anext(messages)
            missing += last.gap.dropped or 0 if last.gap else 0
            assert taken == sorted(set(taken))
            assert len(taken) + missing == 400
            assert messages.dropped == missing > 0
            assert await client.call("framerpc/health")  # the connection was never blocked


@pytest.mark.parametrize(
    ("behind", "base", "gap"),
    [
        ([], 4, None),  # dropped, and the connection died before the next message
        ([[0, "log.a", b"\x01", "e", 9, None]], 4, None),  # not all that is missing was told
        ([[4, {"log.a": "e:7"}]], 7, framerpc.Gap(3, {"log.a": 3})),  # passed, so they are gone
    ],
)
@virtual_time
async def test_what_was_dropped_and_comes_after_all_is_no_gap(
    behind: list[Any], base: int, gap: framerpc.Gap | None
) -> None:
    """A gap that was not handed out yet is told only as far as the resumed stream keeps it."""
    async with ScriptedPeer() as server:
        await server.listen("memory://dropped")
        async with framerpc.connect("memory://dropped") as client:
            entering = asyncio.create_task(client.subscribe("log.a").__aenter__())
            await greeted(server)
            first = (await server.receive_frame())[1]
            items(server, first, [1, True, "e", {"log.a": "e:4"}, True, True])
            items(server, first, [2, {"log.a": 3}], *behind)
            messages = await entering
            if behind and behind[0][0] == 0:  # the client found a hole, and goes back
                await server.expect([11, first, 0])
                server.send_frame([12, first, 0])
            else:
                server.send_frame([14, first])
            again = await server.receive_frame()
            assert msgspec.msgpack.decode(again[-1])[1]["since"] == {"log.a": f"e:{base}"}
            items(server, again[1], [1, True, "e", {"log.a": f"e:{base}"}, True, True])
            items(server, again[1], [0, "log.a", b"\x01", "e", base + 1, None])
            assert (await anext(messages)).gap == gap
            assert messages.dropped == (gap.dropped if gap else 0)
            server.abort()
            await messages.aclose()


@virtual_time
async def test_disconnect_recovers_from_history() -> None:
    """A subscriber that is too slow for its queue comes back, and loses nothing."""
    limits = framerpc.Limits(stream_window=2048)
    policies = [TopicPolicy("log.>", history=1000)]
    async with pair(framerpc.Server(topics=policies), limits=limits) as client:
        async with client.subscribe("log.a", max_queue=1024) as messages:
            for n in range(500):
                await client.publish("log.a", n)
            assert await data(messages, 500) == [*range(500)]
            assert messages.recovered
            assert messages.resumed > 0


@virtual_time
async def test_a_subscription_that_is_not_read_stops_nothing() -> None:
    """Calls and other subscriptions of the same connection go on beside one that nobody reads."""
    async with pair(framerpc.Server(Work())) as client:
        async with client.subscribe("a"), client.subscribe("a") as read:
            for n in range(3000):
                await client.publish("a", "x" * 500)
                assert len((await anext(read)).data) == 500
                if n % 1000 == 0:
                    assert await client.call("Work/echo", n) == n


@virtual_time
async def test_a_quiet_topic_is_not_a_stream_that_stands_still() -> None:
    """A subscription without a message for an hour still works; an idle stream would have ended."""
    async with pair(framerpc.Server()) as client, client.subscribe("a") as messages:
        await asyncio.sleep(3600)
        await client.publish("a", 1)
        assert (await data(messages, 1), messages.resumed) == ([1], 0)


# --------------------------------------------------------------------- refusals


@virtual_time
async def test_refusals_are_raised_where_the_block_is_entered() -> None:
    """PermissionDenied, InvalidArgument and ResourceExhausted come from `async with`."""

    def rule(_identity: object, _action: framerpc.TopicAction, topic: str) -> bool:
        return topic != "secret"

    server = framerpc.Server(
        authorize_topic=rule, topic_limits=framerpc.TopicLimits(max_subscriptions=1)
    )
    async with pair(server) as client:
        with pytest.raises(framerpc.PermissionDenied, match="secret"):
            async with client.subscribe("secret"):
                pass
        with pytest.raises(framerpc.InvalidArgument, match="since"):
            async with client.subscribe("a", group="g", since="start"):
                pass
        async with client.subscribe("a"):
            with pytest.raises(framerpc.ResourceExhausted, match="max_subscriptions"):
                async with client.subscribe("b"):
                    pass


@virtual_time
async def test_entering_waits_no_longer_than_a_call() -> None:
    """Without a server, entering raises DeadlineExceeded after the client's timeout."""
    async with framerpc.connect("memory://nobody", timeout=3) as client:
        with pytest.raises(framerpc.DeadlineExceeded):
            async with client.subscribe("a"):
                pass
        assert asyncio.get_running_loop().time() == 3


@virtual_time
async def test_the_rule_is_asked_again_when_it_is_resumed() -> None:
    """A subscription that is no longer allowed ends with PermissionDenied at its next connection."""
    allowed = True
    server = framerpc.Server(authorize_topic=lambda *_: allowed)
    with Network() as network:
        async with cut_off(server) as (reader, _):
            async with reader.subscribe("a") as messages:
                allowed = False
                network.link("topics").cut()
                with pytest.raises(framerpc.PermissionDenied):
                    await anext(messages)


# ---------------------------------------------------------------------- publishing


@pytest.mark.parametrize("key", ["order-7", None])
@virtual_time
async def test_a_publish_with_a_key_survives_its_connection(key: str | None) -> None:
    """The receipt is lost: with a key the message is published again, and there once."""
    server = framerpc.Server(topics=KEPT)
    with Network() as network:
        async with pair(server) as client:
            network.half_open("to_client")
            publishing = asyncio.create_task(client.publish("log.a", "first", key=key))
            await asyncio.sleep(1)
            network.cut()
            network.heal()
            if key is None:
                with pytest.raises(framerpc.ConnectionLost) as caught:
                    await publishing
                assert caught.value.executed == "maybe"
            else:
                receipt = await publishing
                assert (receipt.offset, receipt.duplicate) == (1, True)
            page = await client.history("log.a")
            assert [message.data for message in page.messages] == ["first"]


# ------------------------------------------------------------------------- drain


@virtual_time
async def test_a_drain_moves_subscriptions_without_loss() -> None:
    """A server that goes hands its subscribers on: what is in the store comes once, in order."""
    store = MemoryStore()
    old = framerpc.Server(Work(), topics=KEPT, store=store)
    await old.start("memory://work")
    async with framerpc.connect("memory://work") as client:
        async with client.subscribe("log.a") as messages:
            call = asyncio.create_task(client.call("Work/sleep", 2))
            for n in range(5):
                await client.publish("log.a", n)
            started = asyncio.get_running_loop().time()
            closing = asyncio.create_task(old.close())
            await asyncio.sleep(0)
            assert await call == 2
            await closing
            assert asyncio.get_running_loop().time() < started + 3  # it did not hold up the drain
            new = framerpc.Server(Work(), topics=KEPT, store=store)
            async with new.listen("memory://work"):
                for n in range(5, 10):
                    await client.publish("log.a", n)
                assert await data(messages, 10) == [*range(10)]
                assert messages.recovered


# ------------------------------------------------------------------- interceptors


@virtual_time
async def test_interceptors_may_wrap_a_subscription_on_both_sides() -> None:
    """An interceptor that iterates over the stream itself changes nothing about the messages."""
    seen: list[str] = []

    async def count(context: CallContext, body: Body, proceed: Handler) -> Body:
        result = await proceed(context, body)
        if not isinstance(result, Stream):
            return result

        async def items() -> AsyncIterator[Any]:
            async for item in result.items:
                seen.append(context.method)
                yield item

        return Stream(items())

    server = framerpc.Server(interceptors=[count], topics=KEPT)
    async with pair(server, interceptors=[count]) as client:
        async with client.subscribe("log.a") as messages:
            for n in range(50):
                await client.publish("log.a", n)
            assert await data(messages, 50) == [*range(50)]
        assert seen == ["framerpc/subscribe"] * 102  # STARTED and 50 messages, twice
