"""Listening: from an address to a bound socket that makes connections.

Spec: protocol.md, "Transports".
"""

from __future__ import annotations

import abc
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

from framerpc.connection.accepting import BACKLOG, Accepting
from framerpc.connection.addresses import Address, parse_address
from framerpc.errors import ConfigurationError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from framerpc.connection.connection import Connection

__all__ = ["Entrance", "Listener", "bind", "listen", "parse_place"]


def _nothing() -> None:
    """Do nothing: nobody wants to be told."""


class Listener:
    """A bound address.

    Attributes:
        address: As it can be dialled: with the port that was given.
    """

    def __init__(
        self, address: Address, close: Callable[[], None], accepting: Accepting | None = None
    ) -> None:
        self.address = address
        self._close = close
        self._accepting = accepting
        self._closed = False

    def __repr__(self) -> str:
        return f"<Listener {self.address}{' closed' if self._closed else ''}>"

    def close(self) -> None:
        """Accept nothing more; connections that exist live on. Idempotent."""
        if not self._closed:
            self._closed = True
            self._close()

    async def arrived(self, timeout: float) -> None:
        """Wait for those who came before `close`; drop whoever takes longer than `timeout` s."""
        if self._accepting is not None:
            await self._accepting.arrived(timeout)


class Entrance(abc.ABC):
    """Where clients come in that is no address: a gateway inside a web server, say."""

    @abc.abstractmethod
    async def open(self) -> Listener:
        """Let clients in.

        Raises:
            OSError: The system refuses.
        """


def parse_place(place: str | Entrance) -> Address | Entrance:
    """Return where to listen: the address that a text stands for, or the entrance that it is.

    Raises:
        ConfigurationError: It is neither, or an address that can only be dialled.
    """
    return place if isinstance(place, Entrance) else parse_address(place, options=())


async def listen(
    address: Address | Entrance,
    factory_for: Callable[[str], Callable[[], Connection]],
    *,
    tls: ssl.SSLContext | None,
    timeout: float = 10.0,
    paused: Callable[[], None] = _nothing,
) -> Listener:
    """Bind `address` and make a connection of everybody who comes.

    Args:
        address: Where.
        factory_for: Returns what makes the connection objects for a scheme.
        tls: The certificate for `tls://`.
        timeout: Seconds for a TLS handshake, of which the connection knows nothing yet.
        paused: Told when the system has no descriptor for a connection; it waits in the kernel.

    Raises:
        ConfigurationError: The address does not fit the options.
        OSError: The system refuses, for example because the address is in use.
    """
    if isinstance(address, Entrance):
        return await address.open()
    loop = asyncio.get_running_loop()
    factory = factory_for(address.scheme)
    if address.scheme == "memory":
        from framerpc.connection import memory  # noqa: PLC0415 - mostly for tests

        place = memory.listen(address.path, factory, loop)
        return Listener(address, place.close)
    if address.scheme == "unix":
        sock = _bind_unix(address)
        close = _unlinking(Path(address.path))
        return await _accept(sock, factory, address, close, paused=paused)
    if address.scheme == "tls" and tls is None:
        raise ConfigurationError(
            f"{address} needs a certificate: pass tls=ssl.SSLContext with its chain loaded "
            "(on the command line: --tls-cert)"
        )
    sock = await bind(address)
    address = dataclasses.replace(address, port=sock.getsockname()[1])
    if address.scheme != "tls":
        return await _accept(sock, factory, address, paused=paused)
    return await _accept(sock, factory, address, paused=paused, tls=tls, timeout=timeout)


async def _accept(
    sock: socket.socket,
    factory: Callable[[], Connection],
    address: Address,
    before: Callable[[], None] = _nothing,
    *,
    paused: Callable[[], None],
    tls: ssl.SSLContext | None = None,
    timeout: float | None = None,
) -> Listener:
    """Take connections from a bound socket until the listener is closed; `before` goes first."""
    loop = asyncio.get_running_loop()
    accepting = Accepting(sock, factory, tls=tls, timeout=timeout, paused=paused, loop=loop)
    try:
        accepting.start()
    except NotImplementedError:  # the proactor of Windows
        server = await loop.create_server(
            factory, sock=sock, ssl=tls, ssl_handshake_timeout=timeout, backlog=BACKLOG
        )
        return Listener(address, server.close)
    except OSError as exc:
        sock.close()
        raise _refused(exc, address) from exc

    def close() -> None:
        before()
        accepting.close()

    return Listener(address, close, accepting)


async def bind(address: Address) -> socket.socket:
    """Bind the first address that the host name of a TCP address stands for.

    Raises:
        OSError: The system refuses.
    """
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


def _bind_unix(address: Address) -> socket.socket:
    if sys.platform == "win32":
        raise ConfigurationError("unix:// addresses do not exist on Windows; use tcp://")
    _remove_stale(Path(address.path))
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.setblocking(False)  # noqa: FBT003 - the socket's signature
        sock.bind(address.path)
    except OSError as exc:
        sock.close()
        raise _refused(exc, address) from exc
    return sock


def _unlinking(path: Path) -> Callable[[], None]:
    """Return what removes the socket that is at a path now."""
    inode = path.stat().st_ino

    def unlink() -> None:
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_ino == inode:  # it may be a successor's by now
                path.unlink()

    return unlink


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
