"""A stream that outlives its connection: opened again whenever it breaks, until it is refused.

This module owns the one task that a subscription has, and which ends of a call are worth
another attempt. What the items mean, and from where to go on, is known to whoever follows.

Spec: protocol.md, "Topics".
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from framerpc.errors import (
    ConnectionFailed,
    ConnectionLost,
    FrameRPCError,
    ResourceExhausted,
    Unavailable,
)

if TYPE_CHECKING:
    from framerpc.call import Buffer
    from framerpc.client.retry import Pauses

__all__ = ["Attempts", "Follower", "HoleFound", "Open"]

_logger: Final = logging.getLogger("framerpc.client")

Open: TypeAlias = Callable[[], Awaitable[AsyncIterator["Buffer"]]]
"""Makes the call; returns the encoded items of its result."""


class HoleFound(Unavailable):
    """Messages are missing that nobody spoke of: the stream is opened again from before them."""


class Attempts:
    """Which ends of a stream call for another attempt, and how long to wait before it.

    Args:
        pauses: How long to wait after attempts that came to nothing.
        closed: Says whether the client was closed: then there is no point.
    """

    __slots__ = ("_begun", "_closed", "_failed", "_pauses")

    def __init__(self, pauses: Pauses, closed: Callable[[], bool]) -> None:
        self._pauses = pauses
        self._closed = closed
        self._begun = False
        self._failed = False

    def succeeded(self) -> None:
        """Note that the server has taken the subscription: the next failure is a new one."""
        self._begun = True
        self._failed = False
        self._pauses.reset()

    async def after(self, error: FrameRPCError | None) -> None:
        """Wait before the next attempt.

        Args:
            error: How the stream ended; None if the server ended it without one.

        Raises:
            FrameRPCError: `error`, if it is final.
        """
        if self._closed():
            raise Unavailable("the client was closed") from error
        if error is not None and not self._may_pass(error):
            raise error
        if self._failed or isinstance(error, (ResourceExhausted, HoleFound)):
            pause = self._pauses.next(error or Unavailable("the server ended the stream"))
            await asyncio.sleep(max(pause, getattr(error, "retry_after", None) or 0.0))
        self._failed = True

    def _may_pass(self, error: FrameRPCError) -> bool:
        """Return whether a stream that ended like this may be opened again."""
        if isinstance(error, ConnectionFailed):
            return not error.final
        if isinstance(error, ResourceExhausted):
            return self._begun  # whoever asks for the first time hears of the limit
        return isinstance(error, (ConnectionLost, Unavailable))


class Follower:
    """The task that keeps one stream going.

    Args:
        open_: Makes the call, from where the last one ended.
        take: Takes each item; what it waits for holds the stream up.
        attempts: What to do when the stream ends.
        ended: Called once, with why it ended for good; None if it was closed.
    """

    def __init__(
        self,
        open_: Open,
        take: Callable[[Buffer], Awaitable[None] | None],
        attempts: Attempts,
        ended: Callable[[FrameRPCError | None], None],
    ) -> None:
        self._open = open_
        self._take = take
        self._attempts = attempts
        self._ended = ended
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Stop, and wait until nothing is left. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _run(self) -> None:
        try:
            while True:
                await self._attempts.after(await self._once())
        except FrameRPCError as error:
            self._ended(error)
        except asyncio.CancelledError:
            self._ended(None)
            raise
        except Exception as error:  # a bug of ours, or of an interceptor: those who wait must hear
            _logger.exception("! a subscription failed")
            self._ended(Unavailable(f"the subscription failed: {error!r}"))

    async def _once(self) -> FrameRPCError | None:
        """Follow the stream until it ends; return why, None if the server just ended it."""
        try:
            items = await self._open()
        except FrameRPCError as error:
            return error
        try:
            async for body in items:
                waiting = self._take(body)
                if waiting is not None:
                    await waiting
        except FrameRPCError as error:
            return error
        finally:
            close = getattr(items, "aclose", None)
            if close is not None:
                await close()
        return None
