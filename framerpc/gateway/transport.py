"""A WebSocket as a transport of asyncio: what ASGI's `receive` and `send` make of one.

A connection does not notice that it is no socket: the bytes of binary messages are its stream,
whatever way they are cut. Backpressure goes both ways: nothing is received while the protocol has
paused reading, so that the web server stops reading as well, and what the web server does not
take counts against the water marks.

Spec: protocol.md, "WebSocket".
"""

from __future__ import annotations

import asyncio
import collections
import enum
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from framerpc.connection.memory_flow import FlowControl

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, MutableMapping

    from framerpc.errors import CloseCode

__all__ = ["MAX_MESSAGE", "Message", "Receive", "Send", "WebSocketTransport"]

Message: TypeAlias = "MutableMapping[str, Any]"
Receive: TypeAlias = "Callable[[], Awaitable[Message]]"
Send: TypeAlias = "Callable[[Message], Awaitable[None]]"

MAX_MESSAGE: Final = 128 * 1024
"""Bytes of one message: a part of a body and its head fit, a stranger's do not hurt."""

_NORMAL: Final = 1000
_UNSUPPORTED: Final = 1003
_TOO_BIG: Final = 1009
_PRIVATE: Final = 4000
"""WebSocket close codes of RFC 6455; those from 4000 on are for applications."""

_CLOSE_TIMEOUT: Final = 5.0
"""Seconds for the last bytes of a WebSocket, before its socket is cut (where we can)."""


class _State(enum.Enum):
    OPEN = "open"
    CLOSING = "closing"  # what was written is still sent
    CLOSED = "closed"


class WebSocketTransport(FlowControl):
    """One WebSocket, as a protocol of asyncio sees it. Lives while `run` does.

    Args:
        loop: The event loop.
        protocol: Gets what arrives.
        extra: What `get_extra_info` knows; under "transport" the socket's own transport, if the
            web server hands it out.
        said: Returns the code of the CLOSE that the protocol has sent, or None.
        violated: Called with the reason when a message is none of ours; ends the connection.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        protocol: asyncio.BufferedProtocol,
        extra: Mapping[str, Any],
        said: Callable[[], CloseCode | None],
        violated: Callable[[str], None],
    ) -> None:
        super().__init__(loop, extra)
        self._protocol = self._receiver = protocol
        self._said = said
        self._violated = violated
        self._state = _State.OPEN
        self._code = _NORMAL  # of the close frame, if the protocol says nothing
        self._out: collections.deque[memoryview] = collections.deque()
        self._written = asyncio.Event()
        self._may_read = asyncio.Event()
        self._may_read.set()
        self._sender: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        peer = self.get_extra_info("peername")
        return f"<WebSocketTransport {peer}, {self._state.value}, {self._buffered} bytes out>"

    async def run(self, receive: Receive, send: Send) -> None:
        """Carry bytes both ways until one side ends; the WebSocket has been accepted.

        Cancelling it ends the connection.
        """
        reader = self._loop.create_task(self._read(receive))
        sender = self._sender = self._loop.create_task(self._send(send))
        if self._state is _State.CLOSED:
            sender.cancel()
        failure: BaseException | None = None
        try:
            await asyncio.wait({reader, sender}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._state = _State.CLOSED
            for task in (reader, sender):
                task.cancel()
            ends = await asyncio.gather(reader, sender, return_exceptions=True)
            failure = next((end for end in ends if isinstance(end, Exception)), None)
            self._out.clear()
            self._buffered = 0
            self._protocol.connection_lost(failure if isinstance(failure, Exception) else None)
        if failure is not None and not isinstance(failure, OSError):
            raise failure  # a bug of ours or of the web server's, which logs it

    # ------------------------------------------------------------------ reading

    async def _read(self, receive: Receive) -> None:
        """Give the protocol what arrives; returns when nothing more can."""
        while True:
            await self._may_read.wait()
            message = await receive()
            if message["type"] == "websocket.disconnect":
                self._receiver.eof_received()
                return
            data: bytes | None = message.get("bytes")
            if not data:
                self._refuse(_UNSUPPORTED, "a WebSocket message that is text, or empty")
            elif len(data) > MAX_MESSAGE:
                self._refuse(_TOO_BIG, f"a WebSocket message of more than {MAX_MESSAGE} bytes")
            else:
                self._hand_over(memoryview(data))
            if self._state is not _State.OPEN:  # nothing that follows matters
                await self._loop.create_future()

    def _refuse(self, code: int, reason: str) -> None:
        """End a WebSocket whose messages are none of ours."""
        self._code = code
        self._violated(reason)
        self.close()

    def _hand_over(self, data: memoryview) -> None:
        protocol = self._receiver
        while data and self._state is _State.OPEN:
            buffer = memoryview(protocol.get_buffer(len(data)))
            size = min(len(buffer), len(data))
            buffer[:size] = data[:size]
            protocol.buffer_updated(size)
            data = data[size:]

    def is_reading(self) -> bool:
        """Say whether the protocol is being given what arrives."""
        return self._state is _State.OPEN and self._may_read.is_set()

    def pause_reading(self) -> None:
        """Receive no further message until `resume_reading`; the rest of this one still comes."""
        self._may_read.clear()

    def resume_reading(self) -> None:
        """Receive on. Idempotent."""
        self._may_read.set()

    # ------------------------------------------------------------------ writing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes; they are copied unless they are `bytes`. Ignored once it is closing."""
        if self._state is not _State.OPEN or not data:
            return
        self._out.append(memoryview(bytes(data)))
        self._buffered += len(data)
        self._written.set()
        self._pause_if_full()

    def can_write_eof(self) -> bool:
        """Say that one direction cannot be ended alone."""
        return False

    async def _send(self, send: Send) -> None:
        """Send what is written, as long as the web server takes it; then close."""
        while True:
            while self._out:
                message = self._next_message()
                await send({"type": "websocket.send", "bytes": message})
                self._buffered -= len(message)
                self._resume_if_drained()
            if self._state is not _State.OPEN:
                break
            self._written.clear()
            await self._written.wait()
        said = self._said()
        code = self._code if said is None else _PRIVATE + said.value
        await send({"type": "websocket.close", "code": code, "reason": ""})
        transport = self.get_extra_info("transport")
        if transport is not None:
            self._loop.call_later(_CLOSE_TIMEOUT, transport.abort)

    def _next_message(self) -> bytes:
        """Take what fits in one message, and at least a piece."""
        pieces: list[memoryview] = []
        room = MAX_MESSAGE
        while self._out and room:
            piece = self._out.popleft()
            if len(piece) > room:
                self._out.appendleft(piece[room:])
                piece = piece[:room]
            pieces.append(piece)
            room -= len(piece)
        return b"".join(pieces)

    # ------------------------------------------------------------------- ending

    def is_closing(self) -> bool:
        """Say whether the connection is ending or over."""
        return self._state is not _State.OPEN

    def close(self) -> None:
        """End the connection behind what was written. Idempotent."""
        if self._state is _State.OPEN:
            self._state = _State.CLOSING
            self._written.set()

    def abort(self) -> None:
        """End the connection now; what was not sent is lost. Idempotent.

        A web server that does not hand its transport out may go on for as long as it likes with
        what it has taken.
        """
        self._state = _State.CLOSED
        transport = self.get_extra_info("transport")
        if transport is not None:
            transport.abort()
        if self._sender is not None:
            self._sender.cancel()
