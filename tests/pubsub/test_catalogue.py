"""The topics that have a history."""

from __future__ import annotations

import pytest

from framerpc.errors import ResourceExhausted
from framerpc.pubsub.catalogue import Catalogue
from framerpc.pubsub.store import Topics


def catalogue(*topics: str, limit: int = 10) -> Catalogue[int]:
    made: Catalogue[int] = Catalogue("i", limit)
    for number, topic in enumerate(topics):
        made.add(topic, number)
    return made


def test_topics_are_found_by_pattern() -> None:
    """All that match, no more than asked for, and whether there are more."""
    topics = catalogue("a.x", "b.x", "a.y", "c")
    assert topics.find("a.*", 9) == Topics("i-0", ("a.x", "a.y"), complete=True)
    assert topics.find("a.*", 1) == Topics("i-0", ("a.x",), complete=False)
    assert topics.find("c", 9) == Topics("i-0", ("c",), complete=True)
    assert topics.find("d", 9) == Topics("i-0", (), complete=True)


def test_an_answer_is_not_remembered_too_long() -> None:
    """A topic that comes or goes is in the next answer, or is not."""
    topics = catalogue("a.x")
    assert topics.find("a.*", 9).names == ("a.x",)
    topics.add("a.y", 1)
    assert topics.find("a.*", 9).names == ("a.x", "a.y")
    topics.forget("a.x")
    assert topics.find("a.*", 9).names == ("a.y",)


def test_forgetting_begins_another_epoch() -> None:
    """A topic that comes again does not count on in the epoch in which it was forgotten."""
    topics = catalogue("a")
    before = topics.epoch
    topics.forget("a")
    assert topics.epoch != before
    assert topics.generation == 1


def test_the_silent_come_first() -> None:
    """The order is that of the last message."""
    topics = catalogue("a", "b", "c")
    topics.touch("a")
    assert list(topics) == ["b", "c", "a"]


def test_topics_are_bounded() -> None:
    """One too many is refused, and says which option is meant."""
    topics = catalogue("a", "b", limit=2)
    assert topics.full
    with pytest.raises(ResourceExhausted, match="max_topics"):
        topics.add("c", 2)
    assert "c" not in topics


def test_remembered_answers_are_bounded() -> None:
    """Asking for many patterns does not fill the memory."""
    topics = catalogue("a")
    for number in range(1000):
        topics.find(f"{number}.*", 9)
    assert len(topics._answers) <= 64
