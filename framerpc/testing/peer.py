"""A peer played by hand: every byte that it sends is written in the test.

This module owns the reading and writing of raw frames. It has no rule of the protocol in it,
except the form of a frame: it greets, answers and ends only when it is told to, and may do
each of these wrongly.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Protocol, cast

from framerpc.codecs import packb, unpackb
from framerpc.connection import memory
from framerpc.connection.addresses import parse_address
from framerpc.errors import LocalProtocolError
from framerpc.protocol.frames import Kind
from framerpc.protocol.framing import PREFIX
from framerpc.protocol.handshake import PREAMBLE, VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from framerpc.connection.addresses import Address

__all__ = ["ScriptedPeer"]


class _Listener(Protocol):
    """An `asyncio.Server`, or the listener of a memory:// name."""

    def close(self) -> None: ...


class _Accepted(asyncio.StreamReaderProtocol):
    """A server's protocol: announces its connection in a queue."""

    def __init__(
        self, queue: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.Transport]]
    ) -> None:
        self._reader = asyncio.StreamReader()
        self._queue = queue
        super().__init__(self._reader)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._queue.put_nowait((self._reader, cast("asyncio.Transport", transport)))


class ScriptedPeer:
    """One side of a connection, client or server, played by a test.

    What sends is a plain method and never waits; what receives is a coroutine and waits as
    long as it takes. Use it as `async with ScriptedPeer() as peer`, or `abort` it at the end.

    A frame is a list: its kind, then its fields. See protocol.md, "Frames".
    """

    def __init__(self) -> None:
        self._reader: asyncio.StreamReader | None = None
        self._transport: asyncio.Transport | None = None
        self._accepted: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.Transport]]
        self._accepted = asyncio.Queue()
        self._listener: _Listener | None = None
        self._greeted = False

    def __repr__(self) -> str:
        return f"<ScriptedPeer {self._transport}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.abort()

    # Connecting

    async def connect(self, url: str) -> None:
        """Connect as a client; nothing is sent.

        Raises:
            OSError: It cannot be reached.
        """
        address = parse_address(url)
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        transport: asyncio.Transport
        if address.scheme == "memory":
            transport, _ = await memory.connect(address.path, lambda: protocol)
        elif address.scheme == "unix":
            transport, _ = await loop.create_unix_connection(lambda: protocol, address.path)
        else:
            _refuse_tls(address)
            transport, _ = await loop.create_connection(
                lambda: protocol, address.host, address.port
            )
        self._start(reader, transport)

    async def listen(self, url: str) -> str:
        """Listen as a server, and return the address; port 0 has become the real one.

        Raises:
            OSError: The address is taken.
        """
        address = parse_address(url)
        loop = asyncio.get_running_loop()
        if address.scheme == "memory":
            self._listener = memory.listen(address.path, self._protocol, loop)
        elif address.scheme == "unix":
            self._listener = await loop.create_unix_server(self._protocol, address.path)
        else:
            _refuse_tls(address)
            server = await loop.create_server(self._protocol, address.host, address.port)
            self._listener = server
            host = f"[{address.host}]" if ":" in address.host else address.host
            return f"tcp://{host}:{server.sockets[0].getsockname()[1]}"
        return url

    async def accept(self) -> None:
        """Wait for the next client, and talk with it from now on."""
        self._start(*await self._accepted.get())

    def stop_listening(self) -> None:
        """Let nobody connect any more. Idempotent."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _protocol(self) -> _Accepted:
        return _Accepted(self._accepted)

    def _start(self, reader: asyncio.StreamReader, transport: asyncio.Transport) -> None:
        self._reader, self._transport = reader, transport
        self._greeted = False

    # Sending

    @property
    def transport(self) -> asyncio.Transport:
        """The transport of the connection, for what there is no method for.

        Raises:
            LocalProtocolError: There is no connection yet.
        """
        if self._transport is None:
            raise LocalProtocolError("not connected: await connect() or accept() first")
        return self._transport

    def send(self, raw: bytes) -> None:
        """Send bytes as they are."""
        self.transport.write(raw)

    def send_frame(self, frame: Sequence[Any]) -> None:
        """Send a frame, sensible or not, with its length in front."""
        payload: bytes = packb(list(frame))
        self.send(PREFIX.pack(len(payload)) + payload)

    def preamble(self) -> None:
        """Send the eight bytes that open a connection."""
        self.send(PREAMBLE)

    def hello(self, **options: Any) -> None:
        """Send a HELLO with the least that a client must say, and `options` on top."""
        self.send_frame([Kind.HELLO.value, {"versions": [VERSION], **options}])

    def welcome(self, **options: Any) -> None:
        """Send a WELCOME with the least that a server must say, and `options` on top."""
        self.send_frame([Kind.WELCOME.value, {"version": VERSION, **options}])

    def eof(self) -> None:
        """End our direction; the other one stays open."""
        self.transport.write_eof()

    def close(self) -> None:
        """End the connection behind what was sent. Idempotent."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End everything at once, the listening too. Idempotent."""
        self.stop_listening()
        while not self._accepted.empty():
            self._accepted.get_nowait()[1].abort()
        if self._transport is not None:
            self._transport.abort()

    # Receiving

    async def receive(self, size: int) -> bytes:
        """Return the next `size` bytes, whatever they are.

        Raises:
            asyncio.IncompleteReadError: The other side ended its direction; an EOFError.
            ConnectionResetError: The connection was broken.
        """
        if self._reader is None:
            raise LocalProtocolError("not connected: await connect() or accept() first")
        return await self._reader.readexactly(size)

    async def receive_frame(self) -> list[Any]:
        """Return the next frame. The other side's preamble is checked and passed over.

        Raises:
            AssertionError: It does not open with the preamble.
            asyncio.IncompleteReadError: The other side ended its direction; an EOFError.
            ConnectionResetError: The connection was broken.
        """
        if not self._greeted:
            await self.expect_preamble()
        (size,) = PREFIX.unpack(await self.receive(PREFIX.size))
        frame: list[Any] = unpackb(await self.receive(size))
        return frame

    async def expect_preamble(self) -> None:
        """Receive the preamble.

        Raises:
            AssertionError: Something else came.
        """
        received = await self.receive(len(PREAMBLE))
        if received != PREAMBLE:
            raise AssertionError(f"expected the preamble {PREAMBLE!r}, received {received!r}")
        self._greeted = True

    async def expect(self, frame: Sequence[Any]) -> list[Any]:
        """Receive one frame and return it; `...` stands for any field.

        Raises:
            AssertionError: Another frame came.
        """
        received = await self.receive_frame()
        fits = len(received) == len(frame) and all(
            wanted is ... or wanted == field for wanted, field in zip(frame, received, strict=True)
        )
        if not fits:
            raise AssertionError(f"expected the frame {list(frame)!r}, received {received!r}")
        return received

    async def expect_close(self, code: int) -> str:
        """Receive a CLOSE with this code and the end of the connection; return the reason.

        Raises:
            AssertionError: Something else came.
        """
        _, _, reason, _ = await self.expect([Kind.CLOSE.value, int(code), ..., ...])
        await self.expect_end()
        return str(reason)

    async def expect_end(self) -> None:
        """Wait until the other side ends or breaks the connection.

        Raises:
            AssertionError: Something was sent before.
        """
        with contextlib.suppress(EOFError, ConnectionError):
            received = await self.receive(1)
            raise AssertionError(f"expected the end of the connection, received {received!r}")


def _refuse_tls(address: Address) -> None:
    if address.scheme != "tcp":
        raise LocalProtocolError(f"a scripted peer does not speak {address.scheme}")
