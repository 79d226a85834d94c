"""Deadlines: a point in loop time here, a remaining duration on the wire.

Two machines need not agree on the time of day, so only what is left travels, in
milliseconds, rounded down. A deadline that was inherited is never extended.

Spec: protocol.md, "Deadlines".
"""

from __future__ import annotations

from typing import Final

__all__ = ["MAX_TIMEOUT_MS", "deadline_of", "earlier", "to_wire"]

MAX_TIMEOUT_MS: Final = 2**53 - 1
"""Largest remaining time a frame may carry, so that JavaScript can hold it."""


def earlier(first: float | None, second: float | None) -> float | None:
    """Return the earlier of two points in loop time; None is "never"."""
    if first is None:
        return second
    if second is None:
        return first
    return min(first, second)


def deadline_of(timeout: float | None, now: float, inherited: float | None = None) -> float | None:
    """Return the point in loop time `timeout` seconds from `now`, never past `inherited`."""
    return earlier(None if timeout is None else now + timeout, inherited)


def to_wire(deadline: float | None, now: float) -> int | None:
    """Return what is left in whole milliseconds, 0 if nothing is, or None for no deadline."""
    if deadline is None:
        return None
    # The nudge keeps 0.2 s at 200 ms when the subtraction yields 0.19999999999999996.
    left = (deadline - now) * 1000 + 1e-6
    if 0 <= left < MAX_TIMEOUT_MS:
        return int(left)
    return 0 if left < 0 else MAX_TIMEOUT_MS
