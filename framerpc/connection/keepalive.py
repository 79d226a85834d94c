"""Liveness of one connection: ask a silent peer, and give it up if it stays silent.

One timer a connection, and it fires at most once an interval: while bytes arrive, they are only
noted. Any byte counts, not only a PONG: a peer in the middle of a long body is alive. So is one
that takes what we send: on a slow link our PING stands behind a long body of ours.

Spec: protocol.md, "Liveness".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from framerpc.config import Keepalive

__all__ = ["KeepaliveTimer"]

_SHORTEST: Final = 0.1
"""Seconds that a peer may wish for at least: its greeting must not keep our timer busy."""

_LATE: Final = 0.1
"""Seconds by which a timer is late only if the loop was blocked: busy is not dead."""


class KeepaliveTimer:
    """Watches over the silence of one connection.

    Args:
        loop: The connection's event loop.
        options: Interval and timeout, in seconds.
        most: PINGs and PONGs accepted from the peer within one interval.
        taken: Returns a number that grows as long as the peer takes what we send.
        ping: Called to send a PING.
        silent: Called once with the seconds of silence when the peer is given up.

    Attributes:
        heard: Loop time of the last received byte.
        overdue: A PING was sent and nothing has come since.
    """

    __slots__ = (
        "_asked",
        "_count",
        "_due",
        "_had_taken",
        "_interval",
        "_loop",
        "_most",
        "_ping",
        "_silent",
        "_taken",
        "_timeout",
        "_timer",
        "heard",
        "overdue",
    )

    def __init__(  # noqa: PLR0917 - the loop, the options, and three callbacks
        self,
        loop: asyncio.AbstractEventLoop,
        options: Keepalive,
        most: int,
        taken: Callable[[], int],
        ping: Callable[[], None],
        silent: Callable[[float], None],
    ) -> None:
        self.heard = loop.time()
        self.overdue = False
        self._loop = loop
        self._interval = options.interval
        self._timeout = options.timeout
        self._most = most
        self._taken = taken
        self._had_taken = 0  # when we looked last
        self._ping = ping
        self._silent = silent
        self._timer: asyncio.TimerHandle | None = None
        self._count = 0
        self._due = 0.0  # when the timer should fire
        self._asked = 0.0  # when the last PING was sent

    def start(self, agreed_interval: float) -> None:
        """Begin to watch; `agreed_interval` is the peer's wish, the smaller one holds."""
        self._interval = min(self._interval, max(agreed_interval, _SHORTEST))
        self.heard = self._loop.time()
        self._due = self.heard + self._interval
        self._timer = self._loop.call_at(self._due, self._look)

    def stop(self) -> None:
        """Stop watching."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def counted(self) -> bool:
        """Note a PING or PONG from the peer; return False if there were too many."""
        self._count += 1
        return self._count <= self._most

    def _look(self) -> None:
        now = self._loop.time()
        self._count = 0
        due = self.heard + self._interval
        if now < due:
            self.overdue = False
        elif not self.overdue or self.heard > self._asked:
            self.overdue = True
            self._asked = now
            self._ping()
            self._had_taken = self._taken()
            due = now + self._timeout
        elif now - self._due > _LATE or self._taken() > self._had_taken:
            # We had no turn ourselves, and what came meanwhile may still be unread; or it reads.
            self._had_taken = self._taken()
            due = now + self._timeout
        else:
            # Overdue, and nothing since the PING: a byte would have moved `heard`.
            self._silent(now - self.heard)
            return
        self._due = due
        self._timer = self._loop.call_at(due, self._look)
