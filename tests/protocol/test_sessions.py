"""Numbered calls: the header, the digest, the counting, and what becomes of a number."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framerpc.protocol.kinds import MAX_UINT
from framerpc.protocol.sessions import (
    ONCE,
    Act,
    Numbers,
    NumberState,
    Once,
    OnceEvent,
    digest,
    parse_once,
)


@pytest.mark.parametrize("value", [[1, 1], [5, 4], [MAX_UINT, 1], [2, 1, "later"]])
def test_a_good_header_is_understood(value: Any) -> None:
    """A number and a lower bound, and whatever a later version adds."""
    assert parse_once(value) == Once(*value[:2])


@pytest.mark.parametrize(
    "value",
    [
        None, 5, "5", [], [5], {"number": 5}, [5, None], ["5", 4], [5.0, 4], [True, True],
        [0, 0], [1, 0], [-1, -1], [4, 5], [MAX_UINT + 1, 1], [[5], [4]],
    ],
)  # fmt: skip
def test_a_bad_header_is_none(value: Any) -> None:
    """What is no pair of numbers in order is not taken for one."""
    assert parse_once(value) is None


def test_the_digest_tells_calls_apart() -> None:
    """Method and arguments count, and what belongs to which of them."""
    assert digest("a/b", b"\x90") == digest("a/b", memoryview(b"\x90"))
    assert len(digest("a/b", b"\x90")) == 16
    others = [digest("a/c", b"\x90"), digest("a/b", b"\x91\x01"), digest("a/", b"b\0\x90")]
    assert digest("a/b", b"\x90") not in others
    assert len(set(others)) == 3


def test_a_number_that_is_forgotten_never_runs() -> None:
    """Nothing leads from forgotten to a run."""
    reached = {NumberState.FORGOTTEN}
    for step in ONCE[NumberState.FORGOTTEN].values():
        reached.add(step.state)
        assert step.act is not Act.RUN
    assert reached == {NumberState.FORGOTTEN}


def test_only_an_unknown_number_runs() -> None:
    """A second run needs a number that is unknown, and only a run that never began leads there."""
    for state, events in ONCE.items():
        for event, step in events.items():
            assert (step.act is Act.RUN) <= (state is NumberState.UNKNOWN)
            if step.state is NumberState.UNKNOWN:
                assert event is OnceEvent.REFUSED


@given(st.lists(st.sampled_from(["new", "first", "last"]), max_size=60))
def test_numbers_rise_and_below_is_the_lowest_unanswered(steps: list[str]) -> None:
    """However calls end, no number comes twice and `below` never falls."""
    numbers, waiting, given_out, lowest = Numbers(), list[int](), list[int](), 1
    for step in steps:
        if step == "new":
            waiting.append(numbers.new())
            given_out.append(waiting[-1])
        elif waiting:
            numbers.done(waiting.pop(0 if step == "first" else -1))
        assert numbers.below == (waiting[0] if waiting else len(given_out) + 1)
        assert numbers.below >= lowest
        lowest = numbers.below
        assert len(numbers) == len(waiting)
        for number in waiting:
            assert parse_once(numbers.header(number)) == (number, numbers.below)
    assert given_out == list(range(1, len(given_out) + 1))


def test_the_header_of_a_call_that_nobody_waits_for_is_still_valid() -> None:
    """`below` is never above the number beside it."""
    numbers = Numbers()
    number = numbers.new()
    numbers.new()
    numbers.done(number)
    assert numbers.header(number) == [1, 1]
