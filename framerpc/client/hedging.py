"""A second try at another server while the first is slow; the first answer counts.

For idempotent calls of clients with several endpoints, where it was asked for. It owns when
to hedge and what becomes of the loser; where the second try goes is the pool's business.

Source: Dean and Barroso, "The Tail at Scale" (2013): hedged requests.
"""

from __future__ import annotations

import asyncio
import copy
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from framerpc.call import Body, CallContext
    from framerpc.config import HedgePolicy

__all__ = ["Hedging"]

_REMEMBERED: Final = 128
"""Answers of a method that its usual time is taken from."""

_ENOUGH: Final = 20
"""Answers that must be known before a usual time is: below, the slowest of 20 is no quantile."""

_SLOWEST: Final = 0.95


class Hedging:
    """The hedged calls of one client."""

    def __init__(self) -> None:
        self._latencies: dict[str, deque[float]] = {}
        self._hedged = 0

    async def run(
        self,
        context: CallContext,
        attempt: Callable[[CallContext], Coroutine[Any, Any, Body]],
        calls: int,
    ) -> Body:
        """Make one attempt, and a second one if the first takes too long.

        Cancelling it cancels both.

        Args:
            context: The call.
            attempt: Makes an attempt, for a context of its own.
            calls: Calls that the client has made, which the extra load is a share of.

        Raises:
            FrameRPCError: What the last attempt raised, if all failed.
        """
        policy: HedgePolicy = context.hedge
        delay = policy.delay if policy.delay is not None else self._usual(context.method)
        began = context.now()
        if delay is None or self._hedged + 1 > policy.share * calls + 1:
            answer = await attempt(context)
        else:
            answer = await self._race(context, attempt, delay)
        known = self._latencies.setdefault(context.method, deque(maxlen=_REMEMBERED))
        known.append(context.now() - began)
        return answer

    async def _race(
        self,
        context: CallContext,
        attempt: Callable[[CallContext], Coroutine[Any, Any, Body]],
        delay: float,
    ) -> Body:
        running: set[asyncio.Future[Body]] = {asyncio.ensure_future(attempt(context))}
        pause: float | None = delay
        try:
            while True:
                done, running = await asyncio.wait(
                    running, timeout=pause, return_when=asyncio.FIRST_COMPLETED
                )
                for one in done:
                    # A failure counts only if nothing else is under way.
                    if one.exception() is None or not running:
                        return one.result()
                if not done and pause is not None:
                    self._hedged += 1
                    second = copy.copy(context)
                    second.attempt += 1
                    running.add(asyncio.ensure_future(attempt(second)))
                pause = None
        finally:
            for loser in running:
                loser.cancel()
            if running:
                await asyncio.wait(running)

    def _usual(self, method: str) -> float | None:
        """Return the time within which 95 of 100 recent calls of a method were answered."""
        known = self._latencies.get(method)
        if known is None or len(known) < _ENOUGH:
            return None
        return sorted(known)[int(_SLOWEST * (len(known) - 1))]
