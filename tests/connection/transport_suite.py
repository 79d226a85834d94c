"""What every transport must do: the same assertions for memory and for TCP.

A test module makes a subclass of `TransportSuite` for each kind of transport, and says how two
protocols are joined and on which loop.
"""

from __future__ import annotations

import abc
import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

__all__ = ["Buffered", "Joined", "Recorder", "TransportSuite"]

Joined = tuple[asyncio.Transport, asyncio.Transport]

MANY = 4 * 1024 * 1024
"""Bytes: more than the kernel's buffers of a TCP connection on loopback hold together."""


class Recorder(asyncio.Protocol):
    """A protocol that remembers its callbacks, and lets a test wait for them."""

    transport: asyncio.Transport

    def __init__(self, *, stay_open: bool = False) -> None:
        self.calls: list[str] = []
        self.received = b""
        self.lost_with: Exception | None = None
        self.stay_open = stay_open
        self._wakers: list[asyncio.Future[None]] = []

    def _note(self, call: str) -> None:
        if call != "data" or self.calls[-1:] != ["data"]:  # cut in any way
            self.calls.append(call)
        wakers, self._wakers = self._wakers, []
        for waker in wakers:
            if not waker.done():
                waker.set_result(None)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a callback has made `condition` true."""
        while not condition():
            waker: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._wakers.append(waker)
            await waker

    async def until_call(self, call: str) -> None:
        """Wait until the callback `call` was the last or an earlier one."""
        await self.until(lambda: call in self.calls)

    async def until_received(self, size: int) -> None:
        """Wait until so many bytes have come."""
        await self.until(lambda: len(self.received) >= size)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember it."""
        self.transport = cast("asyncio.Transport", transport)
        self._note("made")

    def data_received(self, data: bytes) -> None:
        """Remember it."""
        self.received += data
        self._note("data")

    def eof_received(self) -> bool:
        """Remember it."""
        self._note("eof")
        return self.stay_open

    def pause_writing(self) -> None:
        """Remember it."""
        self._note("pause")

    def resume_writing(self) -> None:
        """Remember it."""
        self._note("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        """Remember it."""
        self.lost_with = exc
        self._note("lost")


class Buffered(Recorder, asyncio.BufferedProtocol):
    """The same, but with a buffer of its own, of 7 bytes."""

    def __init__(self, *, stay_open: bool = False) -> None:
        super().__init__(stay_open=stay_open)
        self._buffer = bytearray(7)

    def get_buffer(self, sizehint: int) -> bytearray:
        """Return the buffer."""
        del sizehint
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take what has come out of the buffer."""
        self.received += self._buffer[:nbytes]
        self._note("data")


class TransportSuite(abc.ABC):
    """The tests."""

    @abc.abstractmethod
    def run(self, main: Coroutine[Any, Any, None]) -> None:
        """Run a test on a new loop."""

    @abc.abstractmethod
    async def make(self, client: asyncio.BaseProtocol, server: asyncio.BaseProtocol) -> Joined:
        """Join two protocols; both have had `connection_made` when it returns."""

    _made: Joined

    async def join(self, client: Recorder, server: Recorder) -> Joined:
        """Join two protocols until the end of the test."""
        self._made = await self.make(client, server)
        return self._made

    def check(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a test, and end its connection whatever it did."""

        async def whole() -> None:
            try:
                await main()
            finally:
                protocols = [transport.get_protocol() for transport in self._made]
                for transport, protocol in zip(self._made, protocols, strict=True):
                    transport.abort()
                    if isinstance(protocol, Recorder):
                        await protocol.until_call("lost")

        self.run(whole())

    def test_bytes_arrive_in_order_and_complete(self) -> None:
        """What several writes sent is what the other end receives."""

        async def main() -> None:
            client, server = Recorder(), Recorder()
            ours, _ = await self.join(client, server)
            ours.write(b"abc")
            ours.write(bytearray(b"de"))
            ours.write(memoryview(b"xfgx")[1:3])
            ours.writelines([b"h", b"ij"])
            ours.write(b"")
            await server.until_received(10)
            assert server.received == b"abcdefghij"

        self.check(main)

    def test_a_buffered_protocol_gets_all_bytes(self) -> None:
        """A buffer that is smaller than what came is filled again and again."""

        async def main() -> None:
            client, server = Recorder(), Buffered()
            ours, _ = await self.join(client, server)
            text = bytes(range(256))
            ours.write(text)
            await server.until_received(256)
            assert server.received == text

        self.check(main)

    def test_a_buffer_that_is_reused_does_not_change_what_was_written(self) -> None:
        """Changing a bytearray after it was written changes nothing on the way."""

        async def main() -> None:
            client, server = Recorder(), Recorder()
            ours, _ = await self.join(client, server)
            data = bytearray(b"abc")
            ours.write(data)
            data[:] = b"xyz"
            await server.until_received(3)
            assert server.received == b"abc"

        self.check(main)

    def test_close_delivers_what_was_written(self) -> None:
        """The other end gets the bytes, then the end, and both are told once, without an error."""

        async def main() -> None:
            client, server = Recorder(), Recorder()
            ours, _ = await self.join(client, server)
            ours.write(b"last words")
            ours.close()
            ours.close()
            assert ours.is_closing()
            await server.until_call("lost")
            await client.until_call("lost")
            assert server.received == b"last words"
            assert server.calls == ["made", "data", "eof", "lost"]
            assert client.calls == ["made", "lost"]
            assert (client.lost_with, server.lost_with) == (None, None)

        self.check(main)

    def test_connection_lost_is_not_called_from_within_close(self) -> None:
        """Closing returns before the protocol is told."""

        async def main() -> None:
            client, server = Recorder(), Recorder()
            ours, _ = await self.join(client, server)
            ours.close()
            assert client.calls == ["made"]
            await client.until_call("lost")

        self.check(main)

    def test_abort_tells_its_own_protocol_once_and_without_an_error(self) -> None:
        """Aborting twice calls `connection_lost(None)` once, later."""

        async def main() -> None:
            client, server = Recorder(), Recorder()
            ours, _ = await self.join(client, server)
            ours.abort()
            ours.abort()
            assert ours.is_closing()
            assert client.calls == ["made"]
            await client.until_call("lost")
            await server.until_call("lost")
            assert (client.calls, client.lost_with) == (["made", "lost"], None)

        self.check(main)

    def test_one_direction_can_be_ended_alone(self) -> None:
        """After `write_eof` the other end can still answer, if it stays open."""

        async def main() -> None:
            client, server = Recorder(), Recorder(stay_open=True)
            ours, theirs = await self.join(client, server)
            assert ours.can_write_eof()
            ours.write(b"question")
            ours.write_eof()
            await server.until_call("eof")
            theirs.write(b"answer")
            theirs.close()
            await client.until_call("lost")
            assert (server.received, client.received) == (b"question", b"answer")

        self.check(main)

    def test_writing_after_write_eof_is_refused(self) -> None:
        """An end of file is the last thing that is written."""

        async def main() -> None:
            client, server = Recorder(), Recorder(stay_open=True)
            ours, _ = await self.join(client, server)
            ours.write_eof()
            with pytest.raises(RuntimeError, match=r"(?i)after write_eof|eof"):
                ours.write(b"more")

        self.check(main)

    def test_only_bytes_can_be_written(self) -> None:
        """Text is a TypeError, at once."""

        async def main() -> None:
            client, server = Recorder(), Recorder()
            ours, _ = await self.join(client, server)
            with pytest.raises(TypeError):
                ours.write(cast("bytes", "text"))

        self.check(main)

    def test_writing_while_closing_does_nothing(self) -> None:
        """What is written after `close` is lost, silently."""

        async def main() -> None:
            client, server = Recorder(), Recorder()
            ours, _ = await self.join(client, server)
            ours.close()
            ours.write(b"too late")
            await server.until_call("lost")
            assert server.received == b""

        self.check(main)

    def test_a_reader_that_pauses_makes_the_writer_pause(self) -> None:
        """Writing pauses above the high water mark, and resumes when the reader has caught up."""

        async def main() -> None:
            client, server = Recorder(), Recorder()
            ours, theirs = await self.join(client, server)
            theirs.pause_reading()
            assert not theirs.is_reading()
            ours.write(bytes(MANY))
            assert client.calls == ["made", "pause"]
            assert ours.get_write_buffer_size() > 0
            theirs.resume_reading()
            assert theirs.is_reading()
            await client.until_call("resume")
            await server.until_received(MANY)
            assert client.calls == ["made", "pause", "resume"]

        self.check(main)

    def test_a_paused_reader_gets_nothing(self) -> None:
        """Bytes and the end of file wait until reading resumes."""

        async def main() -> None:
            client, server = Recorder(), Recorder(stay_open=True)
            ours, theirs = await self.join(client, server)
            theirs.pause_reading()
            theirs.pause_reading()
            ours.write(b"wait")
            ours.write_eof()
            theirs.write(b"mark")
            await client.until_received(4)
            assert server.calls == ["made"]
            theirs.resume_reading()
            await server.until_call("eof")
            assert server.received == b"wait"

        self.check(main)

    def test_the_water_marks_can_be_set(self) -> None:
        """The low mark is a quarter of the high one unless it is given."""

        async def main() -> None:
            client, server = Recorder(), Recorder()
            ours, _ = await self.join(client, server)
            ours.set_write_buffer_limits(high=1000)
            assert ours.get_write_buffer_limits() == (250, 1000)
            ours.set_write_buffer_limits(high=1000, low=10)
            assert ours.get_write_buffer_limits() == (10, 1000)
            with pytest.raises(ValueError, match="high"):
                ours.set_write_buffer_limits(high=1, low=2)

        self.check(main)

    def test_the_protocol_can_be_replaced(self) -> None:
        """What arrives after `set_protocol` goes to the new protocol."""

        async def main() -> None:
            client, server, other = Recorder(), Recorder(), Recorder()
            ours, theirs = await self.join(client, server)
            theirs.set_protocol(other)
            assert theirs.get_protocol() is other
            ours.write(b"hello")
            await other.until_received(5)
            assert server.received == b""

        self.check(main)

    def test_both_ends_can_close_at_once(self) -> None:
        """Each protocol is told once, without an error."""

        async def main() -> None:
            client, server = Recorder(), Recorder()
            ours, theirs = await self.join(client, server)
            ours.close()
            theirs.close()
            await client.until_call("lost")
            await server.until_call("lost")
            assert client.calls.count("lost") == server.calls.count("lost") == 1
            assert (client.lost_with, server.lost_with) == (None, None)

        self.check(main)

    def test_the_ends_know_each_other_by_name(self) -> None:
        """Each end's peername is the other's sockname."""

        async def main() -> None:
            client, server = Recorder(), Recorder()
            ours, theirs = await self.join(client, server)
            assert ours.get_extra_info("peername") == theirs.get_extra_info("sockname")
            assert theirs.get_extra_info("peername") == ours.get_extra_info("sockname")
            assert ours.get_extra_info("nonsense", 5) == 5

        self.check(main)
