"""The arithmetic of the adaptive limit."""

from __future__ import annotations

import pytest

from framerpc import AdaptiveConcurrency, ConfigurationError
from framerpc.server.gradient import FEWEST, Gradient


def at(limit: int, **options: float) -> Gradient:
    """A gradient that starts at `limit`, where 0.1 s are usual."""
    given = {"minimum": 1, "initial": limit, "maximum": 1000, **options}
    gradient = Gradient(AdaptiveConcurrency(**given))  # type: ignore[arg-type]
    for _ in range(10):
        gradient.update(0.1, 0)
    assert gradient.usual == pytest.approx(0.1)
    return gradient


def test_limit_grows_while_calls_take_as_long_as_usual() -> None:
    """A fifth of the headroom of 4 at each step: 20, 20.8, 21.6, ..."""
    gradient = at(20)
    seen = []
    for _ in range(5):
        gradient.update(0.1, 20)
        seen.append(gradient.limit)
    assert seen == [20, 21, 22, 23, 24]


def test_calls_that_take_longer_shrink_it_by_as_much() -> None:
    """At 4/3 of the usual time the limit goes a fifth of the way to 100 * 3/4 + 4."""
    gradient = at(100, memory=10**9)
    gradient.update(0.1 * 4 / 3, 100)
    assert gradient.limit == int(100 + (75 + 4 - 100) * 0.2) == 95


def test_no_window_shrinks_it_by_more_than_half_of_a_fifth() -> None:
    """An outlier of a thousand times the usual counts like one of twice the usual."""
    gradient = at(100, memory=10**9)
    gradient.update(100.0, 100)
    assert gradient.limit == int(100 + (50 + 4 - 100) * 0.2) == 90


def test_half_used_limit_stays() -> None:
    """As long as the limit holds nothing back, nothing can be learnt about it."""
    gradient = at(100)
    for took in (0.01, 0.1, 1.0):
        gradient.update(took, 49)
    assert gradient.limit == 100


@pytest.mark.parametrize(("took", "ends_at"), [(0.1, 110), (100.0, 90)])
def test_it_stays_within_its_bounds(took: float, ends_at: int) -> None:
    """Neither a long calm nor a long storm moves it out of minimum and maximum."""
    gradient = at(100, minimum=90, maximum=110, memory=10**9)
    for _ in range(100):
        gradient.update(took, 100)
    assert gradient.limit == ends_at


def test_usual_time_is_first_a_plain_average_and_then_a_slow_one() -> None:
    """Ten windows are averaged; each further one counts 2 / (memory + 1)."""
    gradient = Gradient(AdaptiveConcurrency(memory=99))
    for n in range(1, 11):
        gradient.update(float(n), 0)
    assert gradient.usual == pytest.approx(5.5)
    gradient.update(10.5, 0)
    assert gradient.usual == pytest.approx(5.5 + 5.0 * 2 / 100)


def test_usual_time_comes_down_quickly_after_a_storm() -> None:
    """Below half of the usual time, the usual loses a tenth at each step besides."""
    gradient = at(20, memory=99)
    gradient.update(0.04, 20)
    assert gradient.usual == pytest.approx((0.1 - 0.06 * 2 / 100) * 0.9)


def test_new_normal_is_accepted() -> None:
    """A service that has become twice as slow for good gets its limit back."""
    gradient = at(100, memory=20, maximum=200)
    seen = []
    for _ in range(200):
        gradient.update(0.2, gradient.limit)
        seen.append(gradient.limit)
    assert min(seen) < 70
    assert seen[-1] > 150


def test_windows_need_time_and_calls() -> None:
    """Nothing is concluded before a second has passed, nor from fewer than ten calls."""
    gradient = Gradient(AdaptiveConcurrency())
    for n in range(FEWEST * 3):
        gradient.sample(0.1, 20, n * 0.01)
    assert (gradient.limit, gradient.usual) == (20, 0.0)
    gradient.sample(0.41, 20, 1.0)
    assert gradient.usual == pytest.approx((30 * 0.1 + 0.41) / 31)
    for _ in range(FEWEST - 1):
        gradient.sample(0.2, 20, 9.0)
    assert gradient.usual == pytest.approx(0.11)
    gradient.sample(0.2, 20, 9.0)
    assert gradient.usual == pytest.approx(0.155)


def test_window_takes_the_most_that_were_in_flight() -> None:
    """One moment of full use in a window is enough to let the limit move."""
    gradient = at(20, smoothing=1)
    for now, at_once in ((0.0, 3), (0.5, 10), (1.0, 2)):
        for _ in range(FEWEST):
            gradient.sample(0.06, at_once, now)
    assert gradient.limit == 24


def test_no_time_at_all_is_a_tenth_of_a_millisecond() -> None:
    """Calls that take no measurable time are not told apart, and divide nothing by zero."""
    gradient = Gradient(AdaptiveConcurrency())
    for took in (0.0, 0.00005, 0.0001):
        gradient.update(took, 20)
    assert gradient.usual == pytest.approx(0.0001)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"initial": 5}, "from minimum to maximum"),
        ({"initial": 500}, "from minimum to maximum"),
        ({"smoothing": 1.5}, "smoothing must be above 0 and at most 1"),
        ({"window": 0}, "window must be finite and > 0"),
        ({"minimum": -1}, "minimum must be finite and > 0"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, float], problem: str) -> None:
    """What cannot work is said when it is written."""
    with pytest.raises(ConfigurationError, match=problem):
        AdaptiveConcurrency(**options)  # type: ignore[arg-type]
