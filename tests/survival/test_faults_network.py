"""What the world does to one client and one server (rows 3 to 9, 14, 21, 22, 25, 26, 29, 30)."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

import framerpc
from framerpc import ConnectionFailed, ConnectionLost, DeadlineExceeded, Keepalive, Limits
from framerpc.codecs import packb
from framerpc.testing import Network, ScriptedPeer, VirtualClockLoop, virtual_time
from tests.services import Work
from tests.survival.siege import besieged, frame, request, settled, trapped

QUICK = Keepalive(interval=2, timeout=1)


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize("direction", ["to_server", "to_client", None])
@virtual_time
async def test_dead_link_is_noticed_by_both_sides(direction: Any) -> None:
    """Rows 3 and 14: calls end within one interval and its timeout, and service returns."""
    with Network() as network:
        async with besieged(keepalive=QUICK) as siege:
            async with framerpc.connect(siege.url, keepalive=QUICK, timeout=60) as client:
                await client.ready()
                started = now()
                call = asyncio.create_task(client.call("Work/sleep", 50))
                await siege.work.entered.wait()
                if direction is None:
                    network.drop()
                else:
                    network.half_open(direction)
                with pytest.raises((ConnectionLost, DeadlineExceeded)) as caught:
                    await call
                assert caught.value.executed == "maybe"
                assert now() - started <= 2 * (2 + 1) + 0.1
                await asyncio.sleep(10)
                assert siege.work.finished == 0
                network.heal()
                await client.ready()
                assert await client.call("Work/echo", "back") == "back"


@virtual_time
async def test_stalled_reader_costs_nobody_else() -> None:
    """Row 4: while one client does not read, the others are answered at once."""
    with Network() as network:
        async with besieged(limits=Limits(write_timeout=3)) as siege:
            async with framerpc.connect(siege.url, timeout=30, keepalive=QUICK) as client:
                await client.ready()
                link = network.link(siege.url.removeprefix("memory://")).connections[-1]
                link.half_open("to_client")
                calls = [client.call("Work/echo", b"x" * 60_000) for _ in range(16)]
                waiting = asyncio.gather(*calls, return_exceptions=True)
                for _ in range(20):
                    await siege.answers()
                    await asyncio.sleep(0.5)
                await settled(lambda: siege.server.statistics()["calls_in_flight"] == 0)
                link.heal()
                assert all(not isinstance(e, AssertionError) for e in await waiting)


@virtual_time
async def test_reset_in_the_middle_ends_calls_with_a_typed_error() -> None:
    """Row 5: calls in flight, streams and uploads all end with ConnectionLost, once."""

    async def upload() -> Any:
        while True:
            yield 1
            await asyncio.sleep(0.1)

    with Network() as network:
        async with besieged() as siege, framerpc.connect(siege.url) as client:
            await client.ready()
            ticks = client.stream("Work/ticks", 10.0)
            assert await anext(ticks) == 0
            calls = [
                asyncio.create_task(client.call("Work/sleep", 60)),
                asyncio.create_task(client.call("Work/total", upload())),
                asyncio.ensure_future(anext(ticks)),
            ]
            await asyncio.sleep(1)
            network.cut()
            for result in await asyncio.gather(*calls, return_exceptions=True):
                assert isinstance(result, ConnectionLost)
                assert result.executed == "maybe"
            await client.ready()
            await siege.witness.ready()


async def test_reset_while_answers_wait_ends_them_and_the_drain() -> None:
    """Row 5: ECONNRESET among queued answers and items closes once, and a drain waits no longer."""
    reason: list[BaseException] = []
    entered = asyncio.Event()

    async def long() -> bytes:
        return bytes(3_000_000)

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield bytes(60_000)
                entered.set()
        except BaseException as exc:
            reason.append(exc)
            raise

    server = framerpc.Server()
    server.method(long)
    server.method(endless)
    await server.start("tcp://127.0.0.1:0")
    async with ScriptedPeer() as attacker:
        await attacker.connect(server.url)
        attacker.preamble()
        attacker.hello(limits={"message": 2**24, "window": 2**24})
        await attacker.receive_frame()
        attacker.transport.pause_reading()
        attacker.send_frame(request(1, "endless", flags=1, timeout_ms=None, body=packb([])))
        for n in range(3, 23, 2):
            attacker.send_frame(request(n, "long", body=packb([])))
        await entered.wait()
        (peer,) = server.peers.welcome
        await settled(lambda: peer.connection.outbox.paused is not None)
        closing = asyncio.create_task(server.close(grace=60))
        await settled(lambda: server.draining)
        sock: Any = attacker.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        attacker.abort()
        await asyncio.wait_for(closing, 5)
        assert peer.connection.closed.done()
        assert not peer.calls
        assert len(reason) == 1


@virtual_time
async def test_refused_then_up() -> None:
    """Row 6: a client that came before its server is served as soon as that is there."""
    async with framerpc.connect("memory://not-yet", timeout=60) as client:
        call = asyncio.create_task(client.call("Work/echo", 1))
        await asyncio.sleep(5)
        assert client.state is framerpc.State.CONNECTING
        async with framerpc.Server(Work()).listen("memory://not-yet", grace=0):
            assert await call == 1


@virtual_time
async def test_connection_that_does_not_last_does_not_make_a_storm() -> None:
    """Row 6: a server that welcomes and hangs up is dialled with pauses that grow."""
    async with trapped(welcome=False) as trap:
        for _ in range(6):
            await trap.accept()
            await asyncio.sleep(0.01)
            trap.server.close()
        assert now() > 0.1


@virtual_time
async def test_wall_clock_decides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 8: deadlines and keepalives do not move with the wall clock."""
    async with besieged(keepalive=QUICK) as siege:
        call = asyncio.create_task(siege.witness.with_options(timeout=5).call("Work/sleep", 4))
        await asyncio.sleep(1)
        wall = time.time()
        for jump in (3600, -3600):
            monkeypatch.setattr(time, "time", lambda jump=jump: wall + jump)
            await siege.answers()
            await asyncio.sleep(1)
        assert await call == 4


@virtual_time
async def test_blocked_loop_drops_nobody() -> None:
    """Row 9: after five seconds without a turn, replies that have arrived still count."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualClockLoop)
    async with besieged(keepalive=QUICK) as siege:
        for _ in range(3):
            call = asyncio.create_task(siege.witness.call("Work/echo", "x"))
            await asyncio.sleep(0)
            loop._virtual_time += 5  # what a `time.sleep(5)` does to the loop
            assert await call == "x"
        await asyncio.sleep(10)
        assert siege.server.statistics()["connections"] == 1


@pytest.mark.parametrize("seed", range(5))
@virtual_time
async def test_lossy_link_carries_calls_streams_and_cancellations(seed: int) -> None:
    """Row 21: at 1 KB/s, 300 ms and late packets everything ends in time, on one connection."""
    ended: list[float] = []

    async def numbers() -> AsyncIterator[int]:
        for n in range(20):
            yield n

    with Network(seed=seed) as network:
        patient = Keepalive(interval=4, timeout=3)  # an answer may take 2.4 s
        async with (
            besieged(keepalive=patient, limits=Limits(write_timeout=5)) as siege,
            framerpc.connect(siege.url, keepalive=patient) as client,
        ):
            await client.ready()
            link = network.link(siege.url.removeprefix("memory://")).connections[-1]
            link.slow_reader(1000)
            link.delay(0.3, jitter=0.9)  # what is lost comes a second later
            started = now()
            large = asyncio.create_task(
                client.with_options(timeout=60).call("Work/echo", b"x" * 900_000)
            )
            large.add_done_callback(lambda _: ended.append(now() - started))
            with pytest.raises(DeadlineExceeded):
                await client.with_options(timeout=20).call("Work/sleep", 100)
            assert now() - started <= 20.1
            assert await client.with_options(timeout=500).call("Work/total", numbers()) == 190
            with pytest.raises(DeadlineExceeded):
                await large
            assert ended[0] <= 60.1
            assert [n async for n in client.stream("Work/count", 10)] == list(range(10))
            assert client.state is framerpc.State.READY
            assert siege.server.statistics()["connections"] == 2
            link.heal()


@virtual_time
async def test_slow_link_is_not_a_dead_one() -> None:
    """Row 21: at 1 KB/s a large call ends by its deadline, and the connection stays."""
    with Network() as network:
        async with besieged(keepalive=QUICK, limits=Limits(write_timeout=5)) as siege:
            network.slow_reader(1000)
            network.delay(0.3)
            large = siege.witness.with_options(timeout=100)
            with pytest.raises(DeadlineExceeded):
                await large.call("Work/echo", b"x" * 500_000)
            assert siege.server.statistics()["connections"] == 1
            network.heal()
            await asyncio.sleep(1)


async def test_address_in_use_is_a_clean_error() -> None:
    """Row 22: a second server at the same address says so, and leaves nothing behind."""
    async with besieged(url="tcp://127.0.0.1:0") as siege:
        with pytest.raises(OSError, match="cannot listen on"):
            await framerpc.Server().start(siege.url)


@virtual_time
async def test_restarted_server_is_told_apart() -> None:
    """Row 22: a server that comes back at its address has another instance."""
    seen = []
    async with framerpc.connect("memory://restarts", timeout=60) as client:
        for _ in range(2):
            async with framerpc.Server(Work()).listen("memory://restarts", grace=0):
                assert await client.call("Work/echo", 1) == 1
                pool = client._core.pool
                assert pool is not None
                assert pool.only is not None
                assert pool.only.connection is not None
                assert pool.only.connection.wire.reply is not None
                seen.append(pool.only.connection.wire.reply.instance)
    assert seen[0] != seen[1]


class Bad:
    pass


async def broken(how: str) -> Any:
    match how:
        case "unencodable":
            return Bad()
        case "cancels itself":
            raise asyncio.CancelledError
        case "hangs":
            await asyncio.get_running_loop().create_future()
        case "exits":
            raise SystemExit(3)
        case "interrupts":
            raise KeyboardInterrupt
        case "recurses":
            return await broken("recurses")
    raise ValueError(how)


@pytest.mark.parametrize(
    "how", ["raises", "unencodable", "cancels itself", "hangs", "exits", "interrupts", "recurses"]
)
@virtual_time
async def test_broken_handler_ends_its_call_only(how: str) -> None:
    """Row 25: whatever a handler does, its caller gets a typed error and the server lives."""
    async with besieged() as siege:
        siege.server.method(broken)
        with pytest.raises(framerpc.FrameRPCError):
            await siege.witness.with_options(timeout=2).call("broken", how)


@pytest.mark.parametrize(
    "how", ["raises", "unencodable", "cancels itself", "hangs", "exits", "interrupts", "recurses"]
)
@virtual_time
async def test_broken_stream_ends_its_call_only(how: str) -> None:
    """Row 25: what came before arrives, then a typed error; the server lives."""
    async with besieged() as siege:

        @siege.server.method
        async def broken_stream(how: str) -> AsyncIterator[Any]:
            yield 1
            yield await broken(how)

        items = siege.witness.with_options(timeout=2).stream("broken_stream", how)
        assert await anext(items) == 1
        with pytest.raises(framerpc.FrameRPCError):
            await anext(items)


def broken_in_thread(how: str) -> Any:
    match how:
        case "unencodable":
            return Bad()
        case "cancels itself":
            raise asyncio.CancelledError
        case "exits":
            raise SystemExit(3)
        case "interrupts":
            raise KeyboardInterrupt
        case "recurses":
            return broken_in_thread("recurses")
    raise ValueError(how)


@pytest.mark.parametrize(
    "how", ["raises", "unencodable", "cancels itself", "exits", "interrupts", "recurses"]
)
@virtual_time
async def test_broken_function_ends_its_call_only(how: str) -> None:
    """Row 25: the only thread there is survives whatever a plain function does in it."""
    async with besieged(limits=framerpc.Limits(max_threads=1, max_waiting_threads=1)) as siege:
        siege.server.method(broken_in_thread)
        for _ in range(3):
            with pytest.raises(framerpc.FrameRPCError):
                await siege.witness.call("broken_in_thread", how)
        assert [n async for n in siege.witness.stream("Work/count_in_thread", 3)] == [0, 1, 2]


@pytest.mark.parametrize("turns", range(12))
@virtual_time
async def test_cancelling_anywhere_mixes_nothing_up(turns: int) -> None:
    """Row 26: wherever a call is cancelled, later answers reach their own callers."""
    async with besieged() as siege:
        client = siege.witness
        for n in range(20):
            call = asyncio.create_task(client.call("Work/echo", f"cancelled {n}"))
            for _ in range(turns):
                await asyncio.sleep(0)
            call.cancel()
            others = await asyncio.gather(*(client.call("Work/echo", (n, m)) for m in range(5)))
            assert others == [[n, m] for m in range(5)]
            await asyncio.wait([call])
        await settled(lambda: client.statistics()["calls_in_flight"] == 0)


@virtual_time
async def test_cancel_is_sent_once() -> None:
    """Row 26: however often the caller is cancelled, the server is told once."""
    async with trapped() as trap:
        call = await trap.call()
        for _ in range(3):
            call.cancel()
            await asyncio.sleep(0)
        await trap.server.expect([11, 1, 0])
        trap.server.send_frame([12, 1, 0])
        second = asyncio.create_task(trap.client.call("Work/echo", 2))
        assert (await trap.server.receive_frame())[0] == 8
        trap.server.send_frame([9, 3, packb(2)])
        assert await second == 2


@virtual_time
async def test_idle_link_carries_a_byte_before_a_nat_forgets_it() -> None:
    """Row 29: with the default options no minute passes without a byte."""
    async with besieged() as siege:
        guest = await siege.guest()
        for _ in range(5):
            started = now()
            await guest.expect([5, ..., ...])
            assert now() - started <= 25
            guest.send(frame(6, 0, None))


@virtual_time
async def test_newer_peers_are_understood() -> None:
    """Row 30: options, features and fields of a later version are ignored by both sides."""
    later = {"features": ["teleport"], "colour": {"deep": [1]}}
    async with besieged() as siege:
        await siege.guest(**{**later, "versions": [1, 2, 9]})
    async with trapped(welcome=False) as trap:
        ready = asyncio.create_task(trap.client.ready())
        await trap.accept(**later)
        await ready
        trap.server.send(frame(100, "what") + frame(6, 0, None, "more"))
        call = await trap.call()
        trap.server.send_frame([9, 1, packb("fine"), "more"])
        assert await call == "fine"


@virtual_time
async def test_server_that_goes_silent_in_the_handshake_is_given_up() -> None:
    """Row 3: a half-open link that dies before the welcome is dialled anew."""
    with Network() as network:
        async with besieged() as siege, framerpc.connect(siege.url, timeout=100) as client:
            await asyncio.sleep(0)
            network.half_open("to_client")
            call = asyncio.create_task(client.call("Work/echo", 1))
            await asyncio.sleep(40)
            network.heal()
            try:
                assert await call == 1
            except ConnectionLost as error:
                assert error.executed == "maybe"
            await client.ready()


async def test_failed_connect_leaves_nothing() -> None:
    """Row 6: a port where nobody listens is a typed error that names it."""
    async with ScriptedPeer() as nobody:
        url = await nobody.listen("tcp://127.0.0.1:0")
    async with framerpc.connect(url, timeout=0.2) as client:
        with pytest.raises((DeadlineExceeded, ConnectionFailed)) as caught:
            await client.call("Work/echo", 1)
        assert caught.value.executed == "no"
