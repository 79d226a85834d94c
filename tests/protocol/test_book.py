"""What sending does to the calls of a connection."""

from __future__ import annotations

import pytest

from framerpc.config import Limits
from framerpc.errors import LocalProtocolError
from framerpc.protocol.book import CallBook
from framerpc.protocol.frames import MAX_ID, decode
from framerpc.protocol.states import CallState, Role


def book(role: Role = Role.CLIENT, window: int = 1024) -> CallBook:
    """Return an empty book."""
    return CallBook(role, Limits(stream_window=window), peer_window=1024)


@pytest.mark.parametrize(("role", "ids"), [(Role.CLIENT, [1, 3, 5]), (Role.SERVER, [2, 4, 6])])
def test_each_side_has_ids_of_its_own(role: Role, ids: list[int]) -> None:
    """The client's are odd, the server's are even."""
    ours = book(role)
    assert [ours.new_id() for _ in ids] == ids


@pytest.mark.parametrize(("role", "first"), [(Role.CLIENT, 1), (Role.SERVER, 2)])
def test_ids_start_again_and_pass_over_those_in_use(role: Role, first: int) -> None:
    """After the largest comes the smallest that is free."""
    ours = book(role)
    ours.opened(first, 0)
    largest = MAX_ID if role is Role.CLIENT else MAX_ID - 1
    ours._next_id = largest
    assert [ours.new_id(), ours.new_id()] == [largest, first + 2]


def test_the_last_frame_of_a_call_can_be_sent_once() -> None:
    """A second one would be a bug of ours, and is not sent."""
    ours = book()
    ours.opened(1, 0)
    assert ours.ended(1) is CallState.OPEN
    with pytest.raises(LocalProtocolError, match="call 1 is not alive"):
        ours.ended(1)


def test_cancelling_is_said_once() -> None:
    """The peer hears of it only if the call is open."""
    ours = book()
    ours.opened(1, 0)
    assert [ours.cancelled(1), ours.cancelled(1), ours.cancelled(3)] == [True, False, False]
    assert ours.alive == {1: CallState.CANCELLING}


def test_items_need_a_stream_and_credit() -> None:
    """An item that the peer would not take is not sent."""
    ours = book()
    ours.opened(1, 2)
    ours.opened(3, 1)
    assert (ours.may_send(1), ours.may_send(3), ours.may_send(5)) == (True, False, False)
    ours.sent_item(1, 5000)
    assert not ours.may_send(1)
    for call_id in (1, 3, 5):
        with pytest.raises(LocalProtocolError, match=f"call {call_id} may not send"):
            ours.sent_item(call_id, 1)


def test_an_upload_ends_once() -> None:
    """END is sent for an open upload only, and no item after it."""
    ours = book()
    ours.opened(1, 2)
    assert [ours.sent_end(1), ours.sent_end(1), ours.sent_end(3)] == [True, False, False]
    assert not ours.may_send(1)


def test_a_cancelled_call_sends_nothing_more() -> None:
    """No item, no END, no credit after CANCEL."""
    ours = book()
    ours.opened(1, 3)
    ours.cancelled(1)
    assert not ours.may_send(1)
    assert not ours.sent_end(1)
    assert ours.consumed(1, 10**6) is None


def test_taking_items_grants_credit() -> None:
    """The frame to send says how much was taken."""
    ours = book()
    ours.opened(1, 1)
    assert ours.consumed(1, 100) is None
    frame = ours.consumed(1, 1000)
    assert frame is not None
    assert repr(decode(frame[4:])) == "Credit(id=1, bytes=1228)"
    assert ours.consumed(3, 10**6) is None


def test_the_window_is_the_announced_one() -> None:
    """A window too small for the wire is enforced as it was announced."""
    ours = book(window=1)
    ours.opened(1, 1)
    assert ours._streams[1].may_receive == 1024
