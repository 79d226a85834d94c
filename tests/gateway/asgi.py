"""A web server played by hand: what an ASGI app receives and sends, and a client behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from framerpc.codecs import unpackb
from framerpc.gateway import App
from framerpc.protocol.framing import PREFIX
from framerpc.protocol.handshake import PREAMBLE

__all__ = ["HELLO", "PAGE", "Browser", "ask", "opened", "scope_of"]

PAGE = [(b"host", b"chat.example:8080"), (b"origin", b"http://chat.example:8080")]
HELLO = PREAMBLE + bytes.fromhex("0000000e920181a876657273696f6e739101")


def scope_of(**changes: Any) -> dict[str, Any]:
    """A request for a WebSocket, from a page of the same host."""
    return {
        "type": "websocket",
        "scheme": "ws",
        "path": "/",
        "headers": PAGE,
        "subprotocols": ["framerpc.v1"],
        "client": ("192.0.2.7", 50412),
        "server": ("127.0.0.1", 8080),
        "extensions": {},
    } | changes


async def ask(app: App, path: str, method: str = "GET", **scope: Any) -> tuple[int, bytes]:
    """Ask over HTTP; return status and body."""
    sent: list[Any] = []

    async def receive() -> Any:
        raise AssertionError("a question has no body")

    async def send(message: Any) -> None:
        sent.append(message)

    await app({"type": "http", "path": path, "method": method, **scope}, receive, send)
    return sent[0]["status"], sent[1]["body"]


class Browser:
    """The client of one WebSocket, and the web server in between.

    Attributes:
        events: What the app sent, but for bytes.
        may_send: While it is not set, the web server takes nothing.
    """

    def __init__(self, app: App, **changes: Any) -> None:
        self.events: list[Any] = []
        self.may_send = asyncio.Event()
        self.may_send.set()
        self.failure: Exception | None = None  # what the web server raises on sending
        self.received = bytearray()
        self.to_app: asyncio.Queue[Any] = asyncio.Queue()
        self.to_app.put_nowait({"type": "websocket.connect"})
        self.taken = 0  # messages that the app has received
        self._news = asyncio.Event()
        self.task = asyncio.ensure_future(app(scope_of(**changes), self._receive, self._send))

    async def _receive(self) -> Any:
        message = await self.to_app.get()
        self.taken += 1
        return message

    async def _send(self, message: Any) -> None:
        await self.may_send.wait()
        if self.failure is not None:
            raise self.failure
        if message["type"] == "websocket.send":
            self.received += message["bytes"]
        else:
            self.events.append(message)
        self._news.set()

    def send(self, data: bytes) -> None:
        """Send a binary message."""
        self.to_app.put_nowait({"type": "websocket.receive", "bytes": data})

    def leave(self, code: int = 1001) -> None:
        """Close the WebSocket, or lose it."""
        self.to_app.put_nowait({"type": "websocket.disconnect", "code": code})

    async def until(self, condition: Any) -> None:
        """Wait until what the app sent makes something true."""
        while not condition():
            self._news.clear()
            await self._news.wait()

    def frames(self) -> list[Any]:
        """Return the whole frames received so far."""
        found: list[Any] = []
        rest = bytes(self.received[len(PREAMBLE) :])
        while len(rest) >= PREFIX.size:
            (size,) = PREFIX.unpack(rest[:4])
            if len(rest) < 4 + size:
                break
            found.append(unpackb(rest[4 : 4 + size]))
            rest = rest[4 + size :]
        return found

    async def frame(self, number: int) -> Any:
        """Wait for the frame with this number; return it."""
        await self.until(lambda: len(self.frames()) > number)
        return self.frames()[number]

    async def code(self) -> int:
        """Wait for the end; return the code of the close."""
        await self.task
        (close,) = [each for each in self.events if each["type"] == "websocket.close"]
        return int(close["code"])


@asynccontextmanager
async def opened(app: App, **changes: Any) -> AsyncIterator[Browser]:
    """Serve at this gateway only, with one client that has opened its WebSocket."""
    async with app.server.listen(app, grace=0):
        browser = Browser(app, **changes)
        try:
            await browser.until(lambda: browser.events)
            assert browser.events == [{"type": "websocket.accept", "subprotocol": "framerpc.v1"}]
            yield browser
        finally:
            browser.leave()
            await browser.task
