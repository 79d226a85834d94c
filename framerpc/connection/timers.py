"""Time on one connection without a timer per call: one sweep for deadlines, one for stalls.

A call that gets a deadline costs one comparison. The only timer is set to the earliest
deadline there was; when it fires, all calls are looked at once. Precision: exact when deadlines
are far apart, `RESOLUTION` when they are crowded.

Cost: O(1) a call, O(calls in flight) a sweep. (A timer per call costs a fifth of the calls
per second.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

__all__ = ["RESOLUTION", "Expiring", "Sweeper"]

RESOLUTION: Final = 0.005
"""Seconds between two sweeps at least, so that crowded deadlines cannot keep the loop busy."""


class Expiring(Protocol):
    """Something with a point in loop time after which it is over."""

    @property
    def deadline(self) -> float | None:
        """The point in loop time, or None for never."""


class Sweeper:
    """Tells when deadlines pass.

    Args:
        loop: The event loop.
        entries: Returns what may have a deadline now.
        expire: Called with each entry whose deadline has passed; it must then be gone from
            `entries`, or have a later deadline, or None.

    Attributes:
        next: Loop time of the next sweep. An earlier deadline has to be added, a later one need
            not.
    """

    __slots__ = ("_entries", "_expire", "_last", "_loop", "_timer", "next")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        entries: Callable[[], Iterable[Any]],
        expire: Callable[[Any], None],
    ) -> None:
        self._loop = loop
        self._entries = entries
        self._expire = expire
        self._timer: asyncio.TimerHandle | None = None
        self.next = float("inf")  # when the timer fires
        self._last = float("-inf")  # when the last sweep was

    def add(self, deadline: float) -> None:
        """See to it that a sweep comes at `deadline`."""
        if deadline < self.next:
            self._schedule(deadline)

    def _schedule(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.next = max(deadline, self._last + RESOLUTION)
        self._timer = self._loop.call_at(self.next, self._sweep)

    def _sweep(self) -> None:
        # Timers of asyncio may fire up to one clock resolution early: believe the timer.
        now = self._last = max(self.next, self._loop.time())
        self._timer = None
        self.next = float("inf")
        due: list[Any] = []
        earliest = float("inf")
        for entry in self._entries():
            deadline = entry.deadline
            if deadline is None:
                continue
            if deadline <= now:
                due.append(entry)
            elif deadline < earliest:
                earliest = deadline
        for entry in due:
            self._expire(entry)
        if earliest < self.next:
            self._schedule(earliest)

    def stop(self) -> None:
        """Cancel the timer; `add` starts it again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.next = float("inf")
