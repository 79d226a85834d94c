"""Options of TCP sockets that matter for calls.

TCP_NODELAY is set by asyncio itself; frames leave in batches, so nothing is lost by it.

Spec: protocol.md, "Liveness".
"""

from __future__ import annotations

import math
import socket
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import asyncio

__all__ = ["describe_peer", "tune"]


def tune(transport: asyncio.BaseTransport, interval: float, timeout: float) -> None:
    """Let the kernel give up on a dead link no later than we do, also while the peer is busy.

    Args:
        transport: Of any kind; only TCP has such options.
        interval: Seconds of silence before we ask.
        timeout: Seconds after that.
    """
    sock: Any = transport.get_extra_info("socket")
    if sock is None or sock.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    # The kernel asks when our own PING is overdue: while the peer is busy, ours stays the only
    # one, and a link that dies meanwhile is noticed all the same. Its unit is the second.
    idle = math.ceil(interval + timeout / 2)
    pause = math.ceil(timeout / 4)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for names, value in (
        (("TCP_KEEPIDLE", "TCP_KEEPALIVE"), idle),  # the second is macOS' name for it
        (("TCP_KEEPINTVL",), pause),
        (("TCP_KEEPCNT",), 2),
    ):
        option = next((getattr(socket, name) for name in names if hasattr(socket, name)), None)
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
    option = getattr(socket, "TCP_USER_TIMEOUT", None)  # Linux only
    if option is not None:
        # How long sent bytes, and such questions, may stay unacknowledged.
        sock.setsockopt(socket.IPPROTO_TCP, option, int((interval + timeout) * 1000))


def describe_peer(transport: asyncio.BaseTransport, scheme: str) -> str:
    """Return the other end's address as text."""
    name: object = transport.get_extra_info("peername")
    if isinstance(name, tuple):
        host, port = cast("tuple[object, ...]", name)[:2]
        return f"{scheme}://[{host}]:{port}" if ":" in str(host) else f"{scheme}://{host}:{port}"
    return f"{scheme}://{name}" if isinstance(name, str) else f"{scheme}://"
