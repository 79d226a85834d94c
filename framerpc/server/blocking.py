"""What other threads ask of a server: done in its event loop, while the thread waits.

Nothing here knows what is done. A thread that waits holds no lock, and the loop never waits for it.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from typing import TYPE_CHECKING, Any, Final, TypeVar

from framerpc.errors import ConfigurationError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

__all__ = ["from_thread"]

_T = TypeVar("_T")

_LOOK: Final = 0.5
"""Seconds between looks whether the loop is still there: one that was closed tells nobody."""


def from_thread(
    loop: asyncio.AbstractEventLoop | None, make: Callable[[], Coroutine[Any, Any, _T]]
) -> _T:
    """Run a coroutine in the loop and return what it returns.

    An exception in the waiting thread (Ctrl-C, say) changes nothing but that nobody learns the
    result.

    Args:
        loop: That of the server; None if it does not run in this process.
        make: Returns the coroutine.

    Raises:
        ConfigurationError: This is the thread of the loop: it would wait for itself.
        Unavailable: The loop does not run, or ends before the coroutine does.
    """
    if loop is None or not loop.is_running():
        raise Unavailable("the server does not run in this process")
    if asyncio._get_running_loop() is loop:  # noqa: SLF001 - as Server.run does
        raise ConfigurationError(
            "this is the thread of the server's event loop, which must not block; await it instead"
        )
    work = make()
    try:
        future = asyncio.run_coroutine_threadsafe(work, loop)
    except RuntimeError:  # closed since we looked
        work.close()
        raise Unavailable(_STOPPED) from None
    while not concurrent.futures.wait([future], _LOOK).done:
        if loop.is_closed():
            raise Unavailable(_STOPPED)
    try:
        return future.result()
    except concurrent.futures.CancelledError:
        raise Unavailable(_STOPPED) from None


_STOPPED: Final = "the server was stopped meanwhile"
