"""What is observed of one endpoint: calls in flight, and a latency that peaks count in.

The latency is Finagle's peak EWMA (also tower's `peak_ewma`): an average that forgets with
time, jumps up to any observation above it, and comes down slowly. So it reacts to the first
slow answer, and takes a quick one for what it is: a sample. With no observation for a while it
fades, until the endpoint is tried again.

It knows nothing of calls: whoever makes them reports when each began and how it ended.
"""

from __future__ import annotations

import enum
from math import exp
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from framerpc.config import BalancingPolicy

__all__ = ["UNKNOWN_COST", "Load", "Outcome"]

UNKNOWN_COST: Final = 1e6
"""Seconds: what an endpoint is taken to cost that has a first call in flight and no answer yet.

It gets no second one while others are known, as in Finagle."""


class Outcome(enum.Enum):
    """How a call ended, as far as the endpoint is concerned."""

    __hash__ = object.__hash__  # in C: enum's own is a Python function

    OK = "ok"  # it answered, be it with an error of the application
    FAILED = "failed"
    UNDECIDED = "undecided"  # cancelled, or refused by us: says nothing about the endpoint


class Load:
    """The load of one endpoint, as one client sees it.

    Args:
        policy: How fast latencies are forgotten.

    Attributes:
        in_flight: Calls that have begun and not ended.
        calls: Calls that have begun, ever.
        failures: Those of them that failed.
    """

    __slots__ = ("_decay", "_latency", "_observed", "calls", "failures", "in_flight")

    def __init__(self, policy: BalancingPolicy) -> None:
        self.in_flight = 0
        self.calls = 0
        self.failures = 0
        self._decay = policy.latency_decay
        self._latency = 0.0  # seconds, as of `_observed`
        self._observed: float | None = None  # loop time

    def began(self) -> None:
        """Note that a call is under way."""
        self.in_flight += 1
        self.calls += 1

    def ended(self, now: float, began: float, outcome: Outcome) -> None:
        """Note how a call ended that began at `began`.

        A failure counts as an observation only if it took longer than what is usual: one that
        fails at once is no quick answer.
        """
        self.in_flight -= 1
        if outcome is Outcome.OK:
            self._observe(now, now - began)
        elif outcome is Outcome.FAILED:
            self.failures += 1
            if now - began > self._latency:
                self._observe(now, now - began)

    def latency(self, now: float) -> float | None:
        """Return the latency in seconds, faded since it was observed; None if never observed."""
        if self._observed is None:
            return None
        return self._latency * exp((self._observed - now) / self._decay)

    def cost(self, now: float) -> float:
        """Return the seconds that a further call is expected to wait: latency times queue."""
        latency = self.latency(now)
        if latency is None:
            # One call finds out.
            return UNKNOWN_COST * self.in_flight
        return latency * (self.in_flight + 1)

    def _observe(self, now: float, latency: float) -> None:
        if self._observed is None or latency > self._latency:
            self._latency = latency
        else:
            kept = exp((self._observed - now) / self._decay)
            self._latency = self._latency * kept + latency * (1 - kept)
        self._observed = now
