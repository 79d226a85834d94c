"""The cache of answers: its bounds, and who has to make room."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from framerpc import Limits
from framerpc.errors import Status
from framerpc.server.failure import Failure
from framerpc.server.replies import ENTRY_COST, Replies, cost_of
from framerpc.server.session import Run, Session
from framerpc.testing import virtual_time


class Cache:
    """Replies, and the numbers that were dropped, by session."""

    def __init__(self, **limits: Any) -> None:
        self.dropped: list[tuple[Session, int]] = []
        self.replies = Replies(Limits(**limits), self._drop)

    def _drop(self, run: Run) -> None:
        self.dropped.append((run.session, run.number))
        self.replies.release(run)

    def keep(self, session: Session, number: int, size: int = 0) -> Run:
        run = Run(session, number, b"", None)
        self.replies.keep(run, bytes(size))
        return run


def test_errors_cost_what_they_say() -> None:
    """A result costs its bytes, an error those that it would have on a wire."""
    assert cost_of(bytes(10)) == ENTRY_COST + 10
    short, long = Failure(Status.INTERNAL, "yes", ""), Failure(Status.INTERNAL, "yes", "x" * 100)
    assert cost_of(long) - cost_of(short) >= 100


@virtual_time
async def test_quiet_session_keeps_its_answer_beside_a_busy_one() -> None:
    """Who holds more than an equal share loses its own oldest answer."""
    cache, busy, quiet = Cache(max_replies=4), Session(b"busy", None), Session(b"quiet", None)
    cache.keep(quiet, 1)
    for number in range(1, 11):
        cache.keep(busy, number)
    assert cache.dropped == [(busy, number) for number in range(1, 8)]
    assert len(cache.replies) == 4


@virtual_time
async def test_session_below_its_share_pushes_out_the_oldest() -> None:
    """A newcomer finds room where the oldest answer of all was."""
    cache, busy, quiet = Cache(max_replies=4), Session(b"busy", None), Session(b"quiet", None)
    for number in range(1, 5):
        cache.keep(busy, number)
    cache.keep(quiet, 1)
    assert cache.dropped == [(busy, 1)]


@virtual_time
async def test_release_is_idempotent() -> None:
    """What was taken out is not counted twice."""
    cache, session = Cache(), Session(b"s", None)
    run = cache.keep(session, 1, 100)
    for _ in range(2):
        cache.replies.release(run)
        assert (cache.replies.size, len(cache.replies), session.kept) == (0, 0, 0)


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 2000), st.booleans()), min_size=1, max_size=60
    )
)
@virtual_time
async def test_bounds_hold_whatever_is_kept(steps: list[tuple[int, int, bool]]) -> None:
    """Entries and bytes never exceed their bounds, and the sums are those of what is there."""
    cache = Cache(max_replies=8, max_reply_bytes=8 * ENTRY_COST)
    sessions = [Session(bytes([n]), None) for n in range(4)]
    kept: list[Run] = []
    for number, (which, size, release) in enumerate(steps, 1):
        kept.append(cache.keep(sessions[which], number, size))
        if release:
            cache.replies.release(kept[0])
        gone = {dropped for _, dropped in cache.dropped}
        kept = [run for run in kept[release:] if run.number not in gone]
        assert len(cache.replies) <= 8
        assert cache.replies.size <= 8 * ENTRY_COST
        assert cache.replies.size == sum(session.kept for session in sessions)
    cache.replies.clear()
