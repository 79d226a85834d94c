"""A task that takes its first step at once, for Python 3.11, whose asyncio has none.

This module owns the stepping of one coroutine. Why and when to step it is said in `eager`;
from Python 3.12 on nothing uses this.

Strategy: a future that steps its coroutine itself, built on the extension points that
asyncio offers to other implementations of tasks (Python's documentation, "Extending
asyncio"). It is the current task from its first step on, so `asyncio.timeout()`,
`asyncio.TaskGroup` and the like work inside it. What it saves is the way through the queue,
and the registration, which happens when it first waits. One that ended in its first step, and
that nobody has kept, serves for the next call: making it costs more than many a handler.
"""

# pyright: reportPrivateUsage=false
# ruff: noqa: SLF001 - asyncio's extension points are documented, but private by name

from __future__ import annotations

import asyncio
import contextvars
import itertools
from asyncio import base_tasks
from asyncio.tasks import _enter_task, _leave_task, _register_task
from sys import getrefcount
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar, cast

if TYPE_CHECKING:
    from asyncio import Task as _Interface
    from collections.abc import Callable, Coroutine
    from types import FrameType
else:
    # The coroutine of an asyncio.Task cannot be stepped from outside: hence a future that keeps
    # the interface of a task.
    from asyncio import Future as _Interface

__all__ = ["EagerTask", "start"]

_T = TypeVar("_T")

_numbers: Final = itertools.count(1)
_Future: Final[type[asyncio.Future[Any]]] = asyncio.Future
_set_result: Final = _Future.set_result  # `super()` is dear where each call passes
_set_exception: Final = _Future.set_exception
_cancel: Final = _Future.cancel
_spare: EagerTask[Any] | None = None
_NO_CONTEXT: Final = contextvars.Context()
_NOBODY_ELSE: Final = 2
"""References to a task in `start`: its own, and the count's."""


def start(
    coro: Coroutine[Any, Any, _T],
    *,
    loop: asyncio.AbstractEventLoop,
    context: contextvars.Context,
    name: str | None = None,
) -> _T | EagerTask[_T]:
    """Run `coro` at once until it ends or waits; see `framerpc.server.eager`."""
    global _spare  # noqa: PLW0603 - one object for the process
    task: EagerTask[_T] | None = _spare
    if task is not None and task._loop is loop:  # so no other thread can want it
        _spare = None
    else:
        task = _new_task(loop=loop)
        task._must_cancel = False
        task._fut_waiter = None
        task._cancel_requests = 0
    task._coro = coro
    task._context = context
    task._name = name
    outer: asyncio.Task[Any] | None = None
    try:
        _enter_task(loop, task)
    except RuntimeError:
        # Another task is running. Asking first would cost every call; this costs few.
        outer = cast("asyncio.Task[Any]", asyncio.current_task(loop))
        _leave_task(loop, outer)
        _enter_task(loop, task)
    try:
        try:
            yielded = context.run(coro.send, None)
        finally:
            _leave_task(loop, task)
            if outer is not None:
                _enter_task(loop, outer)
    except StopIteration as stop:
        if task._must_cancel:  # cancelled from inside, and it did not wait any more
            _cancel(task, msg=task._cancel_text)
            try:
                return task.result()
            finally:
                del task, outer  # an exception must not keep itself alive through this frame
        result: _T = stop.value
        if getrefcount(task) == _NOBODY_ELSE and not task._callbacks and not task._cancel_requests:
            task._context = _NO_CONTEXT  # which may keep much alive
            _spare = task
        else:
            _set_result(task, result)
        return result
    except BaseException as exc:
        task._end(exc)
        task._log_traceback = False  # it is raised here
        del task, outer  # as above
        raise
    task._begin_to_wait(yielded)
    return task


class EagerTask(_Interface[_T]):
    """What `asyncio.Task` is, once `start` has taken the first step.

    It differs in two points: `asyncio.all_tasks()` does not list it during its first step,
    and it is not an instance of `asyncio.Task`.
    """

    __slots__ = (
        "_cancel_requests",
        "_cancel_text",
        "_context",
        "_coro",
        "_fut_waiter",
        "_must_cancel",
        "_name",
        "_watch",
    )

    # There is no __init__: one written in Python costs a tenth of a whole call; `start` does it.
    # `_coro`, `_fut_waiter` and `_must_cancel` are named as in asyncio.Task: asyncio.base_tasks
    # and anyio read them.
    _coro: Coroutine[Any, Any, _T]
    _context: contextvars.Context
    _fut_waiter: asyncio.Future[Any] | None
    _name: str | None
    _must_cancel: bool
    _cancel_requests: int
    _cancel_text: Any
    _watch: _LostTaskWatch

    def _begin_to_wait(self, yielded: Any) -> None:
        """Become a task that others know: the first step did not end the coroutine."""
        self._watch = _LostTaskWatch(self._loop, self._coro)
        _register_task(self)
        self._wait_for(yielded)

    def _step(self, exc: BaseException | None = None) -> None:
        """Resume the coroutine. The loop has entered its context."""
        if self._must_cancel:
            if not isinstance(exc, asyncio.CancelledError):
                text = self._cancel_text
                exc = asyncio.CancelledError() if text is None else asyncio.CancelledError(text)
            self._must_cancel = False
        self._fut_waiter = None
        loop, coro = self._loop, self._coro
        _enter_task(loop, self)
        try:
            yielded = coro.send(None) if exc is None else coro.throw(exc)
        except BaseException as ended:
            self._watch.disarm()
            self._end(ended)
            if isinstance(ended, (KeyboardInterrupt, SystemExit)):
                raise
        else:
            self._wait_for(yielded)
        finally:
            _leave_task(loop, self)
            del self, exc  # as in start

    def _wakeup(self, future: asyncio.Future[Any]) -> None:
        try:
            future.result()
        except BaseException as exc:  # noqa: BLE001  # the coroutine's to handle
            self._step(exc)
        else:
            self._step()
        finally:
            del self  # as in start

    def _end(self, exc: BaseException) -> None:
        """Take over the outcome of the coroutine."""
        if isinstance(exc, asyncio.CancelledError):
            _cancel(self, msg=exc.args[0] if exc.args else None)
        elif not isinstance(exc, StopIteration):
            _set_exception(self, exc)
        elif self._must_cancel:  # cancelled in its last step
            _cancel(self, msg=self._cancel_text)
        else:
            _set_result(self, exc.value)

    def _wait_for(self, yielded: Any) -> None:
        """Arrange the next step."""
        if yielded is None:  # asyncio.sleep(0)
            self._loop.call_soon(self._step, context=self._context)
            return
        wrong = self._why_wrong(yielded)
        if wrong:
            self._loop.call_soon(self._step, RuntimeError(wrong), context=self._context)
            return
        yielded._asyncio_future_blocking = False  # the protocol of `await`
        yielded.add_done_callback(self._wakeup, context=self._context)
        self._fut_waiter = yielded
        if self._must_cancel and yielded.cancel(msg=self._cancel_text):
            self._must_cancel = False

    def _why_wrong(self, yielded: Any) -> str:
        """Say why nobody can wait for `yielded`, in the words of asyncio; empty if one can."""
        blocking = getattr(yielded, "_asyncio_future_blocking", None)
        if blocking is None:
            return f"Task got bad yield: {yielded!r}"
        if yielded.get_loop() is not self._loop:
            return f"Task {self!r} got Future {yielded!r} attached to a different loop"
        if not blocking:
            return f"yield was used instead of yield from in task {self!r} with {yielded!r}"
        return f"Task cannot await on itself: {self!r}" if yielded is self else ""

    def cancel(self, msg: Any | None = None) -> bool:
        """Throw CancelledError into the coroutine at its next step; False if it has ended."""
        self._log_traceback = False
        if self.done():
            return False
        self._cancel_requests += 1
        if self._fut_waiter is not None and self._fut_waiter.cancel(msg=msg):
            return True
        self._must_cancel = True
        self._cancel_text = msg
        return True

    def cancelling(self) -> int:
        """Return how often `cancel` was called, less the `uncancel`s."""
        return self._cancel_requests

    def uncancel(self) -> int:
        """Take one request to cancel back, and return how many are left."""
        if self._cancel_requests > 0:
            self._cancel_requests -= 1
        return self._cancel_requests

    def set_result(self, _: Any, /) -> NoReturn:
        """Refuse: the coroutine alone decides."""
        raise RuntimeError("Task does not support set_result operation")

    def set_exception(self, _: Any, /) -> NoReturn:
        """Refuse: the coroutine alone decides."""
        raise RuntimeError("Task does not support set_exception operation")

    def get_coro(self) -> Coroutine[Any, Any, _T]:
        """Return the coroutine."""
        return self._coro

    def get_name(self) -> str:
        """Return the name; it is made up when it is first asked for."""
        if self._name is None:
            self._name = f"EagerTask-{next(_numbers)}"
        return self._name

    def set_name(self, value: object) -> None:
        """Change the name."""
        self._name = str(value)

    def get_stack(self, *, limit: int | None = None) -> list[FrameType]:
        """Return the frames of the coroutine, as `asyncio.Task.get_stack` does."""
        return base_tasks._task_get_stack(self, limit)

    def print_stack(self, *, limit: int | None = None, file: Any = None) -> None:
        """Print the stack of the coroutine, as `asyncio.Task.print_stack` does."""
        base_tasks._task_print_stack(self, limit, file)

    def __repr__(self) -> str:
        return base_tasks._task_repr(self)


class _LostTaskWatch:
    """Reports a waiting task that nobody holds any more, as asyncio does for its own.

    A `__del__` of the task itself would cost the calls that never wait.
    """

    __slots__ = ("_coro", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any]) -> None:
        self._loop: asyncio.AbstractEventLoop | None = loop
        self._coro = coro

    def disarm(self) -> None:
        self._loop = None

    def __del__(self) -> None:
        if self._loop is not None:
            text = "Task was destroyed but it is pending!"
            self._loop.call_exception_handler({"message": text, "coroutine": self._coro})


_new_task: Final[Callable[..., EagerTask[Any]]] = EagerTask
"""Makes a task that has not begun. A type checker would ask for what `start` fills in."""
