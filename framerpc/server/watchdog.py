"""What blocks an event loop: noticed from a thread, and reported once.

The loop notes now and then that it has had a turn. A thread wakes when such a note is missing
for longer than the threshold, looks once at what the loop's thread is doing, and warns, so that
a block without end is reported as well. After the block, whoever asked is told how long it was.

Cost: with the default options four timers and two wake-ups of the thread a second, whatever the
load; nothing for a call. The thread ends with the last server of its loop. Time is the system's
monotonic clock, as the loop's own is; a loop in virtual time cannot be blocked, and is not
watched.

Spec: protocol.md, "Liveness".
"""

# pyright: reportPrivateUsage=false
# There is no public name for the stack of another thread.

from __future__ import annotations

import gc
import logging
import sys
import threading
import time
import traceback
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from framerpc.server.culprit import NOBODY, Culprit, application, depth, find, frames_above

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence
    from types import FrameType

    from framerpc.config import Watchdog

__all__ = ["Block", "Blocks", "LoopWatch", "watch"]

_logger: Final = logging.getLogger("framerpc.server")


class Block(NamedTuple):
    """A time in which an event loop got no turn.

    Attributes:
        culprit: Who kept it from that; `NOBODY` if it was not seen: the process was stopped, or
            got no processor.
        began: Loop time at which the loop should have had a turn.
        ended: Loop time at which it had one.
    """

    culprit: Culprit
    began: float
    ended: float


class Blocks:
    """The blocks that one server has suffered.

    Attributes:
        count: How many there were.
        recent: The last of them.
    """

    def __init__(self) -> None:
        self.count = 0
        self.recent: deque[Block] = deque(maxlen=_REMEMBERED)

    def add(self, block: Block) -> None:
        """Note a block that has ended."""
        self.count += 1
        self.recent.append(block)

    def during(self, since: float) -> dict[Culprit, float]:
        """Return the seconds that were lost after `since` (loop time), by whom."""
        lost: dict[Culprit, float] = {}
        for culprit, began, ended in self.recent:
            if ended > since:
                lost[culprit] = lost.get(culprit, 0.0) + ended - max(began, since)
        return lost


_REMEMBERED: Final = 32
"""Blocks remembered: a call that suffered more of them hears of the last ones."""


def watch(
    loop: asyncio.AbstractEventLoop | None,
    options: Watchdog | None,
    told: Callable[[Block], None],
) -> Callable[[], None]:
    """Watch over the running loop, in one thread however many ask for it.

    Args:
        loop: The running loop; None for none.
        options: When to warn; None for never.
        told: Called on the loop with each block that has ended.

    Returns:
        Ends it; to be called on the loop. The thread is gone when the last one has.
    """
    if loop is None or options is None or getattr(loop, "is_virtual", False):
        return _nothing
    found = _watches.get((loop, options))
    if found is None:
        found = _watches[loop, options] = LoopWatch(loop, options)
        found.start()
    found.told.append(told)

    def end() -> None:
        found.told.remove(told)
        if not found.told:
            del _watches[loop, options]
            found.stop()

    return end


_watches: Final[dict[tuple[asyncio.AbstractEventLoop, Watchdog], LoopWatch]] = {}


def _nothing() -> None:
    """There is no thread to end."""


class LoopWatch:
    """The thread that watches over one loop, and the notes that the loop makes for it.

    Args:
        loop: The loop, which is running.
        options: When to warn.

    Attributes:
        told: Called with each block that has ended.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, options: Watchdog) -> None:
        self.told: list[Callable[[Block], None]] = []
        self._loop = loop
        self._interval = options.interval
        self._threshold = options.threshold
        self._lock = threading.Lock()  # around the next three
        self._due = time.monotonic()  # when the loop should have its next turn
        self._culprit: Culprit | None = None  # who keeps it from that, once it was warned of
        self._stood: float | None = None  # the turn that was due when the loop did not run at all
        self._outside = 0  # frames of its thread that are there between two turns as well
        self._owner = threading.get_ident()
        self._timer: asyncio.Handle | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="framerpc-watchdog", daemon=True)

    def __repr__(self) -> str:
        return f"<LoopWatch over {self._loop!r}>"

    def start(self) -> None:
        """Begin; on the loop."""
        self._timer = self._loop.call_soon(self._turn)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for it; on the loop."""
        if self._timer is not None:
            self._timer.cancel()
        self._over.set()
        self._thread.join(_JOIN)

    # -------------------------------------------------------------- on the loop

    def _turn(self) -> None:
        """Note that the loop has had a turn."""
        now = time.monotonic()
        with self._lock:
            began, self._due = self._due, now + self._interval
            culprit, self._culprit = self._culprit, None
            self._outside = depth(sys._getframe(1))  # noqa: SLF001 - the loop, which called us
        blocked = now - began >= self._threshold and began != self._stood
        if culprit is not None or blocked:
            self._ended(Block(culprit or NOBODY, began, now))
        self._timer = self._loop.call_later(self._interval, self._turn)

    def _ended(self, block: Block) -> None:
        seconds = block.ended - block.began
        if block.culprit is NOBODY:
            _logger.warning("! the event loop got no turn for %.3g s, %s", seconds, _UNSEEN)
        else:
            _logger.info(
                "= the event loop was blocked for %.3g s by %s",
                seconds,
                block.culprit.told(trusted=True),
            )
        for tell in self.told:
            tell(block)

    # ------------------------------------------------------------ in the thread

    def _run(self) -> None:
        looked: float | None = None  # which turn we missed when we looked last
        while not self._loop.is_closed():
            due = self._due
            pause = self._threshold
            if due != looked:
                pause = max(due + self._threshold - time.monotonic(), 0.0)
            began, used = time.monotonic(), time.process_time()
            if self._over.wait(pause):
                return
            if due != self._due:
                continue
            looked = due
            if not self._loop.is_running():
                self._stood = due
                continue
            late = time.monotonic() - began - pause
            if late < self._threshold / 2 or time.process_time() - used > late / 2:
                self._look(due)
            # Otherwise the whole process had no turn, and who runs now is not to blame.

    def _look(self, due: float) -> None:
        """Warn of who keeps the loop from the turn that was due, unless that was done."""
        with self._lock:
            if due != self._due or due == self._stood or self._culprit is not None:
                return
            frames = frames_above(_frame_of(self._owner), self._outside)
            culprit = find(frames)
            if not culprit.place:
                return
            self._culprit = culprit
        _logger.warning(
            "! the event loop is blocked, for %.3g s by now, by %s\n%s",
            time.monotonic() - due,
            culprit.told(trusted=True),
            _stack(frames),
        )


def _frame_of(thread_id: int) -> FrameType | None:
    """Return the innermost frame of a thread, or None if there is no such thread.

    Until 3.11.8, Python makes the frames under a lock of the interpreter: a garbage collection
    that begins there and lets the GIL go stops the process for ever (python/cpython#106883).
    From 3.12 on none begins there.
    """
    if sys.version_info >= (3, 12) or not gc.isenabled():
        return sys._current_frames().get(thread_id)  # noqa: SLF001
    gc.disable()
    try:
        return sys._current_frames().get(thread_id)  # noqa: SLF001
    finally:
        gc.enable()


_JOIN: Final = 1.0
"""Seconds that a thread which only has to wake up may take to end."""

_UNSEEN: Final = "and nobody was seen to block it: the process was stopped, or got no processor"

_MOST_FRAMES: Final = 20


def _stack(frames: Sequence[FrameType]) -> str:
    """Return the application's part of a stack as a traceback shows it, the innermost last."""
    frames = application(frames)[:_MOST_FRAMES]
    shown = [(frame, frame.f_lineno) for frame in reversed(frames)]
    return "".join(traceback.StackSummary.extract(iter(shown)).format()).rstrip()
