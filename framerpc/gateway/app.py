"""The ASGI app: WebSockets to connections of a server, and two answers about its health.

It owns no connection and no limit: what comes in by a WebSocket goes to the same `Peers` as what
comes in by a socket. `/livez` says that the process answers, `/readyz` whether clients should come
here: the server listens and is not draining.

Spec: protocol.md, "WebSocket".
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from framerpc.connection.addresses import Address
from framerpc.connection.listen import Entrance, Listener
from framerpc.errors import CloseCode
from framerpc.gateway.door import SUBPROTOCOL, Door
from framerpc.gateway.transport import Message, Receive, Send, WebSocketTransport
from framerpc.given import check, check_seconds
from framerpc.server.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["App"]


class App(Entrance):
    """A server as an ASGI app, to run or to mount in Starlette, FastAPI or another framework.

    Run by itself it starts and stops the server (ASGI's lifespan). Mounted it does not hear of
    the start; let the app around it listen: `async with server.listen(gateway): yield`. Any other
    address that the server listens at will do as well. A mount takes WebSockets with a slash at
    the end of their path; `framerpc.gateway.http.HttpServer` adds one where it is missing.

    Args:
        server: Gets the clients.
        origins: Pages that may connect besides those of the same host, as "https://example.org";
            "*" for all. A page's origin tells a browser's user apart from the page that uses it;
            name the origins if clients need no token and the server is reached by a name that
            others can point at it.
        grace: Seconds that calls in flight get when the web server stops.

    Raises:
        ConfigurationError: One of the origins is none, or another option of the wrong kind.
    """

    def __init__(self, server: Server, *, origins: Iterable[str] = (), grace: float = 10.0) -> None:
        check("server", server, Server, "a framerpc.Server")
        check_seconds("grace", grace)
        self.server = server
        self._door = Door(origins)
        self._grace = grace

    async def open(self) -> Listener:
        """Return what stands for us among the addresses of the server."""
        return Listener(Address("ws"), _nothing)

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Handle one request, one WebSocket, or the start and the end of the web server."""
        kind: str = scope["type"]
        if kind == "websocket":
            await self._websocket(scope, receive, send)
        elif kind == "lifespan":
            await self._lifespan(receive, send)
        else:
            await self._http(scope, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self.server.start(self)
        except Exception as exc:
            await send({"type": "lifespan.startup.failed", "message": str(exc)})
            raise
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.server.close(self._grace)
        await send({"type": "lifespan.shutdown.complete"})

    # --------------------------------------------------------------- WebSockets

    async def _websocket(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        await receive()  # "websocket.connect"
        refusal = self._door.refusal(scope)
        if refusal is None and not self.server.serving:
            refusal = 503, "the server is stopping"
        if refusal is not None:
            await _refuse(scope, send, *refusal)
            return
        factory = self.server.peers.factory("wss" if scope.get("scheme") == "wss" else "ws")
        connection = factory()

        def violated(reason: str) -> None:
            self.server.counters.violations += 1
            connection.close(CloseCode.PROTOCOL_ERROR, reason)

        transport = WebSocketTransport(
            asyncio.get_running_loop(),
            connection,
            _extra(scope),
            said=lambda: connection.wire.farewell,
            violated=violated,
        )
        connection.connection_made(transport)
        if transport.is_closing():  # too many strangers
            connection.connection_lost(None)
            await _refuse(scope, send, 503, "too many connections are waiting")
            return
        try:
            await send({"type": "websocket.accept", "subprotocol": SUBPROTOCOL})
        except BaseException:
            connection.connection_lost(None)
            raise
        await transport.run(receive, send)

    # ------------------------------------------------------------------- health

    async def _http(self, scope: Mapping[str, Any], send: Send) -> None:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        reading = scope["method"] in {"GET", "HEAD"}
        if path == "/livez" and reading:
            status, text = 200, "alive"
        elif path == "/readyz" and reading:
            status, text = (200, "ready") if self.server.serving else (503, "not serving")
        elif path in {"/livez", "/readyz"}:
            status, text = 405, "ask with GET"
        elif path in {"", "/"}:
            status, text = 426, f"this is for WebSockets with the subprotocol {SUBPROTOCOL}"
        else:
            status, text = 404, "there is nothing here"
        body = b"" if scope["method"] == "HEAD" else text.encode()
        for message in _response("http.response", status, body):
            await send(message)


def _nothing() -> None:
    """End nothing: a server that drains is one that takes no WebSockets."""


def _extra(scope: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a connection may want to know of its transport."""
    client, server = scope.get("client"), scope.get("server")
    extra: dict[str, Any] = {
        "peername": tuple(client) if client else None,
        "sockname": tuple(server) if server else None,
    }
    extensions: dict[str, Any] = scope.get("extensions") or {}
    transport: asyncio.Transport | None = extensions.get("framerpc.transport")
    if transport is not None:
        names = ("socket", "ssl_object")
        extra |= {"transport": transport}
        extra |= {name: transport.get_extra_info(name) for name in names}
    return extra


async def _refuse(scope: Mapping[str, Any], send: Send, status: int, reason: str) -> None:
    """Answer a request for a WebSocket with a status, where the web server can do that."""
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": 1008, "reason": reason})
        return
    for message in _response("websocket.http.response", status, reason.encode()):
        await send(message)


def _response(kind: str, status: int, body: bytes) -> tuple[Message, Message]:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store")]
    if status == 426:  # noqa: PLR2004 - Upgrade Required
        headers.append((b"upgrade", b"websocket"))
    start = {"type": f"{kind}.start", "status": status, "headers": headers}
    return start, {"type": f"{kind}.body", "body": body}
