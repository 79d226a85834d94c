"""One endpoint with all that is known of it, and the choice of one for a call.

Pickers see candidates, users see choices. A choice can say why it was made: that costs
nothing until somebody asks.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

from framerpc.balancing.accrual import Accrual, Health
from framerpc.balancing.load import Load

if TYPE_CHECKING:
    from framerpc.balancing.endpoint import Endpoint
    from framerpc.config import BalancingPolicy

__all__ = ["Candidate", "Choice", "Report", "Standing", "stable_hash"]


def stable_hash(text: str) -> int:
    """Return 64 bits that are the same for a text in every process, on every machine."""
    # A lone surrogate is no reason to fail: the key is the user's.
    data = text.encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big")


class Candidate:
    """One endpoint with all that is known of it. Times are loop time, in seconds.

    Attributes:
        endpoint: The endpoint; replaced by one with the same `url` when its weight changes.
        weight: The endpoint's.
        seed: 64 bits that depend on the endpoint's `url` alone.
        load: Its calls in flight and its latency.
        accrual: Whether it is trusted.
        ready: It has a connection that takes calls.
        warm_at: When its slow start ends or ended.
    """

    __slots__ = (
        "_credit",
        "_policy",
        "_warms",
        "accrual",
        "endpoint",
        "load",
        "ready",
        "seed",
        "warm_at",
        "weight",
    )

    def __init__(self, endpoint: Endpoint, policy: BalancingPolicy, *, warm: bool = True) -> None:
        self.endpoint = endpoint
        self.weight = endpoint.weight
        self.seed = stable_hash(endpoint.url)
        self.load = Load(policy)
        self.accrual = Accrual(policy)
        self.ready = False
        self.warm_at = float("-inf")
        self._policy = policy
        self._warms = not warm  # whether it starts slowly when it becomes ready
        self._credit = 0.0

    def __repr__(self) -> str:
        return f"<Candidate {self.endpoint}, {self.load.in_flight} in flight>"

    def replace(self, endpoint: Endpoint) -> None:
        """Take over what a resolver now says of the endpoint."""
        self.endpoint = endpoint
        self.weight = endpoint.weight

    def set_ready(self, ready: bool, now: float) -> None:  # noqa: FBT001 - it is the news
        """Note whether there is a connection that takes calls."""
        if ready:
            self.accrual.reconnected(now)
        if ready and self._warms:
            self.warm_up(now)
        self._warms = True  # from now on it returns
        self.ready = ready

    def warm_up(self, now: float) -> None:
        """Begin a slow start."""
        if self._policy.slow_start is not None:
            self.warm_at = now + self._policy.slow_start
            self._credit = 0.0

    def turns(self) -> tuple[float, float]:
        """Return the times at which, without any news, another is thought of it."""
        return self.warm_at, self.accrual.until

    def share(self, now: float) -> float:
        """Return how much of its calls the endpoint gets, up to 1."""
        slow_start = self._policy.slow_start
        if slow_start is None or now >= self.warm_at:
            return 1.0
        return max(self._policy.slow_start_share, 1 - (self.warm_at - now) / slow_start)

    def admits(self, now: float) -> bool:
        """Return whether a slow start lets this call through: `share` of them, evenly spread."""
        self._credit += self.share(now)
        if self._credit < 1:
            return False
        self._credit -= 1
        return True

    def report(self, now: float) -> Report:
        """Return all of it, to be shown."""
        health = self.accrual.health
        if health is not Health.TRUSTED:
            standing = Standing.EJECTED if health is Health.EJECTED else Standing.PROBING
        elif not self.ready:
            standing = Standing.CONNECTING
        else:
            standing = Standing.READY if now >= self.warm_at else Standing.WARMING
        return Report(
            url=self.endpoint.url,
            standing=standing,
            ready=self.ready,
            in_flight=self.load.in_flight,
            latency=self.load.latency(now),
            weight=self.weight,
            share=self.share(now),
            ejected_until=self.accrual.until if health is not Health.TRUSTED else None,
            ejections=self.accrual.ejections,
            calls=self.load.calls,
            failures=self.load.failures,
        )


class Choice:
    """The candidate that was picked for one call.

    Args:
        candidate: It.
        why: The reason, a format string.
        facts: What the format string is filled with.
    """

    __slots__ = ("_facts", "_why", "candidate", "note", "over", "probe", "started")

    def __init__(self, candidate: Candidate, why: str, *facts: object) -> None:
        self.candidate = candidate
        self.note = ""  # by the balancer: what the picker does not know
        self.probe = 0  # the number of the probe that this call is, if it is one
        self.started: float | None = None
        self.over = False
        self._why = why
        self._facts = facts

    def __repr__(self) -> str:
        return f"<Choice of {self.endpoint}: {self.reason}>"

    @property
    def endpoint(self) -> Endpoint:
        """Whom to call."""
        return self.candidate.endpoint

    @property
    def reason(self) -> str:
        """Why this endpoint, in words."""
        return self.note + self._why.format(*self._facts)


class Standing(enum.Enum):
    """How an endpoint stands, in one word."""

    CONNECTING = "connecting"  # no connection that takes calls
    READY = "ready"
    WARMING = "warming"  # ready, in its slow start
    EJECTED = "ejected"  # failed too often
    PROBING = "probing"  # ejected, and one call is finding out


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What is known of one endpoint.

    Attributes:
        url: The endpoint's.
        standing: How it stands.
        ready: It has a connection that takes calls.
        in_flight: Calls under way.
        latency: Peak EWMA in seconds; None before the first answer.
        weight: The endpoint's.
        share: How much of its calls it gets, below 1 during a slow start.
        ejected_until: Loop time when a probe is due (while one is under way: another one);
            None if trusted.
        ejections: How often in a row it was ejected.
        calls: Calls begun, ever.
        failures: Calls failed, ever.
    """

    url: str
    standing: Standing
    ready: bool
    in_flight: int
    latency: float | None
    weight: int
    share: float
    ejected_until: float | None
    ejections: int
    calls: int
    failures: int
