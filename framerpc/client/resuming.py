"""A stream that goes on after its connection is lost, where the method declares that it can.

The method is called again, and told how many items have been taken already: so the caller gets
each item once and in order, as if nothing had happened. It knows no connection; what it opens
waits for one.

Spec: protocol.md, "Resuming".
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

from framerpc.client.endings import strongest
from framerpc.errors import ConnectionLost, FrameRPCError, Unavailable

if TYPE_CHECKING:
    from framerpc.call import Buffer
    from framerpc.errors import Executed

__all__ = ["Resuming"]


class Resuming(AsyncIterator["Buffer"]):
    """The encoded items of a call, and of those that go on with it.

    Args:
        open: Calls the method; its argument is the number of items to leave out.
        most: How often in a row it is called again without an item having come.
    """

    __slots__ = ("_claim", "_failures", "_items", "_most", "_open", "_taken")

    def __init__(self, open: Callable[[int], Awaitable[AsyncIterator[Buffer]]], most: int) -> None:  # noqa: A002 - what it does
        self._open = open
        self._most = most
        self._items: AsyncIterator[Buffer] | None = None
        self._taken = 0
        self._failures = 0
        self._claim: Executed = "no"  # of all calls so far

    async def __anext__(self) -> Buffer:
        """Return the next item. Cancelling it loses none.

        Raises:
            ConnectionLost: Too many connections in a row were lost before an item came.
            CallError: The call ended badly for another reason; `executed` is about all calls.
        """
        while True:
            try:
                if self._items is None:
                    self._items = await self._open(self._taken)
                item = await anext(self._items)
            except FrameRPCError as error:
                # What a handler raised is its answer, and no loss.
                lost = isinstance(error, (ConnectionLost, Unavailable)) and error.executed != "yes"
                self._claim = error.executed = strongest((self._claim, error.executed))
                if not lost or self._failures >= self._most:
                    raise
                self._items = None
                self._failures += 1
            else:
                self._failures = 0
                self._taken += 1
                return item

    async def aclose(self) -> None:
        """Stop the producer, unless it has finished."""
        close = getattr(self._items, "aclose", None)
        if close is not None:
            await close()
