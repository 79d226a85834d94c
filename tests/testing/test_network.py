"""The network with faults: which connections they hit, and what they do to them."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from framerpc.connection import memory
from framerpc.errors import ConfigurationError
from framerpc.testing import Conditions, Network, run, virtual_time
from tests.connection.transport_suite import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable


def now() -> float:
    """Return the loop's time."""
    return asyncio.get_running_loop().time()


class Arrivals(Recorder):
    """Remembers when each piece came, and how long it was."""

    def __init__(self, *, stay_open: bool = False) -> None:
        super().__init__(stay_open=stay_open)
        self.at: list[tuple[float, int]] = []

    def data_received(self, data: bytes) -> None:
        """Remember it."""
        self.at.append((now(), len(data)))
        super().data_received(data)


class Room:
    """A listener on a name, the protocols that it made, and clients of it."""

    def __init__(self, name: str = "room") -> None:
        self.name = name
        self.servers: list[Arrivals] = []
        self.listener = memory.listen(name, self._make, asyncio.get_running_loop())

    def _make(self) -> Arrivals:
        self.servers.append(Arrivals())
        return self.servers[-1]

    async def client(self) -> tuple[asyncio.Transport, Arrivals]:
        """Connect one more client, and wait until the server has it."""
        transport, protocol = await memory.connect(self.name, Arrivals)
        await self.servers[-1].until_call("made")
        return transport, protocol

    def answer(self, data: bytes) -> None:
        """Send from the server's end of the newest connection."""
        server = self.servers[-1].transport
        server.write(data)


@virtual_time
async def test_without_a_fault_bytes_arrive_at_once() -> None:
    """A network that nobody has touched costs no time."""
    with Network():
        room = Room()
        transport, _ = await room.client()
        transport.write(b"hello")
        await room.servers[0].until_received(5)
        assert now() == 0.0


@virtual_time
async def test_delay_is_one_way() -> None:
    """Connecting costs a round trip, bytes arrive after one delay."""
    with Network() as network:
        network.delay(0.5)
        room = Room()
        transport, _ = await room.client()
        assert now() == 1.0
        transport.write(b"hello")
        await room.servers[0].until_received(5)
        assert now() == 1.5


@virtual_time
async def test_delay_in_one_direction_leaves_the_other_alone() -> None:
    """What goes to the client is not delayed by a delay to the server."""
    with Network() as network:
        room = Room()
        transport, client = await room.client()
        network.delay(0.5, direction="to_server")
        room.answer(b"fast")
        await client.until_received(4)
        assert now() == 0.0
        transport.write(b"slow")
        await room.servers[0].until_received(4)
        assert now() == 0.5


@virtual_time
async def test_jitter_keeps_the_order() -> None:
    """However long single pieces are under way, the bytes come in order."""
    with Network(seed=1) as network:
        room = Room()
        transport, _ = await room.client()
        network.delay(0.1, jitter=5.0)
        for number in range(100):
            transport.write(bytes([number]))
            await asyncio.sleep(0.01)
        await room.servers[0].until_received(100)
        assert room.servers[0].received == bytes(range(100))
        assert now() > 1.1


def arrivals_with_jitter(seed: int) -> list[tuple[float, int]]:
    """Return what arrives when, with a random delay."""

    async def main() -> list[tuple[float, int]]:
        with Network(seed=seed) as network:
            room = Room()
            network.delay(0.1, jitter=5.0)
            transport, _ = await room.client()
            for _ in range(10):
                transport.write(b"x")
                await asyncio.sleep(1.0)
            await room.servers[0].until_received(10)
            return room.servers[0].at

    return run(main())


def test_a_seed_decides_everything() -> None:
    """The same seed makes the same network, another one another."""
    assert arrivals_with_jitter(1) == arrivals_with_jitter(1) != arrivals_with_jitter(2)


@virtual_time
async def test_dropped_bytes_arrive_after_healing() -> None:
    """Nothing arrives for an hour, nobody is told, and then everything does, in order."""
    with Network() as network:
        room = Room()
        transport, client = await room.client()
        network.drop()
        transport.write(b"hello ")
        transport.write(b"again")
        room.answer(b"answer")
        await asyncio.sleep(3600)
        assert room.servers[0].calls == client.calls == ["made"]
        network.heal()
        await room.servers[0].until_received(11)
        await client.until_received(6)
        assert (room.servers[0].received, client.received) == (b"hello again", b"answer")


@virtual_time
async def test_half_open_loses_one_direction() -> None:
    """The server hears nothing, and what it says is heard."""
    with Network() as network:
        room = Room()
        transport, client = await room.client()
        network.half_open("to_server")
        transport.write(b"lost")
        room.answer(b"heard")
        await client.until_received(5)
        await asyncio.sleep(3600)
        assert room.servers[0].calls == ["made"]


@virtual_time
async def test_frozen_ends_read_when_they_thaw() -> None:
    """Nothing is read in either direction, and everything after healing."""
    with Network() as network:
        room = Room()
        transport, client = await room.client()
        network.freeze()
        transport.write(b"question")
        room.answer(b"answer")
        await asyncio.sleep(60)
        assert room.servers[0].calls == client.calls == ["made"]
        network.heal()
        await room.servers[0].until_received(8)
        await client.until_received(6)
        assert (room.servers[0].received, client.received) == (b"question", b"answer")


@virtual_time
async def test_dropping_fills_the_writers_buffer() -> None:
    """What does not arrive counts as not consumed, so that the writer pauses."""
    with Network() as network:
        room = Room()
        transport, client = await room.client()
        network.drop()
        transport.write(bytes(100_000))
        assert client.calls == ["made", "pause"]
        assert transport.get_write_buffer_size() == 100_000


@virtual_time
async def test_a_close_is_dropped_as_well() -> None:
    """The goodbye of one side reaches the other after healing."""
    with Network() as network:
        room = Room()
        transport, client = await room.client()
        network.drop()
        transport.close()
        await client.until_call("lost")
        await asyncio.sleep(60)
        assert room.servers[0].calls == ["made"]
        network.heal()
        await room.servers[0].until_call("lost")
        assert room.servers[0].lost_with is None


@virtual_time
async def test_connecting_through_a_hole_waits_for_healing() -> None:
    """A SYN that is lost is sent again: connecting ends when the network is healed."""
    with Network() as network:
        network.drop()
        room = Room()
        asyncio.get_running_loop().call_later(30.0, network.heal)
        await room.client()
        assert now() == 30.0


@virtual_time
async def test_who_waits_to_connect_is_let_through_in_order() -> None:
    """Of twenty who dial through a hole, the first to come is the first to be connected."""
    with Network() as network:
        network.drop()
        room = Room()
        connected: list[int] = []

        async def dial(number: int) -> None:
            await memory.connect(room.name, Arrivals)
            connected.append(number)

        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(dial(number))
            await asyncio.sleep(1)
            network.heal()
        assert connected == list(range(20))


@virtual_time
async def test_connecting_through_a_hole_can_be_given_up() -> None:
    """A timeout ends the waiting, and the server never hears of it."""
    with Network() as network:
        network.drop()
        room = Room()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5.0):
                await room.client()
        network.heal()
        await asyncio.sleep(1)
        assert room.servers == []


@virtual_time
async def test_cut_resets_both_ends() -> None:
    """Both get ConnectionResetError at once; what is under way is lost."""
    with Network() as network:
        network.delay(1.0)
        room = Room()
        transport, client = await room.client()
        started = now()
        transport.write(b"under way")
        network.cut()
        await client.until_call("lost")
        await room.servers[0].until_call("lost")
        assert isinstance(client.lost_with, ConnectionResetError)
        assert isinstance(room.servers[0].lost_with, ConnectionResetError)
        assert (room.servers[0].received, now()) == (b"", started)


@virtual_time
async def test_a_new_connection_can_be_made_after_a_cut() -> None:
    """A cut is an event, not a state."""
    with Network() as network:
        room = Room()
        await room.client()
        network.cut()
        transport, _ = await room.client()
        transport.write(b"hello")
        await room.servers[1].until_received(5)
        assert now() == 0.0


@virtual_time
async def test_down_refuses_connections_until_healed() -> None:
    """A dead server resets what there is and refuses what comes."""
    with Network() as network:
        room = Room()
        _, client = await room.client()
        network.link("room").down()
        await client.until_call("lost")
        with pytest.raises(ConnectionRefusedError, match="memory://room is down"):
            await room.client()
        network.heal()
        await room.client()
        assert len(network.link("room").connections) == 1


@virtual_time
async def test_down_refuses_who_waits_in_a_hole() -> None:
    """A connection that waits for the end of a drop is refused as soon as the server is down."""
    with Network() as network:
        room = Room()
        network.drop()
        asyncio.get_running_loop().call_later(3.0, network.link("room").down)
        with pytest.raises(ConnectionRefusedError):
            await room.client()
        assert now() == 3.0


@virtual_time
async def test_byte_by_byte_delivers_single_bytes() -> None:
    """One byte at a time, in order, in no time, and the end behind the last one."""
    with Network() as network:
        network.byte_by_byte()
        room = Room()
        transport, _ = await room.client()
        transport.write(b"hello")
        transport.close()
        server = room.servers[0]
        await server.until_call("eof")
        assert server.received == b"hello"
        assert server.at == [(0.0, 1)] * 5


@virtual_time
async def test_a_slow_reader_takes_its_time() -> None:
    """1000 bytes at 100 bytes per second are there after exactly 10 s, a tenth of a second each."""
    with Network() as network:
        room = Room()
        transport, client = await room.client()
        network.slow_reader(100.0, direction="to_server")
        transport.write(bytes(1000))
        room.answer(b"fast")
        await client.until_received(4)
        assert now() == 0.0
        server = room.servers[0]
        await server.until_received(1000)
        assert now() == 10.0
        assert server.at[:2] == [(0.1, 10), (0.2, 10)]


@virtual_time
async def test_a_very_slow_reader_takes_single_bytes() -> None:
    """Below ten bytes a second they come one by one: slowloris."""
    with Network() as network:
        room = Room()
        transport, _ = await room.client()
        network.slow_reader(0.5)
        transport.write(b"abc")
        await room.servers[0].until_received(3)
        assert room.servers[0].at == [(2.0, 1), (4.0, 1), (6.0, 1)]


@virtual_time
async def test_a_slow_reader_saves_up_nothing() -> None:
    """After an idle hour, ten bytes still take ten times the time of one."""
    with Network() as network:
        room = Room()
        transport, _ = await room.client()
        network.slow_reader(1.0)
        await asyncio.sleep(3600.0)
        transport.write(bytes(10))
        await room.servers[0].until_received(10)
        assert now() == 3610.0


@virtual_time
async def test_healing_a_slow_reader_releases_the_rest() -> None:
    """What waited arrives at once."""
    with Network() as network:
        room = Room()
        transport, _ = await room.client()
        network.slow_reader(1.0)
        transport.write(bytes(100))
        await asyncio.sleep(10.0)
        network.heal()
        await room.servers[0].until_received(100)
        assert now() == 10.0


@virtual_time
async def test_faults_add_up() -> None:
    """A delay and a rate together cost both times."""
    with Network() as network:
        room = Room()
        transport, _ = await room.client()
        network.delay(3.0)
        network.slow_reader(1.0)
        transport.write(b"abcd")
        await room.servers[0].until_received(4)
        assert now() == 7.0


@virtual_time
async def test_an_abort_overtakes_bytes_and_not_the_delay() -> None:
    """The other end learns of an abort one delay later, and what was under way is lost."""
    with Network() as network:
        room = Room()
        transport, _ = await room.client()
        network.delay(2.0)
        transport.write(b"lost")
        await asyncio.sleep(1.0)
        transport.abort()
        await room.servers[0].until_call("lost")
        assert (room.servers[0].received, now()) == (b"", 3.0)


@virtual_time
async def test_a_fault_of_one_name_leaves_others_alone() -> None:
    """`link(name)` is one address; a URL names it as well."""
    with Network() as network:
        near, far = Room("near"), Room("far")
        network.link("memory://far").delay(1.0)
        assert network.link("far") is network.link("memory://far")
        await near.client()
        assert now() == 0.0
        await far.client()
        assert now() == 2.0


@virtual_time
async def test_one_connection_can_be_hit_alone() -> None:
    """Of two clients of a server, one can lose its connection."""
    with Network() as network:
        room = Room()
        _, first = await room.client()
        _, second = await room.client()
        network.link("room").connections[0].cut()
        await first.until_call("lost")
        await asyncio.sleep(1)
        assert second.calls == ["made"]
        assert [link.number for link in network.link("room").connections] == [2]


@virtual_time
async def test_a_closed_connection_is_forgotten() -> None:
    """Of connections that have ended in any way, none stays in the list."""
    with Network() as network:
        room = Room()
        closed, _ = await room.client()
        aborted, _ = await room.client()
        closed.close()
        aborted.abort()
        await asyncio.sleep(1)
        assert network.link("room").connections == []


@virtual_time
async def test_a_network_that_is_left_has_no_say_any_more() -> None:
    """Connections made after the `with` block are perfect."""
    with Network() as network:
        network.drop()
    room = Room()
    await room.client()
    assert now() == 0.0


@virtual_time
async def test_the_inner_network_counts() -> None:
    """Of two networks, the one entered last has the say."""
    with Network() as outer, Network():
        outer.drop()
        await Room().client()
        assert now() == 0.0


IMPOSSIBLE: list[Callable[[Network], None]] = [
    lambda network: network.delay(-1.0),
    lambda network: network.delay(float("nan")),
    lambda network: network.delay(1.0, jitter=float("inf")),
    lambda network: network.slow_reader(0),
]


@pytest.mark.parametrize("fault", IMPOSSIBLE)
def test_impossible_faults_are_refused(fault: Callable[[Network], None]) -> None:
    """Negative and infinite times, and a reader that reads nothing, are configuration errors."""
    with pytest.raises(ConfigurationError, match="must be finite"):
        fault(Network())


@virtual_time
async def test_a_network_tells_what_is_wrong() -> None:
    """The repr of a connection shows the conditions and the bytes that wait."""
    with Network() as network:
        room = Room()
        transport, _ = await room.client()
        network.drop()
        transport.write(b"12345")
        (link,) = network.link("room").connections
        assert link.halves["to_client"].conditions == Conditions(blocked=True)
        assert "5 bytes waiting" in repr(network.link("room").connections[0])
        assert "1 connections" in repr(network)


def test_faults_reach_connections_of_other_threads() -> None:
    """A connection on loops of other threads can be dropped, healed and cut from this one."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = Recorder()

    async def client() -> None:
        transport, protocol = await memory.connect("thread", Recorder)
        await protocol.until_call("made")
        network.drop()
        transport.write(b"hello")
        await asyncio.to_thread(network.heal)
        received = asyncio.run_coroutine_threadsafe(server.until_received(5), loop)
        await asyncio.wrap_future(received)
        await asyncio.to_thread(network.cut)
        await protocol.until_call("lost")

    try:
        with Network() as network:
            listener = memory.listen("thread", lambda: server, loop)
            asyncio.run(client())
            listener.close()
        asyncio.run_coroutine_threadsafe(server.until_call("lost"), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
    assert (server.received, type(server.lost_with)) == (b"hello", ConnectionResetError)
