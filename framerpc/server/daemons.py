"""Threads that keep no process alive, as an executor for the loop.

The threads of `concurrent.futures` are joined when the interpreter exits, so one function that
never returns keeps a server from ending. These are daemons, and can be left behind. It is an
`Executor` so that work reaches it through `loop.run_in_executor`: other loops than asyncio's
own (the virtual clock of the tests is one) want to know what runs in threads.

Strategy: one deque under one lock. A waiting item can be taken back, so that the queue is never
longer than its users believe.
"""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["DaemonThreads"]

_EXIT: Final = 1.0
"""Seconds that an idle thread may take to exit. It takes none, unless others hold the GIL."""


class DaemonThreads(Executor):
    """Daemon threads, started as they are needed.

    Args:
        name: Of the threads; each gets a number.
        most: How many there are at most.
    """

    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._most = most
        self._changed = threading.Condition()  # of what follows
        self._queue: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._threads: set[threading.Thread] = set()
        self._busy: set[threading.Thread] = set()
        self._idle = 0
        self._over = False

    def __repr__(self) -> str:
        return f"<DaemonThreads {self._name}, {len(self._busy)} of {len(self._threads)} busy>"

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call `fn`, which must not raise, in a thread. It takes no arguments."""
        assert not args
        assert not kwargs
        future: Future[Any] = Future()
        with self._changed:
            if self._over:
                raise RuntimeError("the threads have been told to end")
            self._queue.append((future, fn))
            if self._idle >= len(self._queue):
                self._changed.notify()
            elif len(self._threads) < self._most:
                self._start_thread()
        return future

    def _start_thread(self) -> None:
        name = f"{self._name}-{len(self._threads) + 1}"
        thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._threads.add(thread)
        thread.start()

    def take_back(self, fn: Callable[..., Any]) -> bool:
        """Take back what waits; return False if a thread has it, or had it."""
        with self._changed:
            for item in self._queue:
                if item[1] is fn:
                    self._queue.remove(item)
                    break
            else:
                return False
        item[0].cancel()
        return True

    def _serve(self) -> None:
        me = threading.current_thread()
        while (item := self._next(me)) is not None:
            future, fn = item
            if future.set_running_or_notify_cancel():
                result = fn()
                with self._changed:
                    self._busy.discard(me)  # first this: who has the result may call `shutdown`
                future.set_result(result)
                del result
            del item, future, fn  # an idle thread keeps nothing alive

    def _next(self, me: threading.Thread) -> tuple[Future[Any], Callable[[], Any]] | None:
        with self._changed:
            self._busy.discard(me)  # a future that was cancelled
            while not self._queue:
                if self._over:
                    self._threads.discard(me)
                    return None
                self._idle += 1
                self._changed.wait()
                self._idle -= 1
            self._busy.add(me)
            return self._queue.popleft()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002  # as in Executor
        """End the threads: those that are idle now, the others when they have done their work.

        Args:
            wait: Return when the idle ones have ended. The others are never waited for.
            cancel_futures: Forget what waits.
        """
        with self._changed:
            self._over = True
            if cancel_futures:
                self._queue.clear()
            idle = self._threads - self._busy
            self._changed.notify_all()
        if wait:
            for thread in idle:
                thread.join(_EXIT)
