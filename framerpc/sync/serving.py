"""Serving without an event loop in sight."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from framerpc.given import check_seconds
from framerpc.sync.portal import hold

if TYPE_CHECKING:
    import ssl
    from collections.abc import Generator

    from framerpc.server.server import Server

__all__ = ["serve"]


@contextlib.contextmanager
def serve(
    server: Server, *urls: str, tls: ssl.SSLContext | None = None, grace: float = 10.0
) -> Generator[Server]:
    """Listen at these addresses, in a thread, while a `with` block runs.

    Args:
        server: What to serve. Its `async def` methods run in the thread of `framerpc.sync`.
        urls: As for `Server.listen`.
        tls: As for `Server.listen`.
        grace: Seconds that calls in flight get when the block is left.

    Raises:
        ConfigurationError: An address is impossible, `grace` is no finite number of seconds >= 0, or
            the server listens already.
        OSError: The system refuses an address.
    """
    check_seconds("grace", grace)
    portal = hold()
    try:
        portal.run(server.start(*urls, tls=tls))
        try:
            yield server
        finally:
            if portal.is_ours():  # a forked child leaves the server to its parent
                portal.run(server.close(grace))
    finally:
        portal.release()
