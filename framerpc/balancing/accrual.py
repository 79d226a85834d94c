"""Failure accrual: when one endpoint is no longer trusted, and how it earns trust back.

Too many failures in a row, or too large a share of them within a window, take an endpoint
out (eject it) for a while that doubles each time. After that while one call, the probe, is let
through: if it succeeds the endpoint is back, if it fails it is out for longer. Sources:
Finagle's failure accrual, Envoy's outlier detection.

It neither picks nor counts load, and what counts as a failure is for others to say.

Spec: protocol.md, "Several servers", which prints `TRANSITIONS`.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from framerpc.config import BalancingPolicy

__all__ = ["TRANSITIONS", "Accrual", "Chance", "Health", "News"]


class Chance(Protocol):
    """A source of chance: `random.Random`, or the module itself."""

    def random(self) -> float:
        """Return a number from 0 up to, and not including, 1."""
        ...


class Health(enum.Enum):
    """What is thought of an endpoint."""

    __hash__ = object.__hash__  # in C: enum's own is a Python function

    TRUSTED = "trusted"
    EJECTED = "ejected"
    PROBING = "probing"  # still out, with one call under way to find out


class News(enum.Enum):
    """What changes it."""

    __hash__ = object.__hash__  # as above

    FAILED_OFTEN = "failed often"
    PROBE_SENT = "probe sent"
    SUCCEEDED = "succeeded"  # a call that began after the ejection
    PROBE_FAILED = "probe failed"
    PROBE_UNDECIDED = "probe undecided"  # cancelled, or not ended in time


TRANSITIONS: Final[Mapping[Health, Mapping[News, Health]]] = {
    Health.TRUSTED: {News.FAILED_OFTEN: Health.EJECTED},
    Health.EJECTED: {News.PROBE_SENT: Health.PROBING, News.SUCCEEDED: Health.TRUSTED},
    Health.PROBING: {
        News.SUCCEEDED: Health.TRUSTED,
        News.PROBE_FAILED: Health.EJECTED,
        News.PROBE_UNDECIDED: Health.EJECTED,
    },
}


class Accrual:
    """The trust in one endpoint. Times are loop time, in seconds.

    Args:
        policy: What is too much, and for how long.

    Attributes:
        health: What is thought of the endpoint.
        until: When the next probe is due; it means nothing while the endpoint is trusted.
        ejections: How often in a row it was ejected.
    """

    __slots__ = (
        "_failed",
        "_half_until",
        "_in_row",
        "_policy",
        "_previous",
        "_probe",
        "_since",
        "_total",
        "ejections",
        "health",
        "until",
    )

    def __init__(self, policy: BalancingPolicy) -> None:
        self.health = Health.TRUSTED
        self.until = 0.0
        self.ejections = 0
        self._policy = policy
        self._since = float("-inf")  # of the last ejection or return
        self._probe = 0  # number of the last one
        self._in_row = 0
        # The window is two halves, the running one and the one before it: O(1) in time and room.
        self._total = self._failed = 0
        self._previous = (0, 0)
        self._half_until = float("-inf")

    def due(self, now: float) -> bool:
        """Return whether one call may find out how the endpoint is."""
        return self.health is not Health.TRUSTED and now >= self.until

    def probe(self, now: float) -> int:
        """Note that a call is the probe, and return the number that it ends with."""
        if self.health is Health.PROBING:
            self._fire(News.PROBE_UNDECIDED)  # the last one is overdue
        self._fire(News.PROBE_SENT)
        self.until = now + self._policy.probe_timeout
        self._probe += 1
        return self._probe

    def succeeded(self, now: float, began: float) -> bool:
        """Note a call that was answered.

        Returns:
            Whether that changed the health. It does for any call that began after the ejection:
            in a panic, not only probes are sent.
        """
        if self.health is Health.TRUSTED:
            self._in_row = 0
            self._count(now, failed=0)
            return False
        if began <= self._since:
            return False  # it belongs to the time before the ejection
        self._fire(News.SUCCEEDED)
        self._since = now
        self._forget()
        return True

    def failed(self, now: float, began: float, probe: int, chance: Chance) -> bool:
        """Note a call that failed, with its number if it was a probe and 0 if not.

        Returns:
            Whether that changed the health.
        """
        if self.health is Health.TRUSTED:
            if began < self._since:
                return False  # it belongs to an ejection that is over
            self._in_row += 1
            self._count(now, failed=1)
            if not self._too_often():
                return False
            if now - self._since >= self._policy.forgive:
                self.ejections = 0
            self._eject(News.FAILED_OFTEN, now, chance)
            return True
        if self._is_probe(probe):
            self._eject(News.PROBE_FAILED, now, chance)
            return True
        return False

    def undecided(self, now: float, probe: int) -> bool:
        """Note a call that says nothing; if it was the probe, another one is due.

        Returns:
            Whether that changed the health.
        """
        if not self._is_probe(probe):
            return False
        self._fire(News.PROBE_UNDECIDED)
        self.until = now
        return True

    def reconnected(self, now: float) -> None:
        """Note a new connection: it may be another server by now, so a probe is due at once."""
        if self.health is Health.EJECTED:
            self.until = min(self.until, now)

    def _is_probe(self, probe: int) -> bool:
        return self.health is Health.PROBING and probe == self._probe

    def _fire(self, news: News) -> None:
        self.health = TRANSITIONS[self.health][news]

    def _eject(self, news: News, now: float, chance: Chance) -> None:
        self._fire(news)
        self.ejections += 1
        policy = self._policy
        doubled = policy.ejection * 2.0 ** min(self.ejections - 1, 32)  # far beyond any maximum
        # Half of it is random, so that the clients of a server do not probe all at once.
        self.until = now + min(doubled, policy.max_ejection) * (1 + chance.random()) / 2
        self._since = now
        self._forget()

    def _forget(self) -> None:
        self._in_row = self._total = self._failed = 0
        self._previous = (0, 0)

    def _count(self, now: float, failed: int) -> None:
        if now >= self._half_until:
            half = self._policy.window / 2
            recent = now < self._half_until + half
            self._previous = (self._total, self._failed) if recent else (0, 0)
            self._total = self._failed = 0
            self._half_until = now + half
        self._total += 1
        self._failed += failed

    def _too_often(self) -> bool:
        policy = self._policy
        if policy.failures is not None and self._in_row >= policy.failures:
            return True
        total = self._total + self._previous[0]
        if policy.failure_rate is None or total < policy.min_calls:
            return False
        return self._failed + self._previous[1] >= policy.failure_rate * total
