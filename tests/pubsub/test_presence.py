"""Who is on a topic."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framerpc.errors import ResourceExhausted
from framerpc.pubsub.presence import Leave, Member, Presence, PresenceChange, PresenceSnapshot


def board(
    limit: int = 100, page: int = 10, ttl: float | None = None
) -> tuple[Presence, list[PresenceChange]]:
    changes: list[PresenceChange] = []
    return Presence(limit, page, changes.append, ttl), changes


def test_many_connections_of_one_identity_count_once() -> None:
    """Its first link joins, its last one leaves, with its reason."""
    presence, changes = board()
    presence.join("t", "ada", 1, 0.0, info=b"i", stamp=5.0)
    presence.join("t", "ada", 2, 0.0, info=b"j", stamp=6.0)
    presence.leave("t", "ada", 1, Leave.LOST)
    assert presence.snapshot("t") == PresenceSnapshot(1, (Member("ada", b"i", 5.0),), 1)
    presence.leave("t", "ada", 2, Leave.LEFT)
    ada = Member("ada", b"i", 5.0)
    assert changes == [PresenceChange("t", 1, ada, None), PresenceChange("t", 2, ada, Leave.LEFT)]
    assert presence.snapshot("t") == PresenceSnapshot(2, (), 0)


@pytest.mark.parametrize("reason", Leave)
def test_reasons_are_given(reason: Leave) -> None:
    """Why somebody went is told as it was said."""
    presence, changes = board()
    presence.join("t", "ada", 1, 0.0)
    presence.leave("t", "ada", 1, reason)
    assert changes[-1].left is reason


def test_leaving_twice_is_once() -> None:
    """A link that is not known, or no longer, changes nothing."""
    presence, changes = board()
    presence.leave("t", "eve", 1, Leave.LEFT)
    presence.join("t", "ada", 1, 0.0)
    presence.join("t", "ada", 1, 0.0)
    presence.leave("t", "ada", 1, Leave.LEFT)
    presence.leave("t", "ada", 1, Leave.LOST)
    assert [change.left for change in changes] == [None, Leave.LEFT]
    assert (len(presence), repr(presence)) == (0, "<Presence topics=0 links=0>")


def test_what_nobody_refreshes_expires() -> None:
    """A link is gone when it was not refreshed for `ttl`, exactly."""
    presence, changes = board(ttl=60.0)
    presence.join("t", "ada", 1, 0.0)
    presence.join("t", "eve", 2, 0.0)
    assert presence.refresh("t", "ada", 1, 30.0)
    presence.expire(59.9)
    assert presence.snapshot("t").total == 2
    presence.expire(60.0)
    assert (changes[-1].member.identity, changes[-1].left) == ("eve", Leave.EXPIRED)
    assert not presence.refresh("t", "eve", 2, 61.0)
    presence.expire(90.0)
    assert presence.snapshot("t").total == 0


def test_without_ttl_nothing_expires() -> None:
    """Members of this server leave with their connections."""
    presence, _ = board()
    presence.join("t", "ada", 1, 0.0)
    presence.expire(10**9)
    assert presence.snapshot("t").total == 1


def test_members_are_bounded() -> None:
    """One link too many is refused, on whatever topic; a known one is not."""
    presence, changes = board(limit=2)
    presence.join("t", "ada", 1, 0.0)
    presence.join("u", "ada", 1, 0.0)
    with pytest.raises(ResourceExhausted, match="max_presence"):
        presence.join("v", "ada", 1, 0.0)
    presence.join("u", "ada", 1, 0.0)
    assert len(changes) == 2
    assert presence.snapshot("v").total == 0


def test_a_snapshot_is_bounded() -> None:
    """It names as many as fit, and counts all."""
    presence, _ = board(page=3)
    for number in range(9):
        presence.join("t", f"m{number}", number, 0.0)
    snapshot = presence.snapshot("t")
    assert ([each.identity for each in snapshot.members], snapshot.total) == (["m0", "m1", "m2"], 9)


@given(
    st.lists(
        st.tuples(st.sampled_from("tu"), st.sampled_from("ab"), st.integers(0, 2), st.booleans()),
        max_size=30,
    ),
    st.integers(0, 30),
)
def test_a_snapshot_and_the_changes_behind_it_have_no_gap(
    steps: list[tuple[str, str, int, bool]], cut: int
) -> None:
    """Whenever it is taken, with the changes of higher numbers it makes the final state."""
    presence, changes = board()
    taken = presence.snapshot("t")
    for number, (topic, identity, link, joining) in enumerate(steps):
        if number == cut:
            taken = presence.snapshot("t")
        if joining:
            presence.join(topic, identity, link, 0.0)
        else:
            presence.leave(topic, identity, link, Leave.LEFT)
    members = {each.identity for each in taken.members}
    for change in changes:
        if change.topic == "t" and change.number > taken.number:
            assert (change.member.identity in members) == (change.left is not None)
            members ^= {change.member.identity}
    assert members == {each.identity for each in presence.snapshot("t").members}
