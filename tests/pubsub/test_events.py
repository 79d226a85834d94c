"""What a subscriber is given."""

from __future__ import annotations

from framerpc.pubsub.events import MESSAGE_COST, Publication
from framerpc.pubsub.positions import Position


def test_a_publication_knows_its_place_and_cost() -> None:
    """Its bytes and 64 on top; its position if it has one."""
    made = Publication("ab", b"xyz", epoch="e", offset=3, conflate="k")
    assert (made.size, made.position) == (MESSAGE_COST + 6, Position("e", 3))
    assert repr(made) == "<Publication ab e:3 3 bytes>"


def test_a_publication_without_history_has_no_position() -> None:
    """It says so, and does not invent one."""
    made = Publication("ab", b"xyz")
    assert made.position is None
    assert repr(made) == "<Publication ab 3 bytes>"
