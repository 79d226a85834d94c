"""The peer played by hand: two of them talk to each other over every kind of transport."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from framerpc.errors import LocalProtocolError
from framerpc.testing import ScriptedPeer, virtual_time

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

PREAMBLE = bytes.fromhex("89 46 52 50 43 0D 0A 01")


@contextlib.asynccontextmanager
async def joined(
    url: str = "memory://scripted",
) -> AsyncGenerator[tuple[ScriptedPeer, ScriptedPeer]]:
    """Give two peers that are connected: the client, the server."""
    async with ScriptedPeer() as client, ScriptedPeer() as server:
        url = await server.listen(url)
        await client.connect(url)
        await server.accept()
        yield client, server


@pytest.mark.parametrize("kind", ["memory", "tcp", "unix"])
def test_two_peers_talk_over_every_transport(kind: str, tmp_path: Path) -> None:
    """Greeting, a frame each way and the end cross memory, TCP and Unix sockets alike."""
    url = {
        "memory": "memory://two",
        "tcp": "tcp://127.0.0.1:0",
        "unix": f"unix://{tmp_path / 's'}",
    }[kind]

    async def main() -> None:
        async with joined(url) as (client, server):
            client.preamble()
            client.hello()
            await server.expect([1, {"versions": [1]}])
            server.preamble()
            server.welcome(agent="test")
            await client.expect([2, {"version": 1, "agent": "test"}])
            server.send_frame([3, 0, "bye", None])
            server.close()
            assert await client.expect_close(0) == "bye"

    asyncio.run(main())


@virtual_time
async def test_bytes_are_sent_as_they_are() -> None:
    """`send` adds nothing."""
    async with joined() as (client, server):
        client.send(b"\x00\x01")
        assert await server.receive(2) == b"\x00\x01"


@virtual_time
async def test_the_preamble_is_what_the_specification_says() -> None:
    """Eight bytes open a connection."""
    async with joined() as (client, server):
        client.preamble()
        assert await server.receive(8) == PREAMBLE


@virtual_time
async def test_a_frame_has_its_length_in_front() -> None:
    """Four bytes of length, then a msgpack array."""
    async with joined() as (client, server):
        client.send_frame([5, 7, None])
        assert await server.receive(8) == b"\x00\x00\x00\x04\x93\x05\x07\xc0"


@virtual_time
async def test_options_can_be_wrong() -> None:
    """What `hello` says by itself can be overruled."""
    async with joined() as (client, server):
        client.preamble()
        client.hello(versions="none", token=5)
        assert await server.receive_frame() == [1, {"versions": "none", "token": 5}]


@virtual_time
async def test_another_opening_than_the_preamble_is_noticed() -> None:
    """The first frame is only read behind a good preamble."""
    async with joined() as (client, server):
        client.send(b"GET / HTTP/1.1\r\n")
        with pytest.raises(AssertionError, match="expected the preamble"):
            await server.receive_frame()


@virtual_time
async def test_an_unexpected_frame_is_shown() -> None:
    """The failure prints what was wanted and what came."""
    async with joined() as (client, server):
        client.preamble()
        client.send_frame([5, 1, None])
        with pytest.raises(AssertionError, match=r"expected the frame \[6, 1, None\], received"):
            await server.expect([6, 1, None])


@virtual_time
async def test_an_ellipsis_stands_for_any_field() -> None:
    """Fields that do not matter need not be known, but their number does."""
    async with joined() as (client, server):
        client.preamble()
        client.send_frame([5, 99, None])
        client.send_frame([5, 99, None])
        assert await server.expect([5, ..., ...]) == [5, 99, None]
        with pytest.raises(AssertionError):
            await server.expect([5, ...])


@virtual_time
async def test_bytes_behind_a_close_are_noticed() -> None:
    """CLOSE is the last frame: `expect_close` waits for the end of the connection."""
    async with joined() as (client, server):
        client.preamble()
        client.send_frame([3, 1, "no", None])
        client.send_frame([5, 1, None])
        with pytest.raises(AssertionError, match="expected the end of the connection"):
            await server.expect_close(1)


@virtual_time
async def test_a_reset_is_an_end_as_well() -> None:
    """`expect_end` accepts a broken connection."""
    async with joined() as (client, server):
        client.abort()
        await server.expect_end()


@virtual_time
async def test_receiving_from_one_who_has_left_is_an_eof_error() -> None:
    """An end of file inside a frame is an EOFError, which says how much came."""
    async with joined() as (client, server):
        client.preamble()
        client.send(b"\x00\x00\x00\x05ab")
        client.eof()
        with pytest.raises(EOFError, match="2 bytes read on a total of 5"):
            await server.receive_frame()


@virtual_time
async def test_a_server_can_play_several_connections_in_turn() -> None:
    """After another `accept` it talks with the next client, from the preamble on."""
    async with joined() as (client, server), ScriptedPeer() as second:
        client.preamble()
        await server.expect_preamble()
        await second.connect("memory://scripted")
        await server.accept()
        second.preamble()
        second.send_frame([5, 2, None])
        assert await server.receive_frame() == [5, 2, None]


@virtual_time
async def test_a_connection_that_was_not_accepted_ends_with_the_peer() -> None:
    """Leaving the block resets clients that nobody talked with, and frees the address."""
    async with ScriptedPeer() as client:
        async with ScriptedPeer() as server:
            await server.listen("memory://unaccepted")
            await client.connect("memory://unaccepted")
            await asyncio.sleep(0)
        await client.expect_end()
        with pytest.raises(ConnectionRefusedError):
            await client.connect("memory://unaccepted")


@virtual_time
async def test_talking_without_a_connection_is_refused() -> None:
    """The text says what is missing."""
    peer = ScriptedPeer()
    with pytest.raises(LocalProtocolError, match="not connected"):
        peer.preamble()
    with pytest.raises(LocalProtocolError, match="not connected"):
        await peer.receive(1)


@virtual_time
async def test_tls_is_not_spoken() -> None:
    """A scripted peer refuses what it cannot do, instead of talking plainly to a TLS server."""
    with pytest.raises(LocalProtocolError, match="does not speak tls"):
        await ScriptedPeer().connect("tls://127.0.0.1:1")
