"""The in-memory transport, beside TCP's: the shared suite, and what only memory can do."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from typing import TYPE_CHECKING, Any, cast

import pytest
import uvloop

from framerpc.connection import memory
from framerpc.connection.memory_link import Link
from framerpc.testing import Unhandled, run, virtual_time
from tests.connection.transport_suite import Joined, Recorder, TransportSuite

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator


async def _join_over_memory(client: asyncio.BaseProtocol, server: asyncio.BaseProtocol) -> Joined:
    ours, theirs = memory.pair(client, server)
    await asyncio.sleep(0)
    return ours, theirs


async def _join_over_tcp(client: asyncio.BaseProtocol, server: asyncio.BaseProtocol) -> Joined:
    loop = asyncio.get_running_loop()
    accepted: asyncio.Future[asyncio.Transport] = loop.create_future()

    class First(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            theirs = cast("asyncio.Transport", transport)
            theirs.set_protocol(server)
            server.connection_made(theirs)
            accepted.set_result(theirs)

    listener = await loop.create_server(First, "127.0.0.1", 0)
    host, port = listener.sockets[0].getsockname()
    ours, _ = await loop.create_connection(lambda: client, host, port)
    theirs = await accepted
    listener.close()
    return ours, theirs


class TestMemory(TransportSuite):
    """The suite over memory, on a virtual clock."""

    def run(self, main: Coroutine[Any, Any, None]) -> None:
        """Run a test on a new loop."""
        run(main)

    async def make(self, client: asyncio.BaseProtocol, server: asyncio.BaseProtocol) -> Joined:
        """Join two protocols."""
        return await _join_over_memory(client, server)


class TestMemoryOnUvloop(TransportSuite):
    """The suite over memory, on uvloop."""

    def run(self, main: Coroutine[Any, Any, None]) -> None:
        """Run a test on a new loop."""
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main)

    async def make(self, client: asyncio.BaseProtocol, server: asyncio.BaseProtocol) -> Joined:
        """Join two protocols."""
        return await _join_over_memory(client, server)


class TestTcp(TransportSuite):
    """The suite over TCP on loopback: it asks of memory nothing that asyncio's TCP does not do."""

    def run(self, main: Coroutine[Any, Any, None]) -> None:
        """Run a test on a new loop."""
        asyncio.run(main)

    async def make(self, client: asyncio.BaseProtocol, server: asyncio.BaseProtocol) -> Joined:
        """Join two protocols."""
        return await _join_over_tcp(client, server)


class TestTcpOnUvloop(TransportSuite):
    """The suite over TCP on loopback, on uvloop."""

    def run(self, main: Coroutine[Any, Any, None]) -> None:
        """Run a test on a new loop."""
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main)

    async def make(self, client: asyncio.BaseProtocol, server: asyncio.BaseProtocol) -> Joined:
        """Join two protocols."""
        return await _join_over_tcp(client, server)


@virtual_time
async def test_abort_breaks_the_connection_for_the_other_end() -> None:
    """What has not arrived is lost, and the other end gets ConnectionResetError."""
    client, server = Recorder(), Recorder()
    ours, _ = await _join_over_memory(client, server)
    ours.write(b"lost")
    ours.abort()
    await server.until_call("lost")
    assert isinstance(server.lost_with, ConnectionResetError)
    assert server.received == b""


@virtual_time
async def test_what_is_written_counts_until_it_is_consumed() -> None:
    """The buffer's size falls when the other protocol has the bytes, not before."""
    client, server = Recorder(), Recorder()
    ours, _ = await _join_over_memory(client, server)
    ours.write(b"12345")
    before = ours.get_write_buffer_size()
    await server.until_received(5)
    assert (before, ours.get_write_buffer_size()) == (5, 0)


@virtual_time
async def test_resume_writing_comes_at_the_low_water_mark() -> None:
    """With marks of 10 and 4 bytes, 11 bytes pause, and 4 left are few enough to resume."""

    class PausesAfterSeven(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if len(self.received) == 7:
                theirs.pause_reading()

    client, server = Recorder(), PausesAfterSeven()
    ours, theirs = await _join_over_memory(client, server)
    ours.set_write_buffer_limits(high=10, low=4)
    ours.write(b"1234567")
    ours.write(b"8901")
    assert client.calls == ["made", "pause"]
    await client.until_call("resume")
    assert ours.get_write_buffer_size() == 4


@virtual_time
async def test_lowering_the_high_water_mark_pauses_at_once() -> None:
    """A buffer that is over the new mark pauses the protocol."""
    client, server = Recorder(), Recorder()
    ours, _ = await _join_over_memory(client, server)
    ours.write(b"12345")
    ours.set_write_buffer_limits(high=4)
    assert client.calls == ["made", "pause"]


@virtual_time
async def test_close_waits_for_a_reader_that_is_far_behind() -> None:
    """With a megabyte not consumed, the connection ends only when most of it is."""
    client, server = Recorder(), Recorder()
    ours, theirs = await _join_over_memory(client, server)
    theirs.pause_reading()
    ours.write(bytes(1_000_000))
    ours.close()
    await asyncio.sleep(3600)
    assert client.calls == ["made", "pause"]
    theirs.resume_reading()
    await client.until_call("lost")
    await server.until_call("lost")
    assert len(server.received) == 1_000_000


@virtual_time
async def test_close_does_not_wait_for_a_few_bytes() -> None:
    """As a kernel would, the transport takes up to 64 KiB off the hands of who closes."""
    client, server = Recorder(), Recorder()
    ours, theirs = await _join_over_memory(client, server)
    theirs.pause_reading()
    ours.write(bytes(65536))
    ours.close()
    await client.until_call("lost")
    theirs.resume_reading()
    await server.until_call("lost")
    assert len(server.received) == 65536


@virtual_time
async def test_one_who_writes_on_to_a_closed_end_is_reset() -> None:
    """An end that stays open after the other's goodbye learns that nobody listens."""
    client, server = Recorder(), Recorder(stay_open=True)
    ours, theirs = await _join_over_memory(client, server)
    ours.close()
    await server.until_call("eof")
    theirs.write(b"anybody there?")
    await server.until_call("lost")
    assert isinstance(server.lost_with, ConnectionResetError)


@virtual_time
async def test_a_protocol_may_pause_between_two_buffers() -> None:
    """What did not fit into a buffer waits for `resume_reading`."""

    class OneBuffer(asyncio.BufferedProtocol):
        buffer = bytearray(3)
        received = b""

        def get_buffer(self, sizehint: int) -> bytearray:
            del sizehint
            return self.buffer

        def buffer_updated(self, nbytes: int) -> None:
            self.received += self.buffer[:nbytes]
            theirs.pause_reading()

    client, server = Recorder(), OneBuffer()
    ours, theirs = await _join_over_memory(client, server)
    ours.write(b"123456")
    await asyncio.sleep(1)
    assert server.received == b"123"
    theirs.resume_reading()
    await asyncio.sleep(1)
    assert server.received == b"123456"


@virtual_time
async def test_a_protocol_may_close_between_two_buffers() -> None:
    """A protocol that has closed is given nothing more."""

    class ClosesOnData(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            theirs.close()

    client, server = Recorder(), ClosesOnData()
    ours, theirs = await _join_over_memory(client, server)
    ours.write(b"first")
    ours.write(b"second")
    await client.until_call("lost")
    assert server.received == b"first"
    assert ours.get_write_buffer_size() == 0


def test_a_protocol_that_fails_on_bytes_loses_its_connection() -> None:
    """Its error is reported, it is told, and the other end is reset."""
    client = Recorder()

    class Fails(Recorder):
        def data_received(self, data: bytes) -> None:
            raise ValueError(bytes(data))

    async def main() -> None:
        server = Fails()
        ours, _ = await _join_over_memory(client, server)
        ours.write(b"abc")
        await server.until_call("lost")
        assert isinstance(server.lost_with, ValueError)
        await client.until_call("lost")

    with pytest.raises(Unhandled, match="the protocol failed on what it received"):
        run(main())
    assert isinstance(client.lost_with, ConnectionResetError)


def test_an_empty_buffer_is_an_error_of_the_protocol() -> None:
    """A BufferedProtocol without room loses its connection instead of spinning."""

    class NoRoom(asyncio.BufferedProtocol):
        def get_buffer(self, sizehint: int) -> bytearray:
            return bytearray(sizehint * 0)

    async def main() -> None:
        client = Recorder()
        ours, _ = await _join_over_memory(client, NoRoom())
        ours.write(b"abc")
        await client.until_call("lost")

    with pytest.raises(Unhandled, match="empty buffer"):
        run(main())


def test_an_error_in_eof_received_breaks_the_connection() -> None:
    """It is reported, and the connection ends."""

    class Fails(Recorder):
        def eof_received(self) -> bool:
            raise ValueError

    async def main() -> None:
        client, server = Recorder(), Fails()
        ours, _ = await _join_over_memory(client, server)
        ours.write_eof()
        await server.until_call("lost")
        await client.until_call("lost")

    with pytest.raises(Unhandled, match="eof_received"):
        run(main())


def test_an_error_in_pause_writing_breaks_nothing() -> None:
    """It is reported, and the bytes arrive all the same."""

    class Fails(Recorder):
        def pause_writing(self) -> None:
            raise ValueError

    async def main() -> None:
        client, server = Fails(), Recorder()
        ours, _ = await _join_over_memory(client, server)
        ours.write(bytes(100_000))
        await server.until_received(100_000)

    with pytest.raises(Unhandled, match="flow control"):
        run(main())


@virtual_time
async def test_a_link_can_be_replaced() -> None:
    """Whoever makes the pair chooses what lies between the ends."""

    class Shouting(Link):
        def send(self, data: bytes) -> None:
            super().send(data.upper())

    client, server = Recorder(), Recorder()
    ours, theirs = memory.pair(client, server, (Shouting(), Link()))
    await client.until_call("made")
    ours.write(b"abc")
    theirs.write(b"abc")
    await server.until_received(3)
    await client.until_received(3)
    assert (server.received, client.received) == (b"ABC", b"abc")


@virtual_time
async def test_a_transport_tells_its_state() -> None:
    """The repr names both ends, the state and the bytes that are not consumed."""
    ours, _ = await _join_over_memory(Recorder(), Recorder())
    ours.write(b"abc")
    assert repr(ours) == "<MemoryTransport client -> server, open, 3 bytes out>"


@virtual_time
async def test_a_client_reaches_the_listener_of_a_name() -> None:
    """`connect` returns when its protocol is connected, and the listener makes the other one."""
    servers: list[Recorder] = []

    def factory() -> Recorder:
        servers.append(Recorder())
        return servers[-1]

    listener = memory.listen("a", factory, asyncio.get_running_loop())
    transport, client = await memory.connect("a", Recorder)
    assert client.calls == ["made"]
    transport.write(b"hello")
    await servers[0].until_received(5)
    assert transport.get_extra_info("sockname") == "a#1"
    listener.close()


@virtual_time
async def test_nobody_listening_is_a_refused_connection() -> None:
    """A name that nobody listens at refuses, as a port does."""
    with pytest.raises(ConnectionRefusedError, match="nobody listens at memory://nobody"):
        await memory.connect("nobody", Recorder)


@virtual_time
async def test_a_name_is_taken_once() -> None:
    """The second listener of a name gets EADDRINUSE."""
    loop = asyncio.get_running_loop()
    listener = memory.listen("once", Recorder, loop)
    with pytest.raises(OSError, match="memory://once is already taken"):
        memory.listen("once", Recorder, loop)
    listener.close()


@virtual_time
async def test_a_closed_listener_gives_its_name_back() -> None:
    """After `close` the name can be taken again, and closing again does not take it away."""
    loop = asyncio.get_running_loop()
    first = memory.listen("again", Recorder, loop)
    first.close()
    second = memory.listen("again", Recorder, loop)
    first.close()
    assert (first.is_serving(), second.is_serving()) == (False, True)
    assert repr(second) == "<MemoryListener memory://again, open>"
    second.close()


@virtual_time
async def test_closing_a_listener_leaves_its_connections_alone() -> None:
    """Connections outlive the name."""
    server = Recorder()
    listener = memory.listen("short", lambda: server, asyncio.get_running_loop())
    transport, _ = await memory.connect("short", Recorder)
    listener.close()
    transport.write(b"still here")
    await server.until_received(10)
    assert server.received == b"still here"


def test_the_name_of_a_closed_loop_is_free() -> None:
    """A listener that was forgotten does not keep its name longer than its loop lives."""

    async def forget() -> None:
        memory.listen("forgotten", Recorder, asyncio.get_running_loop())

    async def main() -> None:
        with pytest.raises(ConnectionRefusedError):
            await memory.connect("forgotten", Recorder)
        memory.listen("forgotten", Recorder, asyncio.get_running_loop()).close()

    run(forget())
    run(main())


def test_a_listener_that_cannot_make_a_protocol_resets_the_client() -> None:
    """The error is reported on the listener's loop, and the client is not left hanging."""
    lost: list[Exception | None] = []

    def fail() -> asyncio.Protocol:
        raise ValueError

    async def main() -> None:
        listener = memory.listen("failing", fail, asyncio.get_running_loop())
        _, client = await memory.connect("failing", Recorder)
        await client.until_call("lost")
        lost.append(client.lost_with)
        listener.close()

    with pytest.raises(Unhandled, match="the protocol factory"):
        run(main())
    assert isinstance(lost[0], ConnectionResetError)


@virtual_time
async def test_cancelling_a_connect_leaves_no_connection() -> None:
    """The listener's end is reset if the client goes away before it is connected."""
    server = Recorder()
    listener = memory.listen("cancelled", lambda: server, asyncio.get_running_loop())
    task = asyncio.create_task(memory.connect("cancelled", Recorder))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await server.until_call("lost")
    assert server.calls == ["made", "lost"]
    listener.close()


class _Thread:
    """A second event loop in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()

    def call(self, function: Callable[[], Any]) -> None:
        """Run a function on the loop, and wait for it."""
        done: concurrent.futures.Future[None] = concurrent.futures.Future()
        self.loop.call_soon_threadsafe(lambda: done.set_result(function()))
        done.result(10)

    def stop(self) -> None:
        """End the loop. Idempotent."""
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(10)
            self.loop.close()


@pytest.fixture
def other() -> Generator[_Thread]:
    """Give a second event loop in a thread of its own."""
    thread = _Thread()
    yield thread
    thread.stop()


class _Echo(asyncio.Protocol):
    """Sends everything back."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


@pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_the_ends_may_live_on_two_loops(
    other: _Thread, factory: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """Bytes, flow control and the end cross from thread to thread."""
    text = bytes(range(256)) * 4000

    async def main() -> None:
        transport, client = await memory.connect("far", Recorder)
        for start in range(0, len(text), 50_000):
            transport.write(text[start : start + 50_000])
        assert "pause" in client.calls
        await client.until_received(len(text))
        assert client.received == text
        assert client.calls.count("resume") == client.calls.count("pause")
        transport.close()
        await client.until_call("lost")
        assert client.lost_with is None

    listener = memory.listen("far", _Echo, other.loop)
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())
    listener.close()


def test_an_end_whose_loop_is_gone_resets_the_other(other: _Thread) -> None:
    """Writing to an end that vanished without a goodbye is a reset, not silence."""

    async def main() -> None:
        transport, client = await memory.connect("vanishing", Recorder)
        other.stop()
        transport.write(b"hello?")
        await client.until_call("lost")
        assert isinstance(client.lost_with, ConnectionResetError)

    listener = memory.listen("vanishing", _Echo, other.loop)
    asyncio.run(main())
    listener.close()


def test_an_end_that_said_goodbye_may_take_its_loop_away(other: _Thread) -> None:
    """What was sent before the loop closed still arrives, and the end is a clean one."""

    class SaysGoodbye(_Echo):
        def data_received(self, data: bytes) -> None:
            self.transport.write(data)
            self.transport.close()

    async def main() -> None:
        transport, client = await memory.connect("leaving", Recorder)
        transport.pause_reading()
        transport.write(b"goodbye")
        other.call(lambda: None)
        other.stop()
        transport.resume_reading()
        await client.until_call("lost")
        assert (client.received, client.lost_with) == (b"goodbye", None)

    listener = memory.listen("leaving", SaysGoodbye, other.loop)
    asyncio.run(main())
    listener.close()
