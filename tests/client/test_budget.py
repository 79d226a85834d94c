"""How many retries a client may make."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from framerpc.client.budget import RetryBudget


def taken(budget: RetryBudget, calls: int, now: float, most: int = 100_000) -> int:
    """Take retries until one is refused; return how many were permitted."""
    return next(number for number in range(most) if not budget.take(calls, now))


def test_quiet_client_may_retry_ten_seconds_of_its_floor() -> None:
    """With no calls to speak of, the floor alone permits."""
    assert taken(RetryBudget(0.2, 10), calls=0, now=100.0) == 100


def test_share_of_the_calls_may_be_retries() -> None:
    """Calls before the first failure count, up to a window of them."""
    assert taken(RetryBudget(0.2, 0), calls=1000, now=100.0) == 200


def test_budget_that_is_spent_comes_back_with_the_calls() -> None:
    """A second later, only what the new calls are worth is there."""
    budget = RetryBudget(0.2, 0)
    taken(budget, 1000, 100.0)
    assert taken(budget, 1050, 101.0) == 10


def test_floor_comes_back_with_time() -> None:
    """A quiet client gets its floor again, second by second."""
    budget = RetryBudget(0.2, 10)
    taken(budget, 0, 100.0)
    assert taken(budget, 0, 102.0) == 20


def test_old_calls_are_worth_nothing_more() -> None:
    """Of a quiet hour with a million calls, ten seconds' worth counts."""
    budget = RetryBudget(0.5, 0)
    taken(budget, 0, 0.0)
    assert taken(budget, 3600, 3600.0) == 5


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 1000), st.floats(0, 100), st.integers(1, 500)), max_size=30
    ),
    share=st.floats(0, 1),
    floor=st.floats(0, 50),
)
def test_retries_never_exceed_what_calls_and_time_are_worth(
    steps: list[tuple[int, float, int]], share: float, floor: float
) -> None:
    """Whatever the order of calls, time and failures."""
    budget = RetryBudget(share, floor)
    calls, now, permitted = 0, 0.0, 0
    for more, later, wanted in steps:
        calls, now = calls + more, now + later
        permitted += sum(budget.take(calls, now) for _ in range(wanted))
        assert permitted <= share * calls + floor * (now + 10) + 1e-6
