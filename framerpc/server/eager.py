"""Start a coroutine at once, and make it a task only if it really waits.

This module owns that decision and no other: it does not know what the coroutine does, nor
what becomes of its result. Most handlers never wait; for them a round through the event loop
would cost more than the call.

From Python 3.12 on asyncio does it (`eager_start`); before, `eager_task` does.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import contextvars
    from collections.abc import Coroutine

__all__ = ["start"]

_T = TypeVar("_T")

if sys.version_info >= (3, 12):

    def start(
        coro: Coroutine[Any, Any, _T],
        *,
        loop: asyncio.AbstractEventLoop,
        context: contextvars.Context,
        name: str | None = None,
    ) -> _T | asyncio.Task[_T]:
        """Run `coro` at once until it ends or waits.

        May be called from a callback of the loop, and from inside a task. During its first
        step the coroutine has a current task of its own.

        Args:
            coro: The coroutine. Its result must not be a future itself.
            loop: The running event loop.
            context: A context of its own, which nobody has entered.
            name: Name of the task, if it comes to one.

        Returns:
            The result if it ended. If it waits, a task: cancel it, await it, hold on to it.

        Raises:
            BaseException: Whatever the coroutine raised before it first waited, as it is.
                (asyncio reports SystemExit and KeyboardInterrupt besides, as it always does.)
        """
        task = asyncio.Task(coro, loop=loop, context=context, name=name, eager_start=True)
        try:
            return task.result() if task.done() else task
        finally:
            del task  # an exception must not keep itself alive through this frame

else:
    from framerpc.server.eager_task import start
