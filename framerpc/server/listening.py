"""A server while it listens: a block that starts it and stops it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from framerpc.given import check_seconds

if TYPE_CHECKING:
    import ssl
    from collections.abc import Generator
    from types import TracebackType

    from framerpc.connection.listen import Entrance
    from framerpc.server.server import Server

__all__ = ["Listening"]


class Listening:
    """A server while it listens: an async context manager that yields the server."""

    def __init__(
        self,
        server: Server,
        urls: tuple[str | Entrance, ...],
        tls: ssl.SSLContext | None,
        grace: float,
    ) -> None:
        check_seconds("grace", grace)
        self._server = server
        self._urls = urls
        self._tls = tls
        self._grace = grace

    async def __aenter__(self) -> Server:
        await self._server.start(*self._urls, tls=self._tls)
        return self._server

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._server.close(self._grace)

    def __await__(self) -> Generator[Any, None, Server]:
        """Start without a block; `close` is then up to the caller."""
        return self.__aenter__().__await__()
