"""Shares of a limit, over many arrivals."""

from __future__ import annotations

import heapq
import itertools
import random
from typing import Final

import pytest

from framerpc.server.fairness import Shares

SECONDS: Final = 10.0


class Crowd:
    """Clients that call in turn, each with some callers, and come back after a refusal."""

    def __init__(self, seed: int, limit: int, callers: list[int], pause: float = 0.05) -> None:
        self.shares = Shares()
        self.used = [0.0] * len(callers)
        self.most = 0
        self._limit = limit
        self._pause = pause
        self._rng = random.Random(seed)
        self._numbers = itertools.count()
        self._events: list[tuple[float, int, int, bool]] = []
        for client, many in enumerate(callers):
            for _ in range(many):
                self._add(self._rng.random() * 0.01, client, leaves=False)

    def _add(self, when: float, client: int, *, leaves: bool) -> None:
        heapq.heappush(self._events, (when, next(self._numbers), client, leaves))

    def run(self, took: float = 0.05) -> list[float]:
        """Return the slots that each client had on average."""
        while self._events[0][0] < SECONDS:
            now, _, client, leaves = heapq.heappop(self._events)
            if leaves:
                self.shares.leave(client, now)
                self._add(now, client, leaves=False)
            elif self.shares.enter(client, self._limit, now, 1.0):
                spent = self._rng.expovariate(1 / took)
                self.used[client] += spent
                self._add(now + spent, client, leaves=True)
            else:
                self._add(now + self._pause * self._rng.uniform(0.5, 1.5), client, leaves=False)
            self.most = max(self.most, self.shares.busy)
        return [used / SECONDS for used in self.used]


def test_single_client_may_use_everything() -> None:
    """Nobody is held back for clients that are not there."""
    (used,) = Crowd(1, 10, [50]).run()
    assert used > 9.5


def test_client_below_its_share_is_hardly_refused() -> None:
    """A client with one call at a time gets its call nearly always, whatever the others want."""
    used = Crowd(2, 12, [1, 4, 16, 64]).run()
    assert used[0] > 0.9


@pytest.mark.parametrize("seed", range(5))
def test_greedy_client_gets_no_more_than_one_that_wants_its_share(seed: int) -> None:
    """A hundred callers against two, for four slots: two each."""
    greedy, modest = Crowd(seed, 4, [100, 2]).run()
    assert modest > 1.8
    assert greedy > 1.8


@pytest.mark.parametrize("seed", range(5))
def test_last_slot_changes_hands(seed: int) -> None:
    """With one slot, the client that always comes back at once does not always win."""
    used = Crowd(seed, 1, [1, 1, 1]).run()
    assert min(used) > 0.15
    assert sum(used) > 0.6


@pytest.mark.parametrize("seed", range(3))
def test_more_clients_than_slots_share_evenly(seed: int) -> None:
    """A hundred clients and ten slots: a tenth each, also if one of them has fifty callers."""
    used = Crowd(seed, 10, [1] * 99 + [50]).run(took=0.01)
    assert min(used) > 0.05
    assert max(used) < 0.15


@pytest.mark.parametrize("seed", range(12))
def test_no_client_starves(seed: int) -> None:
    """Whoever comes, everybody gets a fair part of what it wants, and the limit holds."""
    rng = random.Random(seed)
    limit, took = rng.randint(1, 20), rng.choice([0.01, 0.1, 0.5])
    callers = [rng.randint(1, 30) for _ in range(rng.randint(1, 8))]
    crowd = Crowd(seed, limit, callers)
    used = crowd.run(took)
    assert crowd.most <= limit
    share = limit / len(callers)
    assert all(got > min(want, share) / 2 for got, want in zip(used, callers, strict=True))
    assert sum(used) > 0.8 * min(limit, sum(callers))


def test_share_is_not_taken_from_whoever_waits_for_it() -> None:
    """After a refusal below the share, the next free slot is kept for the client refused."""
    shares = Shares()
    assert all(shares.enter("greedy", 4, 0.0, 1.0) for _ in range(4))
    assert not shares.enter("modest", 4, 0.0, 1.0)
    shares.leave("greedy", 0.1)
    assert not shares.enter("greedy", 4, 0.1, 1.0)
    assert shares.enter("modest", 4, 0.2, 1.0)
    assert not shares.enter("modest", 4, 0.2, 1.0)
    shares.leave("greedy", 0.3)
    assert not shares.enter("greedy", 4, 0.3, 1.0)


def test_claim_lapses() -> None:
    """Who does not come back in time holds nobody up."""
    shares = Shares()
    assert all(shares.enter("greedy", 4, 0.0, 1.0) for _ in range(4))
    assert not shares.enter("modest", 4, 0.0, 1.0)
    shares.leave("greedy", 0.5)
    assert not shares.enter("greedy", 4, 0.99, 1.0)
    assert shares.enter("greedy", 4, 1.0, 1.0)


def test_nobody_claims_more_than_its_share() -> None:
    """A client that was refused a hundred times has two of four slots kept, not all."""
    shares = Shares()
    assert all(shares.enter("first", 4, 0.0, 1.0) for _ in range(4))
    for _ in range(100):
        assert not shares.enter("second", 4, 0.0, 1.0)
    assert repr(shares) == "<Shares 4 busy, 2 clients, 2 claimed>"


def test_nothing_is_remembered_of_those_who_left() -> None:
    """Without calls and claims, no client is left in the table."""
    shares = Shares()
    for who in range(100):
        assert shares.enter(who, 100, 0.0, 1.0)
    assert not shares.enter("late", 100, 0.0, 1.0)
    for who in range(100):
        shares.leave(who, 0.5)
    assert shares.enter("late", 100, 0.6, 1.0)
    shares.leave("late", 0.7)
    assert repr(shares) == "<Shares 0 busy, 0 clients, 0 claimed>"


def test_long_competition_forgets_those_who_come_no_more() -> None:
    """Clients that pass through while others compete do not pile up."""
    shares = Shares()
    assert all(shares.enter("greedy", 2, 0.0, 1.0) for _ in range(2))
    for n in range(1000):
        now = n / 10
        assert not shares.enter("waits", 2, now, 1.0)
        shares.leave("greedy", now)
        assert shares.enter(n, 2, now, 1.0)
        shares.leave(n, now)
        assert shares.enter("greedy", 2, now + 0.01, 1.0) or shares.enter("waits", 2, now, 1.0)
        if shares.busy < 2:
            assert shares.enter("greedy", 2, now + 0.02, 1.0)
    assert len(shares._clients) < 200
