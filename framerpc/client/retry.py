"""Trying again: how long to wait between attempts, and what is worth another one.

The only importer of tenacity. Its `retry_if_exception` also sees `CancelledError` and
`KeyboardInterrupt`; here only a failure that may pass is worth another attempt, everything
else goes straight through.

Spec: protocol.md, "Client writer's guide". The full jitter is that of AWS' "Exponential
Backoff And Jitter" (2015).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

import tenacity
from tenacity.wait import wait_base

from framerpc.errors import ConnectionFailed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["DEFAULT_RECONNECT", "Wait", "until_connected"]

_T = TypeVar("_T")

Wait: TypeAlias = wait_base
"""How long to wait before the next attempt: any of tenacity's `wait_*` objects."""

DEFAULT_RECONNECT: Final[Wait] = tenacity.wait_random_exponential(multiplier=0.1, max=10.0)
"""Somewhere between nothing and 0.1, 0.2, 0.4, … 10 seconds: full jitter with a cap."""


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, ConnectionFailed) and not error.final


async def until_connected(
    attempt: Callable[[], Awaitable[_T]],
    *,
    wait: Wait,
    failed: Callable[[int, BaseException], None],
) -> _T:
    """Attempt until it succeeds, or fails for good.

    Cancelling it cancels the attempt or the pause.

    Args:
        attempt: Raises `ConnectionFailed` when it failed.
        wait: How long to pause after each failure.
        failed: Told the number of attempts so far and the error of the last, before each pause.

    Raises:
        ConnectionFailed: It failed, and trying again cannot help (`final`).
        Exception: Whatever else `attempt` raises.
    """

    def note(state: tenacity.RetryCallState) -> None:
        outcome = state.outcome
        error = outcome.exception() if outcome is not None else None
        if error is not None:
            failed(state.attempt_number, error)

    controller = tenacity.AsyncRetrying(
        wait=wait,
        retry=tenacity.retry_if_exception(_may_pass),
        stop=tenacity.stop_never,
        before_sleep=note,
        reraise=True,
    )
    return await controller(attempt)
