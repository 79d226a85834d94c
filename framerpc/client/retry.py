"""Trying again, dials and calls: how long to wait, and what is worth another attempt.

The only importer of tenacity. Its `retry_if_exception` also sees `CancelledError` and
`KeyboardInterrupt`; here only a failure that may pass is worth another attempt, everything
else goes straight through. Its `stop_after_delay` reads the wall's own clock; here a call stops
at its deadline, in loop time.

Spec: protocol.md, "Errors" and "Client writer's guide". The full jitter is that of AWS'
"Exponential Backoff And Jitter" (2015).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

import tenacity
from tenacity.wait import wait_base

from framerpc.client.budget import RetryBudget
from framerpc.client.endings import strongest
from framerpc.errors import ConnectionFailed, FrameRPCError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tenacity import RetryCallState

    from framerpc.call import CallContext
    from framerpc.config import RetryPolicy
    from framerpc.errors import Executed

__all__ = ["DEFAULT_RECONNECT", "Pauses", "Retries", "RetryDetails", "Wait", "until_connected"]

_T = TypeVar("_T")

Wait: TypeAlias = wait_base
"""How long to wait before the next attempt: any of tenacity's `wait_*` objects."""

DEFAULT_RECONNECT: Final[Wait] = tenacity.wait_random_exponential(multiplier=0.1, max=10.0)
"""Somewhere between nothing and 0.1, 0.2, 0.4, … 10 seconds: full jitter with a cap."""

DEFAULT_STOP: Final = tenacity.stop_after_attempt(5)
DEFAULT_WAIT: Final = tenacity.wait_random_exponential(multiplier=0.05, max=1.0)


@dataclass(frozen=True, slots=True)
class RetryDetails:
    """A call that is going to be sent again.

    Attributes:
        method: The method called.
        attempt: The number of the attempt that failed, from 1.
        error: What it raised.
        wait: Seconds until the next.
    """

    method: str
    attempt: int
    error: FrameRPCError
    wait: float


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, ConnectionFailed) and not error.final


class Pauses:
    """How long to wait between attempts that fail one after the other, told one at a time.

    It remembers where it was, until whoever knows that things are well again resets it.

    Args:
        wait: How long to wait after each failure: any of tenacity's `wait_*` objects.

    Attributes:
        failures: How many there were since the last reset.
    """

    __slots__ = ("_wait", "failures")

    def __init__(self, wait: Wait) -> None:
        self.failures = 0
        self._wait = wait

    def reset(self) -> None:
        """Begin with the shortest again."""
        self.failures = 0

    def next(self, error: BaseException) -> float:
        """Return the seconds to wait after an attempt that failed with `error`."""
        self.failures += 1
        controller = tenacity.AsyncRetrying(wait=self._wait)
        state = tenacity.RetryCallState(controller, None, (), {})
        state.attempt_number = self.failures
        state.set_exception((type(error), error, error.__traceback__))
        return float(self._wait(state))


async def until_connected(
    attempt: Callable[[], Awaitable[_T]],
    *,
    pauses: Pauses,
    failed: Callable[[int, BaseException], None],
) -> _T:
    """Attempt until it succeeds, or fails for good.

    Cancelling it cancels the attempt or the pause.

    Args:
        attempt: Raises `ConnectionFailed` when it failed.
        pauses: How long to wait after each failure; they go on from where they are.
        failed: Told the number of failures so far and the error of the last, before each pause.

    Raises:
        ConnectionFailed: It failed, and trying again cannot help (`final`).
        Exception: Whatever else `attempt` raises.
    """

    def pause(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome is not None else None
        assert error is not None  # only a failure is followed by a pause
        seconds = pauses.next(error)
        failed(pauses.failures, error)
        return seconds

    controller = tenacity.AsyncRetrying(
        wait=pause,
        retry=tenacity.retry_if_exception(_may_pass),
        stop=tenacity.stop_never,
        reraise=True,
    )
    return await controller(attempt)


class Retries:
    """Sends calls again that failed and may be sent again.

    Args:
        policy: How often, how soon, how much.
        hook: Told of each retry before its pause.
        is_open: Returns whether further attempts have a chance at all.
    """

    def __init__(
        self,
        policy: RetryPolicy,
        hook: Callable[[RetryDetails], None] | None,
        is_open: Callable[[], bool],
    ) -> None:
        self._policy = policy
        self._hook = hook
        self._is_open = is_open
        self._budget = RetryBudget(policy.share, policy.floor)
        self._stop = policy.stop or DEFAULT_STOP
        self._wait = policy.wait or DEFAULT_WAIT

    async def again(
        self,
        context: CallContext,
        first: FrameRPCError,
        attempt: Callable[[], Awaitable[_T]],
        calls: int,
        elsewhere: Callable[[], bool],
    ) -> _T:
        """Raise the failure of a first attempt, or attempt again until one succeeds.

        The controller is made here: a call that works never sees one. Cancelling it cancels
        the attempt or the pause.

        Args:
            context: The call; its `attempt` counts.
            first: What the first attempt raised.
            attempt: Makes a further one.
            calls: Calls that the client has made so far, which the budget is a share of.
            elsewhere: Returns whether a server is ready that has not failed this call: the pause
                that one server asks for is not about another.

        Raises:
            FrameRPCError: What the last attempt raised, with the number of attempts in it, and
                `executed` for all of them together.
        """
        pending: FrameRPCError | None = first
        claims: list[Executed] = []

        async def run() -> _T:
            nonlocal pending
            if pending is not None:  # the first attempt, as the controller counts
                error, pending = pending, None
                raise error
            context.attempt += 1
            return await attempt()

        def worth(state: RetryCallState) -> bool:
            error = _failure_of(state)
            return error is not None and self._is_worth(context, error, state)

        def stop(state: RetryCallState) -> bool:
            return (
                self._stop(state)
                or (
                    context.deadline is not None
                    and context.now() + state.upcoming_sleep >= context.deadline
                )
                or not self._budget.take(calls, context.now())
            )

        def wait(state: RetryCallState) -> float:
            asked = getattr(_failure_of(state), "retry_after", None)
            pause = self._wait(state)
            return pause if asked is None or elsewhere() else max(asked, pause)

        def tell(state: RetryCallState) -> None:
            error = _failure_of(state)
            if error is None:
                return
            claims.append(error.executed)
            if self._hook is not None:
                pause = state.upcoming_sleep
                self._hook(RetryDetails(context.method, context.attempt, error, pause))

        controller = tenacity.AsyncRetrying(
            stop=stop, wait=wait, retry=worth, before_sleep=tell, reraise=True
        )
        try:
            return await controller(run)
        except FrameRPCError as error:
            error.attempts = context.attempt
            error.executed = strongest([*claims, error.executed])
            raise

    def _is_worth(self, context: CallContext, error: FrameRPCError, state: RetryCallState) -> bool:
        """Say whether a failure may and should be tried again."""
        retry = error.retry
        safe = retry == "yes" or (retry == "idempotent" and context.idempotent)
        if not safe or not self._is_open():
            return False
        return self._policy.retry is None or bool(self._policy.retry(state))


def _failure_of(state: RetryCallState) -> FrameRPCError | None:
    """Return how the last attempt failed; None if it did not, or was cancelled."""
    error = state.outcome.exception() if state.outcome is not None else None
    return error if isinstance(error, FrameRPCError) else None
