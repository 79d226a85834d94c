"""The gateway with a web server of its own: uvicorn, in the event loop of the framerpc server.

The framerpc server starts it, hears the signals, and stops it when the last connection is gone.
What a stranger may cost before there is a WebSocket is bounded here: connections, headers, and the
time to ask for something. Compression of messages is off (protocol.md, "Threat model"). It may
serve a larger app, of which nothing is known here but where the gateway is in it.

The only importer of uvicorn. Spec: protocol.md, "WebSocket".
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final, cast

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from framerpc.connection.addresses import Address
from framerpc.connection.listen import Entrance, Listener, bind
from framerpc.errors import ConfigurationError
from framerpc.gateway.transport import MAX_MESSAGE

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable, Generator
    from typing import TypeAlias

    from framerpc.gateway.app import App

    AsgiApp: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]

__all__ = ["HttpServer"]

_MAX_PORT: Final = 65_535

_SHUTDOWN: Final = 1
"""Seconds for the last answers of HTTP when the server stops (uvicorn wants whole ones)."""


class HttpServer(Entrance):
    """An address for the gateway: `server.listen(HttpServer(App(server), "127.0.0.1", 8080))`.

    With `app`, pages are served beside it:
    `HttpServer(gateway, "127.0.0.1", 8080, Starlette(routes=[Mount("/rpc", gateway)]), path="/rpc")`.
    The server starts and stops as it does without one, so `app` hears nothing of ASGI's lifespan:
    what it needs belongs into `Server.on_start` and `Server.on_stop`. Its requests that still run
    when the server stops get a second. It bounds itself what a request costs once its headers are
    here: the length of a body, and the time that it takes.

    Args:
        gateway: Takes the WebSockets, and ends with its server.
        host: Name or address to bind.
        port: TCP port, 0 for any free one; see `Server.urls`.
        app: The ASGI app to serve, in which the gateway is mounted; None for the gateway itself.
        path: Where `app` has mounted it, such as "/rpc". It ends the address in `Server.urls`, and
            a WebSocket for it needs no slash at its end, without which Starlette's `Mount`
            refuses one.

    Raises:
        ConfigurationError: The path is none, or there is nothing in which it could be; or the port
            is none.
    """

    def __init__(
        self, gateway: App, host: str, port: int, app: AsgiApp | None = None, *, path: str = ""
    ) -> None:
        if not 0 <= port <= _MAX_PORT:  # the system would take what is left of it in 16 bits
            raise ConfigurationError(
                f"{port} is no port; it is at most {_MAX_PORT}, 0 any free one"
            )
        self._path = _checked(path, mounted=app is not None)
        self._app: AsgiApp = gateway if app is None else app
        if self._path:
            self._app = _slashed(self._app, self._path)
        self._server = gateway.server
        self._address = Address("tcp", host=host, port=port)
        self._web: _Web | None = None
        self._task: asyncio.Task[None] | None = None
        self._server.on_stop(self._stop)

    async def open(self) -> Listener:
        """Bind and serve.

        Raises:
            OSError: The system refuses the address.
        """
        limits = self._server.limits
        sock = await bind(self._address)
        host, port = sock.getsockname()[:2]
        self._web = web = _Web(
            uvicorn.Config(
                self._app,
                interface="asgi3",
                http=_patient(limits.handshake_timeout),
                ws=_WebSocket,
                lifespan="off",  # the server's hooks are there for that
                log_config=None,  # the process has its own
                access_log=False,
                server_header=False,
                # Strangers and guests of framerpc, and room for questions about health.
                limit_concurrency=limits.max_connections + limits.max_unauthenticated + 100,
                timeout_graceful_shutdown=_SHUTDOWN,
                ws_max_size=MAX_MESSAGE,
                ws_per_message_deflate=False,
                ws_ping_interval=None,  # framerpc has its own
            )
        )
        self._task = asyncio.get_running_loop().create_task(web.serve([sock]))
        ready = asyncio.get_running_loop().create_task(web.ready.wait())
        try:
            await asyncio.wait({ready, self._task}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()
            await asyncio.gather(ready, return_exceptions=True)
        if self._task.done():
            sock.close()
            self._task.result()
        place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return Listener(Address("ws", path=place + self._path), _nothing)

    async def _stop(self) -> None:
        """End the web server, and what is left of its connections."""
        web, task = self._web, self._task
        if web is None or task is None:
            return
        self._web = self._task = None
        web.should_exit = True
        await task
        for connection in list(web.server_state.connections):
            connection.transport.abort()


class _Web(uvicorn.Server):
    """Uvicorn without its signal handlers: the framerpc server has some."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


class _WebSocket(WebSocketsSansIOProtocol):
    """Hands the socket's transport to the app: to be cut if its peer does not read."""

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        if self.handshake_initiated and not self.close_sent:
            extensions = cast("dict[str, Any]", self.scope.setdefault("extensions", {}))
            extensions["framerpc.transport"] = self.transport


def _patient(seconds: float) -> type[H11Protocol]:
    """Return a protocol of HTTP that waits so long for a whole request, and not longer."""

    class Patient(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._patience = self.loop.call_later(seconds, self._give_up)

        def on_response_complete(self) -> None:
            self._patience.cancel()
            self._patience = self.loop.call_later(seconds, self._give_up)
            super().on_response_complete()

        def connection_lost(self, exc: Exception | None) -> None:
            self._patience.cancel()
            super().connection_lost(exc)

        def _give_up(self) -> None:
            # None before the first request.
            cycle = cast("RequestResponseCycle | None", self.cycle)
            busy = cycle is not None and not cycle.response_complete
            upgraded = self.transport.get_protocol() is not self
            if not busy and not upgraded:
                self.transport.abort()

    return Patient


def _checked(path: str, *, mounted: bool) -> str:
    """Return a path without the slash at its end."""
    if path and not mounted:
        raise ConfigurationError(
            f"path={path!r} is where app has mounted the gateway, and there is no app; alone, the "
            "gateway takes WebSockets at any path"
        )
    if path and (not path.startswith("/") or any(each in path for each in "?# %")):
        raise ConfigurationError(f'path is like "/rpc", got {path!r}')
    return path.rstrip("/")


def _slashed(app: AsgiApp, path: str) -> AsgiApp:
    """Return the app, which then finds a slash behind `path` when it is asked for a WebSocket."""

    async def slashed(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket" and scope["path"] == path:
            scope = {**scope, "path": f"{path}/", "raw_path": f"{path}/".encode()}
        await app(scope, receive, send)

    return slashed


def _nothing() -> None:
    """End nothing yet: `/readyz` tells that the server drains."""
