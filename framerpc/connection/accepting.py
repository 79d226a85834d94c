"""Taking connections from a listening socket: in slices, with a pause when the system has none.

The event loops do this as well, and for two things not well enough. Without a free descriptor
asyncio reports an error for every place in the backlog, a thousand at a time, and libuv closes
what it cannot keep; here it is one line in the log, connections wait in the kernel, and calls on
those that exist go on. And a server that stops has to answer the clients whose connection the
kernel has completed already: what waits is taken before the socket is closed.

Spec: protocol.md, "Limits" and "Drain".
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable

    from framerpc.connection.connection import Connection

__all__ = ["BACKLOG", "Accepting"]

_logger: Final = logging.getLogger("framerpc.connection")

BACKLOG: Final = 1024
"""Connections that the kernel keeps for us while we are busy: a crowd coming back at once."""

_PER_TURN: Final = 64
"""Connections taken before others have their turn."""

_PAUSE: Final = 1.0
"""Seconds without accepting after the system had no descriptor, as in asyncio."""

_QUIET: Final = 60.0
"""Seconds between two lines in the log about it."""


class Accepting:
    """One listening socket, from `start` to `close`.

    Args:
        sock: Bound, not blocking; it is closed with this.
        factory: Makes the connection objects.
        tls: The certificate, for TLS.
        timeout: Seconds for a TLS handshake.
        paused: Told of each pause.
        loop: The event loop.
    """

    def __init__(
        self,
        sock: socket.socket,
        factory: Callable[[], Connection],
        *,
        tls: ssl.SSLContext | None,
        timeout: float | None,
        paused: Callable[[], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._sock = sock
        self._factory = factory
        self._tls = tls
        self._timeout = timeout
        self._paused = paused
        self._loop = loop
        self._arriving: set[asyncio.Task[None]] = set()
        self._resume: asyncio.TimerHandle | None = None
        self._complained = float("-inf")

    def __repr__(self) -> str:
        state = "paused" if self._resume is not None else "accepting"
        return f"<Accepting {state}, {len(self._arriving)} arriving>"

    def start(self) -> None:
        """Listen, and take who comes.

        Raises:
            OSError: The system refuses.
            NotImplementedError: The event loop cannot watch a socket.
        """
        self._sock.listen(BACKLOG)
        self._loop.add_reader(self._sock, self._take, _PER_TURN)

    def close(self) -> None:
        """Take those who wait in the kernel already, and nobody after them."""
        self._loop.remove_reader(self._sock)
        if self._resume is not None:
            self._resume.cancel()
        self._take(BACKLOG)
        if self._resume is not None:
            self._resume.cancel()
        self._sock.close()

    async def arrived(self, timeout: float) -> None:
        """Wait until those who were taken are connections, at most `timeout` seconds.

        Whoever is still in its TLS handshake then is dropped.
        """
        if not self._arriving:
            return
        _, late = await asyncio.wait(self._arriving, timeout=timeout)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)

    def _take(self, most: int) -> None:
        for _ in range(most):
            try:
                sock, _ = self._sock.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue  # it left while it waited
            except OSError as exc:
                self._pause(exc)
                return
            sock.setblocking(False)  # noqa: FBT003 - the socket's signature
            task = self._loop.create_task(self._connect(sock))
            self._arriving.add(task)
            task.add_done_callback(self._arriving.discard)

    async def _connect(self, sock: socket.socket) -> None:
        """Make a connection of a socket; whoever breaks off meanwhile is no concern of ours."""
        try:
            await self._loop.connect_accepted_socket(
                self._factory, sock, ssl=self._tls, ssl_handshake_timeout=self._timeout
            )
        except OSError as exc:  # TLS errors and time-outs are among them
            _logger.debug("x a stranger did not become a connection: %r", exc)

    def _pause(self, exc: OSError) -> None:
        """Leave them waiting in the kernel for a while: no descriptors, or no memory."""
        self._loop.remove_reader(self._sock)
        self._resume = self._loop.call_later(_PAUSE, self._again)
        self._paused()
        now = self._loop.time()
        if now - self._complained >= _QUIET:
            self._complained = now
            _logger.error("! no connections can be accepted for now: %s", exc)

    def _again(self) -> None:
        self._resume = None
        self._loop.add_reader(self._sock, self._take, _PER_TURN)
