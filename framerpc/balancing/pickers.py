"""How one of several usable endpoints is picked for a call.

A picker sees only endpoints that can be used: that they are connected, not ejected, and not
in the first moments of a slow start is the balancer's business. Consistent hashing stands in
`hashing`. The names that users write are in `PICKERS`.

Sources: nginx's smooth weighted round robin; Mitzenmacher, "The Power of Two Choices in
Randomized Load Balancing" (2001); Finagle's and tower's `p2c`.
"""

# ruff: noqa: ARG002 - every picker is given what some picker needs

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Final

from framerpc.balancing.candidate import Candidate, Choice
from framerpc.balancing.hashing import rendezvous
from framerpc.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from framerpc.balancing.accrual import Chance
    from framerpc.config import BalancingPolicy

__all__ = [
    "PICKERS",
    "ConsistentHash",
    "Latency",
    "LeastLoaded",
    "Picker",
    "Random",
    "RoundRobin",
    "WeightedRoundRobin",
    "picker_named",
]


class Picker(ABC):
    """Picks one of several usable endpoints. One picker serves one client.

    Attributes:
        sticky: Calls with a routing key must go where the picker says, whatever a slow start
            would have.
    """

    sticky: ClassVar[bool] = False

    def update(self, candidates: Sequence[Candidate]) -> None:  # noqa: B027 - most need not know
        """Hear that from now on these are usable; at least one.

        Later calls of `pick` may be about some of them only (a retry that must go elsewhere),
        and never about others.
        """

    @abstractmethod
    def pick(
        self, candidates: Sequence[Candidate], now: float, key: str | None, chance: Chance
    ) -> Choice:
        """Pick one of `candidates` for a call, and say why.

        Called for each call, on its way: it must be quick and may not fail.

        Args:
            candidates: At least one; must not be kept or changed.
            now: Loop time, in seconds.
            key: The routing key of the call, if it has one.
            chance: Where to take chance from, so that tests can repeat it.
        """


class RoundRobin(Picker):
    """Each in turn, whatever its weight. O(1).

    It begins anywhere, so that many clients that start together do not all begin with the same.
    A choice among some only, which is rare, has a turn of its own: it costs nobody's.
    """

    def __init__(self) -> None:
        self._all = 0
        self._turn: int | None = None
        self._turn_of_some = 0

    def update(self, candidates: Sequence[Candidate]) -> None:
        """Remember how many are all."""
        self._all = len(candidates)

    def pick(
        self, candidates: Sequence[Candidate], now: float, key: str | None, chance: Chance
    ) -> Choice:
        """Pick the next one."""
        count = len(candidates)
        if count != self._all:
            turn = self._turn_of_some
            self._turn_of_some = turn + 1
        else:
            turn = self._turn if self._turn is not None else int(chance.random() * count)
            self._turn = turn + 1
        return Choice(candidates[turn % count], "its turn, of {}", count)


class Random(Picker):
    """Any of them, whatever its weight. O(1)."""

    def pick(
        self, candidates: Sequence[Candidate], now: float, key: str | None, chance: Chance
    ) -> Choice:
        """Pick one by chance."""
        count = len(candidates)
        return Choice(candidates[int(chance.random() * count)], "by chance, of {}", count)


class WeightedRoundRobin(Picker):
    """Each as often as its weight says, spread evenly: nginx's smooth weighted round robin.

    As many calls as all weights together are one cycle, in which each gets exactly as many as
    its weight. O(number of endpoints).
    """

    def __init__(self) -> None:
        self._current: dict[Candidate, int] = {}

    def update(self, candidates: Sequence[Candidate]) -> None:
        """Begin a new cycle."""
        self._current = dict.fromkeys(candidates, 0)

    def pick(
        self, candidates: Sequence[Candidate], now: float, key: str | None, chance: Chance
    ) -> Choice:
        """Pick the one that has waited longest for its weight."""
        current = self._current
        total = 0
        best = candidates[0]
        most = float("-inf")
        for candidate in candidates:
            weight = candidate.weight
            total += weight
            waited = current[candidate] = current[candidate] + weight
            if waited > most:
                best, most = candidate, waited
        current[best] -= total
        return Choice(best, "its turn, weight {} of {}", best.weight, total)


class LeastLoaded(Picker):
    """The less loaded of two that chance names: calls in flight, by weight. O(1).

    Two are enough: the most loaded of n endpoints then has about log log n calls more than the
    average, and no crowd runs to the one that looks best.
    """

    def pick(
        self, candidates: Sequence[Candidate], now: float, key: str | None, chance: Chance
    ) -> Choice:
        """Pick the less loaded of two."""
        if len(candidates) == 1:
            return Choice(candidates[0], _ONLY)
        one, other = _two(candidates, chance)
        mine, others = one.load.in_flight, other.load.in_flight
        if mine * other.weight > others * one.weight:
            one, other, mine, others = other, one, others, mine
        return Choice(one, _LEAST, mine, one.weight, others, other.weight, other.endpoint.url)


class Latency(Picker):
    """The one of two that chance names whose answer is expected sooner, by weight. O(1).

    What is expected is latency times calls in flight, see `load`.
    """

    def pick(
        self, candidates: Sequence[Candidate], now: float, key: str | None, chance: Chance
    ) -> Choice:
        """Pick the quicker of two."""
        if len(candidates) == 1:
            return Choice(candidates[0], _ONLY)
        one, other = _two(candidates, chance)
        mine = one.load.cost(now) / one.weight
        others = other.load.cost(now) / other.weight
        if mine > others:
            one, other, mine, others = other, one, others, mine
        return Choice(one, _SOONER, mine, others, other.endpoint.url)


class ConsistentHash(Picker):
    """The same one for the same key, as long as it is not overloaded; see `hashing`.

    O(number of endpoints). A call without a key goes to the less loaded of two.

    Args:
        bound: How many times the average load one may carry, above 1.
        floor: Calls in flight up to which none counts as loaded.
    """

    sticky = True

    def __init__(self, bound: float = 1.25, floor: int = 8) -> None:
        self._bound = bound
        self._floor = floor
        self._without_key = LeastLoaded()

    def pick(
        self, candidates: Sequence[Candidate], now: float, key: str | None, chance: Chance
    ) -> Choice:
        """Pick the home of a key, or its next one if that is overloaded."""
        if key is None:
            choice = self._without_key.pick(candidates, now, key, chance)
            choice.note = "the call has no routing key; "
            return choice
        chosen, home = rendezvous(candidates, key, self._bound, self._floor)
        if chosen is home:
            return Choice(chosen, "home of the key {!r}", key)
        facts = (key, home.endpoint.url, home.load.in_flight)
        return Choice(chosen, "next home of the key {!r}: {} has {} in flight", *facts)


_ONLY: Final = "the only one"
_LEAST: Final = "{} in flight (weight {}), against {} (weight {}) at {}"
_SOONER: Final = "answer expected in {:.3g} s, against {:.3g} s at {}"


def _two(candidates: Sequence[Candidate], chance: Chance) -> tuple[Candidate, Candidate]:
    """Return two different ones, each pair in each order as likely as any other."""
    count = len(candidates)
    first = int(chance.random() * count)
    second = int(chance.random() * (count - 1))
    if second >= first:
        second += 1
    return candidates[first], candidates[second]


PICKERS: Final[Mapping[str, type[Picker]]] = {
    "round_robin": RoundRobin,
    "random": Random,
    "weighted_round_robin": WeightedRoundRobin,
    "least_loaded": LeastLoaded,
    "latency": Latency,
    "consistent_hash": ConsistentHash,
}
"""The names that users write."""


def picker_named(name: str, policy: BalancingPolicy) -> Picker:
    """Return a new picker of this name.

    Raises:
        ConfigurationError: There is none; the text lists those there are.
    """
    kind = PICKERS.get(name)
    if kind is None:
        names = ", ".join(map(repr, PICKERS))
        raise ConfigurationError(f"there is no picker {name!r}; choose one of {names}")
    if kind is ConsistentHash:
        return ConsistentHash(policy.hash_bound, policy.hash_floor)
    return kind()
