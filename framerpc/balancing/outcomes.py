"""Which errors speak against the endpoint that a call went to.

An endpoint that answers is well, whatever it answers: an error of the application, a refused
argument, even a bug there. What speaks against it is silence, a broken connection, and its own
word that it cannot take calls. An endpoint that refuses for want of resources protects itself,
and ejecting it would only move the load; and a call that was cancelled says nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from framerpc.balancing.load import Outcome
from framerpc.errors import (
    Cancelled,
    ConnectionFailed,
    ConnectionLost,
    DeadlineExceeded,
    LocalProtocolError,
    MessageTooLarge,
    RemoteProtocolError,
    ResourceExhausted,
    Unavailable,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["is_failure", "outcome_of"]

_AGAINST: Final = (
    ConnectionFailed,
    ConnectionLost,
    DeadlineExceeded,
    RemoteProtocolError,
    Unavailable,
)
_SILENT: Final = (Cancelled, LocalProtocolError, MessageTooLarge, ResourceExhausted)


def is_failure(error: BaseException) -> bool:
    """Return whether an error speaks against the endpoint: the default of `is_failure`."""
    return isinstance(error, _AGAINST)


def outcome_of(
    error: BaseException | None, failure: Callable[[BaseException], bool] | None = None
) -> Outcome:
    """Return what the end of a call says about its endpoint.

    Args:
        error: What the call raised; None if it returned.
        failure: Tells which errors speak against an endpoint; `is_failure` if None. Not asked
            about what is no `Exception`: the caller was cancelled.
    """
    if error is None:
        return Outcome.OK
    if not isinstance(error, Exception):
        return Outcome.UNDECIDED
    if (failure or is_failure)(error):
        return Outcome.FAILED
    return Outcome.UNDECIDED if isinstance(error, _SILENT) else Outcome.OK
