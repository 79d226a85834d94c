"""How many retries a client may make: a share of its calls, and a floor for quiet clients.

Without a budget a client that sends every call five times makes five outages of one. It owns
the arithmetic and knows no calls. Source: Finagle's `RetryBudget`, as tower's `budget` explains.
"""

from __future__ import annotations

from typing import Final

__all__ = ["RetryBudget"]

_WINDOW: Final = 10.0
"""Seconds of calls that a budget remembers (Finagle's)."""

_STEP: Final = 1.0
"""Seconds between two looks at the number of calls."""


class RetryBudget:
    """Permits retries. Times are loop time, in seconds.

    Args:
        share: Retries for each call of the last 10 seconds.
        floor: Retries per second that are always permitted.
    """

    __slots__ = ("_calls", "_floor", "_looked", "_share", "_tokens")

    def __init__(self, share: float, floor: float) -> None:
        self._share = share
        self._floor = floor
        self._tokens = floor * _WINDOW
        self._calls = 0  # when we looked last
        self._looked: float | None = None

    def take(self, calls: int, now: float) -> bool:
        """Permit one retry, or refuse it.

        Args:
            calls: Calls made so far, first attempts only.
            now: Loop time.
        """
        if self._looked is None or now - self._looked >= _STEP:
            self._look(calls, now)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _look(self, calls: int, now: float) -> None:
        """Earn what the calls since the last look are worth, but no more than a window's."""
        elapsed = _WINDOW if self._looked is None else now - self._looked
        new = calls - self._calls
        recent = new * min(1.0, _WINDOW / elapsed)  # as if they had come evenly
        most = self._floor * _WINDOW + self._share * new * _WINDOW / elapsed
        earned = self._share * recent
        if self._looked is not None:
            earned += self._floor * min(elapsed, _WINDOW)
        self._tokens = min(most, self._tokens + earned)
        self._calls = calls
        self._looked = now
