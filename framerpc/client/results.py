"""A result that is a stream, as users have it: an async generator of typed items.

The call starts with the first item that is asked for, as with any async generator. Cancelling a
wait loses no item, which is where it is better than one.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from framerpc.errors import ConfigurationError

if TYPE_CHECKING:
    from types import TracebackType

    from framerpc.call import Buffer

__all__ = ["ResultStream"]

_T = TypeVar("_T")


class ResultStream(AsyncGenerator[_T, None], Generic[_T]):
    """The items of a call's result, in order.

    Iterate over it once. `aclose()` stops the producer; so does leaving an `async with` block
    around it, and dropping the last reference to it.
    """

    __slots__ = ("_begin", "_closed", "_decode", "_items", "_method")

    def __init__(
        self,
        method: str,
        begin: Callable[[], Awaitable[AsyncIterator[Buffer]]],
        decode: Callable[[Buffer], _T],
    ) -> None:
        self._method = method
        self._begin = begin
        self._decode = decode
        self._items: AsyncIterator[Buffer] | None = None
        self._closed = False

    def __repr__(self) -> str:
        begun = "not started" if self._items is None else "started"
        return f"<ResultStream of {self._method}, {'closed' if self._closed else begun}>"

    def __aiter__(self) -> ResultStream[_T]:
        return self

    async def __anext__(self) -> _T:
        """Return the next item.

        Raises:
            StopAsyncIteration: There are no more.
            CallError: The call ended badly; the subclass says how.
            ConnectionLost: The connection died in the middle of the stream.
        """
        if self._closed:
            raise StopAsyncIteration
        if self._items is None:
            self._items = await self._begin()
        try:
            return self._decode(await anext(self._items))
        except StopAsyncIteration:
            self._closed = True
            raise

    async def asend(self, value: None) -> _T:
        """Return the next item; there is nowhere to send a value to."""
        if value is not None:
            raise ConfigurationError("a result stream takes no values; pass a stream argument")
        return await self.__anext__()

    async def athrow(
        self,
        typ: type[BaseException] | BaseException,
        val: BaseException | object = None,
        tb: TracebackType | None = None,
    ) -> _T:
        """Close the stream and raise the exception."""
        await self.aclose()
        error: Any = val if isinstance(val, BaseException) else typ
        if isinstance(error, type):
            error = error()
        raise error if tb is None else error.with_traceback(tb)

    async def aclose(self) -> None:
        """Stop the producer, unless it has finished. Idempotent."""
        self._closed = True
        if self._items is not None:
            close = getattr(self._items, "aclose", None)
            if close is not None:
                await close()

    async def __aenter__(self) -> ResultStream[_T]:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()
