"""Patience with a peer that does not read: as long as it takes anything, it is slow, not stuck.

One timer a connection, and only while its transport is full. It compares what the transport got
rid of: a link of 1 KB/s makes progress, a peer that stopped reading does not.

Spec: protocol.md, "Limits".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from framerpc.connection.outbox import Outbox

__all__ = ["WriteWatch"]


class WriteWatch:
    """Watches over the writes of one connection.

    Args:
        loop: The connection's event loop.
        outbox: What is written.
        timeout: Seconds without a byte taken.
        stuck: Called with the seconds once nothing was taken for so long.
    """

    __slots__ = ("_due", "_loop", "_outbox", "_seen", "_since", "_stuck", "_timeout", "_timer")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        outbox: Outbox,
        timeout: float,
        stuck: Callable[[float], None],
    ) -> None:
        self._loop = loop
        self._outbox = outbox
        self._timeout = timeout
        self._stuck = stuck
        self._timer: asyncio.TimerHandle | None = None
        self._since = 0.0  # when we looked last
        self._due = 0.0  # when the timer should fire
        self._seen = -1  # what had been taken by then

    def watch(self) -> None:
        """The transport is full: look whether the peer takes anything."""
        self._since = self._loop.time()
        self._seen = self._outbox.taken
        if self._timer is None:
            self._look_at(self._since + self._timeout)

    def stop(self) -> None:
        """Stop watching."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_at(self, due: float) -> None:
        self._due = due
        self._timer = self._loop.call_at(due, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._outbox.paused is None:
            return
        now, taken = self._loop.time(), self._outbox.taken
        if taken != self._seen:
            self._seen = taken
            self._since = now
        elif now - self._due > self._timeout / 10:  # we had no turn ourselves to write in
            self._since = now
        due = self._since + self._timeout
        if due <= now:
            self._stuck(now - self._since)
        else:
            self._look_at(due)
