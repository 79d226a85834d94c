"""What waits for one subscriber, and what is left out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framerpc.pubsub.events import Check, Event, Gap, Publication
from framerpc.pubsub.positions import Bookmark, Position, Step
from framerpc.pubsub.queues import Overflow, Queue

COST = 64 + 1 + 1  # of a message of one byte on a topic of one character


def made(offset: int, topic: str = "t", conflate: str = "") -> Publication:
    return Publication(topic, b"x", epoch="e", offset=offset, conflate=conflate)


def taken(queue: Queue) -> list[Event]:
    events: list[Event] = []
    while (event := queue.peek()) is not None:
        events.append(event)
        queue.pop()
    assert not queue
    assert queue.size == 0
    return events


def seen(queue: Queue) -> list[object]:
    """Return offsets and gaps, in order."""
    return [e.offset if isinstance(e, Publication) else e for e in taken(queue)]


def test_what_fits_waits_in_order() -> None:
    """A queue is first in, first out, and counts its bytes."""
    queue = Queue(3 * COST, Overflow.DISCONNECT)
    assert all(queue.push(made(n)) for n in (1, 2, 3))
    assert queue.size == 3 * COST
    assert seen(queue) == [1, 2, 3]


def test_disconnect_refuses_what_does_not_fit() -> None:
    """One byte too many ends the subscription; nothing is left out before."""
    queue = Queue(2 * COST, Overflow.DISCONNECT)
    assert queue.push(made(1))
    assert queue.push(made(2))
    assert not queue.push(made(3))
    assert queue.dropped == 0


@pytest.mark.parametrize("overflow", Overflow)
def test_one_message_waits_however_long_it_is(overflow: Overflow) -> None:
    """A message longer than the queue is not lost on a subscriber that takes it in time."""
    queue = Queue(1, overflow)
    assert queue.push(made(1))
    assert seen(queue) == [1]


def test_drop_oldest_tells_before_the_rest() -> None:
    """What was left out came before all that waits."""
    queue = Queue(2 * COST, Overflow.DROP_OLDEST)
    for n in range(1, 6):
        assert queue.push(made(n))
    assert queue.dropped == 3
    assert seen(queue) == [Gap(3, {"t": 3}), 4, 5]


def test_drop_newest_tells_where_it_was() -> None:
    """What was left out came behind what waited then, and before what comes."""
    queue = Queue(2 * COST, Overflow.DROP_NEWEST)
    for n in range(1, 6):
        assert queue.push(made(n))
    assert queue.peek() == queue.peek()
    queue.pop()
    queue.pop()
    assert queue.push(made(6))
    assert queue.dropped == 3
    assert seen(queue) == [Gap(3, {"t": 3}), 6]


def test_latest_keeps_the_newest_of_each_topic_and_key() -> None:
    """A message takes the place of the one with its key, at the end; others stay."""
    queue = Queue(10 * COST, Overflow.LATEST)
    for offset, key in enumerate("abac", 1):
        queue.push(made(offset, conflate=key))
    queue.push(made(5, topic="u", conflate="a"))
    assert seen(queue) == [Gap(1, {"t": 1}), 2, 3, 4, 5]


def test_latest_is_bounded_too() -> None:
    """Many keys: the one that waits for the longest is left out."""
    queue = Queue(2 * (COST + 1), Overflow.LATEST)
    for offset, key in enumerate("abcab", 1):
        queue.push(made(offset, conflate=key))
    assert seen(queue) == [Gap(3, {"t": 3}), 4, 5]


def test_a_gap_names_few_topics() -> None:
    """Beyond 16 topics it only counts, so that it stays small."""
    queue = Queue(1, Overflow.DROP_OLDEST)
    for n in range(100):
        queue.push(made(1, topic=f"t{n}"))
    gap = queue.peek()
    assert isinstance(gap, Gap)
    assert gap.dropped == 99
    assert len(gap.topics) == 17
    assert gap.topics[""] == 83


def test_gaps_count_as_bytes() -> None:
    """A queue of messages and gaps in turns is bounded as well."""
    queue = Queue(20 * COST, Overflow.DROP_NEWEST)
    for n in range(1, 10_000):
        queue.push(made(n))
        if n % 3 == 0:
            queue.pop()
    assert queue.size <= 21 * COST
    assert len(queue._events) <= 21


def test_a_check_stands_behind_what_waits_and_is_alone() -> None:
    """Checks do not pile up, and are never left out."""
    queue = Queue(COST, Overflow.DROP_OLDEST)
    first, second = Check({"t": Position("e", 1)}), Check({"t": Position("e", 2)})
    queue.push(made(1))
    queue.push_check(first)
    queue.push_check(second)
    queue.push(made(2))
    assert seen(queue) == [Gap(1, {"t": 1}), second, 2]


def test_checks_do_not_pile_up_between_messages() -> None:
    """However often positions are told to a subscriber that does not read, one of them waits."""
    queue = Queue(10**6, Overflow.LATEST)
    for n in range(1, 100):
        queue.push(made(n))
        queue.push_check(Check({"t": Position("e", n)}))
    assert len(queue._events) == 2


def test_what_comes_in_another_way_is_not_missing() -> None:
    """Discarded messages leave no gap, and their bytes are free again."""
    queue = Queue(10 * COST, Overflow.DISCONNECT)
    for n in (1, 2, 3):
        queue.push(made(n))
        queue.push(made(n, topic="u"))
    queue.discard("t", Position("e", 2))
    queue.discard("u", Position("f", 2))
    assert (queue.size, queue.dropped) == (4 * COST, 0)
    assert seen(queue) == [1, 2, 3, 3]


def test_clear_returns_what_waited() -> None:
    """Messages that nobody got can go to somebody else."""
    queue = Queue(10 * COST, Overflow.DROP_OLDEST)
    for n in (1, 2):
        queue.push(made(n))
    assert [each.offset for each in queue.clear()] == [1, 2]
    assert (queue.size, bool(queue)) == (0, False)


@given(
    st.sampled_from([Overflow.DROP_OLDEST, Overflow.DROP_NEWEST, Overflow.LATEST]),
    st.lists(st.one_of(st.tuples(st.sampled_from("tu"), st.sampled_from("ab")), st.none())),
    st.integers(1, 6),
)
def test_a_bookmark_finds_no_hole_that_was_not_told(
    overflow: Overflow, steps: list[tuple[str, str] | None], room: int
) -> None:
    """Whatever is left out: each hole was told before, the counts are right, the bound holds."""
    queue = Queue(room * (COST + 1), overflow)
    bookmark = Bookmark("e", {"t": Position("e", 0), "u": Position("e", 0)})
    tops = {"t": 0, "u": 0}
    events: list[Event] = []
    for step in steps:
        if step is not None:
            topic, key = step
            tops[topic] += 1
            assert queue.push(made(tops[topic], topic, key))
            assert queue.size <= (room + 1) * (COST + 1)
        elif (event := queue.peek()) is not None:
            events.append(event)
            queue.pop()
    queue.push_check(Check({topic: Position("e", top) for topic, top in tops.items()}))
    events += taken(queue)
    got = sum(isinstance(event, Publication) for event in events)
    told = sum(event.dropped for event in events if isinstance(event, Gap))
    assert got + told == sum(tops.values())
    assert told == queue.dropped
    for event in events:
        if isinstance(event, Gap):
            bookmark.gap(event.topics)
        elif isinstance(event, Publication):
            assert event.position is not None
            assert bookmark.see(event.topic, event.position) is Step.NEXT
        else:
            assert bookmark.check(event.tops) == ()
