"""How many calls at once are good for a server: found out from how long they take.

The arithmetic and nothing else: durations and times are arguments. As long as calls take no
longer than they usually do, the limit grows; when they take longer, they queue somewhere, and it
shrinks by as much. What is usual is a long average, so that a service that has become slower for
good is not strangled.

Prior art: the Gradient2 limit of Netflix' concurrency-limits, whose defaults these are. It looks
at averages over windows of time, too, and leaves the limit alone while it is not half used.

Spec: protocol.md, "Overload".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from framerpc.concurrency import AdaptiveConcurrency

__all__ = ["FEWEST", "Gradient"]

FEWEST: Final = 10
"""Calls that a window needs before anything is concluded from it."""

_WARM_UP: Final = 10
"""Windows whose plain average is the first idea of what is usual."""

_SHORTEST: Final = 1e-4
"""Seconds. What is shorter counts as this: such differences are the loop's, not a queue's."""


class Gradient:
    """A limit that follows how long calls take.

    Args:
        options: Where it starts, and how far and how fast it moves.

    Attributes:
        limit: Calls at once, now.
        usual: How long calls usually take, in seconds; 0.0 while nothing is known.
    """

    __slots__ = ("_count", "_estimate", "_most", "_options", "_sum", "_until", "_windows",
                 "limit", "usual")  # fmt: skip

    def __init__(self, options: AdaptiveConcurrency) -> None:
        self.limit = int(options.initial)
        self.usual = 0.0
        self._options = options
        self._estimate = float(options.initial)
        self._windows = 0
        self._until: float | None = None  # when this window may end
        self._sum = 0.0  # of what is in it: seconds,
        self._count = 0  # calls,
        self._most = 0  # calls at once

    def __repr__(self) -> str:
        return f"<Gradient {self.limit}, usually {self.usual:.3g} s>"

    def sample(self, took: float, at_once: int, now: float) -> None:
        """Note a call that ended well, or was too late.

        Args:
            took: How long it took, in seconds.
            at_once: Calls in flight, this one included.
            now: The time, in seconds.
        """
        if self._until is None:
            self._until = now + self._options.window
        self._sum += took
        self._count += 1
        self._most = max(self._most, at_once)
        if now >= self._until and self._count >= FEWEST:
            self.update(self._sum / self._count, self._most)
            self._until = now + self._options.window
            self._sum, self._count, self._most = 0.0, 0, 0

    def update(self, took: float, at_once: int) -> None:
        """Draw the conclusion from one window.

        Args:
            took: How long its calls took on average, in seconds.
            at_once: The most that were in flight.
        """
        options = self._options
        took = max(took, _SHORTEST)
        usual = self._average(took)
        if usual > 2 * took:
            self.usual *= 0.9  # back to normal: do not wait for the average to follow
        if at_once < self._estimate / 2:
            return  # it was not the limit that held anything back
        gradient = max(0.5, min(1.0, usual / took))
        wanted = self._estimate * gradient + options.headroom
        wanted = self._estimate + (wanted - self._estimate) * options.smoothing
        self._estimate = max(float(options.minimum), min(float(options.maximum), wanted))
        self.limit = int(self._estimate)

    def _average(self, took: float) -> float:
        """Add to the long average, and return it."""
        if self._windows < _WARM_UP:
            self._windows += 1
            self.usual += (took - self.usual) / self._windows
        else:
            self.usual += (took - self.usual) * 2 / (self._options.memory + 1)
        return self.usual
