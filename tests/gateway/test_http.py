"""The gateway under a real uvicorn, and a client of another make."""

from __future__ import annotations

import asyncio
import gc
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

import framerpc
from framerpc.codecs import packb, unpackb
from framerpc.gateway import App
from framerpc.gateway.http import HttpServer
from framerpc.protocol.framing import PREFIX
from framerpc.protocol.handshake import PREAMBLE
from tests.gateway.asgi import HELLO
from tests.services import Work
from tests.survival.siege import frame, request, settled

ROOT = Path(__file__).parent.parent.parent


@asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[framerpc.Server]:
    """Serve at a free port."""
    server = framerpc.Server(Work(), **options)
    async with server.listen(HttpServer(App(server), "127.0.0.1", 0), grace=0):
        yield server


def dial(server: framerpc.Server, **options: Any) -> connect:
    """A client that offers the subprotocol."""
    return connect(server.url, subprotocols=["framerpc.v1"], **options)  # type: ignore[list-item]


async def frames(client: ClientConnection, count: int) -> list[Any]:
    """Return the first frames of a connection that has just been opened."""
    data = b""
    while True:
        found, rest = [], data[8:]
        while len(rest) >= 4 and len(rest) >= 4 + (size := PREFIX.unpack(rest[:4])[0]):
            found.append(unpackb(rest[4 : 4 + size]))
            rest = rest[4 + size :]
        if len(found) >= count:
            return found
        message = await client.recv()
        assert isinstance(message, bytes)
        data += message


async def close_code(client: ClientConnection) -> int | None:
    """Read to the end; return the code that the server closed with."""
    try:
        while True:
            await client.recv()
    except ConnectionClosed as closed:
        return None if closed.rcvd is None else closed.rcvd.code


async def over_http(server: framerpc.Server, head: bytes) -> bytes:
    """Send some bytes to the port and return all that comes back."""
    host, port = server.url.split("/")[2].split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(head)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def test_a_client_calls_through_a_websocket() -> None:
    """The subprotocol is agreed on, nothing is compressed, and calls are answered."""
    async with serving() as server, dial(server) as client:
        assert client.subprotocol == "framerpc.v1"
        assert client.response is not None
        assert "Sec-WebSocket-Extensions" not in client.response.headers
        await client.send(HELLO + frame(*request(1, "Work/echo", "hello")))
        welcome, answer = await frames(client, 2)
        assert welcome[1]["peer"].startswith("ws://127.0.0.1:")
        assert answer == [9, 1, packb("hello")]


async def test_a_long_body_comes_through_in_parts() -> None:
    """2 MiB go both ways; whatever the messages, the bytes are the same."""
    body = packb([bytes(2 * 1024 * 1024)])
    parts = [body[start : start + 65_536] for start in range(0, len(body), 65_536)]
    async with serving() as server, dial(server, max_size=None) as client:
        await client.send(PREAMBLE + frame(1, {"versions": [1], "limits": {"message": 2**24}}))
        await client.send(frame(*request(1, "Work/echo", body=len(body))))
        for part in parts:
            await client.send(frame(17, 1, part))
        found = await frames(client, 2 + len(parts))
    assert found[1] == [9, 1, len(body) - 1]
    assert b"".join(part[2] for part in found[2:]) == body[1:]


async def test_health_is_told_over_http() -> None:
    """Both routes answer a plain HTTP client."""
    async with serving() as server:
        for path in (b"livez", b"readyz"):
            head = b"GET /" + path + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
            assert (await over_http(server, head)).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    ("options", "status"),
    [({"subprotocols": None}, 400), ({"origin": "https://evil.example"}, 403)],
)
async def test_refusals_are_http_statuses(options: dict[str, Any], status: int) -> None:
    """A foreign page gets 403, a client without the subprotocol 400."""
    asked: dict[str, Any] = {"subprotocols": ["framerpc.v1"], **options}
    async with serving() as server:
        with pytest.raises(InvalidStatus) as caught:
            await connect(server.url, **asked)
        assert caught.value.response.status_code == status


async def test_messages_above_the_limit_are_not_gathered() -> None:
    """Uvicorn refuses a message of more than 131072 bytes with 1009, also one in fragments."""
    async with serving() as server:
        for message in (bytes(131_073), [bytes(100_000), bytes(100_000)]):
            async with dial(server) as client:
                await client.send(message)
                assert await close_code(client) == 1009
        await settled(lambda: not server.peers.strangers)


async def test_a_silent_client_of_http_is_cut() -> None:
    """Who does not ask for anything within the handshake timeout is cut off, mid-line too."""
    async with serving(limits=framerpc.Limits(handshake_timeout=0.05)) as server:
        for head in (b"", b"GET / HT"):
            assert await over_http(server, head) == b""


async def test_a_client_that_never_reads_can_be_cut() -> None:
    """An aborted connection loses its socket at once, though uvicorn would wait for ever."""
    server = framerpc.Server(Work())
    place = HttpServer(App(server), "127.0.0.1", 0)
    async with server.listen(place, grace=0), dial(server, max_queue=1, max_size=None) as client:
        assert place._web is not None
        sockets = place._web.server_state.connections
        hello = {"versions": [1], "limits": {"window": 2**30, "message": 2**24}}
        await client.send(PREAMBLE + frame(1, hello))
        await client.send(frame(*request(1, "Work/count", 10_000, 100_000, flags=1)))
        await settled(lambda: server.peers.welcome)
        (peer,) = server.peers.welcome
        await settled(lambda: peer.connection.outbox.paused is not None)
        peer.connection.abort("enough")
        await settled(lambda: not server.peers.welcome)
        await settled(lambda: not sockets)
        client.transport.abort()  # or it would wait for an answer to its goodbye


async def test_shutdown_leaves_nothing_behind() -> None:
    """After a drain with clients of every kind, no task and no socket of the server is left."""
    before = asyncio.all_tasks()
    async with serving() as server, dial(server) as client, dial(server):
        await client.send(HELLO + frame(*request(1, "Work/sleep", 3600.0)))
        await frames(client, 1)
        host, port = server.url.removeprefix("ws://").split(":")
        _, idle = await asyncio.open_connection(host, int(port))
        await server.close(grace=0)
        assert await close_code(client) == 4010
        idle.close()
        with pytest.raises(ConnectionError):
            await asyncio.open_connection(host, int(port))
    await settled(lambda: asyncio.all_tasks() <= before)
    gc.collect()


async def test_an_address_in_use_is_an_error_in_words() -> None:
    """The second server at a port does not start, and says which address it wanted."""
    async with serving() as server:
        port = int(server.url.rpartition(":")[2])
        second = framerpc.Server(Work())
        with pytest.raises(OSError, match=f"cannot listen on tcp://127.0.0.1:{port}"):
            await second.listen(HttpServer(App(second), "127.0.0.1", port))
        assert not second.serving


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_the_command_serves_over_http() -> None:
    """`serve --http` prints the address, answers, and a signal makes it drain and exit with 0."""
    words = ["serve", "tests.cli.conftest:Demo", "--http", ":0", "--print-urls"]
    with subprocess.Popen(
        [sys.executable, "-m", "framerpc.cli.main", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith("ws://127.0.0.1:")
        host, port = url.removeprefix("ws://").split(":")
        with socket.create_connection((host, int(port))) as sock:
            sock.sendall(b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n")
            assert sock.recv(15) == b"HTTP/1.1 200 OK"
            process.terminate()
            printed, complaints = process.communicate(timeout=15)
    assert (printed, complaints, process.returncode) == ("", "", 0)
