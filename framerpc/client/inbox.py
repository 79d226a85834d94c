"""Where arriving messages wait for the application: many may take, each gets what nobody else has.

Cancelling a wait loses nothing: a message leaves the inbox in the step in which it is returned,
and a wake-up that nobody used goes to the next who waits. It does not know what it holds.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from framerpc.client.endings import again
from framerpc.connection.turns import Turns

if TYPE_CHECKING:
    import asyncio

    from framerpc.errors import FrameRPCError

__all__ = ["Inbox"]

_T = TypeVar("_T")

_PREFETCHED: Final = 64
"""Messages taken off the connection before the application asks for them. What comes behind
them stays in the stream's own window, without credit for more."""


class Inbox(Generic[_T]):
    """Messages in order.

    Attributes:
        waiting: What nobody has taken yet.
        ended: Nothing more comes.
    """

    __slots__ = ("_error", "_readers", "_room", "ended", "waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.waiting: deque[_T] = deque()
        self.ended = False
        self._error: FrameRPCError | None = None
        self._readers = Turns(loop)
        self._room = Turns(loop)

    @property
    def full(self) -> bool:
        """Whether whoever fills it should wait for `room`."""
        return len(self.waiting) >= _PREFETCHED

    def put(self, message: _T) -> None:
        """Add a message and wake one who waits."""
        if not self.ended:
            self.waiting.append(message)
            if self._readers.waiting:
                self._readers.next()

    async def room(self) -> None:
        """Wait until it is not full, or has ended."""
        while self.full and not self.ended:
            await self._room.wait()

    def take(self) -> _T:
        """Return the first message; there must be one."""
        message = self.waiting.popleft()
        if self._room.waiting and not self.full:
            self._room.next()
        return message

    async def get(self) -> _T:
        """Wait for a message and return it. Cancelling it loses none.

        Raises:
            StopAsyncIteration: There are no more, and nothing is wrong.
            FrameRPCError: There are no more, and this is why.
        """
        while not self.waiting:
            if self.ended:
                if self._error is not None:
                    raise again(self._error)
                raise StopAsyncIteration
            await self._readers.wait()
        return self.take()

    def end(self, error: FrameRPCError | None = None, *, drop: bool = False) -> None:
        """Let nothing more in, and wake everybody; the first call counts.

        Args:
            error: What those get who ask for more than there is.
            drop: Forget what is there.
        """
        if not self.ended:
            self.ended = True
            self._error = error
        if drop:
            self.waiting.clear()
            self._error = None
        self._readers.all()
        self._room.all()
