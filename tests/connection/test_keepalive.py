"""The patience of a connection with a silent peer, on a virtual clock and with made-up evidence."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from framerpc.config import Keepalive
from framerpc.connection.evidence import Evidence
from framerpc.connection.keepalive import KeepaliveTimer
from framerpc.testing import VirtualClockLoop, virtual_time

DELIVERED, LOST, TAKING, UNKNOWN = (
    Evidence.DELIVERED,
    Evidence.LOST,
    Evidence.TAKING,
    Evidence.UNKNOWN,
)


class Watched:
    """A connection whose peer is silent from the start."""

    def __init__(
        self, evidence: Evidence = UNKNOWN, wish: float = 99, lag: float = 0, **options: Any
    ) -> None:
        self.evidence = evidence
        self.told: list[tuple[str, float]] = []
        self.loop = asyncio.get_running_loop()
        self.over = self.loop.create_future()
        self.timer = KeepaliveTimer(
            self.loop,
            Keepalive(**options),
            2,
            lambda: self.evidence,
            lambda: self.tell("ping"),
            lambda: self.tell("overdue" if self.timer.overdue else "heard"),
            self.silent,
        )
        self.timer.start(wish, lag)

    def tell(self, what: str) -> None:
        self.told.append((what, self.loop.time()))

    def silent(self, seconds: float) -> None:
        self.tell("silent")
        self.over.set_result(seconds)

    def hear(self) -> None:
        """Do as the connection does when a byte arrives."""
        self.timer.heard = self.loop.time()
        if self.timer.overdue:
            self.timer.revive()


@virtual_time
async def test_dead_peer_is_asked_then_overdue_then_given_up() -> None:
    """A PING after the interval, overdue after half the timeout, the end after all of it."""
    watched = Watched(LOST, interval=20, timeout=10)
    assert await watched.over == 30
    assert watched.told == [("ping", 20), ("overdue", 25), ("silent", 30)]


@pytest.mark.parametrize(
    ("evidence", "lag", "end"),
    [
        (LOST, 0, 3),
        (LOST, 5, 3),  # what it announced does not count against what is seen
        (UNKNOWN, 0, 3),
        (UNKNOWN, 5, 8),
        (UNKNOWN, 1000, 12),
        (DELIVERED, 0, 12),
        (DELIVERED, 5, 12),
    ],
)
@virtual_time
async def test_patience_depends_on_the_evidence(evidence: Evidence, lag: float, end: float) -> None:
    """Busy peers get longer, up to our own limit; others only the timeout."""
    watched = Watched(evidence, lag=lag, interval=2, timeout=1, busy=12)
    assert await watched.over == end
    assert watched.told == [("ping", 2), ("overdue", 2.5), ("silent", end)]


@virtual_time
async def test_busy_peer_is_asked_only_once() -> None:
    """However long a peer is busy, one PING waits for it."""
    watched = Watched(DELIVERED, interval=2, timeout=1, busy=1000)
    await watched.over
    assert [what for what, _ in watched.told] == ["ping", "overdue", "silent"]


@virtual_time
async def test_link_that_dies_while_the_peer_is_busy_is_noticed() -> None:
    """Evidence that ends is no evidence: the next look gives the peer up."""
    watched = Watched(DELIVERED, interval=2, timeout=1, busy=1000)
    await asyncio.sleep(7.5)
    watched.evidence = LOST
    assert await watched.over == 8


@virtual_time
async def test_slow_peer_is_never_given_up() -> None:
    """While something of ours is taken, the PING is still on its way."""
    watched = Watched(TAKING, interval=2, timeout=1, busy=4)
    await asyncio.sleep(1000)
    assert watched.told == [("ping", 2), ("overdue", 2.5)]
    watched.evidence = LOST
    assert await watched.over <= 1001
    assert [what for what, _ in watched.told] == ["ping", "overdue", "silent"]


@virtual_time
async def test_what_was_taken_before_the_ping_is_no_evidence() -> None:
    """What the peer's kernel acknowledged long ago buys it no time."""
    watched = Watched(interval=2, timeout=1)
    history = iter([TAKING])
    watched.timer._evidence = lambda: next(history, LOST)
    assert await watched.over == 3


@virtual_time
async def test_any_byte_ends_the_suspicion() -> None:
    """A byte is noticed at once, and the next PING comes an interval after it."""
    watched = Watched(DELIVERED, interval=2, timeout=1, busy=100)
    await asyncio.sleep(50)
    watched.hear()
    assert watched.told[-1] == ("heard", 50.0)
    await watched.over
    assert watched.told[3:] == [("ping", 52), ("overdue", 52.5), ("silent", 150)]


@virtual_time
async def test_answer_in_time_is_not_worth_a_word() -> None:
    """A peer that answers before its PONG is overdue is asked again an interval later."""
    watched = Watched(LOST, interval=2, timeout=1)
    for _ in range(5):
        await asyncio.sleep(2.4)
        watched.hear()
    assert {what for what, _ in watched.told} == {"ping"}
    watched.timer.stop()


@virtual_time
async def test_answer_at_the_very_moment_of_the_ping_counts() -> None:
    """On a link without delay a PONG comes at the loop time of its PING."""
    watched = Watched(LOST, interval=1, timeout=1)
    watched.timer._ping = watched.hear
    await asyncio.sleep(10)
    assert not watched.over.done()
    watched.timer.stop()


@pytest.mark.parametrize(
    ("ours", "wish", "timeout", "agreed"),
    [(20, 5, 10, (5, 5)), (5, 20, 10, (5, 5)), (20, 20, 10, (20, 10)), (5, 0.001, 1, (0.1, 0.1))],
)
@virtual_time
async def test_smaller_interval_holds_and_the_timeout_fits_in(
    ours: float, wish: float, timeout: float, agreed: tuple[float, float]
) -> None:
    """The end comes within two intervals, whatever the two sides wish."""
    watched = Watched(LOST, wish, interval=ours, timeout=timeout)
    assert (watched.timer.interval, watched.timer.timeout) == agreed
    assert await watched.over <= 2 * agreed[0]


@virtual_time
async def test_own_block_is_not_the_peers_silence() -> None:
    """After we had no turn ourselves, the peer gets its whole timeout again, but only once."""
    watched = Watched(LOST, interval=2, timeout=1)
    await asyncio.sleep(2.2)
    assert isinstance(watched.loop, VirtualClockLoop)
    watched.loop._virtual_time += 5
    assert await watched.over == pytest.approx(8.2)
    assert [what for what, _ in watched.told] == ["ping", "overdue", "silent"]


@virtual_time
async def test_patience_below_the_timeout_is_none() -> None:
    """`busy` below interval and timeout means that the evidence changes nothing."""
    watched = Watched(DELIVERED, interval=2, timeout=1, busy=0.5)
    assert await watched.over == 3
