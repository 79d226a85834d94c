"""Liveness of one connection: ask a silent peer, and give it up if it stays silent.

One timer a connection, and it fires at most once an interval: while bytes arrive, they are only
noted. Any byte counts, not only a PONG: a peer in the middle of a long body is alive. So is one
that takes what we send: on a slow link our PING stands behind a long body of ours.

Busy is not dead: a peer whose kernel has acknowledged all that we sent, or that has announced
that its loop may lag, is given longer. Only one PING is ever unanswered, so that a peer that
comes back is not flooded; that the link holds meanwhile is the kernel's own keepalive to watch
(`sockets`).

Spec: protocol.md, "Liveness".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from framerpc.connection.evidence import Evidence

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from framerpc.config import Keepalive

__all__ = ["OVERDUE", "KeepaliveTimer"]

OVERDUE: Final = 0.5
"""Part of the timeout after which a PONG is overdue: early enough to prefer another peer."""

_SHORTEST: Final = 0.1
"""Seconds that a peer may wish for at least: its greeting must not keep our timer busy."""

_LATE: Final = 0.1
"""Seconds by which a timer is late only if the loop was blocked: busy is not dead."""


class KeepaliveTimer:
    """Watches over the silence of one connection.

    Args:
        loop: The connection's event loop.
        options: Interval, timeout and patience, in seconds.
        most: PINGs and PONGs accepted from the peer within one interval.
        evidence: Returns what is known of the peer's host since it was asked last.
        ping: Called to send a PING.
        changed: Called when the peer becomes overdue, and when it is heard again.
        silent: Called once with the seconds of silence when the peer is given up.

    Attributes:
        heard: Loop time of the last received byte. Whoever sets it calls `revive` if `overdue`.
        overdue: A PING was sent a while ago, and nothing has come since.
        interval: Seconds of silence before a PING, as agreed.
        timeout: Seconds of silence after it; never longer than the interval.
        late: Seconds by which our own timer was late when it fired last.
    """

    __slots__ = (
        "_asked",
        "_busy",
        "_changed",
        "_count",
        "_due",
        "_evidence",
        "_excused",
        "_heard_then",
        "_lag",
        "_loop",
        "_most",
        "_ping",
        "_silent",
        "_timer",
        "heard",
        "interval",
        "late",
        "overdue",
        "timeout",
    )

    def __init__(  # noqa: PLR0917 - the loop, the options, and four callbacks
        self,
        loop: asyncio.AbstractEventLoop,
        options: Keepalive,
        most: int,
        evidence: Callable[[], Evidence],
        ping: Callable[[], None],
        changed: Callable[[], None],
        silent: Callable[[float], None],
    ) -> None:
        self.heard = loop.time()
        self.overdue = False
        self.interval = options.interval
        self.timeout = options.timeout
        self.late = 0.0
        self._loop = loop
        self._busy = options.busy
        self._lag = 0.0  # how long the peer's loop may be blocked, as it says
        self._most = most
        self._evidence = evidence
        self._ping = ping
        self._changed = changed
        self._silent = silent
        self._timer: asyncio.TimerHandle | None = None
        self._count = 0
        self._due = 0.0  # when the timer should fire
        self._excused = False  # we were blocked ourselves
        self._asked = 0.0  # since when we wait for an answer
        self._heard_then: float | None = None  # `heard` when the last PING was sent

    def start(self, interval: float, lag: float) -> None:
        """Begin to watch.

        Args:
            interval: What the peer wishes, in seconds; the smaller of the two intervals holds.
            lag: Seconds that the peer's loop may be blocked, as it announced.
        """
        self.interval = min(self.interval, max(interval, _SHORTEST))
        # So that a link that died is noticed within two intervals.
        self.timeout = min(self.timeout, self.interval)
        self._lag = lag
        self.heard = self._loop.time()
        self._look_at(self.heard + self.interval)

    def stop(self) -> None:
        """Stop watching."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def counted(self) -> bool:
        """Note a PING or PONG from the peer; return False if there were too many."""
        self._count += 1
        return self._count <= self._most

    def revive(self) -> None:
        """The peer that was overdue has sent something."""
        self.overdue = False
        self._changed()

    def _look_at(self, due: float) -> None:
        self._due = due
        self._timer = self._loop.call_at(due, self._look)

    def _look(self) -> None:
        now = self._loop.time()
        self.late = max(now - self._due, 0.0)
        self._count = 0
        if self.heard == self._heard_then:
            self._unanswered(now)
        elif now >= (due := self.heard + self.interval):
            self._ask(now)
        else:
            self._look_at(due)

    def _ask(self, now: float) -> None:
        self._heard_then = self.heard
        self._excused = False
        self._evidence()  # only what happens from now on counts
        self._ping()
        self._wait(now)

    def _wait(self, now: float) -> None:
        """Give the peer the whole timeout, from now on."""
        self._asked = now
        self._look_at(now + self.timeout * OVERDUE)

    def _unanswered(self, now: float) -> None:
        """Nothing came since the PING: a byte would have moved `heard`."""
        if self.late > _LATE and not self._excused:
            # We had no turn ourselves, and what came meanwhile may still be unread.
            self._excused = True  # once: a loop that is always late must not wait for ever
            self._wait(now)
            return
        if not self.overdue:
            self.overdue = True
            self._changed()
        if now < self._asked + self.timeout:
            self._look_at(self._asked + self.timeout)
            return
        evidence = self._evidence()
        if evidence is Evidence.TAKING:  # slow, not silent: its answer is still to come
            self._wait(now)
            return
        end = self.heard + self._patience(evidence)
        if now < end:
            self._look_at(min(now + self.timeout, end))
        else:
            self._silent(now - self.heard)

    def _patience(self, evidence: Evidence) -> float:
        """Return the seconds of silence after which the peer is given up, the PING unanswered."""
        if evidence is Evidence.DELIVERED:
            return self._busy
        if evidence is Evidence.UNKNOWN:
            return min(self.interval + self.timeout + self._lag, self._busy)
        return 0.0
