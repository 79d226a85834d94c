"""Which errors speak against an endpoint."""

from __future__ import annotations

import asyncio

import pytest

import framerpc
from framerpc.balancing.load import Outcome
from framerpc.balancing.outcomes import outcome_of


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, Outcome.OK),
        (framerpc.InvalidArgument("x"), Outcome.OK),
        (framerpc.RemoteError("x"), Outcome.OK),
        (framerpc.CallError("of the application"), Outcome.OK),
        (framerpc.Unavailable("x"), Outcome.FAILED),
        (framerpc.DeadlineExceeded("x"), Outcome.FAILED),
        (framerpc.ConnectionLost("x", "y"), Outcome.FAILED),
        (framerpc.ConnectionFailed("x", 1, "y"), Outcome.FAILED),
        (framerpc.RemoteProtocolError("x"), Outcome.FAILED),
        (framerpc.ResourceExhausted("x"), Outcome.UNDECIDED),
        (framerpc.Cancelled("x"), Outcome.UNDECIDED),
        (framerpc.MessageTooLarge(2, 1, "local"), Outcome.UNDECIDED),
        (asyncio.CancelledError(), Outcome.UNDECIDED),
        (KeyboardInterrupt(), Outcome.UNDECIDED),
    ],
    ids=repr,
)
def test_outcomes(error: BaseException | None, outcome: Outcome) -> None:
    """An endpoint that answers is well; one that is silent, broken or unavailable is not."""
    assert outcome_of(error) is outcome


def test_somebody_else_may_say_what_a_failure_is() -> None:
    """A callable of the user's is asked about every error that is an Exception."""

    def exhausted(error: BaseException) -> bool:
        return isinstance(error, framerpc.ResourceExhausted)

    assert outcome_of(framerpc.ResourceExhausted(), exhausted) is Outcome.FAILED
    assert outcome_of(framerpc.Unavailable(), exhausted) is Outcome.OK
    assert outcome_of(asyncio.CancelledError(), lambda _: True) is Outcome.UNDECIDED
