"""Which messages of a room are on show: a stretch of bounded length, at the end or anywhere.

However long a room is, no more than this is rendered, and no more is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["LONGEST", "STEP", "Look"]

STEP: Final = 100
"""Messages that are shown at first, and that come with each step back or forth."""

LONGEST: Final = 300
"""Messages that are shown at once: some screens full, and cheap to draw."""


@dataclass(frozen=True)
class Look:
    """A stretch of messages.

    Attributes:
        low: Number of the first one.
        high: Number of the last one; None if it is the end of the room, wherever that is.
    """

    low: int
    high: int | None = None

    @classmethod
    def end(cls, last: int) -> Look:
        """Return the end of a room with this last message."""
        return cls(max(1, last - STEP + 1))

    @classmethod
    def around(cls, number: int, last: int) -> Look:
        """Return the surroundings of a message."""
        low, high = max(1, number - STEP // 2), number + STEP // 2
        return cls(low, high if high < last else None)

    def older(self, last: int) -> Look:
        """Return a stretch that begins earlier; it lets go of its end if it gets too long."""
        low = max(1, self.low - STEP)
        high = min(self._high(last), low + LONGEST - 1)
        return Look(low, high if high < last else None)

    def newer(self, last: int) -> Look:
        """Return a stretch that ends later; it lets go of its beginning if it gets too long."""
        high = min(last, self._high(last) + STEP)
        return Look(max(self.low, high - LONGEST + 1), high if high < last else None)

    def grown(self, last: int) -> Look:
        """Return the same after the room has got longer."""
        return self if self.high is not None else Look(max(self.low, last - LONGEST + 1))

    def bounds(self, last: int) -> tuple[int, int]:
        """Return the numbers of the first and the last message."""
        return self.low, self._high(last)

    def _high(self, last: int) -> int:
        return last if self.high is None else self.high
