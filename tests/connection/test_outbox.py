"""What waits for a peer that does not read: how much may, and what happens to the rest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgpack
import pytest
import tenacity

import framerpc
from framerpc import Limits
from framerpc.errors import Status
from framerpc.protocol.kinds import PART_SIZE
from framerpc.testing import Network, virtual_time
from tests.services import Work, pair, soon
from tests.survival.siege import besieged, request

MIB = 1 << 20
TAKES_ALL = {"limits": {"message": 16 * MIB, "frame": MIB, "calls": 100, "window": MIB}}


def outbox_of(client: framerpc.Client) -> Any:
    """The outbox of a client's connection."""
    pool = client._core.pool
    assert pool is not None
    assert pool.only is not None
    assert pool.only.connection is not None
    return pool.only.connection.outbox


@virtual_time
async def test_answer_without_room_is_replaced_by_an_error() -> None:
    """Two of five answers fit; the others say so, as executed, and no other call is hurt."""

    async def long() -> bytes:
        return bytes(MIB)

    async with besieged(limits=Limits(max_outbox=5 * MIB // 2)) as siege:
        siege.server.method(long)
        attacker = await siege.guest(**TAKES_ALL)
        attacker.transport.pause_reading()
        for n in range(1, 11, 2):
            attacker.send_frame(request(n, "long", body=msgpack.packb([])))
        await siege.answers()
        await soon(lambda: siege.server.counters.failed_calls == 3)
        (peer,) = (peer for peer in siege.server.peers.welcome if peer.calls)
        assert peer.connection.outbox.bulk <= 5 * MIB // 2
        attacker.transport.resume_reading()
        received = dict.fromkeys(range(1, 11, 2), 0)
        while sum(received.values()) < 2 * MIB:
            kind, call_id, *fields = await attacker.receive_frame()
            if kind == 17:
                received[call_id] += len(fields[0])
            elif kind == 10:
                assert fields[:2] == [Status.RESOURCE_EXHAUSTED, 2]
                assert "Limits.max_outbox is 2621440 bytes" in fields[2]
        assert sorted(received.values()) == [0, 0, 0, MIB, MIB]


@virtual_time
async def test_one_answer_may_be_longer_than_the_bound() -> None:
    """A bound below `Limits.max_message` refuses nobody who waits alone."""
    async with pair(framerpc.Server(Work(), limits=Limits(max_outbox=100_000))) as client:
        assert await client.call("Work/echo", bytes(MIB)) == bytes(MIB)


@virtual_time
async def test_requests_wait_for_room() -> None:
    """No more arguments are queued than may wait; all calls are answered in the end."""
    with Network() as network:
        async with pair(framerpc.Server(Work()), limits=Limits(max_outbox=3 * MIB)) as client:
            network.half_open("to_server")
            calls = [asyncio.ensure_future(client.call("Work/echo", bytes(MIB))) for _ in range(9)]
            await asyncio.sleep(1)
            assert 2 * MIB < outbox_of(client).bulk <= 3 * MIB
            network.heal()
            assert await asyncio.gather(*calls) == [bytes(MIB)] * 9
            assert outbox_of(client).bulk == 0


@virtual_time
async def test_small_calls_pass_those_that_wait_for_room() -> None:
    """Room is short for long bodies only."""
    async with pair(framerpc.Server(Work()), limits=Limits(max_outbox=MIB)) as client:
        long = [asyncio.ensure_future(client.call("Work/echo", bytes(MIB))) for _ in range(3)]
        await asyncio.sleep(0)
        assert outbox_of(client).bulk > MIB  # one alone, with its few bytes around
        assert await client.call("Work/echo", "small") == "small"
        assert not any(call.done() for call in long)
        await asyncio.gather(*long)


@virtual_time
async def test_request_without_room_ends_at_its_deadline() -> None:
    """Waiting for room is waiting to be sent: nothing was executed."""
    with Network() as network:
        server = framerpc.Server(Work())
        async with pair(server, limits=Limits(max_outbox=MIB), timeout=5) as client:
            network.half_open("to_server")
            first = asyncio.ensure_future(client.call("Work/echo", bytes(MIB)))
            await asyncio.sleep(0)
            with pytest.raises(framerpc.DeadlineExceeded) as caught:
                await client.call("Work/echo", bytes(MIB))
            assert caught.value.executed == "no"
            assert isinstance((await asyncio.gather(first, return_exceptions=True))[0], Exception)
            network.heal()


@virtual_time
async def test_cancelled_request_makes_room() -> None:
    """What a caller has given up holds nobody up."""
    with Network() as network:
        async with pair(framerpc.Server(Work()), limits=Limits(max_outbox=MIB)) as client:
            network.half_open("to_server")
            first = asyncio.ensure_future(client.call("Work/echo", bytes(MIB)))
            await asyncio.sleep(0)
            second = asyncio.ensure_future(client.call("Work/echo", bytes(MIB + 1)))
            await asyncio.sleep(1)
            assert outbox_of(client).bulk < MIB + 100
            network.heal()
            first.cancel()
            assert len(await second) == MIB + 1


@virtual_time
async def test_notifications_wait_for_room() -> None:
    """The end of one lets the next one go, though nothing is answered."""
    server = framerpc.Server()
    sizes: list[int] = []

    @server.method
    async def take(data: bytes) -> None:
        sizes.append(len(data))

    async with pair(server, limits=Limits(max_outbox=200_000)) as client:
        await asyncio.gather(*(client.notify("take", bytes(200_000 + n)) for n in range(4)))
        await soon(lambda: len(sizes) == 4)
        assert sizes == [200_000, 200_001, 200_002, 200_003]


@virtual_time
async def test_items_wait_for_room() -> None:
    """Long items of several uploads and downloads share the bound, and all arrive."""

    async def items() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield bytes(MIB)

    server = framerpc.Server(Work(), limits=Limits(max_outbox=2 * MIB, stream_window=8 * MIB))
    most = 0

    @server.method
    async def count_bytes(stream: AsyncIterator[bytes]) -> int:
        return sum([len(item) async for item in stream])

    async with pair(server, limits=Limits(max_outbox=2 * MIB, stream_window=8 * MIB)) as client:

        async def download() -> int:
            nonlocal most
            total = 0
            async for item in client.stream("Work/count", 3, size=MIB):
                total += len(item)
                (peer,) = server.peers.welcome
                most = max(most, outbox_of(client).bulk, peer.connection.outbox.bulk)
            return total

        uploads = [client.call("count_bytes", items()) for _ in range(4)]
        downloads = [download() for _ in range(4)]
        assert await asyncio.gather(*uploads, *downloads) == [3 * MIB] * 8
        assert MIB < most <= 2 * MIB


@framerpc.service
class Sizes:
    @framerpc.method
    async def size(self, value: bytes) -> int:
        return len(value)


async def test_a_long_body_waits_for_a_peer_that_does_not_read() -> None:
    """On a real socket too: what the kernel does not take stays within the bounds, not in between."""
    server = framerpc.Server(Sizes())
    async with server.listen("tcp://127.0.0.1:0", grace=0), framerpc.connect(server.url) as client:
        await client.ready()
        (peer,) = server.peers.welcome
        transport: Any = peer.connection._transport
        transport.pause_reading()
        call = asyncio.create_task(client.stub(Sizes).size(bytes(12 * MIB)))
        outbox = outbox_of(client)
        await soon(lambda: outbox.paused is not None)
        assert outbox.queued < MIB
        assert outbox.bulk > 12 * MIB
        call.cancel()


async def test_a_connection_that_is_cut_while_a_body_leaves_hurts_no_other() -> None:
    """Nothing is written to a socket whose number the next connection has."""
    server = framerpc.Server(Sizes())
    async with (
        server.listen("tcp://127.0.0.1:0"),
        framerpc.connect(server.url, reconnect=tenacity.wait_none(), timeout=5) as client,
    ):
        await client.ready()
        for _ in range(3):
            call = asyncio.create_task(client.stub(Sizes).size(bytes(2 * PART_SIZE)))
            await asyncio.sleep(0)
            await client.drop_connections()  # its parts would leave in the next turn
            with pytest.raises(framerpc.ConnectionLost):
                await call
            assert await client.stub(Sizes).size(b"abc") == 3
