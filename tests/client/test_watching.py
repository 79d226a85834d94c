"""Watches: a snapshot, then every change, across lost connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

import framerpc
from framerpc import Change, Snapshot, TopicPolicy
from framerpc.client.following import Attempts
from framerpc.client.retry import DEFAULT_RECONNECT, Pauses
from framerpc.client.watching import WatchStream
from framerpc.testing import Network, virtual_time
from tests.services import pair


@dataclass
class Step:
    by: int


@framerpc.error(name="watching.Banned")
@dataclass(eq=False)
class Banned(framerpc.CallError):
    """Somebody may no longer look."""

    who: str


@framerpc.service
class Board:
    def __init__(self) -> None:
        self.total = 0
        self.snapshots = 0
        self.fails = False
        self.refusal: framerpc.CallError | None = None
        self.asked = 0

    async def step(self, by: int) -> None:
        self.total += by
        await self.server.publish("board", Step(by))

    server: framerpc.Server

    def _state(self) -> int:
        self.snapshots += 1
        if self.fails:
            raise framerpc.Unavailable("not now")
        return self.total

    @framerpc.method
    def follow(self) -> framerpc.Watch[int, Step]:
        return framerpc.Watch(topic="board", snapshot=self._state)

    @framerpc.method
    async def slowly(self, seconds: float) -> framerpc.Watch[int, Step]:
        async def state() -> int:
            total = self._state()
            await asyncio.sleep(seconds)
            return total

        return framerpc.Watch("board", state, publish="anyone")

    def _may(self) -> None:
        self.asked += 1
        if self.refusal is not None:
            raise self.refusal

    @framerpc.method
    def guarded(self) -> framerpc.Watch[int, Step]:
        return framerpc.Watch("board", self._state, authorize=self._may)

    @framerpc.method
    def politely(self) -> framerpc.Watch[int, Step]:
        async def may() -> None:
            await asyncio.sleep(1)
            self._may()

        return framerpc.Watch("board", self._state, authorize=may)

    @framerpc.method
    def mistaken(self) -> framerpc.Watch[int, Step]:
        return framerpc.Watch("board", self._state, authorize=lambda: False)  # type: ignore[arg-type,return-value] # pyright: ignore[reportArgumentType]

    @framerpc.method
    def wrong(self) -> framerpc.Watch[int, Step]:
        return 5  # type: ignore[return-value] # pyright: ignore[reportReturnType]


def make(*policies: TopicPolicy) -> tuple[Board, framerpc.Server]:
    board = Board()
    server = board.server = framerpc.Server(board, topics=policies)
    return board, server


@virtual_time
async def test_snapshot_then_changes_in_their_types() -> None:
    """The first update is the state, and each one after it a change, decoded into their types."""
    board, server = make()
    board.total = 40
    async with pair(server) as client:
        async with client.stream(Board.follow) as updates:
            assert await anext(updates) == Snapshot(40)
            await board.step(2)
            await board.step(3)
            assert [await anext(updates), await anext(updates)] == [
                Change(Step(2)),
                Change(Step(3)),
            ]
        assert (await client.call("framerpc/health"))["subscriptions"] == 0


@virtual_time
async def test_it_goes_on_where_it_was() -> None:
    """With history a lost connection costs no snapshot, and no change comes twice or not at all."""
    board, server = make(TopicPolicy("board", history=50))
    with Network() as network:
        async with pair(server) as client:
            updates = client.stub(Board).follow()
            seen: list[Any] = [await anext(aiter(updates))]
            items = aiter(updates)
            network.cut()
            for n in range(5):
                await board.step(n)
                seen.append(await anext(items))
                network.cut()
                await board.step(10 + n)
                seen.append(await anext(items))
            assert board.snapshots == 1
            changes = [each.value.by for each in seen[1:]]
            assert changes == [0, 10, 1, 11, 2, 12, 3, 13, 4, 14]


@pytest.mark.parametrize("history", [0, 2])
@virtual_time
async def test_it_begins_again_if_the_history_does_not_reach(history: int) -> None:
    """Without enough history, the next update after a gap is a new snapshot with all of it."""
    board, server = make(TopicPolicy("board", history=history))
    with Network() as network:
        async with pair(server) as client:
            updates = aiter(client.stub(Board).follow())
            assert await anext(updates) == Snapshot(0)
            network.link("work").down()
            for n in range(5):
                await board.step(n)
            network.heal()
            assert await anext(updates) == Snapshot(10)
            await board.step(1)
            assert await anext(updates) == Change(Step(1))


@virtual_time
async def test_a_connection_that_dies_before_the_snapshot_costs_nothing() -> None:
    """Whoever was promised a snapshot and did not get it asks for one again, and not for changes."""
    connections: list[list[list[Any]]] = [
        [[1, False, "e", {"board": "e:5"}, True, True]],  # lost before the snapshot
        [[1, False, "e", {"board": "e:6"}, True, True], [3, b"\x07"]],  # and behind it
        [[1, True, "e", {"board": "e:6"}, True, True], [0, "board", b"\x01", "e", 7, None]],
        [[1, False, "e", {"board": "e:9"}, True, True]],  # no longer recoverable, and lost again
        [[1, False, "f", {"board": "f:1"}, True, True], [3, b"\x08"]],
    ]
    asked: list[str | None] = []

    async def open_(position: str | None) -> AsyncIterator[bytes]:
        asked.append(position)

        async def items() -> AsyncIterator[bytes]:
            for body in connections.pop(0):
                yield msgspec.msgpack.encode(body)
            raise framerpc.ConnectionLost("memory://x", "cut", "maybe")

        return items()

    attempts = Attempts(Pauses(DEFAULT_RECONNECT), lambda: False)
    decode = msgspec.msgpack.Decoder(int).decode
    updates = WatchStream(open_, decode, decode, attempts)
    seen = [await anext(updates) for _ in range(3)]
    assert seen == [Snapshot(7), Change(1), Snapshot(8)]
    assert asked == [None, None, "e:6", "e:7", None]
    await updates.aclose()


@virtual_time
async def test_nothing_is_lost_while_the_snapshot_is_taken() -> None:
    """Changes that come while a slow snapshot is made follow behind it."""
    board, server = make()
    async with pair(server) as client:
        updates = client.stream(Board.slowly, 2.0)
        first = asyncio.create_task(anext(updates))
        await asyncio.sleep(1)
        await board.step(7)
        assert [await first, await anext(updates)] == [Snapshot(0), Change(Step(7))]
        await updates.aclose()


@virtual_time
async def test_cancelling_a_wait_loses_no_update() -> None:
    """`wait_for` on the next update may time out at any point, also before the snapshot."""
    board, server = make()
    async with pair(server) as client:
        updates = client.stream(Board.slowly, 2.0)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(updates), 1)
        assert await asyncio.wait_for(anext(updates), 5) == Snapshot(0)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(updates), 1)
        await board.step(1)
        assert await anext(updates) == Change(Step(1))
        await updates.aclose()


@virtual_time
async def test_clients_do_not_publish_behind_a_watch() -> None:
    """Once a topic is watched, only the server publishes to it, unless the watch says otherwise."""
    board, server = make()
    async with pair(server) as client:
        await client.publish("board", Step(1))  # nobody has said anything yet
        async with client.stream(Board.slowly, 0.0) as updates:
            await anext(updates)
            await client.publish("board", Step(5))
            assert await anext(updates) == Change(Step(5))
        async with client.stream(Board.follow) as updates:
            await anext(updates)
            with pytest.raises(framerpc.PermissionDenied):
                await client.publish("board", Step(1))
        with pytest.raises(framerpc.PermissionDenied):
            await client.publish("board", Step(1))
    del board


@virtual_time
async def test_what_a_watch_raises_reaches_its_caller() -> None:
    """A snapshot that fails, and a method that returns no watch, end the call and leave nothing."""
    board, server = make()
    async with pair(server) as client:
        with pytest.raises(framerpc.InvalidResult, match="declares a Watch"):
            await anext(client.stream(Board.wrong))
        board.fails = True
        updates = client.stream(Board.follow)
        waiting = asyncio.create_task(anext(updates))
        await asyncio.sleep(0.5)
        board.fails = False
        assert await waiting == Snapshot(0)  # Unavailable passes: it was tried again
        await updates.aclose()
        assert (await client.call("framerpc/health"))["subscriptions"] == 0


@virtual_time
async def test_a_watch_that_is_dropped_is_given_up() -> None:
    """Dropping the last reference ends the subscription on the server, without a task."""
    _, server = make()
    async with pair(server) as client:
        updates = aiter(client.stub(Board).follow())
        await anext(updates)
        assert server.statistics()["subscriptions"] == 1
        del updates
        await client.call("framerpc/health")
        assert server.statistics()["subscriptions"] == 0


def test_a_watch_is_iterated_by_its_caller_only() -> None:
    """Iterating over what the method returned says how it is meant; so do wrong arguments."""
    with pytest.raises(framerpc.ConfigurationError, match="stub"):
        aiter(Board().follow())
    with pytest.raises(framerpc.ConfigurationError, match="snapshot"):
        framerpc.Watch("t", 5)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    with pytest.raises(framerpc.ConfigurationError, match="publish"):
        framerpc.Watch("t", dict, publish="all")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("method", [Board.guarded, Board.politely])
@virtual_time
async def test_who_may_watch_is_asked_before_anything_happens(method: Any) -> None:
    """A watch that `authorize` refuses takes no snapshot, subscribes to nothing, reserves no topic."""
    board, server = make()
    board.refusal = framerpc.PermissionDenied("not you")
    async with pair(server) as client:
        with pytest.raises(framerpc.PermissionDenied, match="not you"):
            await anext(client.stream(method))
        assert (board.asked, board.snapshots) == (1, 0)
        assert (await client.call("framerpc/health"))["subscriptions"] == 0
        await client.publish("board", Step(1))  # as long as nobody watches it


@pytest.mark.parametrize("refusal", [framerpc.PermissionDenied("not any more"), Banned("ada")])
@virtual_time
async def test_a_resumed_watch_may_be_refused(refusal: framerpc.CallError) -> None:
    """Who resumes is asked again, though no snapshot is taken; the error ends the watch for good."""
    board, server = make(TopicPolicy("board", history=50))
    with Network() as network:
        async with pair(server) as client:
            updates = aiter(client.stub(Board).guarded())
            assert await anext(updates) == Snapshot(0)
            network.cut()
            await board.step(1)
            assert await anext(updates) == Change(Step(1))
            assert (board.asked, board.snapshots) == (2, 1)
            board.refusal = refusal
            network.cut()
            await board.step(2)
            for _ in range(2):  # it does not try again
                with pytest.raises(type(refusal)) as caught:
                    await anext(updates)
                assert caught.value.detail == refusal.detail
            assert (board.asked, board.snapshots) == (3, 1)


def test_authorize_is_a_function() -> None:
    """A value in the place of the function is refused where the watch is made."""
    with pytest.raises(framerpc.ConfigurationError, match="authorize is a function"):
        framerpc.Watch("board", lambda: 0, authorize=True)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


@virtual_time
async def test_false_is_no_permission() -> None:
    """An `authorize` that returns False, as a rule about topics would, lets nobody in."""
    board, server = make()
    async with pair(server) as client:
        with pytest.raises(framerpc.InvalidResult, match="has to raise to refuse"):
            await anext(client.stream(Board.mistaken))
        assert board.snapshots == 0
