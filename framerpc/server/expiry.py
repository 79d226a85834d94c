"""Things that are kept for a while: a queue in the order of arrival, and one timer for all.

It does not know what the things are. All are kept equally long, so the oldest is always the
next to go, and the queue is the order in which to give something up early.

Cost: O(1) to add and to take out.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Expiry"]

_T = TypeVar("_T")

_EARLY: Final = 0.001
"""Timers may fire one clock resolution early."""


class Expiry(Generic[_T]):
    """A queue whose members leave by themselves.

    Args:
        ttl: Seconds that each member stays.
        expire: Told of each one whose time is over, which is out of the queue by then.
    """

    __slots__ = ("_due", "_expire", "_timer", "_ttl")

    def __init__(self, ttl: float, expire: Callable[[_T], None]) -> None:
        self._ttl = ttl
        self._expire = expire
        self._due: OrderedDict[_T, float] = OrderedDict()  # whose first is found at once
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._due)

    def __iter__(self) -> Iterator[_T]:
        """Go through the members, the oldest first."""
        return iter(self._due)

    def add(self, member: _T) -> None:
        """Take in a member that is not there."""
        loop = asyncio.get_running_loop()
        due = self._due[member] = loop.time() + self._ttl
        if self._timer is None:
            self._timer = loop.call_at(due, self._look)

    def discard(self, member: _T) -> None:
        """Take a member out, if it is there."""
        self._due.pop(member, None)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        now = loop.time()
        for member, due in list(self._due.items()):
            if due > now + _EARLY:
                self._timer = loop.call_at(due, self._look)
                return
            if self._due.pop(member, None) is not None:  # others may have taken it out
                self._expire(member)

    def clear(self) -> None:
        """Forget all members, and the timer."""
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
