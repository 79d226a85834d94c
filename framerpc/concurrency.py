"""How many calls run at once, as it is written down: for a method and for a server.

An option of its own room, below the contracts: a declaration may hold one. What becomes of it
is in `server.overload`.

Spec: protocol.md, "Overload".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

from framerpc.errors import ConfigurationError

__all__ = ["AdaptiveConcurrency", "ConcurrencyLimit", "check_concurrency"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptiveConcurrency:
    """A limit of calls at once that follows how long they take.

    It grows while calls take no longer than usual, and shrinks when they do. For a server whose
    right limit nobody knows, or one that changes with its neighbours on the machine. The defaults
    are those of Netflix' Gradient2 limit.

    Attributes:
        initial: Calls at once to start with.
        minimum: Never fewer. Too low, and a service that is slow for other reasons than its load
            is choked.
        maximum: Never more.
        headroom: Calls by which the limit grows beyond what is used while nothing becomes slower,
            before smoothing; it is also the queue that is put up with.
        smoothing: Part of each change that is made at once, from 0 to 1.
        window: Seconds over which durations are averaged before anything is concluded.
        memory: Windows over which it is learnt what is usual.
    """

    initial: int = 20
    minimum: int = 20
    maximum: int = 200
    headroom: int = 4
    smoothing: float = 0.2
    window: float = 1.0
    memory: int = 600

    def __post_init__(self) -> None:
        for name in ("initial", "minimum", "maximum", "headroom", "window", "memory"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ConfigurationError(f"{name} must be finite and > 0, got {value!r}")
        if not self.minimum <= self.initial <= self.maximum:
            raise ConfigurationError(
                f"initial must be from minimum to maximum, {self.minimum} to {self.maximum}; "
                f"got {self.initial}"
            )
        if not 0 < self.smoothing <= 1:
            raise ConfigurationError(
                f"smoothing must be above 0 and at most 1, got {self.smoothing!r}"
            )


ConcurrencyLimit: TypeAlias = int | AdaptiveConcurrency
"""How many calls run at once: a number, or how to find it out."""


def check_concurrency(value: object) -> None:
    """Refuse what is no limit of calls at once; None stands for "no limit".

    Raises:
        ConfigurationError: It is no positive integer, and no `AdaptiveConcurrency`.
    """
    if value is None or isinstance(value, AdaptiveConcurrency):
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError(
            f"max_concurrency must be an integer >= 1 or an AdaptiveConcurrency, got {value!r}"
        )
