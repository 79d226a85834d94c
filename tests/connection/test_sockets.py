"""The options of TCP sockets."""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import Any, cast

import pytest

import framerpc
from framerpc import Keepalive
from framerpc.connection.sockets import tune
from tests.services import Work

TCP = socket.IPPROTO_TCP


class Holder:
    """A transport that has a socket."""

    def __init__(self, sock: Any) -> None:
        self.sock = sock

    def get_extra_info(self, name: str) -> Any:
        return self.sock if name == "socket" else None


def tuned(sock: Any, interval: float, timeout: float) -> None:
    tune(cast("asyncio.BaseTransport", Holder(sock)), interval, timeout)


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux' names of the options")
@pytest.mark.parametrize(
    ("interval", "timeout", "idle", "pause", "user_ms"),
    [(20, 10, 25, 3, 30_000), (0.2, 0.2, 1, 1, 400), (5, 5, 8, 2, 10_000)],
)
def test_kernel_gives_up_within_two_intervals(
    interval: float, timeout: float, idle: int, pause: int, user_ms: int
) -> None:
    """TCP asks when our own PING is overdue, and gives up when we do; its unit is the second."""
    with socket.socket() as sock:
        tuned(sock, interval, timeout)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert sock.getsockopt(TCP, socket.TCP_KEEPIDLE) == idle
        assert sock.getsockopt(TCP, socket.TCP_KEEPINTVL) == pause
        assert sock.getsockopt(TCP, socket.TCP_USER_TIMEOUT) == user_ms


def test_other_transports_have_no_such_options() -> None:
    """Neither a Unix socket nor a transport without a socket is touched."""
    tuned(None, 1, 1)
    if hasattr(socket, "AF_UNIX"):
        with socket.socket(socket.AF_UNIX) as sock:
            tuned(sock, 1, 1)
            assert not sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


@pytest.mark.skipif(sys.platform != "linux", reason="needs TCP_USER_TIMEOUT")
async def test_both_ends_are_tuned_to_what_was_agreed() -> None:
    """The smaller of the two intervals decides on both sides, once they are welcome."""
    server = framerpc.Server(Work(), keepalive=Keepalive(interval=4, timeout=3))
    async with server.listen("tcp://127.0.0.1:0", grace=0):
        async with framerpc.connect(
            server.url, keepalive=Keepalive(interval=9, timeout=6)
        ) as client:
            await client.ready()
            channel = client._core.pool.only if client._core.pool is not None else None
            assert channel is not None
            (peer,) = server.peers.welcome
            for connection, milliseconds in ((channel.connection, 8000), (peer.connection, 7000)):
                assert connection is not None
                sock = connection.transport_info("socket")
                assert sock.getsockopt(TCP, socket.TCP_USER_TIMEOUT) == milliseconds
