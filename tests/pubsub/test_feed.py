"""One subscription: history, then what is published, within bounds."""

from __future__ import annotations

import pytest

from framerpc.errors import ResourceExhausted, Unavailable
from framerpc.pubsub.events import Check, Gap, Publication
from framerpc.pubsub.feed import TRANSITIONS, Feed, FeedState, Segment
from framerpc.pubsub.positions import Position
from framerpc.pubsub.queues import Overflow, Queue
from framerpc.pubsub.store import Page
from tests.pubsub.sinks import ListSink


def made(offset: int, topic: str = "t") -> Publication:
    return Publication(topic, b"%d" % offset, epoch="e", offset=offset)


class Fixture:
    """A feed, its sink, and the pages that it asks for."""

    def __init__(
        self, credit: int = 100, limit: int = 10**6, overflow: Overflow = Overflow.DISCONNECT
    ) -> None:
        self.sink = ListSink(credit)
        self.asked: list[Segment] = []
        self.waiting: list[Publication] | None = None
        self.feed = Feed(
            "t",
            self.sink,
            Queue(limit, overflow),
            load=lambda _, segment: self.asked.append(segment),
            on_end=self._ended,
        )

    def _ended(self, feed: Feed, waiting: list[Publication]) -> None:
        assert self.waiting is None
        self.waiting = waiting

    def start(self, after: int, upto: int) -> None:
        segments = [Segment("t", Position("e", after), upto)] if after < upto else []
        self.feed.start(segments, {"t": Position("e", upto)})

    def page(self, *offsets: int, upto: int, lost: int = 0) -> None:
        self.feed.loaded(Page(tuple(map(made, offsets)), lost, upto))


def test_what_is_published_while_it_opens_waits() -> None:
    """Nothing is written before it is known where the subscription begins, nothing is lost."""
    fix = Fixture()
    fix.feed.offer(made(1))
    assert (fix.sink.events, fix.feed.state) == ([], FeedState.OPENING)
    fix.start(0, 0)
    assert (fix.sink.offsets, fix.feed.state, fix.feed._flowing) == ([1], FeedState.LIVE, True)


def test_a_feed_that_keeps_up_is_written_at_once() -> None:
    """Nothing waits as long as the sink takes it."""
    fix = Fixture()
    fix.start(0, 0)
    message = made(1)
    fix.feed.offer(message)
    assert fix.sink.events[0] is message
    assert fix.feed.waiting == 0


def test_history_comes_first_page_by_page() -> None:
    """What is published meanwhile waits behind it, without repetition."""
    fix = Fixture()
    fix.feed.offer(made(4))  # published before it was known where to begin: in the history
    fix.start(1, 4)
    fix.feed.offer(made(5))
    assert fix.asked == [Segment("t", Position("e", 1), 4)]
    fix.page(2, 3, upto=3)
    assert fix.sink.offsets == [2, 3]
    assert fix.asked[1:] == [Segment("t", Position("e", 3), 4)]
    fix.feed.offer(made(6))
    fix.page(4, upto=4)
    assert fix.sink.offsets == [2, 3, 4, 5, 6]
    assert fix.feed.state is FeedState.LIVE


def test_a_page_is_asked_for_when_the_last_one_is_written() -> None:
    """A reader without credit holds one page, however long the history is."""
    fix = Fixture(credit=1)
    fix.start(0, 9)
    fix.page(1, 2, 3, upto=3)
    assert (fix.sink.offsets, len(fix.asked)) == ([1], 1)
    fix.sink.grant(fix.feed, 1)
    assert (fix.sink.offsets, len(fix.asked)) == ([1, 2], 1)
    fix.sink.grant(fix.feed, 5)
    assert (fix.sink.offsets, len(fix.asked)) == ([1, 2, 3], 2)
    fix.sink.grant(fix.feed, 5)
    assert len(fix.asked) == 2  # it is under way


def test_without_credit_messages_wait() -> None:
    """They are written in order when there is credit, and then it flows again."""
    fix = Fixture(credit=1)
    fix.start(0, 0)
    for n in range(1, 5):
        fix.feed.offer(made(n))
    assert (fix.sink.offsets, fix.feed._flowing) == ([1], False)
    fix.sink.grant(fix.feed, 2)
    assert fix.sink.offsets == [1, 2, 3]
    fix.sink.grant(fix.feed, 2)
    fix.feed.offer(made(5))
    assert (fix.sink.offsets, fix.feed._flowing) == ([1, 2, 3, 4, 5], True)


def test_disconnect_ends_with_an_error_that_says_so() -> None:
    """A slow consumer is told that it was slow, and what to do."""
    fix = Fixture(credit=0, limit=3 * 66)
    fix.start(0, 0)
    for n in range(1, 6):
        fix.feed.offer(made(n))
    assert isinstance(fix.sink.error, ResourceExhausted)
    assert "slow consumer: more than 198 bytes wait for 't'" in str(fix.sink.error)
    assert (fix.sink.ended, fix.feed.state) == (1, FeedState.ENDED)
    assert (fix.waiting, fix.feed.dropped) == ([], 4)


@pytest.mark.parametrize(
    ("overflow", "events"),
    [
        (Overflow.DROP_OLDEST, [Gap(2, {"t": 2}), 3, 4]),
        (Overflow.DROP_NEWEST, [1, 2, Gap(2, {"t": 2})]),
    ],
)
def test_a_slow_consumer_is_told_what_it_missed(overflow: Overflow, events: list[object]) -> None:
    """The gap stands where the messages would have stood, and is counted."""
    fix = Fixture(credit=0, limit=2 * 66, overflow=overflow)
    fix.start(0, 0)
    for n in range(1, 5):
        fix.feed.offer(made(n))
    fix.sink.grant(fix.feed, 9)
    got = [each.offset if isinstance(each, Publication) else each for each in fix.sink.events]
    assert got == events
    assert (fix.feed.dropped, fix.feed._flowing) == (2, True)


def test_a_history_that_moved_on_is_never_skipped_silently() -> None:
    """A reader too slow for the window is ended, or told of the gap in its place."""
    fix = Fixture()
    fix.start(0, 9)
    fix.page(5, 6, upto=6, lost=4)
    assert isinstance(fix.sink.error, ResourceExhausted)
    assert "4 messages of 't' left its history unread" in str(fix.sink.error)
    fix = Fixture(overflow=Overflow.DROP_OLDEST)
    fix.start(0, 6)
    fix.page(5, 6, upto=6, lost=4)
    assert fix.sink.events[0] == Gap(4, {"t": 4})
    assert (fix.sink.offsets, fix.feed.dropped) == ([5, 6], 4)


def test_a_check_comes_behind_what_was_offered() -> None:
    """Positions are told in the order of the messages, also to who has no credit."""
    fix = Fixture(credit=1)
    fix.start(0, 0)
    tops = {"t": Position("e", 2)}
    fix.feed.offer(made(1))
    fix.feed.offer(made(2))
    fix.feed.check(tops)
    fix.feed.offer(made(3))
    fix.sink.grant(fix.feed, 9)
    fix.feed.check(tops)
    assert fix.sink.events[2:] == [Check(tops), fix.sink.events[3], Check(tops)]


def test_a_check_means_nothing_before_it_is_live() -> None:
    """Who is still reading history misses nothing."""
    fix = Fixture()
    fix.feed.check({"t": Position("e", 2)})
    fix.start(0, 2)
    fix.feed.check({"t": Position("e", 2)})
    fix.page(1, 2, upto=2)
    assert fix.sink.offsets == [1, 2]
    assert len(fix.sink.events) == 2


@pytest.mark.parametrize("when", ["opening", "replaying", "live"])
def test_ending_is_final_and_once(when: str) -> None:
    """Nothing is written after the end, whatever still arrives."""
    fix = Fixture(credit=1)
    if when != "opening":
        fix.start(0, 9 if when == "replaying" else 0)
    fix.feed.end(Unavailable("over"))
    fix.feed.end()
    fix.feed.offer(made(1))
    fix.feed.resume()
    fix.feed.check({})
    fix.feed.loaded(Page((), 0, 9))
    assert (fix.sink.events, fix.sink.ended) == ([], 1)
    assert str(fix.sink.error) == "over"


@pytest.mark.parametrize("start", [0, 2])
def test_the_sink_may_end_the_feed_while_it_writes(start: int) -> None:
    """A connection that breaks at a write takes the subscription with it, without noise."""
    fix = Fixture(credit=9)

    class Breaking(ListSink):
        def write(self, event: object) -> bool:
            fix.feed.end()
            return True

    fix.sink = Breaking()
    fix.feed._write = fix.sink.write
    fix.feed._sink = fix.sink
    fix.feed.offer(made(3))
    fix.start(0, start)
    if start:
        fix.page(1, 2, upto=2)
    assert (fix.sink.ended, fix.feed.state) == (1, FeedState.ENDED)


def test_a_feed_that_ended_while_it_took_a_message_takes_no_more() -> None:
    """A group member whose connection broke at a write is not asked again."""
    fix = Fixture()
    fix.start(0, 0)

    def write(event: object) -> bool:
        fix.feed.end()
        return True

    fix.feed._write = write
    assert fix.feed.take(made(1))
    assert not fix.feed.take(made(2))


def test_every_state_has_its_row() -> None:
    """The table knows all states, and nothing leaves the last one."""
    assert TRANSITIONS.keys() == {*FeedState}
    assert TRANSITIONS[FeedState.ENDED] == ()
    with pytest.raises(AssertionError, match="LIVE"):
        Fixture().feed._go(FeedState.LIVE)
