"""Where a key lives among several endpoints: weighted rendezvous hashing with bounded load.

Every endpoint draws a number from the key; the best number is the key's home. When an
endpoint goes, only its own keys move, and evenly to all others; when one comes, it takes its
share from all. No endpoint carries more than `bound` times the average load: a key whose home
is full goes to the next best, and returns as soon as there is room.

Rendezvous rather than a ring: it balances without virtual nodes, respects weights exactly and
keeps no state; it costs O(endpoints) a call, about 0.5 µs each. The hash is stable: every
client of every process finds the same home.

Sources: Thaler and Ravishankar (1996); Schindelhauer and Schomaker, "Weighted Distributed Hash
Tables" (2005); Mirrokni, Thorup and Zadimoghaddam, "Consistent Hashing with Bounded Loads"
(2016).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from framerpc.balancing.candidate import stable_hash

if TYPE_CHECKING:
    from collections.abc import Sequence

    from framerpc.balancing.candidate import Candidate

__all__ = ["capacity", "rendezvous"]

_MASK: Final = (1 << 64) - 1


def rendezvous(
    candidates: Sequence[Candidate], key: str, bound: float, floor: int
) -> tuple[Candidate, Candidate]:
    """Return the endpoint that a call with this key goes to, and the key's home.

    They differ when the home has no room; some endpoint always has.

    Args:
        candidates: At least one.
        key: Any text.
        bound: How many times the average load one may carry, above 1.
        floor: Calls in flight up to which none counts as loaded.
    """
    hashed = stable_hash(key)
    home = chosen = candidates[0]
    nearest = nearest_with_room = math.inf
    calls = 1  # the one to come counts
    weights = 0
    for candidate in candidates:
        calls += candidate.load.in_flight
        weights += candidate.weight
    for candidate in candidates:
        distance = _distance(hashed, candidate)
        if distance < nearest:
            home, nearest = candidate, distance
        if distance < nearest_with_room:
            room = capacity(calls, candidate.weight, weights, bound, floor)
            if candidate.load.in_flight < room:
                chosen, nearest_with_room = candidate, distance
    return chosen, home


def capacity(calls: int, weight: int, weights: int, bound: float, floor: int) -> int:
    """Return how many of `calls` an endpoint may have in flight, for its share of the weights."""
    return max(floor, math.ceil(bound * calls * weight / weights))


def _distance(hashed: int, candidate: Candidate) -> float:
    """Return how far a key is from an endpoint: exponentially distributed, with its weight as rate.

    The least of such numbers is each endpoint's with a probability of its share of the weights.
    """
    mixed = hashed ^ candidate.seed
    # The finish of splitmix64: each bit of the one decides over each bit of the other.
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
    mixed ^= mixed >> 31
    return -math.log((mixed + 1) / (_MASK + 2)) / candidate.weight
