"""What a store keeps in this process."""

from __future__ import annotations

import pytest

from framerpc.backplane.shelf import Shelf
from framerpc.errors import ResourceExhausted
from framerpc.pubsub.store import Message
from framerpc.topic_config import TopicLimits, TopicPolicy

POLICY = TopicPolicy(">", history=9, ttl=10.0)


def test_a_place_is_what_keeping_gives() -> None:
    """A store that writes in between knows the position beforehand."""
    shelf = Shelf(TopicLimits(), "i")
    for number in range(3):
        message = Message("a", b"x", POLICY)
        window = shelf.place(message, 0.0)
        assert window.top == number
        made = shelf.keep(message, 0.0)
        assert (made.epoch, made.offset) == (window.epoch, number + 1)


def test_what_leaves_is_written_down_for_who_wants_it() -> None:
    """Removed messages and forgotten topics are listed, if somebody made a list."""
    shelf = Shelf(TopicLimits(max_topics=1), "i")
    shelf.keep(Message("quiet", b"x", POLICY), 0.0)
    shelf.usage.removed, shelf.forgotten = [], []
    shelf.keep(Message("loud", b"x", POLICY), 10.0)
    assert (shelf.usage.removed, shelf.forgotten) == ([("quiet", 1)], ["quiet"])


def test_a_held_topic_is_not_forgotten() -> None:
    """A topic without messages stays if one is on its way."""
    shelf = Shelf(TopicLimits(max_topics=1), "i")
    shelf.keep(Message("a", b"x", POLICY), 0.0)
    shelf.held.add("a")
    with pytest.raises(ResourceExhausted):
        shelf.keep(Message("b", b"x", POLICY), 10.0)
    shelf.held.clear()
    assert shelf.keep(Message("b", b"x", POLICY), 10.0).offset == 1


def test_looking_after_topics_costs_the_same_however_many() -> None:
    """Topics that come and go leave nothing in the rounds of the shelf."""
    shelf = Shelf(TopicLimits(max_topics=20), "i")
    for number in range(500):
        shelf.keep(Message(f"t{number}", b"x", POLICY), float(number))
    assert len(shelf._round) == len(shelf.topics) <= 20
    assert len(shelf._empty) <= 20
