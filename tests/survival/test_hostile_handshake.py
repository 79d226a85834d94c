"""Hostile strangers: the handshake, who may be one, and for how long (rows 1, 2, 5, 6, 7, 41)."""

from __future__ import annotations

import asyncio
import gc
import hmac
import socket
import struct

import pytest

import framerpc
from framerpc import ConnectionFailed, Credentials, Limits, Unauthenticated
from framerpc.connection import memory
from framerpc.errors import CloseCode
from framerpc.protocol.handshake import PREAMBLE
from framerpc.server.peer import Peer
from framerpc.testing import ScriptedPeer, VirtualClockLoop, virtual_time
from tests.survival.siege import besieged, frame, request, settled, trapped


def now() -> float:
    return asyncio.get_running_loop().time()


@virtual_time
async def test_silent_stranger_is_sent_away() -> None:
    """Row 1: who says nothing is closed after the handshake timeout, not later."""
    async with besieged(limits=Limits(handshake_timeout=3)) as siege:
        started = now()
        attacker = await siege.stranger()
        await attacker.expect_end()  # without a word: it has not shown that it speaks framerpc
        assert now() - started == pytest.approx(3, abs=0.01)


@virtual_time
async def test_stranger_who_stops_after_the_preamble_is_told() -> None:
    """Row 1: who speaks our language is told why."""
    async with besieged(limits=Limits(handshake_timeout=3)) as siege:
        attacker = await siege.stranger()
        attacker.preamble()
        assert "3 s" in await attacker.expect_close(CloseCode.HANDSHAKE_TIMEOUT)


@virtual_time
async def test_slow_greeting_does_not_buy_time() -> None:
    """Row 2: the deadline of a handshake is absolute, however steadily bytes come."""
    async with besieged(limits=Limits(handshake_timeout=10)) as siege:
        started = now()
        attacker = await siege.stranger()
        for byte in (PREAMBLE + frame(1, {"versions": [1], "agent": "x" * 50}))[:40]:
            if attacker.transport.is_closing() or now() - started > 15:
                break
            attacker.send(bytes([byte]))
            await asyncio.sleep(1)
        assert now() - started == pytest.approx(10, abs=1.01)


@virtual_time
async def test_blocked_server_reads_a_greeting_before_it_is_late() -> None:
    """Fault row 9: who greeted while the server had no turn is let in, who did not is not."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualClockLoop)
    async with besieged(limits=Limits(handshake_timeout=3)) as siege:
        honest, silent = await siege.stranger(), await siege.stranger()
        loop._virtual_time += 5
        loop.call_later(0.01, honest.preamble)
        loop.call_later(0.01, honest.hello)
        assert (await honest.receive_frame())[0] == 2
        await silent.expect_end()


@virtual_time
async def test_slow_server_does_not_hold_a_client() -> None:
    """Row 42: a server that takes the connection and never answers is dialled anew."""
    async with trapped(welcome=False, limits=Limits(handshake_timeout=2)) as trap:
        await trap.server.accept()
        await trap.recovers()


@virtual_time
async def test_greeting_over_its_limit_is_refused_by_its_length() -> None:
    """Row 5: a stranger may not send what a guest may."""
    async with besieged() as siege:
        attacker = await siege.stranger()
        attacker.send(PREAMBLE + (16 * 1024 + 1).to_bytes(4, "big"))
        await attacker.expect_close(CloseCode.FRAME_TOO_LARGE)


@virtual_time
async def test_early_calls_are_bounded() -> None:
    """Row 5: nothing is read of who has not been let in, beyond a bound."""
    never = asyncio.Event()

    async def slow(credentials: Credentials) -> str:
        if credentials.token != "t":
            await never.wait()
        return "me"

    async with besieged(authenticate=slow, limits=Limits(handshake_timeout=5)) as siege:
        attacker = await siege.stranger()
        attacker.preamble()
        attacker.hello()
        attacker.send(b"".join(frame(*request(2 * n + 1)) for n in range(10_000)))
        assert siege.work.started == 0
        await attacker.receive_frame()
        await settled(lambda: not siege.server.peers.strangers)


@pytest.mark.parametrize("bad", [b"\x89FRPC\r\n\x02", b"\x89FRPC\r\n\x00", b"\x89FRPC\r\n\xff"])
@virtual_time
async def test_unknown_version_is_told_the_known_ones(bad: bytes) -> None:
    """Row 6: the CLOSE lists what we speak."""
    async with besieged() as siege:
        attacker = await siege.stranger()
        attacker.send(bad)
        await attacker.expect([3, CloseCode.VERSION, ..., {"versions": [1]}])
        await attacker.expect_end()


@virtual_time
async def test_unknown_version_in_the_greeting_is_told_the_known_ones() -> None:
    """Row 6: the same for who offers only later ones."""
    async with besieged() as siege:
        attacker = await siege.stranger()
        attacker.preamble()
        attacker.hello(versions=[2, 3])
        await attacker.expect([3, CloseCode.VERSION, ..., {"versions": [1]}])


@virtual_time
async def test_client_gives_up_on_a_server_of_another_version() -> None:
    """Row 42: no common version is final, and said so."""
    async with trapped(welcome=False) as trap:
        await trap.server.accept()
        trap.server.send(b"\x89FRPC\r\n\x07")
        with pytest.raises(ConnectionFailed, match="version 7") as caught:
            await trap.client.call("Work/echo", 1)
        assert caught.value.final


@pytest.mark.parametrize(
    "noise", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"\0" * 99]
)
@virtual_time
async def test_foreign_protocol_is_closed_without_an_answer(noise: bytes) -> None:
    """Row 6: who does not speak framerpc gets no bytes to interpret."""
    async with besieged() as siege:
        attacker = await siege.stranger()
        attacker.send(noise)
        await attacker.expect_end()


@pytest.mark.parametrize(
    "options",
    [
        {"versions": []},
        {"versions": [1] * 17},
        {"versions": "1"},
        {"agent": 5},
        {"agent": "x" * 256},
        {"token": b"x"},
        {"ping_ms": 0},
        {"ping_ms": -1},
        {"ping_ms": float("nan")},
        {"limits": {"frame": 1}},
        {"limits": {"calls": 0}},
        {"limits": {"window": 2**31}},
        {"limits": []},
        {"features": [1]},
        {"session": "text"},
    ],
    ids=repr,
)
@virtual_time
async def test_bad_options_of_a_greeting_are_refused(options: dict[str, object]) -> None:
    """Row 20: types and ranges of the greeting are checked."""
    async with besieged() as siege:
        attacker = await siege.stranger()
        attacker.preamble()
        attacker.hello(**options)
        assert "HELLO" in await attacker.expect_close(CloseCode.PROTOCOL_ERROR)


@virtual_time
async def test_strangers_of_one_address_are_bounded_and_leave_nothing() -> None:
    """Row 7: ten thousand connects are turned away one by one, and cost nothing afterwards."""
    limits = Limits(max_unauthenticated=50, handshake_timeout=5)
    async with besieged(limits=limits) as siege:
        crowd: list[asyncio.Transport] = []
        for _ in range(20):
            crowd = [
                (await memory.connect(siege.url.removeprefix("memory://"), asyncio.Protocol))[0]
                for _ in range(500)
            ]
            assert len(siege.server.peers.strangers) <= 50
            await siege.answers()
            for transport in crowd:
                transport.abort()
            await settled(lambda: not siege.server.peers.strangers)
        assert siege.server.statistics()["turned_away"] == 20 * 450
        crowd.clear()
        await asyncio.sleep(6)  # past the deadline of all of them
        gc.collect()
        kept = [o for o in gc.get_objects() if isinstance(o, Peer) and o._server is siege.server]
        assert len(kept) < 5  # the witness, and whom a local variable still holds


async def test_ten_thousand_connects_from_one_address_cost_nothing_afterwards() -> None:
    """Row 7: over real sockets the caps hold at every moment, and others are served meanwhile."""
    limits = Limits(max_unauthenticated_per_address=50)
    async with besieged(url="tcp://127.0.0.1:0", limits=limits) as siege:
        server = siege.server
        place = ("127.0.0.1", int(siege.url.rpartition(":")[2]))
        before = timers()
        for wave in range(1, 101):
            crowd = [connecting(place) for _ in range(100)]
            await settled(lambda seen=100 * wave + 1: arrived(server) == seen)
            assert len(server.peers.strangers) <= 50
            assert server.peers._by_host["127.0.0.1"] <= 50
            for sock in crowd:
                sock.close()
            await settled(lambda: not server.peers.strangers)
            await siege.answers()
        assert server.statistics()["turned_away"] == 100 * 50
        assert not server.peers._by_host
        gc.collect()
        # One for all strangers, and what the witness has.
        assert timers() <= before + 2
        kept = [o for o in gc.get_objects() if isinstance(o, Peer) and o._server is server]
        assert len(kept) < 5


def connecting(place: tuple[str, int]) -> socket.socket:
    """A socket on its way to a server, which will not linger when it is closed."""
    sock = socket.socket()
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.connect_ex(place)
    return sock


def arrived(server: framerpc.Server) -> int:
    """How many connections a server has seen."""
    counted = server.statistics()
    return counted["connections"] + counted["turned_away"]


def timers() -> int:
    """How many timers there are, on whatever loop."""
    return sum(isinstance(thing, asyncio.TimerHandle) for thing in gc.get_objects())


async def test_one_address_cannot_take_all_places() -> None:
    """Row 7: strangers are counted by address, before they say anything."""
    limits = Limits(max_unauthenticated=10, max_unauthenticated_per_address=3)
    async with besieged(url="tcp://127.0.0.1:0", limits=limits) as siege:
        attackers = [await siege.stranger() for _ in range(6)]
        await settled(lambda: siege.server.statistics()["turned_away"] == 3)
        await asyncio.gather(*(attacker.expect_end() for attacker in attackers[3:]))
        assert siege.server.statistics()["strangers"] == 3


@virtual_time
async def test_connections_are_bounded() -> None:
    """Row 7: who comes when the server is full is told, and may come again."""
    async with besieged(limits=Limits(max_connections=2)) as siege:
        await siege.guest()
        late = await siege.stranger()
        late.preamble()
        late.hello()
        assert "2 connections" in await late.expect_close(CloseCode.BUSY)


@virtual_time
async def test_those_who_are_let_in_at_once_are_bounded_too() -> None:
    """Row 7: the bound holds however many are being decided about at the same time."""
    gate = asyncio.Event()

    async def decide(credentials: Credentials) -> str | None:
        if credentials.token is None:
            await gate.wait()
        return credentials.token

    async with besieged(authenticate=decide, limits=Limits(max_connections=2)) as siege:
        for _ in range(5):
            attacker = await siege.stranger()
            attacker.preamble()
            attacker.hello()
        await settled(lambda: len(siege.server.peers._deciding) == 5)
        gate.set()
        await settled(lambda: not siege.server.peers.strangers)
        assert siege.server.statistics()["clients"] == 2


@virtual_time
async def test_server_that_stops_leaves_no_decision_behind() -> None:
    """P6: a stranger that is being decided about when the server stops leaves no task."""
    never = asyncio.Event()

    async def decide(_: Credentials) -> None:
        await never.wait()

    before = asyncio.all_tasks()
    server = framerpc.Server(authenticate=decide)
    async with server.listen("memory://deciding", grace=0), ScriptedPeer() as attacker:
        await attacker.connect("memory://deciding")
        attacker.preamble()
        attacker.hello()
        await settled(lambda: server.peers._deciding)
        await server.close(grace=0)
        assert asyncio.all_tasks() == before
        await attacker.expect_close(CloseCode.SHUTDOWN)


@pytest.mark.parametrize("token", [None, "", "secre", "secret\0", "secretsecret", "x" * 9000])
@virtual_time
async def test_wrong_token_is_refused_whatever_its_length(token: str | None) -> None:
    """Row 41: only the right token is let in, and the refusal says nothing about it."""

    def decide(credentials: Credentials) -> str:
        given = credentials.token or ""
        if given != "t" and not hmac.compare_digest(given.encode(), b"secret"):
            raise Unauthenticated("unknown token")
        return "me"

    async with besieged(authenticate=decide) as siege:
        attacker = await siege.stranger()
        attacker.preamble()
        attacker.hello(**({} if token is None else {"token": token}))
        attacker.send_frame(request(1, "Work/sleep", 1))
        assert await attacker.expect_close(CloseCode.UNAUTHENTICATED) == "unknown token"
        assert siege.work.started == 0


@pytest.mark.parametrize("error", [ValueError("the secret is 42"), SystemExit(3), KeyError("42")])
@virtual_time
async def test_authenticate_that_fails_refuses_without_its_text(error: BaseException) -> None:
    """Row 41: whatever `authenticate` raises ends that connection only, and stays here."""

    async def decide(credentials: Credentials) -> str:
        if credentials.token != "t":
            raise error
        return "me"

    async with besieged(authenticate=decide) as siege:
        attacker = await siege.stranger()
        attacker.preamble()
        attacker.hello()
        assert "42" not in await attacker.expect_close(CloseCode.UNAUTHENTICATED)
