"""Streams for code without an event loop: results to iterate, arguments to iterate over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar, cast

if TYPE_CHECKING:
    from types import TracebackType

    from framerpc.sync.portal import Portal

__all__ = ["SyncResultStream", "ThreadedIterator"]

_T = TypeVar("_T")

_Item = TypeVar("_Item", covariant=True)  # noqa: PLC0105 - as for any iterator

_END: Final = object()


class _Closable(Protocol[_Item]):
    """What is behind a `SyncResultStream`: a `ResultStream` or a `WatchStream`."""

    async def __anext__(self) -> _Item: ...
    def __aiter__(self) -> AsyncIterator[_Item]: ...
    async def aclose(self) -> None: ...


class SyncResultStream(Iterator[_T], Generic[_T]):
    """The items of a call's result, in order, as a plain iterator.

    `close()` stops the producer; so does leaving a `with` block around it.
    """

    def __init__(self, portal: Portal, stream: _Closable[_T]) -> None:
        self._portal = portal
        self._stream = stream

    def __repr__(self) -> str:
        return f"<Sync{repr(self._stream)[1:]}"

    def __next__(self) -> _T:
        """Return the next item; raises what `ResultStream.__anext__` does."""
        item: Any = self._portal.run(self._next())
        if item is _END:
            raise StopIteration
        return cast("_T", item)

    async def _next(self) -> Any:
        # StopAsyncIteration cannot travel through a future.
        return await anext(self._stream, _END)

    def close(self) -> None:
        """Stop the producer, unless it has finished. Idempotent.

        In a forked child it does nothing, and nothing is left to do once the client is closed.
        """
        if self._portal.is_ours():
            self._portal.run(self._stream.aclose())

    def __enter__(self) -> SyncResultStream[_T]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class ThreadedIterator(AsyncIterator[_T], Generic[_T]):
    """A plain iterator for the loop: each item is made in a thread, since it may block."""

    def __init__(self, items: Iterator[_T]) -> None:
        self._items = items

    async def __anext__(self) -> _T:
        item: Any = await asyncio.to_thread(next, self._items, _END)
        if item is _END:
            raise StopAsyncIteration
        return cast("_T", item)

    async def aclose(self) -> None:
        """Close the iterator, if it is a generator."""
        close = getattr(self._items, "close", None)
        if close is not None:
            await asyncio.to_thread(close)
