"""What the system says of the bytes that we sent, for each kind of transport."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from framerpc.connection import memory
from framerpc.connection.evidence import Evidence, Witness
from framerpc.connection.outbox import Outbox
from framerpc.testing import Network, virtual_time
from tests.survival.siege import settled

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs TCP_INFO")


class Told:
    """An outbox that took so many bytes, and a transport that knows what it is told."""

    taken = 0

    def __init__(self, **extra: Any) -> None:
        self.extra = extra

    def get_extra_info(self, name: str) -> Any:
        return self.extra.get(name)


def witness(told: Told) -> Witness:
    made = Witness(cast("Outbox", told))
    made.open(cast("asyncio.BaseTransport", told))
    return made


def test_transport_that_tells_nothing_is_no_evidence() -> None:
    """Without a socket nothing is known, but for what a full transport got rid of."""
    told = Told()
    looks = witness(told)
    assert looks.look() is Evidence.UNKNOWN
    told.taken = 5
    assert looks.look() is Evidence.TAKING
    assert looks.look() is Evidence.UNKNOWN
    assert looks.waited() == 0


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs Unix sockets")
def test_unix_socket_ends_on_our_own_host() -> None:
    """Its host lives as long as we do."""
    one, two = socket.socketpair(socket.AF_UNIX)
    with one, two:
        one.send(b"never read")
        assert witness(Told(socket=one)).look() is Evidence.DELIVERED


def test_kernel_that_tells_less_is_no_evidence() -> None:
    """A TCP_INFO that is too short, or a socket that is gone, is not guessed at."""

    class Old:
        family = socket.AF_INET

        def __init__(self, info: bytes | None) -> None:
            self.info = info

        def getsockopt(self, *_: int) -> bytes:
            if self.info is None:
                raise OSError("Bad file descriptor")
            return self.info

    for info in (b"\0" * 104, None):
        looks = witness(Told(socket=Old(info)))
        assert looks.look() is Evidence.UNKNOWN
        assert looks.waited() == 0


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[asyncio.Transport, socket.socket]]:
    """A transport of the running loop, and a peer that reads only when it is told to."""
    loop = asyncio.get_running_loop()
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        transport, _ = await loop.create_connection(asyncio.Protocol, *listener.getsockname())
        peer, _ = listener.accept()
        with peer:
            try:
                yield transport, peer
            finally:
                transport.abort()
                await asyncio.sleep(0)


@linux
async def test_tcp_peer_that_does_not_read_has_acknowledged() -> None:
    """The kernel of a frozen application acknowledges what fits in its buffers."""
    async with connected() as (transport, _):
        looks = Witness(cast("Outbox", Told()))
        looks.open(transport)
        looks.look()
        transport.write(b"ping")
        await settled(lambda: looks.look() is Evidence.DELIVERED)


@linux
async def test_tcp_peer_with_full_buffers_is_lost_unless_it_takes_something() -> None:
    """What does not fit is not acknowledged; as soon as the peer reads, it is being taken."""
    async with connected() as (transport, peer):
        looks = Witness(cast("Outbox", Told()))
        looks.open(transport)
        transport.write(b"x" * 5_000_000)
        await settled(lambda: looks.look() is Evidence.LOST)
        peer.setblocking(False)

        def is_taking() -> bool:
            peer.recv(65536)
            return looks.look() is Evidence.TAKING

        await settled(is_taking)


@linux
async def test_tcp_tells_how_long_bytes_have_waited() -> None:
    """Bytes that nobody read for a while say by how much our loop is late."""
    async with connected() as (transport, peer):
        transport.pause_reading()
        looks = Witness(cast("Outbox", Told()))
        looks.open(transport)
        peer.send(b"ping")
        await settled(lambda: looks.waited() >= 0.03)


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        ("freeze", Evidence.DELIVERED),
        ("drop", Evidence.LOST),
        ("to_server", Evidence.LOST),
        ("to_client", Evidence.LOST),
    ],
)
@virtual_time
async def test_memory_transport_says_what_a_kernel_would(fault: str, seen: Evidence) -> None:
    """A frozen peer acknowledges; a link that loses anything does not."""
    with Network() as network:
        listener = memory.listen("witness", asyncio.Protocol, asyncio.get_running_loop())
        transport, _ = await memory.connect("witness", asyncio.Protocol)
        looks = Witness(cast("Outbox", Told()))
        looks.open(transport)
        transport.write(b"before")
        assert looks.look() is Evidence.DELIVERED
        if fault == "freeze":
            network.freeze()
        elif fault == "drop":
            network.drop()
        else:
            network.half_open(cast("Any", fault))
        transport.write(b"after")
        assert looks.look() is seen
        network.heal()
        assert looks.look() is Evidence.DELIVERED
        transport.abort()
        listener.close()


@virtual_time
async def test_slow_memory_link_is_being_taken_from() -> None:
    """While bytes trickle over, every look sees some more of them."""
    with Network() as network:
        listener = memory.listen("slow", asyncio.Protocol, asyncio.get_running_loop())
        transport, _ = await memory.connect("slow", asyncio.Protocol)
        network.slow_reader(100)
        looks = Witness(cast("Outbox", Told()))
        looks.open(transport)
        transport.write(b"x" * 1000)
        looks.look()
        for _ in range(9):
            await asyncio.sleep(1)
            assert looks.look() is Evidence.TAKING
        await asyncio.sleep(1.1)
        assert looks.look() is Evidence.DELIVERED
        transport.abort()
        listener.close()


def test_layout_of_tcp_info_is_that_of_the_kernel() -> None:
    """Where the system has its headers, the members stand where we read them."""
    header = Path("/usr/include/linux/tcp.h")
    if not header.exists():
        pytest.skip("needs linux/tcp.h")
    body = header.read_text(encoding="utf-8").partition("struct tcp_info {")[2].partition("};")[0]
    place, members = 8, {}
    for line in body.splitlines():
        kind, *names = line.replace(";", " ").split("/*")[0].split() or [""]
        size = {"__u32": 4, "__u64": 8}.get(kind, 0)
        if size and len(names) == 1:
            place += -place % size
            members[names[0]] = place
            place += size
    found = [members.get(f"tcpi_{name}") for name in (
        "unacked", "last_data_recv", "bytes_acked", "notsent_bytes"
    )]  # fmt: skip
    assert found == [24, 52, 120, 144]
