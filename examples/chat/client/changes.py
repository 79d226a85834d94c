"""That something has changed, for whoever looks: what, and not how.

Whoever is told looks at the model, so that many changes may be told as one: nothing piles up
behind somebody who is slow.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

__all__ = ["Changes"]


class Changes:
    """Who wants to know of changes, and what they have not looked at yet."""

    def __init__(self) -> None:
        self._listeners: set[_Listener] = set()

    def tell(self, what: int | None) -> None:
        """Note that a room has changed, or something else (None)."""
        for listener in self._listeners:
            listener.tell(what)

    async def follow(self, first: Iterable[int | None]) -> AsyncGenerator[int | None, None]:
        """Return what has changed, beginning with `first`; it never ends by itself."""
        listener = _Listener(set(first))
        self._listeners.add(listener)
        try:
            while True:
                for what in await listener.take():
                    yield what
        finally:
            self._listeners.discard(listener)


class _Listener:
    def __init__(self, changed: set[int | None]) -> None:
        self._changed = changed
        self._told = asyncio.Event()
        self._told.set()

    def tell(self, what: int | None) -> None:
        self._changed.add(what)
        self._told.set()

    async def take(self) -> set[int | None]:
        await self._told.wait()
        self._told.clear()
        changed, self._changed = self._changed, set[int | None]()
        return changed
