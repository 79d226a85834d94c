"""The gateway inside a larger app, with pages beside it: Starlette's Mount under a real uvicorn."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

import framerpc
from framerpc.codecs import packb
from framerpc.gateway import App
from framerpc.gateway.http import HttpServer
from tests.gateway.asgi import HELLO
from tests.gateway.test_http import dial, frames, over_http
from tests.services import Work
from tests.survival.siege import frame, request


async def page(request: Request) -> PlainTextResponse:
    """A page beside the gateway."""
    return PlainTextResponse("a page")


@asynccontextmanager
async def mounted(path: str = "/rpc", **options: Any) -> AsyncIterator[framerpc.Server]:
    """Serve a page at "/" and the gateway at "/rpc"."""
    server = framerpc.Server(Work(), **options)
    gateway = App(server)
    app = Starlette(routes=[Route("/", page), Mount("/rpc", gateway)])
    async with server.listen(HttpServer(gateway, "127.0.0.1", 0, app, path=path), grace=0):
        yield server


def place_of(server: framerpc.Server) -> str:
    """Host and port."""
    return server.url.split("/")[2]


async def get(server: framerpc.Server, path: str) -> bytes:
    """Ask for a page; return the whole answer."""
    head = f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    return await over_http(server, head.encode())


@pytest.mark.parametrize("end", ["", "/"])
async def test_a_mounted_gateway_is_reached_with_and_without_a_slash(end: str) -> None:
    """A client that follows no redirect opens a WebSocket at both addresses, and calls."""
    async with mounted() as server:
        asked: dict[str, Any] = {"subprotocols": ["framerpc.v1"], "process_exception": lambda e: e}
        async with connect(f"ws://{place_of(server)}/rpc{end}", **asked) as client:
            assert client.response is not None
            assert client.response.status_code == 101
            await client.send(HELLO + frame(*request(1, "Work/echo", "hello")))
            assert (await frames(client, 2))[1] == [9, 1, packb("hello")]


async def test_the_address_ends_with_the_path() -> None:
    """`Server.urls` has what a client dials; the slash that a path may end with is not in it."""
    for path in ("/rpc", "/rpc/"):
        async with mounted(path) as server:
            assert server.urls == [f"ws://{place_of(server)}/rpc"]
            async with dial(server) as client:
                assert client.subprotocol == "framerpc.v1"


async def test_without_a_path_the_app_decides_alone() -> None:
    """The address has no path then, and Mount refuses a WebSocket without the slash."""
    async with mounted("") as server:
        assert server.url == f"ws://{place_of(server)}"
        asked: dict[str, Any] = {"subprotocols": ["framerpc.v1"]}
        with pytest.raises(InvalidStatus) as caught:
            await connect(f"{server.url}/rpc", **asked)
        assert caught.value.response.status_code == 403
        async with connect(f"{server.url}/rpc/", **asked) as client:
            assert client.subprotocol == "framerpc.v1"


async def test_a_route_beside_the_mount_needs_no_slash_under_any_web_server() -> None:
    """`WebSocketRoute("/rpc", gateway)` takes what Mount does not, without our help."""
    server = framerpc.Server(Work())
    gateway = App(server)
    app = Starlette(routes=[Mount("/rpc", gateway), WebSocketRoute("/rpc", gateway)])
    async with server.listen(HttpServer(gateway, "127.0.0.1", 0, app), grace=0):
        for end in ("", "/"):
            async with connect(f"{server.url}/rpc{end}", subprotocols=["framerpc.v1"]) as client:  # type: ignore[list-item]
                assert client.subprotocol == "framerpc.v1"


async def test_pages_and_health_are_served_beside_it() -> None:
    """The app has its page; the gateway answers about health below its own path."""
    async with mounted() as server:
        assert (await get(server, "/")).endswith(b"\r\n\r\na page")
        assert (await get(server, "/rpc/readyz")).startswith(b"HTTP/1.1 200 ")
        assert (await get(server, "/readyz")).startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize(
    ("origin", "welcome"),
    [("http://{place}", True), ("https://{place}", True), ("http://evil.example", False)],
)
async def test_pages_of_the_same_host_may_connect(origin: str, welcome: bool) -> None:
    """Without a list of origins, a page of this host gets its WebSocket, a foreign one 403."""
    async with mounted() as server:
        options: dict[str, Any] = {"origin": origin.format(place=place_of(server))}
        if welcome:
            async with dial(server, **options) as client:
                assert client.subprotocol == "framerpc.v1"
        else:
            with pytest.raises(InvalidStatus) as caught:
                await dial(server, **options)
            assert caught.value.response.status_code == 403


async def test_an_app_hears_nothing_of_a_lifespan() -> None:
    """The app gets requests only; the server's hooks say when it starts and stops."""
    heard: list[str] = []
    server = framerpc.Server()
    server.on_start(lambda: heard.append("start"))
    server.on_stop(lambda: heard.append("stop"))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        heard.append(scope["type"])
        await PlainTextResponse("")(scope, receive, send)

    async with server.listen(HttpServer(App(server), "127.0.0.1", 0, app), grace=0):
        await get(server, "/")
    assert heard == ["start", "http", "stop"]


async def test_a_silent_client_is_cut_in_front_of_an_app_too() -> None:
    """Who asks for nothing within the handshake timeout is cut off before the app hears of it."""
    async with mounted("", limits=framerpc.Limits(handshake_timeout=0.05)) as server:
        for head in (b"", b"GET / HT"):
            assert await over_http(server, head) == b""


@pytest.mark.parametrize("path", ["rpc", "/rpc?a=1", "/r pc", "/%72pc"])
def test_what_is_no_path_is_refused(path: str) -> None:
    """A path begins with a slash and is written as it is matched."""
    server = framerpc.Server()
    gateway = App(server)
    with pytest.raises(framerpc.ConfigurationError, match='path is like "/rpc"'):
        HttpServer(gateway, "127.0.0.1", 0, Starlette(), path=path)


@pytest.mark.parametrize("port", [-1, 65_536, 99_999])
def test_what_is_no_port_is_refused(port: int) -> None:
    """Else it would be another one, and nobody would know."""
    with pytest.raises(framerpc.ConfigurationError, match="at most 65535"):
        HttpServer(App(framerpc.Server()), "127.0.0.1", port)


def test_a_path_needs_an_app() -> None:
    """Alone the gateway is everywhere: a path would only pretend."""
    with pytest.raises(framerpc.ConfigurationError, match="there is no app"):
        HttpServer(App(framerpc.Server()), "127.0.0.1", 0, path="/rpc")
