"""Positions, and the bookmark that finds holes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framerpc.errors import InvalidArgument
from framerpc.pubsub.positions import MAX_OFFSET, Bookmark, Position, Step


@given(st.from_regex(r"[A-Za-z0-9_-]{0,63}[A-Za-z0-9]", fullmatch=True), st.integers(0, MAX_OFFSET))
def test_a_position_survives_its_text(epoch: str, offset: int) -> None:
    """What `str` writes, `parse` reads."""
    position = Position(epoch, offset)
    assert Position.parse(str(position)) == position


@pytest.mark.parametrize(
    "text",
    ["", ":", "a", "a:", ":1", "a:-1", "a:+1", "a:1.0", "a: 1", "a:1 ", "a:1:2", "a b:1", "é:1",
     "a:٣", "a:9007199254740992", "a:" + "9" * 5000, "a" * 65 + ":1", "-:1"],
)  # fmt: skip
def test_what_is_no_position_is_refused(text: str) -> None:
    """Only `epoch:offset` is read, nothing that looks like it."""
    with pytest.raises(InvalidArgument, match="not a position"):
        Position.parse(text)


def test_messages_in_order_are_next() -> None:
    """The following message of each topic is expected, wherever the subscription began."""
    bookmark = Bookmark("e", {"a": Position("e", 4)})
    steps = [
        bookmark.see("a", Position("e", 5)),
        bookmark.see("b", Position("e", 1)),
        bookmark.see("a", Position("e", 6)),
        bookmark.see("b", Position("e", 2)),
    ]
    assert steps == [Step.NEXT] * 4
    assert bookmark.positions == {"a": Position("e", 6), "b": Position("e", 2)}


def test_a_hole_is_found_once() -> None:
    """A missing message is found with the next one, and not again."""
    bookmark = Bookmark("e", {"a": Position("e", 4)})
    assert bookmark.see("a", Position("e", 6)) is Step.HOLE
    assert bookmark.see("a", Position("e", 7)) is Step.NEXT


def test_the_first_messages_of_a_new_topic_may_be_a_hole() -> None:
    """A topic that was not known begins with its message 1, or something is missing."""
    bookmark = Bookmark("e", {})
    assert bookmark.see("new", Position("f", 1)) is Step.NEXT
    assert bookmark.see("newer", Position("e", 2)) is Step.HOLE


def test_a_repetition_is_told_and_moves_nothing() -> None:
    """An old message changes nothing."""
    bookmark = Bookmark("e", {"a": Position("e", 4)})
    assert bookmark.see("a", Position("e", 4)) is Step.REPEATED
    assert bookmark.positions["a"] == Position("e", 4)


def test_another_epoch_is_told() -> None:
    """A known topic that goes on in another epoch may have lost messages."""
    bookmark = Bookmark("e", {"a": Position("e", 4)})
    assert bookmark.see("a", Position("f", 1)) is Step.EPOCH
    assert bookmark.see("a", Position("f", 2)) is Step.NEXT


def test_a_gap_excuses_as_many_of_its_topic_and_no_more() -> None:
    """What the server said it left out is no hole; what is missing besides is one."""
    bookmark = Bookmark("e", {"a": Position("e", 0), "b": Position("e", 0)})
    bookmark.gap({"a": 2})
    assert bookmark.see("b", Position("e", 2)) is Step.HOLE
    assert bookmark.see("a", Position("e", 2)) is Step.NEXT
    assert bookmark.see("a", Position("e", 4)) is Step.NEXT
    assert bookmark.see("a", Position("e", 6)) is Step.HOLE


def test_a_gap_without_names_excuses_any_topic() -> None:
    """Left-out messages of topics that were not named count where they are missed."""
    bookmark = Bookmark("e", {"a": Position("e", 0), "b": Position("e", 0)})
    bookmark.gap({"a": 1, "": 2})
    assert bookmark.see("a", Position("e", 3)) is Step.NEXT
    assert bookmark.see("b", Position("e", 2)) is Step.NEXT
    assert bookmark.see("b", Position("e", 4)) is Step.HOLE


def test_what_gaps_told_of_is_awaited_until_it_is_passed() -> None:
    """Whoever goes back meanwhile gets it after all; a hole uses nothing of it up."""
    mark = Bookmark("e", {"a": Position("e", 4)})
    mark.gap({"a": 2, "": 1})
    assert mark.awaited() == {"a": 2, "": 1}
    assert mark.see("a", Position("e", 9)) is Step.HOLE  # four are missing
    assert mark.awaited() == {"a": 2, "": 1}
    mark.positions["a"] = Position("e", 4)
    assert mark.see("a", Position("e", 8)) is Step.NEXT
    assert mark.awaited() == {}


def test_a_check_finds_what_a_quiet_topic_lost() -> None:
    """The last messages of a topic are missed although none follows; each is found once."""
    bookmark = Bookmark("e", {"a": Position("e", 4), "b": Position("e", 4)})
    tops = {"a": Position("e", 5), "b": Position("e", 4), "c": Position("e", 1)}
    assert bookmark.check(tops) == ("a", "c")
    assert bookmark.check(tops) == ()


def test_a_check_after_a_gap_finds_nothing() -> None:
    """What was left out and told is not found again."""
    bookmark = Bookmark("e", {"a": Position("e", 4)})
    bookmark.gap({"a": 2})
    assert bookmark.check({"a": Position("e", 6)}) == ()


def test_latest_only_has_no_holes() -> None:
    """Where only the latest messages are kept, what is missing was replaced."""
    bookmark = Bookmark("e", {"a": Position("e", 4)}, exact=False)
    assert bookmark.see("a", Position("e", 9)) is Step.NEXT


def test_a_bookmark_is_bounded() -> None:
    """Beyond its limit it knows that it cannot resume, and does not grow."""
    bookmark = Bookmark("e", {}, limit=2)
    for topic in "abc":
        assert bookmark.see(topic, Position("e", 1)) is Step.NEXT
    assert not bookmark.complete
    assert len(bookmark.positions) == 2
