"""Options of TCP sockets that matter for calls.

TCP_NODELAY is set by asyncio itself; frames leave in batches, so nothing is lost by it.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import asyncio

    from framerpc.config import Keepalive

__all__ = ["describe_peer", "tune"]


def tune(transport: asyncio.BaseTransport, keepalive: Keepalive) -> None:
    """Let the kernel give up on a dead link as soon as we do."""
    sock: Any = transport.get_extra_info("socket")
    if sock is None or sock.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    option = getattr(socket, "TCP_USER_TIMEOUT", None)  # Linux only
    if option is not None:
        # How long sent bytes may stay unacknowledged; keepalive alone does not cover that.
        milliseconds = int((keepalive.interval + keepalive.timeout) * 1000)
        sock.setsockopt(socket.IPPROTO_TCP, option, milliseconds)


def describe_peer(transport: asyncio.BaseTransport, scheme: str) -> str:
    """Return the other end's address as text."""
    name: object = transport.get_extra_info("peername")
    if isinstance(name, tuple):
        host, port = cast("tuple[object, ...]", name)[:2]
        return f"{scheme}://[{host}]:{port}" if ":" in str(host) else f"{scheme}://{host}:{port}"
    return f"{scheme}://{name}" if isinstance(name, str) else f"{scheme}://"
