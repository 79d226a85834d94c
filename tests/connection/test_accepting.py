"""Taking connections from a socket, also when the system has no room for them."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from typing import Any, cast

import pytest

from framerpc.connection.accepting import Accepting
from framerpc.testing import virtual_time


class FullSocket:
    """A listening socket of a process that has no descriptor left, until told otherwise."""

    def __init__(self) -> None:
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)
        self.problem: OSError | None = OSError(errno.EMFILE, "Too many open files")
        self.asked = 0
        self._theirs.send(b"readable")

    def fileno(self) -> int:
        return self._ours.fileno()

    def listen(self, backlog: int) -> None:
        """Do nothing: it is readable all the time."""

    def accept(self) -> tuple[socket.socket, Any]:
        self.asked += 1
        if self.problem is None:
            while True:
                self._ours.recv(100)  # until it would block
        raise self.problem

    def close(self) -> None:
        self._ours.close()
        self._theirs.close()


def accepting(sock: Any, paused: list[float], **options: Any) -> Accepting:
    loop = asyncio.get_running_loop()
    given: dict[str, Any] = {"tls": None, "timeout": None, **options}
    return Accepting(
        cast("socket.socket", sock),
        cast("Any", asyncio.Protocol),
        paused=lambda: paused.append(loop.time()),
        loop=loop,
        **given,
    )


@virtual_time
async def test_lack_of_descriptors_is_a_pause_of_a_second(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One attempt a second, one line a minute, however many wait."""
    sock, paused = FullSocket(), list[float]()
    taker = accepting(sock, paused)
    with caplog.at_level(logging.ERROR, "framerpc.connection"):
        taker.start()
        await asyncio.sleep(90.5)
    assert paused == [float(n) for n in range(91)]
    assert sock.asked == 91
    assert repr(taker) == "<Accepting paused, 0 arriving>"
    assert [record.getMessage() for record in caplog.records] == [
        "! no connections can be accepted for now: [Errno 24] Too many open files"
    ] * 2
    sock.problem = None
    await asyncio.sleep(1)
    assert repr(taker) == "<Accepting accepting, 0 arriving>"
    taker.close()


@virtual_time
async def test_closing_during_a_pause_leaves_no_timer() -> None:
    """After `close` nothing is asked any more, whether it paused before or at that moment."""
    for wait in (0.0, 0.5):
        sock, paused = FullSocket(), list[float]()
        taker = accepting(sock, paused)
        taker.start()
        await asyncio.sleep(wait)
        taker.close()
        asked = sock.asked
        await asyncio.sleep(5)
        assert sock.asked == asked


@virtual_time
async def test_connection_that_left_while_it_waited_is_skipped() -> None:
    """ECONNABORTED is about one connection: those behind it are asked for at once."""
    sock, paused = FullSocket(), list[float]()
    sock.problem = ConnectionAbortedError()
    taker = accepting(sock, paused)
    taker.start()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (sock.asked > 1, paused) == (True, [])
    taker.close()


async def test_stranger_in_its_tls_handshake_is_dropped_at_the_end() -> None:
    """Whoever does not become a connection in time is not waited for, and leaves no task."""
    import ssl  # noqa: PLC0415 - one test needs it

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    sock = socket.socket()
    sock.setblocking(False)
    sock.bind(("127.0.0.1", 0))
    taker = accepting(sock, [], tls=context, timeout=10.0)
    taker.start()
    with socket.create_connection(sock.getsockname()) as stranger:
        taker.close()
        assert repr(taker) == "<Accepting accepting, 1 arriving>"
        await taker.arrived(0.01)
        assert repr(taker) == "<Accepting accepting, 0 arriving>"
        stranger.setblocking(False)
        async with asyncio.timeout(3):
            assert await asyncio.get_running_loop().sock_recv(stranger, 1) == b""
