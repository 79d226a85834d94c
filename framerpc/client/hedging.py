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

from framerpc.client.endings import strongest
from framerpc.errors import FrameRPCError

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
        most = policy.share * calls + 1
        if delay is None or self._hedged + 1 > most:
            answer = await attempt(context)
        else:
            answer = await self._race(context, attempt, delay, most)
        known = self._latencies.setdefault(context.method, deque(maxlen=_REMEMBERED))
        known.append(context.now() - began)
        return answer

    async def _race(
        self,
        context: CallContext,
        attempt: Callable[[CallContext], Coroutine[Any, Any, Body]],
        delay: float,
        most: float,
    ) -> Body:
        attempts: list[asyncio.Future[Body]] = [asyncio.ensure_future(attempt(context))]
        pause: float | None = delay
        try:
            while running := [one for one in attempts if not one.done()]:
                done, _ = await asyncio.wait(
                    running, timeout=pause, return_when=asyncio.FIRST_COMPLETED
                )
                ended = [one for one in attempts if one.done()]
                answers = [one for one in ended if one.exception() is None]  # all are asked
                if answers:
                    return answers[0].result()
                # Asked again: other calls have waited meanwhile, too.
                if not done and pause is not None and self._hedged + 1 <= most:
                    self._hedged += 1
                    second = copy.copy(context)
                    second.attempt += 1
                    attempts.append(asyncio.ensure_future(attempt(second)))
                pause = None
            raise _together([one.exception() for one in attempts])
        finally:
            await _abandon(attempts)

    def _usual(self, method: str) -> float | None:
        """Return the time within which 95 of 100 recent calls of a method were answered."""
        known = self._latencies.get(method)
        if known is None or len(known) < _ENOUGH:
            return None
        return sorted(known)[int(_SLOWEST * (len(known) - 1))]


async def _abandon(attempts: list[asyncio.Future[Body]]) -> None:
    """Cancel what is not needed any more, and wait until it has ended, however it does."""
    losers = [one for one in attempts if not one.done()]
    for loser in losers:
        loser.add_done_callback(_ignore)
        loser.cancel()
    if losers:
        await asyncio.wait(losers)


def _ignore(loser: asyncio.Future[Body]) -> None:
    if not loser.cancelled():
        loser.exception()  # it may have failed at the very moment when it had lost


def _together(failures: list[BaseException | None]) -> BaseException:
    """Return the last failure, which claims what all of them do."""
    last = failures[-1]
    assert last is not None
    if isinstance(last, FrameRPCError):
        last.executed = strongest(
            one.executed for one in failures if isinstance(one, FrameRPCError)
        )
    return last
