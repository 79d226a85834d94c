"""The window of one topic: what it keeps, and what it can promise."""

from __future__ import annotations

from typing import Any

import pytest

from framerpc.pubsub.history import Usage, Window
from framerpc.pubsub.positions import Position
from framerpc.pubsub.store import Found, Message, Since
from framerpc.topic_config import TopicPolicy


def window_of(count: int, usage: Usage | None = None, **options: Any) -> Window:
    """Return a window that was given `count` messages, one a second, stamped likewise."""
    policy = TopicPolicy("t", **dict[str, Any](history=10) | options)
    window = Window("e", policy, usage or Usage())
    for number in range(1, count + 1):
        window.append(Message("t", b"%d" % number, policy, stamp=float(number)), float(number))
    return window


def kept(window: Window) -> list[int]:
    page = window.read(Position("e", window.floor), window.top, 1000, 10**9)
    return [made.offset for made in page.messages]


def found(base: int, top: int, *, recovered: bool = True) -> Found:
    return Found(Position("e", base), Position("e", top), recovered)


def test_offsets_are_dense_from_one() -> None:
    """The first message is 1, and each next one one more."""
    assert kept(window_of(4)) == [1, 2, 3, 4]


def test_bounded_in_messages() -> None:
    """The oldest leave, and the floor says how far."""
    window = window_of(15)
    assert (kept(window), window.floor, window.top) == ([*range(6, 16)], 5, 15)


def test_bounded_in_bytes() -> None:
    """Each message costs its data, its topic and 64 bytes."""
    window = window_of(9, history_bytes=3 * 66)
    assert (kept(window), window.size) == ([7, 8, 9], 3 * 66)


def test_a_message_too_large_for_its_window_still_has_its_offset() -> None:
    """It is delivered and gone, and whoever missed it is told so."""
    window = window_of(3, history_bytes=10)
    assert (kept(window), window.floor, window.top, window.size) == ([], 3, 3, 0)
    assert window.find(Position("e", 2), 4.0) == found(3, 3, recovered=False)


def test_bounded_in_age() -> None:
    """A message is there until it is `ttl` old, exactly."""
    window = window_of(5, ttl=10.0)
    window.expire(12.999)
    assert kept(window) == [3, 4, 5]
    window.expire(13.0)
    assert kept(window) == [4, 5]


@pytest.mark.parametrize(
    ("since", "expected"),
    [
        (None, found(15, 15)),
        ("start", found(5, 15)),
        (0, found(15, 15)),
        (3, found(12, 15)),
        (10, found(5, 15)),
        (10**9, found(5, 15)),
        (Position("e", 15), found(15, 15)),
        (Position("e", 7), found(7, 15)),
        (Position("e", 5), found(5, 15)),
        (Position("e", 4), found(15, 15, recovered=False)),
        (Position("e", 0), found(15, 15, recovered=False)),
        (Position("e", 16), found(15, 15, recovered=False)),
        (Position("f", 15), found(15, 15, recovered=False)),
        (14.5, found(14, 15)),
        (99.0, found(15, 15)),
        (5.5, found(5, 15)),
        (5.0, found(15, 15, recovered=False)),
    ],
    ids=str,
)
def test_since(since: Since, expected: Found) -> None:
    """Everything that was asked for, or nothing and a word about it."""
    assert window_of(15).find(since, 15.0) == expected


def test_since_a_time_needs_nothing_that_left_earlier() -> None:
    """A window that was never trimmed reaches back to any time."""
    assert window_of(3).find(-1.0, 3.0) == found(0, 3)


def test_a_stamp_that_went_back_is_not_missed() -> None:
    """If the wall clock was set back, the answer begins with the first message of that time."""
    policy = TopicPolicy("t", history=10)
    window = Window("e", policy, Usage())
    for stamp in (100.0, 50.0, 60.0):
        window.append(Message("t", b"", policy, stamp=stamp), 0.0)
    assert window.find(55.0, 0.0) == found(0, 3)
    window.trim()
    assert window.find(55.0, 0.0).recovered is False


def test_age_decides_before_the_answer() -> None:
    """What has expired is not promised, although nobody has published since."""
    window = window_of(5, ttl=10.0)
    assert window.find(Position("e", 2), 12.5) == found(2, 5)
    assert window.find(Position("e", 2), 13.0) == found(5, 5, recovered=False)


def test_pages() -> None:
    """A page ends at its number of messages, its bytes or the last offset asked for."""
    window = window_of(9)

    def page(after: int, upto: int, most: int, most_bytes: int) -> tuple[list[int], int, int]:
        read = window.read(Position("e", after), upto, most, most_bytes)
        return [made.offset for made in read.messages], read.lost, read.upto

    assert page(2, 6, 99, 9999) == ([3, 4, 5, 6], 0, 6)
    assert page(2, 9, 3, 9999) == ([3, 4, 5], 0, 5)
    assert page(2, 9, 99, 2 * 66) == ([3, 4], 0, 4)
    assert page(2, 9, 99, 1) == ([3], 0, 3)
    assert page(9, 9, 99, 1) == ([], 0, 9)


def test_what_left_meanwhile_is_counted() -> None:
    """A reader that was overtaken learns how many it missed."""
    window = window_of(15)
    page = window.read(Position("e", 3), 8, 99, 9999)
    assert ([made.offset for made in page.messages], page.lost) == ([6, 7, 8], 2)
    page = window.read(Position("e", 0), 4, 99, 9999)
    assert (page.messages, page.lost, page.upto) == ((), 4, 4)
    assert window.read(Position("f", 3), 8, 99, 9999) == ((), 5, 8)


def test_latest_keeps_one_message_for_each_key() -> None:
    """A message takes the place of the one before it with its key; others stay."""
    policy = TopicPolicy("t", history=3, latest=True)
    usage = Usage()
    usage.removed = []
    window = Window("e", policy, usage)
    for key in "abacab":
        window.append(Message("t", key.encode(), policy, conflate=key), 0.0)
    assert kept(window) == [4, 5, 6]
    assert (window.floor, usage.messages) == (0, 3)
    assert window.find(Position("e", 1), 0.0) == found(1, 6)
    assert usage.removed == [("t", 1), ("t", 3), ("t", 2)]
    window.append(Message("t", b"d", policy, conflate="d"), 0.0)
    assert (kept(window), window.floor) == ([5, 6, 7], 4)
    assert window.find(Position("e", 3), 0.0) == found(7, 7, recovered=False)


def test_windows_count_together() -> None:
    """What several windows keep is the sum of what each keeps."""
    usage = Usage()
    first, second = window_of(15, usage), window_of(4, usage)
    assert (usage.messages, usage.size) == (14, first.size + second.size)
    first.trim()
    assert (usage.messages, usage.size) == (13, first.size + second.size)


def test_a_large_window_is_cheap_to_move() -> None:
    """Appending to a full window of 50,000 messages does not search for its oldest one."""
    window = window_of(150_000, history=50_000)
    assert (len(window), window.floor) == (50_000, 100_000)
