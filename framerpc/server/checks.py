"""Position checks: telling subscribers at times how far they should have come.

What got lost on the way to a topic that has become quiet shows in no offset. So each subscription
to topics with a history is told their last positions now and then, behind all that was sent, and
one that stands elsewhere comes again. One timer for all, and none without such subscriptions.

Spec: protocol.md, "Positions and history".
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from framerpc.errors import CallError
from framerpc.pubsub.feed import FeedState

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from framerpc.pubsub.broker import Broker
    from framerpc.pubsub.feed import Feed

__all__ = ["INTERVAL", "PositionChecks"]

INTERVAL: Final = 40.0
"""Seconds between two checks of one subscription, as in centrifuge."""

_TICK: Final = 1.0
"""Seconds between two steps: each looks at its share, so that thousands are not looked at at once."""


class PositionChecks:
    """Checks the subscriptions of one server in turn.

    Args:
        broker: Knows how far the topics have come.
        spawn: Runs what may have to wait for a store.
    """

    def __init__(self, broker: Broker, spawn: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        self._broker = broker
        self._spawn = spawn
        self._feeds: deque[tuple[Feed, float]] = deque()  # until when each has time, in order
        self._timer: asyncio.TimerHandle | None = None

    def add(self, feed: Feed) -> None:
        """Check a subscription until it ends."""
        loop = asyncio.get_running_loop()
        self._feeds.append((feed, loop.time() + INTERVAL))
        if self._timer is None:
            self._timer = loop.call_later(INTERVAL, self._step)

    def stop(self) -> None:
        """Forget all."""
        self._feeds.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _step(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        # Timers may fire one clock resolution early.
        while self._feeds and self._feeds[0][1] <= now + 0.001:
            feed, _ = self._feeds.popleft()
            if feed.state is not FeedState.ENDED:
                self._feeds.append((feed, now + INTERVAL))
                self._spawn(self._check(feed))
        self._timer = None
        if self._feeds:
            self._timer = loop.call_at(max(self._feeds[0][1], now + _TICK), self._step)

    async def _check(self, feed: Feed) -> None:
        try:
            await self._broker.check(feed)
        except CallError:
            return  # the store cannot answer now; the next check is not far
