"""Rendezvous hashing with bounded load: stable, even, and moving no more than it must."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framerpc.balancing.candidate import Candidate, stable_hash
from framerpc.balancing.endpoint import Endpoint
from framerpc.balancing.hashing import capacity, rendezvous
from tests.balancing.kit import OFF, candidates

KEYS = [f"key-{number}" for number in range(300)]

clusters = st.lists(
    st.tuples(st.integers(0, 10_000), st.integers(1, 20)),
    min_size=2,
    max_size=8,
    unique_by=lambda pair: pair[0],
).map(lambda pairs: [Candidate(Endpoint(f"tcp://h{n}:1", w), OFF) for n, w in pairs])


def home(among: list[Candidate], key: str) -> Candidate:
    """Return the home of a key."""
    return rendezvous(among, key, 1.25, 8)[1]


def test_the_hash_never_changes() -> None:
    """Clients of every version and platform must agree on it: these are its values."""
    assert stable_hash("") == 0xE4A6A0577479B2B4
    assert stable_hash("room-1") == 0x0BE4AD355EE3EDC3
    homes = [home(candidates(1, 1, 1), f"room-{n}").endpoint.url[-1] for n in range(8)]
    assert "".join(homes) == "acaabcac"


def test_any_text_is_a_key() -> None:
    """Also one with a lone surrogate."""
    among = candidates(1, 1)
    assert home(among, "\ud800") in among


@given(clusters, st.integers(0, 7))
def test_removing_an_endpoint_moves_only_its_keys(among: list[Candidate], place: int) -> None:
    """A key whose home stays keeps it; so does it when the endpoint comes back."""
    gone = among[place % len(among)]
    left = [candidate for candidate in among if candidate is not gone]
    for key in KEYS:
        before, after = home(among, key), home(left, key)
        assert before is gone or after is before


@given(clusters, st.integers(1, 20))
def test_a_larger_weight_takes_keys_and_moves_no_others(among: list[Candidate], more: int) -> None:
    """Whoever has more weight than before gains keys; nobody else does."""
    before = {key: home(among, key) for key in KEYS}
    grown = among[0]
    grown.weight += more
    for key in KEYS:
        assert home(among, key) in {before[key], grown}


@given(clusters)
def test_the_order_of_endpoints_does_not_matter(among: list[Candidate]) -> None:
    """Two clients that heard of the endpoints in another order agree."""
    shuffled = sorted(among, key=lambda candidate: candidate.seed)
    assert all(home(among, key) is home(shuffled, key) for key in KEYS)


def test_keys_are_spread_by_weight() -> None:
    """Of 6,000 keys, weights 3, 2, 1 get 3,000, 2,000 and 1,000, give or take 150."""
    among = candidates(3, 2, 1)
    got = Counter(home(among, f"k{n}").weight for n in range(6000))
    assert [abs(got[weight] - weight * 1000) < 150 for weight in (3, 2, 1)] == [True] * 3


def test_the_keys_of_one_that_goes_are_spread_over_all() -> None:
    """No neighbour has to take them all."""
    among = candidates(1, 1, 1, 1)
    keys = [key for key in map(str, range(4000)) if home(among, key) is among[0]]
    got = Counter(home(among[1:], key).endpoint.url for key in keys)
    assert len(got) == 3
    assert all(count > len(keys) / 4 for count in got.values())


@given(
    clusters,
    st.floats(1.01, 4),
    st.integers(1, 10),
    st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=150),
)
def test_the_bound_is_never_exceeded(
    among: list[Candidate], bound: float, floor: int, steps: list[tuple[int, bool]]
) -> None:
    """Calls with few keys come and go: none carries more than `bound` times its share."""
    calls: list[Candidate] = []
    weights = sum(candidate.weight for candidate in among)
    for key, ends in steps:
        if ends and calls:
            calls.pop(0).load.in_flight -= 1
            continue
        chosen, _ = rendezvous(among, f"hot-{key}", bound, floor)
        chosen.load.in_flight += 1
        calls.append(chosen)
        most = max(floor, math.ceil(bound * len(calls) * chosen.weight / weights))
        assert chosen.load.in_flight <= most


@given(clusters, st.floats(1.0001, 4), st.integers(0, 10_000))
def test_there_is_room_for_every_call(among: list[Candidate], bound: float, calls: int) -> None:
    """The capacities together are never below the number of calls."""
    weights = sum(candidate.weight for candidate in among)
    room = sum(capacity(calls, candidate.weight, weights, bound, 1) for candidate in among)
    assert room >= calls


def test_a_key_returns_as_soon_as_its_home_has_room() -> None:
    """Moving is for as long as the load asks for it."""
    among = candidates(1, 1, 1)
    at_home = home(among, "k")
    at_home.load.in_flight = 8
    assert rendezvous(among, "k", 1.25, 8)[0] is not at_home
    at_home.load.in_flight = 7
    assert rendezvous(among, "k", 1.25, 8)[0] is at_home


def test_few_calls_stay_at_home() -> None:
    """Up to `hash_floor` calls with one key go to one endpoint, although the average is less."""
    among = candidates(1, 1, 1)
    for _ in range(8):
        rendezvous(among, "k", 1.25, 8)[0].load.began()
    assert sorted(candidate.load.in_flight for candidate in among) == [0, 0, 8]


@pytest.mark.parametrize("count", [1, 1000])
def test_it_works_for_one_and_for_many(count: int) -> None:
    """The home is one of them."""
    among = [Candidate(Endpoint(f"tcp://h{n}:1"), OFF) for n in range(count)]
    assert home(among, "k") in among
