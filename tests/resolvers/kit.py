"""What the tests of this room share: a watcher that notes what a resolver says, and when."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from framerpc.resolvers import Resolution, Resolver

__all__ = ["Watcher", "now", "urls", "watching"]


def now() -> float:
    """Return the time of the running loop."""
    return asyncio.get_running_loop().time()


def urls(resolution: Resolution) -> list[str]:
    """Return the endpoints of a resolution as text."""
    return [str(endpoint) for endpoint in resolution.endpoints]


class Watcher:
    """What a resolver has said, with the times."""

    def __init__(self) -> None:
        self.heard: list[tuple[float, Resolution]] = []

    @property
    def last(self) -> Resolution:
        """The newest."""
        return self.heard[-1][1]

    @property
    def times(self) -> list[float]:
        """When it said something."""
        return [when for when, _ in self.heard]

    async def listen(self, resolver: Resolver) -> None:
        async with aclosing(resolver.watch()) as resolutions:
            async for resolution in resolutions:
                self.heard.append((now(), resolution))


@asynccontextmanager
async def watching(resolver: Resolver) -> AsyncIterator[Watcher]:
    """Watch a resolver while the block runs."""
    watcher = Watcher()
    task = asyncio.create_task(watcher.listen(resolver))
    try:
        yield watcher
    finally:
        if task.done():
            task.result()  # a bug of the resolver's comes out
        task.cancel()
        await asyncio.wait({task})
