"""Time on one connection without a timer per call: one sweep for deadlines, one for stalls.

A call that gets a deadline costs one comparison. The only timer is set to the earliest
deadline there was; when it fires, all calls are looked at once. Precision: exact when deadlines
are far apart, `RESOLUTION` when they are crowded. A timer that is late because the loop was
blocked decides nothing yet: what would have been in time is waiting to be read.

Cost: O(1) a call, O(calls in flight) a sweep. (A timer per call costs a fifth of the calls
per second.)
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType
    from typing import Self

__all__ = ["CATCH_UP", "RESOLUTION", "Expiring", "PatientTimeout", "Sweeper", "was_blocked"]

RESOLUTION: Final = 0.005
"""Seconds between two sweeps at least, so that crowded deadlines cannot keep the loop busy."""

CATCH_UP: Final = 0.02
"""Seconds that a loop gets to read what has arrived while it was blocked, before a deadline that
passed meanwhile counts. At the least one turn, and little of the 0.1 s within which a call ends."""

_LATE: Final = 0.025
"""Seconds by which a timer is late only if the loop was blocked: a few turns of a busy one."""


def was_blocked(loop: asyncio.AbstractEventLoop, due: float) -> bool:
    """Return whether a timer set for `due` that fires now shows that the loop was blocked."""
    return loop.time() - due > _LATE


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

    __slots__ = ("_entries", "_excused", "_expire", "_last", "_loop", "_timer", "next")

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
        self._excused = False  # it was late, and what had arrived is being read

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
        if was_blocked(self._loop, self.next) and not self._excused:
            self._excused = True  # once: a loop that is always late must not wait for ever
            self.next = self._loop.time() + CATCH_UP
            self._timer = self._loop.call_at(self.next, self._sweep)
            return
        self._excused = False
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


class PatientTimeout:
    """An `asyncio.timeout_at` that lets a loop which was blocked read before it counts.

    Args:
        loop: The running loop.
        due: The point in loop time after which the block is cancelled, and raises TimeoutError.
    """

    __slots__ = ("_due", "_loop", "_scope", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        self._loop = loop
        self._due = due
        self._scope = asyncio.timeout(None)
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        await self._scope.__aenter__()
        self._timer = self._loop.call_at(self._due, self._expire)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._scope.__aexit__(kind, error, traceback)

    def expired(self) -> bool:
        """Return whether it was this timeout that ended the block."""
        return self._scope.expired()

    def _expire(self) -> None:
        if was_blocked(self._loop, self._due):
            self._due = float("inf")  # once
            self._timer = self._loop.call_later(CATCH_UP, self._expire)
        else:
            self._scope.reschedule(self._loop.time())
