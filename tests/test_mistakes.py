"""Typical mistakes of who is new here: each is told in words that say how to mend it."""

from __future__ import annotations

import contextlib
import ssl
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import framerpc
from framerpc import ConfigurationError
from framerpc.testing import ScriptedPeer
from tests.services import Work, pair


@framerpc.service
class Undecorated:
    async def method(self) -> None: ...


async def forgotten_decorator() -> None:
    framerpc.Server(Undecorated())


async def forgotten_service() -> None:
    framerpc.Server(object())


async def run_in_a_loop() -> None:
    framerpc.Server().run("memory://x")


async def undecorated_function() -> None:
    async with pair(framerpc.Server(Work())) as client:
        await client.call(Undecorated.method)


async def forgotten_await() -> None:
    async with pair(framerpc.Server(Work())) as client:
        forgotten = client.call("Work/echo", 1)
        with contextlib.closing(forgotten):
            await client.call("Work/echo", forgotten)


async def wrong_name() -> None:
    async with pair(framerpc.Server(Work())) as client:
        await client.call("Work/eco", 1)


async def call_of_a_stream() -> None:
    async with pair(framerpc.Server(Work())) as client:
        await client.call("Work/count", 3)


async def stream_of_a_value() -> None:
    async with pair(framerpc.Server(Work())) as client:
        await anext(client.stream("Work/echo", 3))


async def wrong_type() -> None:
    async with pair(framerpc.Server(Work())) as client:
        await client.call("Work/sleep", "long")


async def wrong_port() -> None:
    async with ScriptedPeer() as nobody:
        url = await nobody.listen("tcp://127.0.0.1:0")
    async with framerpc.connect(url) as client:
        await client.ready(0.2)


async def no_scheme() -> None:
    framerpc.connect("localhost:7000")


async def port_in_use() -> None:
    async with framerpc.Server().listen("tcp://127.0.0.1:0") as server:
        await framerpc.Server().start(server.url)


async def tls_without_certificate() -> None:
    await framerpc.Server().start("tls://127.0.0.1:0")


async def tls_to_a_server_without() -> None:
    async with framerpc.Server().listen("tcp://127.0.0.1:0") as server:
        url = server.url.replace("tcp", "tls")
        async with framerpc.connect(url, tls=ssl.create_default_context()) as client:
            await client.ready(0.3)


MISTAKES: dict[Callable[[], Awaitable[None]], tuple[type[Exception], str]] = {
    forgotten_decorator: (ConfigurationError, "Undecorated offers nothing: decorate its methods"),
    forgotten_service: (ConfigurationError, "decorate the class with @framerpc.service"),
    run_in_a_loop: (ConfigurationError, r"await server\.serve\(url\)"),
    undecorated_function: (ConfigurationError, r"Undecorated\.method is no method of a service"),
    forgotten_await: (framerpc.InvalidArgument, "was an await forgotten?"),
    wrong_name: (framerpc.MethodNotFound, "'Work/eco' here .only what @framerpc.method"),
    call_of_a_stream: (framerpc.InvalidArgument, r"the result is a stream: use stream\(\)"),
    stream_of_a_value: (framerpc.InvalidArgument, r"the result is a single value: use call\(\)"),
    wrong_type: (framerpc.InvalidArgument, "seconds: Expected `float`, got `str`"),
    wrong_port: (framerpc.DeadlineExceeded, "Connection refused; nothing listens there"),
    no_scheme: (ConfigurationError, "write one of tcp://"),
    port_in_use: (OSError, "already in use; stop what listens there, or take another port"),
    tls_without_certificate: (ConfigurationError, "pass tls=ssl.SSLContext .* --tls-cert"),
    tls_to_a_server_without: (framerpc.DeadlineExceeded, "is it a tls:// address"),
}


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.__name__)
async def test_mistake_is_told_with_what_to_do(mistake: Any) -> None:
    """The text names the place and the way out."""
    error, words = MISTAKES[mistake]
    with pytest.raises(error, match=words):
        await mistake()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no Unix sockets")
async def test_unix_mistakes_are_told_with_what_to_do(tmp_path: Path) -> None:
    """A folder that is not there, and a socket that nobody made."""
    with pytest.raises(OSError, match="its folder does not exist"):
        await framerpc.Server().start(f"unix://{tmp_path}/none/s")
    async with framerpc.connect(f"unix://{tmp_path}/s") as client:
        with pytest.raises(framerpc.DeadlineExceeded, match="nothing listens there"):
            await client.ready(0.2)
