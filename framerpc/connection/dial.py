"""Dialling: from an address to a live connection, or one typed error that says what was wrong.

A name is looked up at each dial, and its addresses are tried a little apart, see `eyeballs`.

Spec: protocol.md, "Transports".
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import ssl
import sys
from typing import TYPE_CHECKING, Any

from framerpc.connection.eyeballs import connect_any
from framerpc.errors import ConfigurationError, ConnectionFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from framerpc.connection.addresses import Address
    from framerpc.connection.connection import Connection

__all__ = ["dial"]


async def dial(
    address: Address,
    factory: Callable[[], Connection],
    *,
    tls: ssl.SSLContext | None,
    timeout: float,
) -> Connection:
    """Connect to `address` and return the connection, which has greeted and not been answered.

    Cancelling it leaves nothing behind.

    Args:
        address: Where to.
        factory: Makes the connection object.
        tls: For `tls://`: which certificates to trust; the system's if None.
        timeout: Seconds for name resolution, connecting and TLS together.

    Raises:
        ConnectionFailed: It did not work; `final` if trying again cannot help.
    """
    try:
        async with asyncio.timeout(timeout):
            _, connection = await _open(address, factory, tls)
    except TimeoutError as exc:
        raise ConnectionFailed(str(address), 1, f"no answer within {timeout:.3g} s") from exc
    except ssl.SSLCertVerificationError as exc:
        cause = f"its certificate is not trusted: {exc.verify_message}"
        raise ConnectionFailed(str(address), 1, cause, final=True) from exc
    except ssl.SSLError as exc:
        cause = f"TLS failed: {exc.reason or exc}"
        raise ConnectionFailed(str(address), 1, cause) from exc
    except OSError as exc:
        raise ConnectionFailed(str(address), 1, _in_words(exc, address)) from exc
    except UnicodeError as exc:
        cause = f"{address.host!r} can be no name: {exc}"
        raise ConnectionFailed(str(address), 1, cause, final=True) from exc
    return connection


async def _open(
    address: Address, factory: Callable[[], Connection], tls: ssl.SSLContext | None
) -> tuple[asyncio.BaseTransport, Connection]:
    loop = asyncio.get_running_loop()
    if address.scheme == "memory":
        from framerpc.connection import memory  # noqa: PLC0415 - mostly for tests

        return await memory.connect(address.path, factory)
    if address.scheme == "unix":
        if sys.platform == "win32":
            raise ConfigurationError("unix:// addresses do not exist on Windows; use tcp://")
        return await loop.create_unix_connection(factory, address.path)
    context: ssl.SSLContext | None = None
    if address.scheme == "tls":
        context = tls if tls is not None else ssl.create_default_context()
    name = (address.server_name or address.host) if context is not None else None
    if _is_literal(address.host):
        return await loop.create_connection(
            factory, address.host, address.port, ssl=context, server_hostname=name
        )
    places = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    sock = await connect_any(places)
    # From here on it belongs to the transport, also if TLS fails or we are cancelled.
    return await loop.create_connection(factory, sock=sock, ssl=context, server_hostname=name)


def _is_literal(host: str) -> bool:
    """Return whether a host is an IP address: nothing to look up, and no second way."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _in_words(exc: OSError, address: Address) -> str:
    """Say what the system said, without its decoration, and what it usually means."""
    reason: Any = exc.strerror
    text = str(reason or str(exc) or type(exc).__name__)
    if exc.errno and text.startswith("Connect call failed"):  # asyncio's own words
        text = os.strerror(exc.errno)
    if isinstance(exc, ConnectionRefusedError):
        return f"{text}; nothing listens there"
    if address.scheme == "unix" and isinstance(exc, FileNotFoundError):
        return f"{text}; nothing listens there"
    if address.scheme == "tls" and isinstance(exc, ConnectionResetError):
        return "it broke the TLS handshake off; is it a tls:// address of that server?"
    return text
