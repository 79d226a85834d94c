"""Listening: from an address to a bound socket that makes connections.

Spec: protocol.md, "Transports".
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import errno
import os
import socket
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from framerpc.errors import ConfigurationError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from framerpc.connection.addresses import Address
    from framerpc.connection.connection import Connection

__all__ = ["Listener", "listen"]

_BACKLOG: Final = 1024
"""Connections that the kernel keeps for us while we are busy: a crowd coming back at once."""


class Listener:
    """A bound address.

    Attributes:
        address: As it can be dialled: with the port that was given.
    """

    def __init__(self, address: Address, close: Callable[[], None]) -> None:
        self.address = address
        self._close = close
        self._closed = False

    def __repr__(self) -> str:
        return f"<Listener {self.address}{' closed' if self._closed else ''}>"

    def close(self) -> None:
        """Accept nothing more; connections that exist live on. Idempotent."""
        if not self._closed:
            self._closed = True
            self._close()


async def listen(
    address: Address,
    factory: Callable[[], Connection],
    *,
    tls: ssl.SSLContext | None,
    timeout: float = 10.0,
) -> Listener:
    """Bind `address` and make a connection of everybody who comes.

    Args:
        address: Where.
        factory: Makes the connection objects.
        tls: The certificate for `tls://`.
        timeout: Seconds for a TLS handshake, of which the connection knows nothing yet.

    Raises:
        ConfigurationError: The address does not fit the options.
        OSError: The system refuses, for example because the address is in use.
    """
    loop = asyncio.get_running_loop()
    if address.scheme == "memory":
        from framerpc.connection import memory  # noqa: PLC0415 - mostly for tests

        place = memory.listen(address.path, factory, loop)
        return Listener(address, place.close)
    if address.scheme == "unix":
        return await _listen_unix(address, factory)
    if address.scheme == "tls" and tls is None:
        raise ConfigurationError(
            f"{address} needs a certificate: pass tls=ssl.SSLContext with its chain loaded "
            "(on the command line: --tls-cert)"
        )
    sock = await _bind(address)
    context = tls if address.scheme == "tls" else None
    patience = timeout if context is not None else None
    try:
        server = await loop.create_server(
            factory, sock=sock, ssl=context, ssl_handshake_timeout=patience, backlog=_BACKLOG
        )
    except BaseException:
        sock.close()
        raise
    port = sock.getsockname()[1]
    return Listener(dataclasses.replace(address, port=port), server.close)


async def _bind(address: Address) -> socket.socket:
    """Bind the first address that the host name stands for."""
    loop = asyncio.get_running_loop()
    infos = await loop.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    family, kind, protocol, _, place = infos[0]
    sock = socket.socket(family, kind, protocol)
    try:
        if sys.platform != "win32":  # there it would let two servers share the port
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setblocking(False)  # noqa: FBT003 - the socket's signature
        sock.bind(place)
    except OSError as exc:
        sock.close()
        raise _refused(exc, address) from exc
    return sock


def _refused(exc: OSError, address: Address) -> OSError:
    """Return the error of the system with the address, and with what to do."""
    text = os.strerror(exc.errno) if exc.errno else str(exc)
    advice = _ADVICE.get(exc.errno or 0, "")
    return OSError(exc.errno, f"cannot listen on {address}: {text}{advice}")


_ADVICE: Final = {
    errno.EADDRINUSE: "; stop what listens there, or take another port (0 takes a free one)",
    errno.EADDRNOTAVAIL: "; no interface of this machine has it (0.0.0.0 stands for all)",
    errno.EACCES: "; it takes privileges (ports below 1024, folders of others)",
    errno.ENOENT: "; its folder does not exist",
}


async def _listen_unix(address: Address, factory: Callable[[], Connection]) -> Listener:
    if sys.platform == "win32":
        raise ConfigurationError("unix:// addresses do not exist on Windows; use tcp://")
    path = Path(address.path)
    _remove_stale(path)
    loop = asyncio.get_running_loop()
    try:
        server = await loop.create_unix_server(factory, str(path), backlog=_BACKLOG)
    except OSError as exc:
        raise _refused(exc, address) from exc
    inode = path.stat().st_ino  # noqa: ASYNC240 - a socket of ours, on a local file system

    def close() -> None:
        server.close()
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_ino == inode:  # it may be a successor's by now
                path.unlink()

    return Listener(address, close)


def _remove_stale(path: Path) -> None:
    """Remove a socket that a dead server left; refuse to take one from a live server."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.stat().st_mode):
            raise ConfigurationError(f"{path} exists and is not a socket; remove it first")
        with socket.socket(socket.AF_UNIX) as probe:  # type: ignore[attr-defined,unused-ignore]
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()
                return
        raise OSError(errno.EADDRINUSE, f"cannot listen on unix://{path}: a server answers there")
