"""Who gets the slots of a limit when there are too few: the arithmetic of being fair.

It knows clients by any key, and time as an argument. It does not know what a slot is for, nor
how many there are: the limit comes with each question, and may change.

As long as nobody is refused, whoever comes first takes a slot. A client that is refused although
it uses less than its share (the limit divided by the clients) *claims* a slot for a while. Then a
client at or above its share leaves free what is claimed, and one below it what is claimed by
those who use less than half as much. What a client uses is what it has in flight, or had on
average lately if that is more; so that of two clients and one slot, the one that always asks
again at once does not always win.

Cost: a look into a table and two sums while nobody is refused; otherwise an exponential besides.
Prior art: the decaying usage of Unix schedulers, max-min fairness.

Spec: protocol.md, "Overload".
"""

from __future__ import annotations

import math
from itertools import islice
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ["Shares"]

_LOOKED_AT: Final = 64
"""Claims that one question looks at: enough to be fair, and no work that grows with a crowd."""

_FORGOTTEN: Final = 8.0
"""Seconds after which a client that came no more is not counted any longer."""


class _Client:
    """What one client uses, and wants.

    Attributes:
        calls: Slots it has.
        claims: Slots that it was refused and may come back for.
        until: When its claims lapse.
        average: Slots it had on average, while clients compete.
        since: When `average` was true.
        period: The competition that `average` belongs to.
    """

    __slots__ = ("average", "calls", "claims", "period", "since", "until")

    def __init__(self) -> None:
        self.calls = 0
        self.claims = 0
        self.until = 0.0
        self.average = 0.0
        self.since = 0.0
        self.period = -1

    def usage(self, now: float, period: int, memory: float) -> float:
        """Bring the average up to date, and return what counts."""
        if self.period != period:
            self.period = period
            self.average = self.calls  # nothing has changed since the competition began
        elif now > self.since:
            weight = math.exp((self.since - now) / memory)
            self.average = self.calls + (self.average - self.calls) * weight
        self.since = now
        return max(self.calls, self.average)


class Shares:
    """The slots of one limit.

    Attributes:
        busy: Slots that are taken.
    """

    __slots__ = ("_claimants", "_claimed", "_clients", "_memory", "_period", "_sweep_at", "busy")

    def __init__(self) -> None:
        self.busy = 0
        self._clients: dict[Hashable, _Client] = {}
        self._claimants: dict[Hashable, _Client] = {}  # whose claims lapse first, first
        self._claimed = 0
        self._period = 0
        self._sweep_at = 0.0
        self._memory = 1.0

    def __repr__(self) -> str:
        return f"<Shares {self.busy} busy, {len(self._clients)} clients, {self._claimed} claimed>"

    def enter(self, who: Hashable, limit: int, now: float, patience: float) -> bool:
        """Take a slot; return False if there is none for this client now.

        Args:
            who: The client.
            limit: How many slots there are.
            now: The time, in seconds.
            patience: Seconds for which a client that is refused may claim a slot, and in which
                the average of what a client uses falls to a third.
        """
        if self._claimants:
            self._lapse(now)
            self._memory = patience
        client = self._clients.get(who)
        if client is None:
            client = self._clients[who] = _Client()
        use = client.usage(now, self._period, self._memory) if self._claimants else client.calls
        modest = use * len(self._clients) < limit
        kept = 0
        if self._claimants and self.busy < limit:
            kept = self._needier(use) if modest else self._claimed - client.claims
        if self.busy + kept < limit:
            client.calls += 1
            self.busy += 1
            if client.claims:
                self._keep(who, client, client.claims - 1)
            return True
        if modest:
            self._claim(who, client, limit, now)
            client.until = now + patience
        elif client.claims:
            self._keep(who, client, 0)
        return False

    def _needier(self, use: float) -> int:
        """Return how many slots those claim who use less than half as much."""
        needier = 0
        for client in islice(self._claimants.values(), _LOOKED_AT):
            if 2 * max(client.calls, client.average) < use:
                needier += client.claims
        return needier

    def leave(self, who: Hashable, now: float) -> None:
        """Give a slot back."""
        client = self._clients[who]
        if self._claimants:
            client.usage(now, self._period, self._memory)
        elif client.calls == 1:
            del self._clients[who]
        client.calls -= 1
        self.busy -= 1

    def _claim(self, who: Hashable, client: _Client, limit: int, now: float) -> None:
        """Let a client claim one slot more, up to its share. Competition begins with the first."""
        if not self._claimants:
            self._period += 1
            self._sweep_at = now + _FORGOTTEN
            client.usage(now, self._period, self._memory)
        self._claimants.pop(who, None)
        self._claimants[who] = client  # now the last to lapse
        share = limit // len(self._clients) - client.calls
        self._keep(who, client, max(1, min(client.claims + 1, share)))

    def _keep(self, who: Hashable, client: _Client, claims: int) -> None:
        """Change how many slots a client claims. Competition ends with the last."""
        self._claimed += claims - client.claims
        client.claims = claims
        if not claims:
            del self._claimants[who]
            if not self._claimants:
                self._forget()

    def _lapse(self, now: float) -> None:
        """Drop the claims of those who did not come back in time."""
        while self._claimants:
            who, client = next(iter(self._claimants.items()))
            if client.until > now:
                break
            self._keep(who, client, 0)
        if self._claimants and now >= self._sweep_at:
            self._sweep_at = now + _FORGOTTEN
            self._forget(now - _FORGOTTEN)

    def _forget(self, before: float = math.inf) -> None:
        """Forget the clients that have nothing here, and were here last before a time."""
        self._clients = {
            who: client
            for who, client in self._clients.items()
            if client.calls or client.claims or client.since >= before
        }
