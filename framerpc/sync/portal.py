"""The thread behind the blocking face: one event loop, started when needed, gone when not.

A process has at most one portal. Whoever uses it holds it; the last one to let go ends the
thread and waits for it. A forked child has no such thread: it gets a portal of its own, and
what was made before the fork says that it cannot be used.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
from typing import TYPE_CHECKING, Any, Final, TypeVar

from framerpc.adapters.uvloop import new_event_loop
from framerpc.errors import ConfigurationError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = ["Portal", "hold"]

_T = TypeVar("_T")


class Portal:
    """A running event loop in a thread of its own. Made by `hold`."""

    def __init__(self) -> None:
        self.loop = new_event_loop()
        self.holders = 0
        self._pid = os.getpid()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="framerpc-sync", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        return f"<Portal with {self.holders} holders>"

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        _finish(self.loop)  # here: in the thread that lets go, another loop may be running

    def is_ours(self) -> bool:
        """Return whether it runs: nobody has ended it, and it is not that of our parent."""
        return self._pid == os.getpid() and not self._ended

    def run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine in the portal's loop and return what it returns.

        An exception that interrupts the wait, such as KeyboardInterrupt, cancels it.

        Raises:
            ConfigurationError: The caller is the portal's own thread, which would wait for
                itself for ever, or a forked child, which has no such thread.
            Unavailable: Another thread closed the last client meanwhile.
        """
        if self._pid != os.getpid():
            coroutine.close()
            raise ConfigurationError(
                "this was made before the process forked, and belongs to the parent; make a new "
                "one in the child"
            )
        if threading.current_thread() is self._thread:
            coroutine.close()
            raise ConfigurationError(
                "a blocking call from an `async def` handler would wait for itself; use the "
                "asynchronous client there, or make the handler a plain `def`"
            )
        with _lock:  # what is handed over before the end is cancelled by the end
            if self._ended:
                coroutine.close()
                raise Unavailable(_CLOSED)
            future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        try:
            return _waited(future)
        except concurrent.futures.CancelledError:
            raise Unavailable(_CLOSED) from None
        except BaseException:
            future.cancel()
            raise

    def release(self) -> None:
        """Let go; the last one to do so ends the thread."""
        with _lock:
            self.holders -= 1
            if self.holders or not self.is_ours():
                return
            self._ended = True
            _current.clear()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()


def _waited(future: concurrent.futures.Future[_T]) -> _T:
    """Return the result of a future once it has one.

    Python raises KeyboardInterrupt between two steps of the main thread. A signal that another
    thread got, or that came just before the wait began, does not end the wait: it is seen when
    that ends by itself.
    """
    while not future.done():
        try:
            return future.result(_LOOK)
        except TimeoutError:
            pass  # the wait's, or the call's own, which is raised below
    return future.result()


def _finish(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel what is left on a stopped loop and close it."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


_CLOSED: Final = "the client was closed"

_LOOK: Final = 0.5
"""Seconds that Ctrl-C may go unnoticed, at most."""

_lock: threading.Lock = threading.Lock()
_current: Final[list[Portal]] = []  # empty, or the one


def hold() -> Portal:
    """Return the process' portal, and keep it until `release`."""
    with _lock:
        if not _current:
            _current.append(Portal())
        portal = _current[0]
        portal.holders += 1
        return portal


def _forget_after_fork() -> None:
    global _lock  # noqa: PLW0603 - the parent's lock may be held by a thread that is not here
    _lock = threading.Lock()
    _current.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
