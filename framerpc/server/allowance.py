"""How often somebody may do something: a bucket of tokens, filled in loop time.

Spec: protocol.md, "Limits of topics".
"""

from __future__ import annotations

__all__ = ["Allowance"]


class Allowance:
    """What one client may do.

    Args:
        rate: Times a second.
        burst: Times at once, after a pause.
        now: Loop time.
    """

    __slots__ = ("_burst", "_left", "_rate", "_since")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = self._left = burst
        self._since = now

    def take(self, now: float) -> float:
        """Use one up; return 0.0, or the seconds until there is one, and then none is used."""
        self._left = min(self._burst, self._left + (now - self._since) * self._rate)
        self._since = now
        if self._left < 1:
            return (1 - self._left) / self._rate
        self._left -= 1
        return 0.0
