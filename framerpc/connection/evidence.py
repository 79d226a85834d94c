"""Signs of life of the host behind a connection: what its kernel has acknowledged of our bytes.

A peer whose application blocks its loop says nothing, but its kernel goes on acknowledging; a
link that is dead, or a host that is down, does not. This module knows where each kind of
transport can be asked for that, and nothing of pings and patience (see `keepalive`).

Where it comes from: TCP_INFO on Linux, under TLS as well. A Unix socket ends on our own host,
whose death we would not notice. In-memory transports say it themselves. Elsewhere nothing is
known. A proxy acknowledges for its own host.

Spec: protocol.md, "Liveness".
"""

from __future__ import annotations

import enum
import socket
import struct
import sys
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from framerpc.connection.outbox import Outbox

__all__ = ["Acknowledged", "Evidence", "Witness"]


class Evidence(enum.Enum):
    """What is known of the peer's host since we looked last."""

    UNKNOWN = "unknown"  # nobody can be asked
    LOST = "lost"  # what we sent is not acknowledged
    TAKING = "taking"  # part of what we sent was taken: the link is slow, the peer reads
    DELIVERED = "delivered"  # its kernel has all that we sent


class Acknowledged(NamedTuple):
    """How far our bytes have come.

    Attributes:
        size: Bytes acknowledged so far, or any number that grows with them.
        complete: Nothing that was sent is still on its way.
    """

    size: int
    complete: bool


class Witness:
    """Watches what becomes of the bytes of one connection.

    Args:
        outbox: What is sent.
    """

    __slots__ = ("_ask", "_outbox", "_size", "_sock", "_taken")

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._sock: Any = None  # only of TCP on Linux
        self._ask: Callable[[], Acknowledged | None] = _nothing
        self._size = self._taken = 0  # when we looked last

    def open(self, transport: asyncio.BaseTransport) -> None:
        """Find out where `transport` can be asked."""
        sock: Any = transport.get_extra_info("socket")
        own: Callable[[], Acknowledged] | None = getattr(transport, "acknowledged", None)
        if own is not None:
            self._ask = own
        elif sock is None:
            return
        elif sock.family in {socket.AF_INET, socket.AF_INET6}:
            if sys.platform == "linux":
                self._sock = sock
                self._ask = self._ask_tcp
        elif sock.family == getattr(socket, "AF_UNIX", None):
            self._ask = _our_own_host

    def look(self) -> Evidence:
        """Return what happened since the last look."""
        taken, acknowledged = self._outbox.taken, self._ask()
        taking, self._taken = taken > self._taken, taken
        if acknowledged is None:
            return Evidence.TAKING if taking else Evidence.UNKNOWN
        taking = taking or acknowledged.size > self._size
        self._size = acknowledged.size
        if acknowledged.complete:
            return Evidence.DELIVERED
        return Evidence.TAKING if taking else Evidence.LOST

    def waited(self) -> float:
        """Return for how many seconds the last bytes had arrived before we read them.

        To be asked while they are handled; 0 where the system does not tell.
        """
        info = self._tcp_info()
        if info is None:
            return 0.0
        return float(_TCP_INFO.unpack(info)[1]) / 1000

    def _ask_tcp(self) -> Acknowledged | None:
        info = self._tcp_info()
        if info is None:
            return None
        in_flight, _, size, unsent = _TCP_INFO.unpack(info)
        return Acknowledged(size, not in_flight and not unsent)

    def _tcp_info(self) -> bytes | None:
        """Return the kernel's TCP_INFO, or None if there is none, or not enough of it."""
        if self._sock is None:
            return None
        try:
            info: bytes = self._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
        except (OSError, ValueError):  # closed under us (uvloop: ValueError); we are about to hear
            return None
        return info if len(info) == _TCP_INFO.size else None


def _nothing() -> None:
    """Say that nobody can be asked."""


def _our_own_host() -> Acknowledged:
    return Acknowledged(0, complete=True)


_TCP_INFO: Final = struct.Struct("=24xI24xI64xQ16xI")
"""The members of `struct tcp_info` (linux/tcp.h) that we read; it only ever grows at its end:
segments in flight, milliseconds since data came, bytes acknowledged, bytes unsent (Linux 4.6)."""
