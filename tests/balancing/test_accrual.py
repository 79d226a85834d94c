"""Failure accrual: out after too many failures, back after one probe."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framerpc.balancing.accrual import TRANSITIONS, Accrual, Health, News
from framerpc.config import BalancingPolicy

POLICY = BalancingPolicy(failures=3, failure_rate=None, ejection=4.0, max_ejection=16.0)


class Least:
    """Chance that shortens each ejection the most: to half."""

    def random(self) -> float:
        return 0.0


LEAST = Least()


def health(accrual: Accrual) -> Health:
    """Return its health, which type checkers would take for what it was before a call."""
    return accrual.health


def failures(accrual: Accrual, now: float, times: int = 1) -> bool:
    """Let calls fail at once; return whether the last changed the health."""
    return [accrual.failed(now, now, 0, LEAST) for _ in range(times)][-1]


def ejected(policy: BalancingPolicy = POLICY) -> Accrual:
    """Return one that was ejected at 0.0 s, until 2.0 s."""
    accrual = Accrual(policy)
    assert failures(accrual, 0.0, 3)
    return accrual


def test_failures_in_a_row_eject() -> None:
    """The third of three is one too many."""
    accrual = Accrual(POLICY)
    assert not failures(accrual, 0.0, 2)
    assert health(accrual) is Health.TRUSTED
    assert failures(accrual, 0.0)
    assert health(accrual) is Health.EJECTED


def test_a_success_begins_the_row_anew() -> None:
    """Only failures in a row count."""
    accrual = Accrual(POLICY)
    failures(accrual, 0.0, 2)
    assert not accrual.succeeded(0.0, 0.0)
    assert not failures(accrual, 0.0, 2)


def test_a_rate_of_failures_ejects() -> None:
    """Half of the calls in the window are enough, if there were enough calls."""
    policy = BalancingPolicy(failures=None, failure_rate=0.5, min_calls=10, window=10.0)
    accrual = Accrual(policy)
    for _ in range(4):
        accrual.succeeded(1.0, 1.0)
        assert not failures(accrual, 1.0)
    accrual.succeeded(1.0, 1.0)
    assert failures(accrual, 1.0)


def test_few_calls_have_no_rate() -> None:
    """Below `min_calls` nothing is concluded from a rate."""
    policy = BalancingPolicy(failures=None, failure_rate=0.5, min_calls=10)
    assert not failures(Accrual(policy), 0.0, 9)


def test_the_window_forgets() -> None:
    """Failures of more than a window ago are not part of the rate."""
    policy = BalancingPolicy(failures=None, failure_rate=0.5, min_calls=10, window=10.0)
    accrual = Accrual(policy)
    failures(accrual, 0.0, 9)
    assert not failures(accrual, 11.0, 9)
    assert failures(accrual, 11.0)


def test_the_window_remembers_its_last_half() -> None:
    """Failures of half a window ago still count."""
    policy = BalancingPolicy(failures=None, failure_rate=0.5, min_calls=10, window=10.0)
    accrual = Accrual(policy)
    failures(accrual, 0.0, 9)
    assert failures(accrual, 5.0)


def test_both_rules_can_be_off() -> None:
    """With neither, an endpoint is trusted whatever it does."""
    accrual = Accrual(BalancingPolicy(failures=None, failure_rate=None))
    assert not failures(accrual, 0.0, 1000)


@pytest.mark.parametrize(("chance", "until"), [(0.0, 2.0), (0.5, 3.0), (0.999, 3.998)])
def test_an_ejection_is_shortened_by_chance(chance: float, until: float) -> None:
    """It lasts from half of its length to all of it."""

    class Fixed:
        def random(self) -> float:
            return chance

    accrual = Accrual(POLICY)
    for _ in range(3):
        accrual.failed(0.0, 0.0, 0, Fixed())
    assert accrual.until == pytest.approx(until)


def test_a_probe_that_succeeds_brings_it_back() -> None:
    """It is due when the ejection is over, and one answer is enough."""
    accrual = ejected()
    assert not accrual.due(1.999)
    assert accrual.due(2.0)
    accrual.probe(2.0)
    assert health(accrual) is Health.PROBING
    assert accrual.succeeded(2.5, 2.0)
    assert health(accrual) is Health.TRUSTED


def test_a_new_connection_makes_the_probe_due() -> None:
    """It may be another server by now: nobody waits for the rest of the ejection."""
    accrual = ejected()
    assert not accrual.due(0.5)
    accrual.reconnected(0.5)
    assert accrual.due(0.5)
    assert health(accrual) is Health.EJECTED


def test_a_new_connection_of_a_trusted_endpoint_changes_nothing() -> None:
    """There is nothing to find out."""
    accrual = Accrual(POLICY)
    accrual.reconnected(0.5)
    assert health(accrual) is Health.TRUSTED
    assert not accrual.due(0.5)


def test_each_failed_probe_doubles_the_ejection() -> None:
    """4, 8, 16 and 16 seconds, each halved by this chance: there is a longest."""
    accrual = ejected()
    lasted = []
    for _ in range(4):
        now = accrual.until
        number = accrual.probe(now)
        assert accrual.failed(now, now, number, LEAST)
        lasted.append(accrual.until - now)
    assert lasted == [4.0, 8.0, 8.0, 8.0]
    assert accrual.ejections == 5


def test_a_hundred_thousand_ejections_overflow_nothing() -> None:
    """The doubling stops."""
    accrual = ejected()
    accrual.ejections = 100_000
    accrual.failed(accrual.until, accrual.until, accrual.probe(accrual.until), LEAST)
    assert accrual.until == 2.0 + 8.0


def test_a_cancelled_probe_is_repeated() -> None:
    """It said nothing, so the next call is the probe."""
    accrual = ejected()
    number = accrual.probe(2.0)
    assert not accrual.due(2.1)
    assert accrual.undecided(2.1, number)
    assert health(accrual) is Health.EJECTED
    assert accrual.due(2.1)


def test_a_probe_without_end_is_followed_by_another() -> None:
    """After `probe_timeout`, and what becomes of the first no longer matters if it fails."""
    accrual = ejected()
    first = accrual.probe(2.0)
    assert not accrual.due(11.999)
    assert accrual.due(12.0)
    second = accrual.probe(12.0)
    assert not accrual.failed(13.0, 2.0, first, LEAST)
    assert not accrual.undecided(13.0, first)
    assert health(accrual) is Health.PROBING
    assert accrual.failed(13.0, 12.0, second, LEAST)


def test_old_successes_do_not_bring_it_back() -> None:
    """A call that began before the ejection says nothing about what is after it."""
    accrual = ejected()
    assert not accrual.succeeded(3.0, 0.0)
    assert health(accrual) is Health.EJECTED


def test_a_success_in_a_panic_brings_it_back() -> None:
    """A call that began after the ejection is as good as a probe."""
    accrual = ejected()
    assert accrual.succeeded(1.0, 0.5)
    assert health(accrual) is Health.TRUSTED


def test_failures_in_a_panic_change_nothing() -> None:
    """Only the probe makes an ejection longer, or the first outage would end in the longest."""
    accrual = ejected()
    assert not failures(accrual, 1.0, 100)
    assert (accrual.until, accrual.ejections) == (2.0, 1)


def test_old_failures_do_not_count_after_the_return() -> None:
    """Calls that began before the endpoint came back belong to an ejection that is over."""
    accrual = ejected()
    accrual.probe(2.0)
    accrual.succeeded(3.0, 2.0)
    for _ in range(10):
        assert not accrual.failed(4.0, 2.5, 0, LEAST)
    assert failures(accrual, 4.0, 3)


def test_relapses_are_longer_until_forgiven() -> None:
    """An ejection soon after a return counts on; a late one is the first again."""
    accrual = ejected()
    accrual.succeeded(accrual.until, accrual.until)
    failures(accrual, 3.0, 3)
    assert accrual.until == 3.0 + 4.0
    accrual.succeeded(7.0, 7.0)
    failures(accrual, 7.0 + POLICY.forgive, 3)
    assert (accrual.until, accrual.ejections) == (7.0 + POLICY.forgive + 2.0, 1)


def test_every_state_can_be_left() -> None:
    """The table names each state, and leads only to states that it names."""
    assert set(TRANSITIONS) == set(Health)
    assert all(set(row.values()) <= set(Health) and row for row in TRANSITIONS.values())
    assert {news for row in TRANSITIONS.values() for news in row} == set(News)


@given(
    st.lists(
        st.tuples(st.sampled_from(["ok", "fail", "cancel", "old ok", "old fail"]), st.floats(0, 3)),
        max_size=60,
    ),
    st.integers(0, 2**32),
)
def test_at_most_one_probe_is_under_way(steps: list[tuple[str, float]], seed: int) -> None:
    """Whatever happens, a probe is due only after the last one has ended or timed out."""
    accrual, chance = Accrual(POLICY), random.Random(seed)
    now, number, sent = 0.0, 0, -100.0
    for what, pause in steps:
        now += pause
        if accrual.due(now):
            assert health(accrual) is Health.EJECTED or now >= sent + POLICY.probe_timeout
            number, sent = accrual.probe(now), now
            assert not accrual.due(now)
        probing = accrual.health is Health.PROBING
        began = sent if probing else now
        if what == "ok":
            accrual.succeeded(now, began)
        elif what == "fail":
            accrual.failed(now, began, number if probing else 0, chance)
        elif what == "cancel":
            accrual.undecided(now, number if probing else 0)
        elif what == "old ok":
            accrual.succeeded(now, -1.0)
        else:
            accrual.failed(now, -1.0, number - 1, chance)
            assert (accrual.health is Health.PROBING) == probing
