"""The balancer: who can be used, and for how long, on given times."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framerpc import ConfigurationError, ConnectionLost, Unavailable
from framerpc.balancing import Balancer, Candidate, Choice, Endpoint, Picker
from framerpc.balancing.accrual import Health
from framerpc.balancing.candidate import Standing
from framerpc.balancing.pickers import PICKERS
from framerpc.config import BalancingPolicy
from tests.balancing.kit import OFF, answer, balancer, endpoints, fail, name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from framerpc.balancing.accrual import Chance

STRICT = BalancingPolicy(
    failures=3, failure_rate=None, ejection=4.0, panic_threshold=0.5, slow_start=None
)
"""Three failures eject, for 2 to 4 s; no slow start."""


def standings(made: Balancer, now: float) -> dict[str, Standing]:
    """Return how each endpoint stands, by letter."""
    return {report.url[-1]: report.standing for report in made.explain(now)}


def until(made: Balancer, letter: str) -> float:
    """Return when the next probe of an endpoint is due."""
    (found,) = [each.ejected_until for each in made.explain(0.0) if each.url[-1] == letter]
    assert found is not None
    return found


# ----------------------------------------------------------------- membership


def test_an_update_says_what_changed() -> None:
    """What came and what went, each in order."""
    a, b, c = endpoints(1, 1, 1)
    made = Balancer("random", OFF, random.Random(1))
    assert made.update([a, b]) == ((a, b), ())
    assert made.update([b, c]) == ((c,), (a,))
    assert made.update([b, c]) == ((), ())


def test_another_weight_is_the_same_endpoint() -> None:
    """It keeps its connection and its load, and the new weight counts at once."""
    made = balancer("weighted_round_robin", 1, 1)
    first = made.pick(0.0)
    assert first is not None
    made.began(first, 0.0)
    assert made.update(endpoints(3, 1)) == ((), ())
    assert sum(report.in_flight for report in made.explain(0.0)) == 1
    assert Counter(name(made.pick(0.0)) for _ in range(8)) == {"a": 6, "b": 2}


def test_of_doubles_the_first_counts() -> None:
    """One endpoint named twice is one endpoint."""
    made = Balancer("random", OFF, random.Random(1))
    one, double = Endpoint("memory://a", 2), Endpoint("memory://a", 3)
    assert made.update([one, double]).added == (one,)


def test_endpoints_beyond_the_limit_are_ignored_and_counted() -> None:
    """The first `max_endpoints` are used."""
    made = Balancer("random", BalancingPolicy(max_endpoints=2), random.Random(1))
    assert len(made.update(endpoints(1, 1, 1, 1, 1)).added) == 2
    assert made.ignored == 3
    made.update(endpoints(1))
    assert made.ignored == 0


def test_nobody_is_ready_at_first() -> None:
    """Known is not ready: without a connection there is nothing to pick."""
    made = Balancer("random", OFF, random.Random(1))
    assert made.pick(0.0) is None
    made.update(endpoints(1, 1))
    assert made.pick(0.0) is None
    made.set_ready(endpoints(1, 1)[1], True, 0.0)
    assert name(made.pick(0.0)) == "b"


@pytest.mark.parametrize("picker", PICKERS)
def test_who_is_not_ready_is_not_picked(picker: str) -> None:
    """Neither one that lost its connection, nor one that was removed."""
    made = balancer(picker, 1, 1, 1)
    a, b, c = endpoints(1, 1, 1)
    made.set_ready(a, False, 0.0)
    assert {name(made.pick(0.0, str(n))) for n in range(40)} == {"b", "c"}
    made.update([a, c])
    assert {name(made.pick(0.0, str(n))) for n in range(40)} == {"c"}
    made.set_ready(b, True, 0.0)
    assert {name(made.pick(0.0, str(n))) for n in range(40)} == {"c"}


def test_excluded_endpoints_are_not_picked() -> None:
    """A retry goes elsewhere; when there is no elsewhere, nobody is picked."""
    made = balancer("round_robin", 1, 1, 1)
    a, b, c = endpoints(1, 1, 1)
    assert {name(made.pick(0.0, exclude=[b])) for _ in range(10)} == {"a", "c"}
    assert made.pick(0.0, exclude=frozenset({a, b, c})) is None


def test_the_first_picks_are_exact() -> None:
    """600 calls: 200 each by round robin; 300, 200, 100 by weight."""
    made = balancer("round_robin", 1, 1, 1)
    assert Counter(answer(made, 0.0) for _ in range(600)) == {"a": 200, "b": 200, "c": 200}
    made = balancer("weighted_round_robin", 3, 2, 1)
    assert Counter(answer(made, 0.0) for _ in range(600)) == {"a": 300, "b": 200, "c": 100}


# ----------------------------------------------------------------- calls


def test_calls_in_flight_are_between_began_and_ended() -> None:
    """However often the end is told."""
    made = balancer("random", 1)
    choice = made.pick(0.0)
    assert choice is not None
    assert made.explain(0.0)[0].in_flight == 0
    made.began(choice, 0.0)
    assert made.explain(0.0)[0].in_flight == 1
    made.ended(choice, 0.5)
    made.ended(choice, 0.7, Unavailable())
    (report,) = made.explain(0.5)
    assert (report.in_flight, report.latency, report.failures) == (0, 0.5, 0)


def test_a_choice_that_never_began_says_nothing() -> None:
    """It is not in flight, and its error is not the endpoint's."""
    made = balancer("random", 1, policy=STRICT)
    for _ in range(9):
        choice = made.pick(0.0)
        assert choice is not None
        made.ended(choice, 0.0, Unavailable())
    (report,) = made.explain(0.0)
    assert (report.in_flight, report.calls, report.failures) == (0, 0, 0)
    assert report.standing is Standing.READY


def test_the_end_of_a_call_to_a_removed_endpoint_is_no_error() -> None:
    """It may well be under way when its endpoint goes."""
    made = balancer("random", 1, policy=STRICT)
    choice = made.pick(0.0)
    assert choice is not None
    made.began(choice, 0.0)
    made.update([])
    made.ended(choice, 1.0, ConnectionLost("memory://a", "gone"))
    assert made.explain(1.0) == []


# ----------------------------------------------------------------- ejection


def test_an_endpoint_that_fails_is_left_alone() -> None:
    """After three failures in a row, nobody is sent there, until the ejection is over."""
    made = balancer("round_robin", 1, 1, 1, policy=STRICT)
    fail(made, "a", 0.0, 3)
    assert standings(made, 0.0)["a"] is Standing.EJECTED
    assert made.ejected == 1
    for now in (0.0, 1.0, 1.999):
        assert {answer(made, now) for _ in range(10)} == {"b", "c"}


@pytest.mark.parametrize("picker", PICKERS)
def test_one_probe_finds_out(picker: str) -> None:
    """When the ejection is over, exactly one call is let through until it has ended."""
    made = balancer(picker, 1, 1, 1, policy=STRICT)
    fail(made, "a", 0.0, 3)
    now = until(made, "a")
    choices = [made.pick(now, str(number)) for number in range(100)]
    probes = [choice for choice in choices if name(choice) == "a"]
    assert len(probes) == 1
    assert probes[0] is not None
    assert probes[0].reason.startswith("a probe after its ejection; ")
    made.began(probes[0], now)
    made.ended(probes[0], now + 0.1)
    assert standings(made, now + 0.1)["a"] is Standing.READY
    picked = [name(made.pick(now + 0.1, exclude=endpoints(1, 1, 1)[1:])) for _ in range(9)]
    assert picked == ["a"] * 9


def test_a_probe_that_fails_ejects_for_longer() -> None:
    """And nobody else is sent there meanwhile."""
    made = balancer("round_robin", 1, 1, 1, policy=STRICT)
    fail(made, "a", 0.0, 3)
    now = until(made, "a")
    fail(made, "a", now)
    assert 4.0 <= until(made, "a") - now <= 8.0
    assert {answer(made, now + 3.9) for _ in range(10)} == {"b", "c"}


def test_a_probe_whose_caller_leaves_is_repeated() -> None:
    """A cancelled call said nothing: the next one is the probe."""
    made = balancer("round_robin", 1, 1, 1, policy=STRICT)
    fail(made, "a", 0.0, 3)
    now = until(made, "a")
    others = endpoints(1, 1, 1)[1:]
    for _ in range(3):
        choice = made.pick(now, exclude=others)
        assert made.pick(now, exclude=others) is None
        assert choice is not None
        made.began(choice, now)
        made.ended(choice, now, asyncio.CancelledError())
    assert made.pick(now, exclude=others) is not None


def test_a_probe_that_was_not_used_is_repeated() -> None:
    """A choice that is given back unused was no probe."""
    made = balancer("round_robin", 1, 1, 1, policy=STRICT)
    fail(made, "a", 0.0, 3)
    now, others = until(made, "a"), endpoints(1, 1, 1)[1:]
    choice = made.pick(now, exclude=others)
    assert choice is not None
    made.ended(choice, now, ConnectionLost("memory://a", "x", "no"))
    assert made.pick(now, exclude=others) is not None


def test_a_lost_probe_does_not_keep_an_endpoint_out() -> None:
    """If its end is never told, another follows after `probe_timeout`."""
    made = balancer("round_robin", 1, 1, 1, policy=STRICT)
    fail(made, "a", 0.0, 3)
    now, others = until(made, "a"), endpoints(1, 1, 1)[1:]
    assert made.pick(now, exclude=others) is not None
    assert made.pick(now + 9.99, exclude=others) is None
    assert made.pick(now + 10, exclude=others) is not None


def test_a_reconnected_endpoint_is_probed_at_once() -> None:
    """A new connection does not prove that calls work: one call finds out, and no more."""
    made = balancer("round_robin", 1, 1, 1, policy=STRICT)
    fail(made, "a", 0.0, 3)
    a = endpoints(1)[0]
    made.set_ready(a, False, 0.5)
    made.set_ready(a, True, 1.0)
    assert [name(made.pick(1.0)) for _ in range(10)].count("a") == 1
    assert standings(made, 1.0)["a"] is Standing.PROBING


def test_what_counts_as_a_failure_is_an_option() -> None:
    """`is_failure` decides."""
    policy = BalancingPolicy(failures=3, is_failure=lambda error: isinstance(error, KeyError))
    made = balancer("random", 1, policy=policy)
    fail(made, "a", 0.0, 10)
    assert made.ejected == 0
    for _ in range(3):
        choice = made.pick(0.0)
        assert choice is not None
        made.began(choice, 0.0)
        made.ended(choice, 0.0, KeyError())
    assert made.ejected == 1


# ----------------------------------------------------------------- panic


def test_with_too_few_healthy_all_are_used() -> None:
    """One of three is less than half: ejected ones get calls again, and the reason says so."""
    made = balancer("round_robin", 1, 1, 1, policy=STRICT)
    fail(made, "a", 0.0, 3)
    fail(made, "b", 0.0, 3)
    choices = [made.pick(0.1) for _ in range(9)]
    assert Counter(map(name, choices)) == {"a": 3, "b": 3, "c": 3}
    assert choices[0] is not None
    assert choices[0].reason.startswith("too few look healthy, so all are used; ")


def test_half_is_enough() -> None:
    """The threshold is the share below which it is a panic."""
    made = balancer("round_robin", 1, 1, policy=STRICT)
    fail(made, "a", 0.0, 3)
    assert {answer(made, 0.1) for _ in range(9)} == {"b"}


def test_endpoints_without_a_connection_do_not_look_healthy() -> None:
    """Two of four are ejected and one is down: the last one does not have to carry all."""
    made = balancer("round_robin", 1, 1, 1, 1, policy=STRICT)
    made.set_ready(endpoints(1, 1, 1, 1)[3], False, 0.0)
    fail(made, "a", 0.0, 3)
    assert {answer(made, 0.1) for _ in range(9)} == {"b", "c"}
    fail(made, "b", 0.1, 3)
    assert {name(made.pick(0.2)) for _ in range(9)} == {"a", "b", "c"}


def test_a_panic_ends_with_a_success() -> None:
    """A call that succeeds in a panic brings its endpoint back at once; half are enough."""
    made = balancer("round_robin", 1, 1, policy=STRICT)
    fail(made, "a", 0.0, 3)
    fail(made, "b", 0.0, 3)
    back = answer(made, 0.1)
    assert {name(made.pick(0.1)) for _ in range(9)} == {back}


@pytest.mark.parametrize("threshold", [None, 0.01])
def test_the_last_one_is_used_whatever_the_threshold(threshold: float | None) -> None:
    """When nobody is left, all that are connected are used: nobody waits for a probe."""
    policy = BalancingPolicy(failures=3, panic_threshold=threshold, slow_start=None)
    made = balancer("round_robin", 1, 1, 1, policy=policy)
    fail(made, "a", 0.0, 3)
    fail(made, "b", 0.0, 3)
    assert {name(made.pick(0.1)) for _ in range(9)} == {"c"}
    fail(made, "c", 0.1, 3)
    assert {name(made.pick(0.2)) for _ in range(9)} == {"a", "b", "c"}


# ----------------------------------------------------------------- slow start

SLOW = BalancingPolicy(failures=None, failure_rate=None, slow_start=10.0, slow_start_share=0.1)


def shares(made: Balancer, now: float, calls: int = 900) -> Counter[str | None]:
    """Return how calls that are answered at once are spread."""
    return Counter(answer(made, now) for _ in range(calls))


def test_the_first_endpoints_start_in_full() -> None:
    """All are equally new, also if they connect one after the other."""
    made = Balancer("round_robin", SLOW, random.Random(1))
    for place, endpoint in enumerate(made.update(endpoints(1, 1, 1)).added):
        made.set_ready(endpoint, True, place * 3.0)
    assert shares(made, 6.0) == {"a": 300, "b": 300, "c": 300}


def test_a_new_endpoint_starts_slowly() -> None:
    """It gets a tenth of its share, then half, then all; others get what it does not take."""
    made = balancer("round_robin", 1, 1, policy=SLOW)
    (new,) = made.update(endpoints(1, 1, 1)).added
    made.set_ready(new, True, 100.0)
    assert shares(made, 100.0)["c"] == pytest.approx(30, abs=1)
    assert shares(made, 105.0)["c"] == pytest.approx(150, abs=1)
    assert shares(made, 110.0) == {"a": 300, "b": 300, "c": 300}


@pytest.mark.parametrize("picker", ["random", "weighted_round_robin", "least_loaded", "latency"])
def test_every_picker_starts_slowly(picker: str) -> None:
    """A returning endpoint gets about half of its share after half of the time."""
    made = balancer(picker, 1, 1, 1, policy=SLOW)
    a = endpoints(1)[0]
    made.set_ready(a, False, 50.0)
    made.set_ready(a, True, 100.0)
    assert 110 < shares(made, 105.0)["a"] < 190
    assert 240 < shares(made, 110.0)["a"] < 360


def test_the_reason_tells_of_a_slow_start() -> None:
    """Both of who got a call in spite of it, and of who was spared."""
    made = balancer("round_robin", 1, 1, policy=SLOW)
    made.set_ready(endpoints(1)[0], False, 0.0)
    made.set_ready(endpoints(1)[0], True, 0.0)
    reasons = {choice.reason for _ in range(8) if (choice := made.pick(5.0)) is not None}
    assert reasons == {
        "its turn, of 2",
        "in its slow start; its turn, of 2",
        "to spare memory://a in its slow start; its turn, of 1",
    }


def test_after_an_ejection_an_endpoint_starts_slowly() -> None:
    """The probe brings it back, and its share grows from then."""
    policy = BalancingPolicy(failures=3, slow_start=10.0)
    made = balancer("round_robin", 1, 1, 1, policy=policy)
    fail(made, "a", 0.0, 3)
    now = until(made, "a")
    while answer(made, now) != "a":
        pass
    assert standings(made, now)["a"] is Standing.WARMING
    assert shares(made, now + 5.0)["a"] == pytest.approx(150, abs=1)


def test_when_all_are_new_nobody_is_spared() -> None:
    """After an outage of everybody, shares are even at once."""
    made = balancer("round_robin", 1, 1, policy=SLOW)
    for ready in (False, True):
        for endpoint in endpoints(1, 1):
            made.set_ready(endpoint, ready, 1.0)
    assert shares(made, 1.0, 100) == {"a": 50, "b": 50}


def test_keys_do_not_wander_for_a_slow_start() -> None:
    """Consistent hashing is about where a key lives."""
    made = balancer("consistent_hash", 1, 1, 1, policy=SLOW)
    home = name(made.pick(0.0, "room-1"))
    for endpoint in endpoints(1, 1, 1):
        if endpoint.url[-1] == home:
            made.set_ready(endpoint, False, 1.0)
            made.set_ready(endpoint, True, 2.0)
    assert {name(made.pick(2.0, "room-1")) for _ in range(50)} == {home}


def test_an_excluded_endpoint_is_not_picked_to_spare_another() -> None:
    """What will not do does not do then, either."""
    made = balancer("round_robin", 1, 1, 1, policy=SLOW)
    a, b, c = endpoints(1, 1, 1)
    made.set_ready(a, False, 0.0)
    made.set_ready(a, True, 0.0)
    assert {name(made.pick(1.0, exclude=[b])) for _ in range(40)} == {"a", "c"}
    assert {name(made.pick(1.0, exclude=[b, c])) for _ in range(40)} == {"a"}


# ----------------------------------------------------------------- pickers of one's own


class Last(Picker):
    """The last one; remembers what it was told."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def update(self, candidates: Sequence[Candidate]) -> None:
        self.heard.append("".join(each.endpoint.url[-1] for each in candidates))

    def pick(
        self, candidates: Sequence[Candidate], now: float, key: str | None, chance: Chance
    ) -> Choice:
        return Choice(candidates[-1], "the last of {}", len(candidates))


def test_a_picker_may_be_ones_own() -> None:
    """It picks among those that can be used, and says why in its own words."""
    choice = balancer(Last(), 1, 1).pick(0.0)
    assert name(choice) == "b"
    assert choice is not None
    assert choice.reason == "the last of 2"


def test_a_picker_hears_only_of_changes() -> None:
    """Once for each set of usable endpoints, and never of an empty one."""
    picker = Last()
    made = balancer(picker, 1, 1, policy=STRICT)
    for now in (0.0, 1.0, 2.0):
        made.pick(now)
    assert picker.heard == ["ab"]
    fail(made, "a", 2.0, 3)
    made.pick(2.0)
    assert picker.heard == ["ab", "b"]
    for endpoint in endpoints(1, 1):
        made.set_ready(endpoint, False, 2.0)
    assert made.pick(2.0) is None
    assert picker.heard == ["ab", "b"]


@pytest.mark.parametrize("picker", [None, 1, RuntimeError])
def test_what_is_no_picker_is_refused(picker: object) -> None:
    """With a text that says what would be one."""
    with pytest.raises(ConfigurationError, match="balance must be"):
        Balancer(picker, OFF, random.Random(1))  # type: ignore[arg-type]


def test_a_balancer_counts_its_endpoints() -> None:
    """Its text is for an operator."""
    made = balancer("random", 1, 1, 1)
    made.set_ready(endpoints(1)[0], False, 0.0)
    assert repr(made) == "<Balancer of 3 endpoints, 2 ready>"


# ----------------------------------------------------------------- whatever happens


class World:
    """A balancer, what it should know, and the calls under way."""

    def __init__(self, picker: str, seed: int) -> None:
        policy = BalancingPolicy(failures=2, ejection=1.0, slow_start=2.0, probe_timeout=1e6)
        self.balancer = Balancer(picker, policy, random.Random(seed))
        self.everybody = endpoints(1, 2, 3, 1)
        self.now = 0.0
        self.known: list[Endpoint] = []
        self.ready: set[str] = set()
        self.calls: list[Choice] = []
        self.probing: dict[Candidate, Choice] = {}

    def update(self, number: int) -> None:
        self.known = self.everybody[: number % 5]
        self.ready -= {each.url for each in self.balancer.update(self.known).removed}

    def connect(self, number: int) -> None:
        endpoint = self.everybody[number % 4]
        if endpoint in self.known:
            self.balancer.set_ready(endpoint, True, self.now)
            self.ready.add(endpoint.url)

    def disconnect(self, number: int) -> None:
        endpoint = self.everybody[number % 4]
        self.balancer.set_ready(endpoint, False, self.now)
        self.ready.discard(endpoint.url)

    def wait(self, number: int) -> None:
        self.now += number

    def pick(self, number: int) -> None:
        choice = self.balancer.pick(self.now, None if number % 2 else str(number))
        assert (choice is None) == (not self.ready)
        if choice is None:
            return
        assert choice.endpoint.url in self.ready
        if choice.probe:
            assert choice.candidate not in self.probing
            self.probing[choice.candidate] = choice
        self.balancer.began(choice, self.now)
        self.calls.append(choice)

    def end(self, number: int, error: BaseException | None = None) -> None:
        if self.calls:
            choice = self.calls.pop(number % len(self.calls))
            self.balancer.ended(choice, self.now, error)
        for candidate, probe in list(self.probing.items()):
            if probe.over or candidate.accrual.health is Health.TRUSTED:
                del self.probing[candidate]

    def fail(self, number: int) -> None:
        self.end(number, Unavailable())

    def cancel(self, number: int) -> None:
        self.end(number, KeyboardInterrupt())


DEEDS = [
    World.update, World.connect, World.connect, World.disconnect, World.wait, World.pick,
    World.pick, World.pick, World.end, World.fail, World.fail, World.cancel,
]  # fmt: skip


@pytest.mark.parametrize("picker", PICKERS)
@given(
    steps=st.lists(st.tuples(st.sampled_from(DEEDS), st.integers(0, 7)), max_size=120),
    seed=st.integers(0, 1000),
)
def test_whatever_happens_a_ready_endpoint_is_found(
    picker: str, steps: list[tuple[Callable[[World, int], None], int]], seed: int
) -> None:
    """Somebody is picked exactly when somebody is ready, and only ready ones are.

    No ejected endpoint has two probes at a time, and in the end nothing is in flight.
    """
    world = World(picker, seed)
    world.update(4)
    for deed, number in steps:
        deed(world, number)
    while world.calls:
        world.end(0)
    assert not [each for each in world.balancer.explain(world.now) if each.in_flight]
