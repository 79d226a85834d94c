"""Pickers: exact sequences where they are exact, shares under a seed where chance decides."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framerpc import ConfigurationError
from framerpc.balancing.load import Outcome
from framerpc.balancing.pickers import (
    PICKERS,
    ConsistentHash,
    Latency,
    LeastLoaded,
    Picker,
    Random,
    RoundRobin,
    WeightedRoundRobin,
    picker_named,
)
from framerpc.config import BalancingPolicy
from tests.balancing.kit import candidates, name

if TYPE_CHECKING:
    from framerpc.balancing import Candidate


class Chance:
    """Chance that says what it is told, in turn."""

    def __init__(self, *numbers: float) -> None:
        self.numbers = list(numbers)

    def random(self) -> float:
        return self.numbers.pop(0)


def picks(picker: Picker, among: list[Candidate], count: int, seed: int = 1) -> list[str | None]:
    """Return the letters of `count` picks at 0.0 s, without a key."""
    chance = random.Random(seed)
    picker.update(among)
    return [name(picker.pick(among, 0.0, None, chance)) for _ in range(count)]


# ----------------------------------------------------------------- round robin


def test_round_robin_takes_each_in_turn() -> None:
    """It begins where chance says, and goes on in order."""
    picker, among = RoundRobin(), candidates(1, 1, 1)
    picker.update(among)
    got = [name(picker.pick(among, 0.0, None, Chance(0.5))) for _ in range(7)]
    assert got == ["b", "c", "a", "b", "c", "a", "b"]


@pytest.mark.parametrize("seed", range(5))
def test_round_robin_is_exact(seed: int) -> None:
    """600 calls over three endpoints are 200 each, wherever it begins."""
    got = Counter(picks(RoundRobin(), candidates(1, 1, 1), 600, seed))
    assert got == {"a": 200, "b": 200, "c": 200}


def test_a_choice_among_some_costs_nobody_s_turn() -> None:
    """Retries that go elsewhere take turns among themselves; all others stay exact."""
    picker, among = RoundRobin(), candidates(1, 1, 1)
    picker.update(among)
    got, elsewhere = Counter[str | None](), Counter[str | None]()
    for _ in range(60):
        got[name(picker.pick(among, 0.0, None, Chance(0.0)))] += 1
        elsewhere[name(picker.pick(among[1:], 0.0, None, Chance()))] += 1
    assert got == {"a": 20, "b": 20, "c": 20}
    assert elsewhere == {"b": 30, "c": 30}


# ----------------------------------------------------------------- random


def test_random_is_even() -> None:
    """Of 6,000 picks each of three gets 2,000, give or take 150."""
    got = Counter(picks(Random(), candidates(1, 1, 1), 6000))
    assert all(1850 < got[letter] < 2150 for letter in "abc")


# ----------------------------------------------------------------- weighted round robin


def test_weighted_round_robin_is_nginx_sequence() -> None:
    """Weights 5, 1, 1 give the sequence in nginx's description of the algorithm."""
    got = picks(WeightedRoundRobin(), candidates(5, 1, 1), 14)
    assert "".join(map(str, got)) == "aabacaa" * 2


def test_weighted_round_robin_is_exact() -> None:
    """600 calls with weights 3, 2, 1 are 300, 200 and 100."""
    got = Counter(picks(WeightedRoundRobin(), candidates(3, 2, 1), 600))
    assert got == {"a": 300, "b": 200, "c": 100}


@given(st.lists(st.integers(1, 12), min_size=1, max_size=6), st.integers(1, 3))
def test_every_cycle_is_exact(weights: list[int], cycles: int) -> None:
    """In each cycle, of as many calls as the weights together, each gets its weight."""
    total = sum(weights)
    got = picks(WeightedRoundRobin(), candidates(*weights), total * cycles)
    for start in range(0, total * cycles, total):
        counts = Counter(got[start : start + total])
        assert [counts[chr(ord("a") + place)] for place in range(len(weights))] == weights


def test_a_new_set_begins_a_new_cycle() -> None:
    """So that the cycles of each set are exact."""
    picker, among, chance = WeightedRoundRobin(), candidates(3, 2, 1), random.Random(1)
    picker.update(among)
    picker.pick(among, 0.0, None, chance)
    assert Counter(picks(picker, among, 6)) == {"a": 3, "b": 2, "c": 1}


# ----------------------------------------------------------------- least loaded


def test_the_less_loaded_of_two_is_picked() -> None:
    """With two endpoints, it is always the one with fewer calls in flight."""
    among = candidates(1, 1)
    among[0].load.in_flight = 1
    assert set(picks(LeastLoaded(), among, 50)) == {"b"}


def test_the_most_loaded_is_never_picked() -> None:
    """Whoever is compared with it wins."""
    among = candidates(1, 1, 1, 1)
    for place, candidate in enumerate(among):
        candidate.load.in_flight = place
    got = Counter(picks(LeastLoaded(), among, 600))
    assert got["d"] == 0
    assert got["a"] > got["b"] > got["c"] > 0


def test_load_is_by_weight() -> None:
    """Three calls are less for a weight of 4 than one is for a weight of 1."""
    among = candidates(4, 1)
    among[0].load.in_flight, among[1].load.in_flight = 3, 1
    assert set(picks(LeastLoaded(), among, 20)) == {"a"}


@pytest.mark.parametrize("kind", [LeastLoaded, Latency])
def test_equals_are_picked_evenly(kind: type[Picker]) -> None:
    """Without any load, chance decides among all."""
    got = Counter(picks(kind(), candidates(1, 1, 1), 6000))
    assert all(1850 < got[letter] < 2150 for letter in "abc")


def test_two_choices_level_the_load() -> None:
    """1,000 calls that never end leave 10 endpoints within a few calls of each other."""
    among, chance = candidates(*[1] * 10), random.Random(7)
    for _ in range(1000):
        LeastLoaded().pick(among, 0.0, None, chance).candidate.load.began()
    loads = [candidate.load.in_flight for candidate in among]
    assert max(loads) - min(loads) <= 6


# ----------------------------------------------------------------- latency


def observe(candidate: Candidate, *latencies: float) -> None:
    """Let calls be answered after so many seconds, the last one at 0.0 s."""
    for latency in latencies:
        candidate.load.began()
        candidate.load.ended(0.0, -latency, Outcome.OK)


def test_the_quicker_of_two_is_picked() -> None:
    """A slow endpoint gets nothing while the other is idle."""
    among = candidates(1, 1)
    observe(among[0], 0.5)
    observe(among[1], 0.1)
    assert set(picks(Latency(), among, 50)) == {"b"}


def test_a_queue_makes_the_quicker_one_slow() -> None:
    """Five calls at 0.1 s are a longer wait than one at 0.5 s."""
    among = candidates(1, 1)
    observe(among[0], 0.5)
    observe(among[1], 0.1)
    among[1].load.in_flight = 5
    assert set(picks(Latency(), among, 50)) == {"a"}


def test_the_slow_one_is_tried_again() -> None:
    """Its latency fades while it gets no calls, and those of the other do not."""
    among = candidates(1, 1)
    observe(among[0], 0.5)
    observe(among[1], 0.1)
    among[1].load.began()
    among[1].load.ended(30.0, 29.9, Outcome.OK)
    assert name(Latency().pick(among, 30.0, None, random.Random(1))) == "a"


# ----------------------------------------------------------------- consistent hash


def test_without_a_key_the_less_loaded_of_two_is_picked() -> None:
    """And the reason says what was missing."""
    among = candidates(1, 1)
    among[0].load.in_flight = 1
    choice = ConsistentHash().pick(among, 0.0, None, random.Random(1))
    assert name(choice) == "b"
    assert choice.reason.startswith("the call has no routing key; 0 in flight")


def test_a_key_has_a_home() -> None:
    """It is always the same, and the reason says so."""
    among, picker = candidates(1, 1, 1), ConsistentHash()
    choices = [picker.pick(among, 0.0, "room-1", random.Random(seed)) for seed in range(20)]
    assert len(set(map(name, choices))) == 1
    assert choices[0].reason == "home of the key 'room-1'"


def test_a_full_home_sends_its_keys_on() -> None:
    """And the reason names it."""
    among, picker = candidates(1, 1, 1), ConsistentHash(floor=2)
    home = picker.pick(among, 0.0, "room-1", Chance()).candidate
    home.load.in_flight = 2
    choice = picker.pick(among, 0.0, "room-1", Chance())
    assert choice.candidate is not home
    url = home.endpoint.url
    assert choice.reason == f"next home of the key 'room-1': {url} has 2 in flight"


# ----------------------------------------------------------------- names and reasons


@pytest.mark.parametrize("kind", PICKERS)
def test_every_picker_has_a_name(kind: str) -> None:
    """Each name makes a new picker of its kind."""
    one, other = picker_named(kind, BalancingPolicy()), picker_named(kind, BalancingPolicy())
    assert type(one) is PICKERS[kind]
    assert one is not other


def test_a_wrong_name_lists_the_right_ones() -> None:
    """The error can be acted on."""
    with pytest.raises(ConfigurationError, match=r"'robin'.*'round_robin', 'random'.*'latency'"):
        picker_named("robin", BalancingPolicy())


def test_the_policy_bounds_consistent_hashing() -> None:
    """`hash_floor` and `hash_bound` reach the picker."""
    policy = BalancingPolicy(hash_floor=1, hash_bound=1.01)
    among, picker = candidates(1, 1), picker_named("consistent_hash", policy)
    for _ in range(10):
        picker.pick(among, 0.0, "k", Chance()).candidate.load.began()
    assert sorted(candidate.load.in_flight for candidate in among) == [4, 6]


@pytest.mark.parametrize("kind", PICKERS)
@given(data=st.data())
def test_every_choice_is_one_of_those_given_and_has_a_reason(
    kind: str, data: st.DataObject
) -> None:
    """Whatever weights, loads, latencies, key and chance, nothing fails and no `{}` is left."""
    weights = data.draw(st.lists(st.integers(1, 65_535), min_size=1, max_size=5))
    among, picker = candidates(*weights), picker_named(kind, BalancingPolicy())
    for candidate in among:
        observe(candidate, *data.draw(st.lists(st.floats(0, 1e6), max_size=2)))
        candidate.load.in_flight = data.draw(st.integers(0, 10_000))
    picker.update(among)
    chance = random.Random(data.draw(st.integers(0, 1000)))
    key = data.draw(st.none() | st.text(st.characters(exclude_characters="{}")))
    for _ in range(5):
        choice = picker.pick(among, 0.0, key, chance)
        assert choice.candidate in among
        assert choice.reason
        assert "{" not in choice.reason


@pytest.mark.parametrize("kind", PICKERS)
def test_some_of_the_usable_may_be_left_out(kind: str) -> None:
    """A retry is picked from fewer, and what was left out is not picked."""
    among, picker, chance = (
        candidates(3, 2, 1),
        picker_named(kind, BalancingPolicy()),
        random.Random(1),
    )
    picker.update(among)
    got = {name(picker.pick(among[1:], 0.0, "k", chance)) for _ in range(20)}
    assert got <= {"b", "c"}
