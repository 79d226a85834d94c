"""How a server stops under way: what crossed is served, what is served is answered."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import framerpc
from framerpc import State
from framerpc.codecs import packb
from framerpc.errors import CloseCode, Status
from framerpc.protocol.frames import Kind, Outcome
from framerpc.protocol.framing import PREFIX
from framerpc.protocol.handshake import PREAMBLE
from framerpc.server.peers import Peers
from framerpc.testing import Network, ScriptedPeer, virtual_time
from tests.services import Work, soon
from tests.survival.siege import frame, request

PING_BEHIND: list[Any] = [Kind.PING.value, 1, None]
PONG: list[Any] = [Kind.PONG.value, 1, None]


class Stopping:
    """A server with one guest that is played by hand."""

    def __init__(self, server: framerpc.Server, work: Work, guest: ScriptedPeer) -> None:
        self.server = server
        self.work = work
        self.guest = guest

    async def told(self, grace: float = 10.0) -> asyncio.Task[None]:
        """Begin to stop, and let the guest read that."""
        closing = asyncio.create_task(self.server.close(grace))
        assert (await self.guest.receive_frame())[:3] == [4, "the server is stopping", grace * 1000]
        await self.guest.expect(PING_BEHIND)
        return closing


@asynccontextmanager
async def stopping() -> AsyncIterator[Stopping]:
    """Serve one guest."""
    work = Work()
    server = framerpc.Server(work)
    await server.start("memory://stopping")
    async with ScriptedPeer() as guest:
        await guest.connect("memory://stopping")
        guest.preamble()
        guest.hello()
        assert (await guest.receive_frame())[0] == Kind.WELCOME
        yield Stopping(server, work, guest)
    await server.close(0)


def now() -> float:
    return asyncio.get_running_loop().time()


# ------------------------------------------------------------------- calls that crossed


@virtual_time
async def test_call_that_crossed_with_goaway_is_served() -> None:
    """R-DRAIN-1: until the client has read the GOAWAY, what it sends is answered as usual."""
    async with stopping() as stop:
        closing = await stop.told()
        stop.guest.send_frame(request(1, "Work/echo", "crossed"))
        await stop.guest.expect([9, 1, packb("crossed")])
        assert not closing.done()
        stop.guest.send_frame(PONG)
        assert await stop.guest.expect_close(CloseCode.SHUTDOWN) == "the server is stopping"
        await closing
        assert now() < 0.1


@virtual_time
async def test_client_that_wants_to_go_itself_is_told_as_well() -> None:
    """Both may ask the other to go; the connection closes as soon as it can all the same."""
    async with stopping() as stop:
        stop.guest.send_frame([4, "bye", 0])
        await asyncio.sleep(0.1)
        closing = await stop.told()
        stop.guest.send_frame(PONG)
        await stop.guest.expect_close(CloseCode.SHUTDOWN)
        await closing
        assert now() < 1


@virtual_time
async def test_silent_client_is_waited_for_until_the_grace_ends() -> None:
    """R-DRAIN-2: without a PONG there may be a call on its way."""
    async with stopping() as stop:
        closing = await stop.told(grace=3.0)
        await stop.guest.expect_close(CloseCode.SHUTDOWN)
        await closing
        assert now() == 3.0


@virtual_time
async def test_one_way_call_that_crossed_is_run() -> None:
    """A notification before the PONG is run to its end before the connection closes."""
    async with stopping() as stop:
        closing = await stop.told()
        stop.guest.send_frame([16, 1, "Work/sleep", None, packb([2.0])])
        stop.guest.send_frame(PONG)
        await stop.guest.expect_close(CloseCode.SHUTDOWN)
        await closing
        assert (stop.work.finished, now()) == (1, 2.0)


@virtual_time
async def test_arguments_on_their_way_are_waited_for() -> None:
    """A call whose body comes in parts is in flight from its announcement on."""
    async with stopping() as stop:
        body = packb(["x" * 20_000])
        stop.guest.send_frame(request(1, "Work/echo", body=len(body)))
        closing = await stop.told()
        stop.guest.send_frame([17, 1, body[:10_000]])
        stop.guest.send_frame(PONG)
        await asyncio.sleep(1)
        assert not closing.done()
        stop.guest.send_frame([17, 1, body[10_000:]])
        assert (await stop.guest.receive_frame())[:2] == [9, 1]
        await stop.guest.expect_close(CloseCode.SHUTDOWN)
        await closing
        assert now() == 1.0


@pytest.mark.parametrize("ending", ["cancelled", "refused"])
@virtual_time
async def test_call_that_never_starts_does_not_hold_the_drain_up(ending: str) -> None:
    """A call that is given up, or refused, while its arguments arrive is over."""
    async with stopping() as stop:
        stop.guest.send_frame(request(1, "Work/echo", body=70_000))
        closing = await stop.told()
        stop.guest.send_frame(PONG)
        if ending == "cancelled":
            stop.guest.send_frame([11, 1, 0])
            await stop.guest.expect([12, 1, Outcome.STOPPED.value])
        else:
            stop.guest.send_frame([17, 1, b"\xc1" * 35_000])
            stop.guest.send_frame([17, 1, b"\xc1" * 35_000])
            await stop.guest.expect([10, 1, Status.INVALID_ARGUMENT.value, 0, ..., None])
        await stop.guest.expect_close(CloseCode.SHUTDOWN)
        await closing
        assert now() < 0.1


@virtual_time
async def test_call_after_the_grace_was_surely_not_executed() -> None:
    """While handlers are being stopped, nothing new starts."""
    async with stopping() as stop:
        stop.guest.send_frame(request(1, "Work/stubborn", 60.0, timeout_ms=None))
        await stop.work.entered.wait()
        closing = await stop.told(grace=1.0)
        await asyncio.sleep(1.5)
        stop.guest.send_frame(request(3, "Work/echo", 1))
        stop.guest.send_frame([16, 5, "Work/echo", None, packb([1])])
        error = await stop.guest.expect([10, 3, Status.UNAVAILABLE.value, 0, ..., None])
        assert error[4] == "the server is stopping"
        await stop.guest.expect_close(CloseCode.SHUTDOWN)
        await closing
        assert stop.server.statistics()["dropped_notifications"] == 1


@virtual_time
async def test_each_connection_closes_when_its_own_calls_have_ended() -> None:
    """Who has nothing in flight need not wait for those who have."""
    work = Work()
    server = framerpc.Server(work)
    await server.start("memory://work")
    async with (
        framerpc.connect("memory://work") as busy,
        framerpc.connect("memory://work") as idle,
    ):
        await idle.ready()
        call = asyncio.create_task(busy.call("Work/sleep", 5.0))
        await work.entered.wait()
        closing = asyncio.create_task(server.close(10))
        await soon(lambda: server.statistics()["clients"] == 1)
        assert now() < 1
        assert await call == 5.0
        await closing
        assert now() == pytest.approx(5.0, abs=0.1)


@virtual_time
async def test_long_answer_has_the_whole_grace_to_leave() -> None:
    """A slow reader gets its answer whole, though the server has nothing else to do."""
    with Network() as network:
        server = framerpc.Server(Work())
        await server.start("memory://slow")
        async with framerpc.connect("memory://slow") as client:
            await client.ready()
            network.link("slow").slow_reader(100_000, direction="to_client")
            call = asyncio.create_task(client.call("Work/echo", "x" * 2_000_000))
            await soon(lambda: server.statistics()["calls_in_flight"])
            closing = asyncio.create_task(server.close(60))
            assert len(await call) == 2_000_000
            await closing
            assert 19 < now() < 25


@virtual_time
async def test_subscription_that_crossed_ends_at_once() -> None:
    """It is taken, and ended, so that the client makes it elsewhere and the drain goes on."""
    async with stopping() as stop:
        closing = await stop.told()
        stop.guest.send_frame(request(1, "framerpc/subscribe", "a", flags=1, timeout_ms=None))
        stop.guest.send_frame(PONG)
        while (await stop.guest.receive_frame())[:2] != [Kind.END.value, 1]:
            pass
        await stop.guest.expect_close(CloseCode.SHUTDOWN)
        await closing
        assert now() < 0.1


# ------------------------------------------------------------------- who has just come


@virtual_time
async def test_client_that_was_connecting_learns_that_nothing_was_done() -> None:
    """Its early call is made again at the successor, though it is not idempotent."""
    with Network() as network:
        old, new = framerpc.Server(Work()), framerpc.Server(Work())
        await old.start("memory://place")
        network.link("place").delay(0.1)
        async with framerpc.connect("memory://place") as client:
            call = asyncio.create_task(client.call("Work/echo", "early"))
            await soon(lambda: old.statistics()["strangers"])
            closing = asyncio.create_task(old.close(10))
            await soon(lambda: not old.statistics()["strangers"])
            await new.start("memory://place")
            assert await call == "early"
            await closing
        assert (old.statistics()["calls"], new.statistics()["calls"]) == (0, 1)
        await new.close()


@virtual_time
async def test_stranger_that_says_nothing_holds_the_drain_up_for_a_moment_only() -> None:
    """Half a second is enough for a greeting."""
    server = framerpc.Server(Work())
    await server.start("memory://quiet")
    async with ScriptedPeer() as stranger:
        await stranger.connect("memory://quiet")
        await server.close(10)
        assert now() == 0.5


@pytest.mark.parametrize("scheme", ["tcp", "unix"])
async def test_connection_that_the_kernel_has_completed_is_answered(
    scheme: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Who waits in the backlog when a server stops is told so, and is not just reset."""
    path = tmp_path_factory.mktemp("s") / "s"
    url = "tcp://127.0.0.1:0" if scheme == "tcp" else f"unix://{path}"
    server = framerpc.Server(Work())
    await server.start(url)
    place: Any = str(path)
    if scheme == "tcp":
        place = ("127.0.0.1", int(server.url.rpartition(":")[2]))
    waiting = []
    for _ in range(100):  # the loop does not run meanwhile
        sock = socket.socket(socket.AF_INET if scheme == "tcp" else socket.AF_UNIX)
        sock.connect(place)
        sock.sendall(PREAMBLE + frame(1, {"versions": [1]}) + frame(*request(1)))
        waiting.append(sock)
    await server.close(10)
    for sock in waiting:
        with sock:
            sock.settimeout(5)
            data = sock.recv(1000)
            assert data[:8] == PREAMBLE
            assert data[8 + PREFIX.size :][:3] == bytes([0x94, Kind.CLOSE, CloseCode.SHUTDOWN])
    assert server.statistics()["calls"] == 0
    assert not Path(path).exists()


# ------------------------------------------------------------------- coming back


@virtual_time
async def test_clients_of_a_stopping_server_are_told_to_spread() -> None:
    """A millisecond for each client, and five seconds at most."""
    async with stopping() as stop:
        closing = asyncio.create_task(stop.server.close(10))
        assert await stop.guest.receive_frame() == [4, "the server is stopping", 10_000, 1]
        stop.guest.send_frame(PONG)
        await closing
    for clients, expected in ((400, 0.4), (100_000, 5.0)):
        server = framerpc.Server()
        told: list[float] = []

        class Client:
            def leave(self, _code: CloseCode, _reason: str, _grace: float, spread: float) -> None:
                told.append(spread)  # noqa: B023 - used in this round only

        server.peers.welcome = dict.fromkeys([Client() for _ in range(clients)])  # type: ignore[misc]
        drain = asyncio.create_task(Peers.drain(server.peers, 1.0))
        await asyncio.sleep(0)
        server.peers.welcome.clear()
        server.peers.note()
        await drain
        assert told == [expected] * clients


async def dialled_again(spread_ms: int | None) -> float:
    """Return after how many seconds a client dials again that was told to go."""
    async with ScriptedPeer() as server:
        url = await server.listen("memory://old")
        async with framerpc.connect(url) as client:
            ready = asyncio.create_task(client.ready())
            await server.accept()
            await server.receive_frame()
            server.preamble()
            server.welcome()
            await ready
            told = now()
            goaway = [4, "restart", 1000]
            server.send_frame(goaway if spread_ms is None else [*goaway, spread_ms])
            await server.accept()
            return now() - told


@virtual_time
async def test_clients_dial_again_at_different_times() -> None:
    """Told to spread over four seconds, they do, and none comes later."""
    times = [await dialled_again(4000) for _ in range(40)]
    assert max(times) <= 4
    assert min(times) < 1
    assert max(times) > 3


@virtual_time
async def test_client_alone_dials_again_at_once() -> None:
    """Without a spread there is nobody to wait for; also if an older server does not say."""
    assert await dialled_again(0) < 0.01
    assert await dialled_again(None) < 0.01


@virtual_time
async def test_no_server_can_keep_a_client_away_for_long() -> None:
    """Whatever the GOAWAY says, the client dials within 30 seconds."""
    assert max([await dialled_again(2**53 - 1) for _ in range(5)]) <= 30


@virtual_time
async def test_client_that_waits_to_dial_can_be_closed() -> None:
    """Closing a client ends its pause as well."""
    async with ScriptedPeer() as server:
        url = await server.listen("memory://old")
        async with framerpc.connect(url) as client:
            ready = asyncio.create_task(client.ready())
            await server.accept()
            await server.receive_frame()
            server.preamble()
            server.welcome()
            await ready
            server.send_frame([4, "restart", 0, 30_000])
            await soon(lambda: client.state is State.CONNECTING)
            server.close()
        assert now() < 5
