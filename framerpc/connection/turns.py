"""Who waits for room on a connection: first come, first served, and no turn is lost.

It does not know what the room is.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Turns", "any_turn"]


class Turns:
    """Those who wait for their turn.

    Attributes:
        waiting: One future for each, the oldest first.
    """

    __slots__ = ("_loop", "waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.waiting: deque[asyncio.Future[None]] = deque()
        self._loop = loop

    async def wait(self) -> None:
        """Wait for a turn. Cancelling it hands the turn to the next, if it had come."""
        waiter: asyncio.Future[None] = self._loop.create_future()
        self.waiting.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.cancelled():
                with contextlib.suppress(ValueError):  # passed over by `next` already
                    self.waiting.remove(waiter)
            else:
                self.next()
            raise

    def next(self) -> None:
        """Wake the first who still waits."""
        while self.waiting:
            waiter = self.waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def all(self) -> None:
        """Wake everybody: things have changed for good."""
        waiting, self.waiting = self.waiting, deque()
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)


async def any_turn(several: Sequence[Turns]) -> None:
    """Wait for a turn at the first of several places that has one.

    Cancelling it hands the turn to the next, if it had come: at each place, since a call that
    wakes for nothing only waits again.
    """
    waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    for turns in several:
        turns.waiting.append(waiter)
    try:
        await waiter
    except asyncio.CancelledError:
        if not waiter.cancelled():
            for turns in several:
                turns.next()
        raise
    finally:
        for turns in several:
            with contextlib.suppress(ValueError):  # it came there
                turns.waiting.remove(waiter)
