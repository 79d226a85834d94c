"""Connections that become too old, and clients that do not mind."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import framerpc
from framerpc import ConfigurationError, ConnectionAge
from framerpc.errors import CloseCode
from framerpc.testing import ScriptedPeer, virtual_time
from tests.services import Work, pair, soon
from tests.survival.siege import request


def now() -> float:
    return asyncio.get_running_loop().time()


def serving(work: Work, **options: Any) -> framerpc.Server:
    return framerpc.Server(work, connection_age=ConnectionAge(**options))


@virtual_time
async def test_client_moves_on_without_losing_a_call() -> None:
    """A minute of calls over connections of ten seconds each: all are answered, none twice."""
    work = Work()
    server = serving(work, maximum=10.0, jitter=0.0)
    async with pair(server) as client:

        async def calls() -> int:
            answered = 0
            while now() < 60:
                assert await client.call("Work/sleep", 0.3) == 0.3
                answered += 1
            return answered

        total = sum(await asyncio.gather(*(calls() for _ in range(10))))
        assert (work.started, work.finished) == (total, total)
        assert server.statistics()["retired_connections"] in {5, 6}
        assert server.statistics()["connections"] in {6, 7}


@virtual_time
async def test_idle_connection_is_closed_at_its_age() -> None:
    """The client hears why in words, and may come again: nothing is wrong."""
    server = serving(Work(), maximum=10.0, jitter=0.0, grace=5.0)
    async with server.listen("memory://work", grace=0), ScriptedPeer() as guest:
        await guest.connect("memory://work")
        guest.preamble()
        guest.hello(ping_ms=60_000)
        assert (await guest.receive_frame())[0] == 2
        goaway = [4, "the connection has reached its maximum age", 5000, 0]
        assert await guest.receive_frame() == goaway
        assert now() == 10.0
        await guest.expect([5, 1, None])
        guest.send_frame([6, 1, None])
        assert await guest.expect_close(CloseCode.NORMAL) == goaway[1]
        assert now() == 10.0


@virtual_time
async def test_stream_is_cut_after_the_grace() -> None:
    """An endless stream runs on for the grace, then ends with Unavailable; others are not cut."""
    work = Work()
    server = serving(work, maximum=10.0, jitter=0.0, grace=5.0)
    async with pair(server) as client:
        seen = 0

        async def read() -> None:
            nonlocal seen
            async for _ in client.stream("Work/ticks", 1.0):
                seen += 1

        with pytest.raises(framerpc.Unavailable, match="before the call had ended") as caught:
            await read()
        assert (caught.value.executed, now()) == ("maybe", 15.0)
        assert seen in {15, 16}
        assert await client.call("Work/echo", 1) == 1
        await soon(lambda: server.statistics()["clients"] == 1)


@virtual_time
async def test_handler_that_does_not_stop_is_left() -> None:
    """What ignores its cancellation keeps its connection for no longer than `cancel_grace`."""
    work = Work()
    server = serving(work, maximum=10.0, jitter=0.0, grace=5.0)
    async with pair(server, timeout=None) as client:
        with pytest.raises(framerpc.ConnectionLost):
            await client.call("Work/stubborn", 600.0)
        assert now() == 16.0
        assert server.statistics()["calls_in_flight"] == 0


@virtual_time
async def test_call_after_the_grace_goes_elsewhere() -> None:
    """A client that does not listen is told that its call was not executed."""
    work = Work()
    server = serving(work, maximum=10.0, jitter=0.0, grace=5.0)
    async with server.listen("memory://work", grace=0), ScriptedPeer() as guest:
        await guest.connect("memory://work")
        guest.preamble()
        guest.hello(ping_ms=60_000)
        await guest.receive_frame()
        guest.send_frame(request(1, "Work/stubborn", 600.0, timeout_ms=None))
        await work.entered.wait()
        await asyncio.sleep(15.5 - now())
        guest.send_frame(request(3, "Work/echo", 1))
        assert (await guest.receive_frame())[0] == 4
        assert (await guest.receive_frame())[0] == 5
        await guest.expect([10, 3, framerpc.Status.UNAVAILABLE.value, 0, ..., None])


@virtual_time
async def test_connections_made_together_do_not_end_together() -> None:
    """Each gets an age of its own, a tenth more or less."""
    server = serving(Work(), maximum=100.0, jitter=0.1)
    async with server.listen("memory://work", grace=0):
        clients = [framerpc.connect("memory://work") for _ in range(60)]
        for client in clients:
            await client.__aenter__()
            await client.ready()
        await asyncio.sleep(89.9 - now())
        assert server.statistics()["retired_connections"] == 0
        await asyncio.sleep(10)
        assert 10 < server.statistics()["retired_connections"] < 50
        await asyncio.sleep(10.2)
        assert server.statistics()["retired_connections"] == 60
        for client in clients:
            await client.close()


@virtual_time
async def test_gone_connections_leave_no_timer() -> None:
    """Whoever leaves by itself is not counted any more."""
    server = serving(Work(), maximum=1000.0)
    async with server.listen("memory://work", grace=0):
        for _ in range(20):
            async with framerpc.connect("memory://work") as client:
                await client.ready()
        await soon(lambda: not server.statistics()["clients"])
        assert repr(server._ageing) == "<Ageing of 0 connections, 0 retired>"


@virtual_time
async def test_connections_may_become_old_by_default() -> None:
    """Without the option there is no age."""
    server = framerpc.Server(Work())
    async with pair(server) as client:
        await asyncio.sleep(100_000)
        assert await client.call("Work/echo", 1) == 1
        assert server.statistics()["connections"] == 1


@pytest.mark.parametrize(
    "options", [{"maximum": 0}, {"maximum": 1, "jitter": 1.5}, {"maximum": 1, "grace": -1}]
)
def test_impossible_ages_are_refused(options: dict[str, float]) -> None:
    """What cannot work is said when it is written."""
    with pytest.raises(ConfigurationError):
        ConnectionAge(**options)
