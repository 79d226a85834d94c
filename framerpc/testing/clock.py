"""Virtual time: an event loop that jumps to its next timer instead of waiting for it.

This module owns the jump and the rule when it may happen. It knows nothing of framerpc.

Whenever nothing is ready, the loop would sleep until its next timer; here it sets its clock to
that timer instead. A test of an hour of silence takes a millisecond, and times can be compared
with `==`, because a timer fires at exactly the time that it was set for. Work in threads takes
no virtual time: while a thread started through `run_in_executor` (or `asyncio.to_thread`) is
busy, the clock stands still, for a bounded number of real seconds. Real sockets work on such a
loop, too, but what is under way between two of them is not waited for.

With no timer and nothing ready, nothing can ever happen again: that is a `Deadlock`.
"""

from __future__ import annotations

import asyncio
import functools
import heapq
import itertools
import math
import selectors
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar, TypeVarTuple, overload

from framerpc.errors import FrameRPCError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from concurrent.futures import Executor
    from contextvars import Context

    _Events = list[tuple[selectors.SelectorKey, int]]
    _Poll = Callable[[float | None], _Events]

__all__ = ["Deadlock", "Unhandled", "VirtualClockLoop", "run", "virtual_time"]

_P = ParamSpec("_P")
_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

_GRACE: Final = 2.0
"""Real seconds: no thread of a sane test takes longer, and a deadlocked test ends soon."""

_RESOLUTION: Final = 1e-9
"""asyncio fires timers this much too early: the resolution of the clock on every usual system."""

_LISTED: Final = 8
"""Tasks named in the text of a Deadlock."""


class Deadlock(FrameRPCError, RuntimeError):
    """Every task waits for another one: nothing is ready, and no timer is set.

    Attributes:
        waiting: The tasks, described.
        at: The virtual time.
    """

    def __init__(self, waiting: tuple[str, ...], at: float) -> None:
        super().__init__(waiting, at)
        self.waiting = waiting
        self.at = at

    def __str__(self) -> str:
        names = "".join(f"\n  {name}" for name in self.waiting[:_LISTED])
        more = len(self.waiting) - _LISTED
        rest = f"\n  and {more} more" if more > 0 else ""
        return (
            f"nothing is ready and no timer is set at {self.at} s of virtual time; "
            f"{len(self.waiting)} tasks wait for ever:{names}{rest}"
        )


class Unhandled(FrameRPCError, AssertionError):
    """Errors reached the loop's exception handler, where nobody would have seen them.

    Attributes:
        contexts: What the handler was given each time.
    """

    def __init__(self, contexts: list[dict[str, Any]]) -> None:
        super().__init__(contexts)
        self.contexts = contexts

    def __str__(self) -> str:
        lines = [f"{c.get('message')}: {c.get('exception')!r}" for c in self.contexts]
        return "errors reached the loop's exception handler:\n  " + "\n  ".join(lines)


class VirtualClockLoop(asyncio.SelectorEventLoop):
    """An event loop whose time starts at 0.0 and passes only by jumps.

    Args:
        grace: Real seconds to wait for threads before a jump, and before a `Deadlock`.

    Attributes:
        is_virtual: What runs on it takes none of its time, so that nothing can block it.
    """

    is_virtual: Final = True

    def __init__(self, *, grace: float = _GRACE) -> None:
        self._virtual_time = 0.0
        self._grace = grace
        self._threads_busy = 0
        self._patient = True  # the grace of the threads that are busy is not used up yet
        self._joining = False
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._timer_numbers = itertools.count()
        self._timers_after_sweep = 0
        super().__init__(_JumpingSelector(self._wait))

    def time(self) -> float:
        """Return the virtual time, in seconds."""
        return self._virtual_time

    def call_at(
        self,
        when: float,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Set a timer; see `asyncio.loop.call_at`."""
        handle = super().call_at(when, callback, *args, context=context)
        # The loop tells its selector how long to sleep, which is `when` minus now, rounded.
        # Only `when` itself makes times that can be compared with `==`.
        heapq.heappush(self._timers, (when, next(self._timer_numbers), handle))
        if len(self._timers) > 2 * self._timers_after_sweep + 100:
            self._timers = [timer for timer in self._timers if not timer[2].cancelled()]
            heapq.heapify(self._timers)
            self._timers_after_sweep = len(self._timers)
        return handle

    def close(self) -> None:
        """Close the loop, and let go of all timers; see `asyncio.loop.close`."""
        super().close()
        self._timers.clear()  # cancelled ones as well, and what their contexts keep alive

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*_Ts], _T], *args: *_Ts
    ) -> asyncio.Future[_T]:
        """Run `func` in a thread, and hold the clock until it is done (or the grace is over)."""
        future = super().run_in_executor(executor, func, *args)
        self._hold()
        future.add_done_callback(self._release)
        return future

    def statistics(self) -> dict[str, float]:
        """Return the virtual time, the timers remembered and the threads waited for."""
        return {
            "time": self._virtual_time,
            "timers": len(self._timers),
            "threads": self._threads_busy,
        }

    def _hold(self) -> None:
        self._threads_busy += 1
        self._patient = True

    def _release(self, _: object = None) -> None:
        self._threads_busy -= 1
        self._patient = True

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Wait for the threads, in real time; see `asyncio.loop.shutdown_default_executor`."""
        del timeout  # it would count virtual seconds
        self._joining = True
        try:
            await super().shutdown_default_executor()
        finally:
            self._joining = False

    def _wait(self, poll: _Poll, timeout: float | None) -> _Events:
        """Do the selector's work: wait for no longer than must be, and move the clock."""
        events = poll(0)
        if events or (timeout is not None and timeout <= 0):
            return events
        if self._joining:
            return poll(timeout)
        if timeout is None or (self._threads_busy and self._patient):
            events = poll(self._grace)
            if events:
                return events
            self._patient = False
        when = self._next_timer()
        if when is not None:
            self._virtual_time = when
        elif timeout is None:
            raise Deadlock(tuple(sorted(map(_describe, asyncio.all_tasks(self)))), self.time())
        return events

    def _next_timer(self) -> float | None:
        """Return when the next timer is due that is not due yet."""
        while self._timers:
            when, _, handle = self._timers[0]
            if when > self._virtual_time and not handle.cancelled():
                # Beyond 97 days a float has no room for asyncio's resolution, and the loop
                # would never find that a timer set for this very moment is due.
                return when if when + _RESOLUTION > when else math.nextafter(when, math.inf)
            heapq.heappop(self._timers)
        return None


class _JumpingSelector(selectors.DefaultSelector):
    """A selector that lets its loop decide how long to wait."""

    def __init__(self, wait: Callable[[_Poll, float | None], _Events]) -> None:
        super().__init__()
        self._wait = wait

    def select(self, timeout: float | None = None) -> _Events:
        """Wait as the loop says, whatever `timeout`."""
        return self._wait(super().select, timeout)


def _describe(task: asyncio.Task[Any]) -> str:
    frames = task.get_stack(limit=1)
    where = f" at {frames[0].f_code.co_filename}:{frames[0].f_lineno}" if frames else ""
    return f"{task.get_name()}: {getattr(task.get_coro(), '__qualname__', task.get_coro())}{where}"


def run(main: Coroutine[Any, Any, _T], *, grace: float = _GRACE) -> _T:
    """Run a coroutine on a new loop with a virtual clock, as `asyncio.run` would.

    Args:
        main: What to run.
        grace: Real seconds to wait for threads; see `VirtualClockLoop`.

    Raises:
        Deadlock: Nothing can ever happen again.
        Unhandled: The coroutine returned, but something reached the loop's exception handler.
    """
    contexts: list[dict[str, Any]] = []
    try:
        with asyncio.Runner(
            loop_factory=functools.partial(VirtualClockLoop, grace=grace)
        ) as runner:
            runner.get_loop().set_exception_handler(lambda _, context: contexts.append(context))
            result = runner.run(main)
    except BaseException as exc:
        if contexts:
            exc.add_note(str(Unhandled(contexts)))
        raise
    if contexts:
        raise Unhandled(contexts) from contexts[0].get("exception")
    return result


@overload
def virtual_time(function: Callable[_P, Coroutine[Any, Any, _T]], /) -> Callable[_P, _T]: ...
@overload
def virtual_time(
    *, grace: float = ...
) -> Callable[[Callable[_P, Coroutine[Any, Any, _T]]], Callable[_P, _T]]: ...
def virtual_time(
    function: Callable[_P, Coroutine[Any, Any, _T]] | None = None, /, *, grace: float = _GRACE
) -> Callable[_P, _T] | Callable[[Callable[_P, Coroutine[Any, Any, _T]]], Callable[_P, _T]]:
    """Make an async function a plain one that runs on a virtual clock of its own; see `run`.

    For tests, and for anything else. Used as `@virtual_time` or `@virtual_time(grace=0.1)`.
    """

    def decorate(function: Callable[_P, Coroutine[Any, Any, _T]]) -> Callable[_P, _T]:
        @functools.wraps(function)
        def call(*args: _P.args, **kwargs: _P.kwargs) -> _T:
            return run(function(*args, **kwargs), grace=grace)

        return call

    return decorate(function) if function is not None else decorate
