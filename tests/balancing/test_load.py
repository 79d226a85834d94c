"""Load: calls in flight and peak-EWMA latency, on given times."""

from __future__ import annotations

from math import exp

import pytest

from framerpc.balancing.load import UNKNOWN_COST, Load, Outcome
from framerpc.config import BalancingPolicy


def make() -> Load:
    return Load(BalancingPolicy(latency_decay=10.0))


def call(load: Load, began: float, ended: float, outcome: Outcome = Outcome.OK) -> None:
    load.began()
    load.ended(ended, began, outcome)


def test_calls_in_flight_are_counted() -> None:
    """What began and has not ended is in flight, however it ends."""
    load = make()
    for _ in range(3):
        load.began()
    assert (load.in_flight, load.calls) == (3, 3)
    for outcome in Outcome:
        load.ended(1.0, 0.0, outcome)
    assert (load.in_flight, load.calls, load.failures) == (0, 3, 1)


def test_the_first_answer_is_the_latency() -> None:
    """Before it there is none."""
    load = make()
    assert load.latency(0.0) is None
    call(load, 0.0, 0.25)
    assert load.latency(0.25) == 0.25


def test_a_peak_counts_in_full() -> None:
    """One slow answer is believed at once."""
    load = make()
    call(load, 0.0, 0.1)
    call(load, 0.1, 2.1)
    assert load.latency(2.1) == 2.0


def test_quick_answers_bring_it_down_slowly() -> None:
    """An answer below the average weighs what the time since the last one says."""
    load = make()
    call(load, 0.0, 2.0)
    call(load, 2.9, 3.0)
    kept = exp(-1 / 10)
    assert load.latency(3.0) == pytest.approx(2.0 * kept + 0.1 * (1 - kept))


def test_latency_fades_with_time() -> None:
    """After one decay time a third is left, so that the endpoint is tried again."""
    load = make()
    call(load, 0.0, 1.0)
    assert load.latency(11.0) == pytest.approx(exp(-1))


def test_the_cost_is_latency_times_queue() -> None:
    """A further call waits for those that are in flight."""
    load = make()
    call(load, 0.0, 0.5)
    assert load.cost(0.5) == 0.5
    load.began()
    load.began()
    assert load.cost(0.5) == 1.5


def test_one_call_finds_out_about_an_unknown_endpoint() -> None:
    """It costs nothing at first, and very much while its first call is under way."""
    load = make()
    assert load.cost(0.0) == 0
    load.began()
    assert load.cost(0.0) == UNKNOWN_COST


def test_a_quick_failure_is_no_quick_answer() -> None:
    """A failure counts only if it took longer than what is usual."""
    load = make()
    call(load, 0.0, 1.0)
    call(load, 1.0, 1.0, Outcome.FAILED)
    assert load.latency(1.0) == 1.0
    call(load, 1.0, 6.0, Outcome.FAILED)
    assert load.latency(6.0) == 5.0


def test_a_cancelled_call_says_nothing() -> None:
    """It took as long as its caller had patience."""
    load = make()
    call(load, 0.0, 9.0, Outcome.UNDECIDED)
    assert load.latency(9.0) is None
