"""What PING and PONG carry, when they are sent, and who is told of a silent peer."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest

import framerpc
from framerpc import Keepalive, State
from framerpc.connection.connection import Connection
from framerpc.connection.liveness import Load
from framerpc.errors import CloseCode
from framerpc.testing import VirtualClockLoop, virtual_time
from tests.survival.siege import Trap, besieged, frame, settled, trapped


def now() -> float:
    return asyncio.get_running_loop().time()


def connection(trap: Trap) -> Connection:
    pool = trap.client._core.pool
    assert pool is not None
    channel = pool.only
    assert channel is not None
    assert channel.connection is not None
    return channel.connection


def load(trap: Trap) -> Load:
    return connection(trap).load


def state(trap: Trap) -> str:
    return trap.client.state.value


@virtual_time
async def test_pong_says_how_many_calls_are_alive() -> None:
    """A PING between calls is answered with their number."""
    async with besieged() as siege:
        guest = await siege.guest()
        guest.send(frame(5, 7, None))
        assert (await guest.expect([6, 7, ...]))[2]["calls"] == 0
        guest.send_frame([8, 1, 0, "Work/sleep", 1000, None, b"\x91\x01"])
        guest.send(frame(5, 8, None))
        assert (await guest.expect([6, 8, ...]))[2]["calls"] == 1


@pytest.mark.skipif(sys.platform != "linux", reason="needs TCP_INFO")
async def test_pong_says_how_late_the_loop_is() -> None:
    """On TCP it is the time for which the PING had arrived and was not read."""
    async with besieged(url="tcp://127.0.0.1:0") as siege:
        guest = await siege.guest()
        guest.send(frame(5, 7, None))
        info = (await guest.expect([6, 7, ...]))[2]
        assert 0 <= info["lag_ms"] < 5000


@virtual_time
async def test_pong_of_a_loop_that_was_blocked_says_so() -> None:
    """Where the kernel does not tell, our own timer does: it was late when it fired last."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualClockLoop)
    async with besieged(keepalive=Keepalive(interval=2, timeout=1)) as siege:
        guest = await siege.guest()
        guest.send(frame(5, 1, None))
        assert (await guest.expect([6, 1, ...]))[2]["lag_ms"] == 0
        loop._virtual_time += 7
        await guest.expect([5, 0, None])
        guest.send(frame(5, 2, None))
        assert (await guest.expect([6, 2, ...]))[2]["lag_ms"] == 5000


@virtual_time
async def test_what_a_pong_says_is_in_the_statistics() -> None:
    """The load of the server is known after its first PONG."""
    async with trapped() as trap:
        assert load(trap) == Load()
        assert "peer_calls" not in trap.client.statistics()
        trap.server.send(frame(6, 0, {"calls": 3, "lag_ms": 1500}))
        await settled(lambda: load(trap) != Load())
        assert load(trap) == Load(3, 1.5)
        told = trap.client.statistics()
        assert (told["peer_calls"], told["peer_lag_ms"]) == (3, 1500)


@pytest.mark.parametrize("lag", ["soon", -1, True, float("nan"), float("inf"), None, [1]])
@virtual_time
async def test_nonsense_in_a_pong_is_ignored(lag: Any) -> None:
    """What is no number, or cannot be meant, is not taken for one."""
    async with trapped() as trap:
        trap.server.send(frame(6, 0, {"calls": 3, "lag_ms": lag}))
        await settled(lambda: load(trap) != Load())
        assert load(trap) == Load(3, None)


@pytest.mark.parametrize(("ours", "theirs", "agreed"), [(20, 7, 7), (7, 20, 7), (9, 9, 9)])
@virtual_time
async def test_interval_is_agreed_in_the_handshake(ours: int, theirs: int, agreed: int) -> None:
    """The smaller wish holds at both ends: at the server, and at the client."""
    async with besieged(keepalive=Keepalive(interval=ours)) as siege:
        guest = await siege.guest(ping_ms=theirs * 1000)
        started = now()
        await guest.expect([5, 0, None])
        assert now() - started == pytest.approx(agreed)
    async with trapped(welcome=False, keepalive=Keepalive(interval=ours)) as trap:
        await trap.accept(ping_ms=theirs * 1000)
        started = now()
        await trap.server.expect([5, 0, None])
        assert now() - started == pytest.approx(agreed)


@virtual_time
async def test_greetings_say_what_the_options_wish() -> None:
    """Interval and lag are announced by both sides, and a lag that is not said is 0."""
    keepalive = Keepalive(interval=3, lag=2.5)
    async with besieged(keepalive=keepalive) as siege:
        guest = await siege.stranger()
        guest.preamble()
        guest.hello()
        _, welcome = await guest.receive_frame()
        assert (welcome["ping_ms"], welcome["lag_ms"]) == (3000, 2500)
    async with trapped(welcome=False, keepalive=keepalive) as trap:
        await trap.server.accept()
        _, hello = await trap.server.receive_frame()
        assert (hello["ping_ms"], hello["lag_ms"]) == (3000, 2500)
    assert (Keepalive().ping_ms, Keepalive().lag_ms) == (20_000, 0)


@virtual_time
async def test_client_tells_its_states() -> None:
    """Ready, degraded when a PONG is overdue, ready with any byte, connecting when given up."""
    states: list[tuple[State, float]] = []
    keepalive = Keepalive(interval=2, timeout=1, busy=10)
    async with trapped(
        welcome=False, keepalive=keepalive, on_state=lambda s: states.append((s, now()))
    ) as trap:
        await trap.accept()
        call = await trap.call()
        await trap.server.expect([5, 0, None])
        await asyncio.sleep(4)
        assert state(trap) == "degraded"
        await trap.client.ready()  # it is connected: calls leave at once
        trap.server.send(frame(6, 0, None))
        await asyncio.sleep(0.1)
        assert state(trap) == "ready"
        with pytest.raises(framerpc.DeadlineExceeded):
            await call
        await asyncio.sleep(16.5 - now())
        assert state(trap) == "connecting"
    told = [(seen, round(at, 3)) for seen, at in states]
    assert told == [
        (State.READY, 0),
        (State.DEGRADED, 2.5),
        (State.READY, 6),
        (State.DEGRADED, 8.5),
        (State.CONNECTING, 16),
        (State.CLOSED, 16.5),
    ]


@virtual_time
async def test_word_that_comes_too_late_changes_nothing() -> None:
    """A peer that was given up is not ready again because of its last bytes."""
    states: list[State] = []
    async with trapped(on_state=states.append) as trap:
        given_up = connection(trap)
        given_up._keepalive.overdue = True
        given_up._changed()
        given_up.abort("given up")
        given_up._keepalive.revive()
        await asyncio.sleep(0.1)
        assert states == [State.READY, State.DEGRADED, State.CONNECTING]


@virtual_time
async def test_server_counts_overdue_clients_and_closes_them() -> None:
    """A silent client is counted while it is suspected, and told why when it is given up."""
    async with besieged(keepalive=Keepalive(interval=2, timeout=1, busy=6)) as siege:
        guest = await siege.guest()
        await guest.expect([5, 0, None])
        assert siege.server.statistics()["overdue"] == 0
        await asyncio.sleep(0.5)
        assert siege.server.statistics()["overdue"] == 1
        started = now()
        assert await guest.expect_close(CloseCode.SILENT) == "no byte from the peer for 6 s"
        assert now() - started == 3.5
        assert siege.server.statistics()["overdue"] == 0
