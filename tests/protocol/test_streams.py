"""Credit: who may send how much."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framerpc.errors import RemoteProtocolError
from framerpc.protocol.kinds import MAX_CREDIT, Kind
from framerpc.protocol.states import Flow
from framerpc.protocol.streams import ITEM_COST, NO_STREAMS, Streams


def consumer(window: int = 1024) -> Streams:
    """Return the streams of a side that only receives."""
    return Streams(producing=False, consuming=True, may_send=0, window=window)


@given(st.lists(st.integers(0, 5000), max_size=50), st.integers(1024, 100_000))
def test_a_consumer_that_takes_everything_never_starves_its_producer(
    sizes: list[int], window: int
) -> None:
    """Whatever the sizes, once all items are taken there is credit for another."""
    ours = consumer(window)
    theirs = Streams(producing=True, consuming=False, may_send=window, window=0)
    for size in sizes:
        assert theirs.may_send > 0
        theirs.may_send -= ITEM_COST + size
        assert ours.arrived(Kind.ITEM, size)
        granted = ours.consumed(size)
        if granted:
            assert theirs.granted(granted)
        assert theirs.may_send == ours.may_receive
    assert theirs.may_send <= window


def test_credit_is_not_granted_for_every_item() -> None:
    """A grant comes once half a window has been taken."""
    ours = consumer()
    assert [ours.consumed(100), ours.consumed(100), ours.consumed(100)] == [0, 0, 0]
    assert ours.consumed(0) == 300 + 4 * ITEM_COST


def test_one_item_may_cost_more_than_the_rest_of_the_credit() -> None:
    """Then nothing may follow until there is credit again."""
    ours = consumer()
    ours.arrived(Kind.ITEM, 10_000)
    assert ours.may_receive < 0
    with pytest.raises(RemoteProtocolError, match="without credit"):
        ours.arrived(Kind.ITEM, 0)


def test_a_grant_larger_than_a_frame_can_say_is_split() -> None:
    """What does not fit into one CREDIT is granted with the next."""
    ours = consumer()
    assert ours.consumed(MAX_CREDIT) == MAX_CREDIT
    assert ours.consumed(1000) == 2 * ITEM_COST + 1000


def test_credit_has_a_limit() -> None:
    """More than 2^31 - 1 in total breaks the rules."""
    ours = Streams(producing=True, consuming=False, may_send=1, window=0)
    assert ours.granted(MAX_CREDIT - 1)
    with pytest.raises(RemoteProtocolError, match="credit"):
        ours.granted(1)


def test_credit_after_the_end_is_late_not_wrong() -> None:
    """It crossed with our END."""
    ours = Streams(producing=True, consuming=False, may_send=1, window=0)
    ours.given_up()
    assert ours.producing is Flow.ENDED
    assert not ours.granted(10)


@pytest.mark.parametrize("kind", [Kind.ITEM, Kind.END, Kind.ERROR])
def test_a_call_without_streams_takes_nothing_of_streams(kind: Kind) -> None:
    """Every frame about a stream is out of place there."""
    with pytest.raises(RemoteProtocolError, match=kind.name):
        NO_STREAMS.arrived(kind)
    with pytest.raises(RemoteProtocolError, match="CREDIT"):
        NO_STREAMS.granted(1)
    NO_STREAMS.given_up()
    assert NO_STREAMS.producing is Flow.NONE
