"""What received frames do to calls: every cell of the tables, by the short way and the long."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from framerpc.config import Limits
from framerpc.errors import RemoteProtocolError
from framerpc.protocol.calls import CallFrame, Calls
from framerpc.protocol.frames import (
    Cancel,
    Credit,
    End,
    Error,
    Item,
    Kind,
    Notify,
    Part,
    Receipt,
    Request,
    Response,
)
from framerpc.protocol.states import CALLEE, CALLER, CallState, Effect, Role

if TYPE_CHECKING:
    from framerpc.protocol.events import Event

FRAMES: dict[Kind, CallFrame] = {
    Kind.REQUEST: Request(1, 0, "a/b", None, None, b"\x90"),
    Kind.RESPONSE: Response(1, b"\xc0"),
    Kind.ERROR: Error(1, 9, 1, "", None),
    Kind.CANCEL: Cancel(1, 0),
    Kind.RECEIPT: Receipt(1, 0),
    Kind.ITEM: Item(1, b"\x01"),
    Kind.END: End(1),
    Kind.CREDIT: Credit(1, 1),
    Kind.NOTIFY: Notify(1, "a/b", None, b"\x90"),
    Kind.PART: Part(1, b"\x01"),
}


def calls_in(role: Role, state: CallState, kind: Kind, *, mixed: bool) -> Calls:
    """Return a side whose call 1 is in a state in which this frame makes sense, if any does."""
    limits = Limits(max_message=1000 if mixed else 16 * 2**20)
    calls = Calls(role, limits, peer_window=1024)
    ours = role is Role.CLIENT
    # Streams that fit the frame, so that only the table of calls decides.
    up = kind is Kind.CREDIT if ours else kind in {Kind.ITEM, Kind.END, Kind.ERROR}
    down = kind in {Kind.ITEM, Kind.END} if ours else kind is Kind.CREDIT
    flags = 2 * up + down
    events: list[Event] = []
    if state is not CallState.IDLE:
        if ours:
            calls.opened(1, flags)
        else:
            calls.receive(Request(1, flags, "a/b", None, None, b"\x90"), events)
    if kind is Kind.PART and state is not CallState.IDLE:
        announcement = Response(1, 10) if ours else Item(1, 10)
        if not ours:
            calls.ended(1)
            calls.receive(Request(1, 2, "a/b", None, None, b"\x90"), events)
        calls.receive(announcement, events)
    if state is CallState.CANCELLING:
        if ours:
            calls.cancelled(1)
        else:
            calls.receive(Cancel(1, 0), events)
    assert calls.alive.get(1, CallState.IDLE) is state
    return calls


@pytest.mark.parametrize("mixed", [False, True], ids=["short way", "long way"])
@pytest.mark.parametrize("kind", FRAMES, ids=lambda kind: kind.name)
@pytest.mark.parametrize("state", CallState)
@pytest.mark.parametrize("role", Role)
def test_a_frame_does_what_its_cell_says(
    role: Role, state: CallState, kind: Kind, mixed: bool
) -> None:
    """Effect and state afterwards are those of the table, whichever way the code takes."""
    calls = calls_in(role, state, kind, mixed=mixed)
    table = CALLER if role is Role.CLIENT else CALLEE
    step = table[state].get(kind)
    frame = FRAMES[kind]
    events: list[Event] = []
    if step is None:
        with pytest.raises(RemoteProtocolError, match=kind.name):
            calls.receive(frame, events)
        assert events == []
        return
    calls.receive(frame, events)
    assert calls.alive.get(1, CallState.IDLE) is step.state
    if step.effect is Effect.IGNORE:
        assert (events, calls.ignored) == ([], 1)
    else:
        assert calls.ignored == 0
        assert events == ([] if kind is Kind.PART else [frame])


@pytest.mark.parametrize("role", Role)
def test_ended_calls_leave_nothing_behind(role: Role) -> None:
    """Streams and bodies go with their call."""
    for state in (CallState.OPEN, CallState.CANCELLING):
        for kind in FRAMES:
            calls = calls_in(role, state, kind, mixed=False)
            calls.ended(1)
            assert not calls.alive
            assert not calls._streams
            assert not calls.bodies
            assert calls.bodies._receiving == calls.bodies._refused == 0


@pytest.mark.parametrize("end", [Response(1, b""), Error(1, 9, 1, "", None), Receipt(1, 0), End(1)])
def test_the_last_frame_leaves_nothing_behind(end: Any) -> None:
    """Whatever ends a call of ours ends its streams and bodies."""
    calls = Calls(Role.CLIENT, Limits(), peer_window=1024)
    calls.opened(1, 1 if isinstance(end, End) else 2)
    if isinstance(end, (Error, Receipt)):
        calls.receive(Response(1, 100), [])
        assert calls.bodies
    if isinstance(end, Receipt):
        calls.cancelled(1)
    calls.receive(end, [])
    assert not calls.alive
    assert not calls._streams
    assert not calls.bodies


def test_a_client_may_be_called_once_both_have_agreed() -> None:
    """Calls from the server are a feature of a later version: `serves` switches them on."""
    calls = Calls(Role.CLIENT, Limits(), peer_window=1024)
    request = Request(2, 0, "a/b", None, None, b"\x90")
    with pytest.raises(RemoteProtocolError, match="REQUEST"):
        calls.receive(request, [])
    calls.serves = True
    events: list[Event] = []
    calls.receive(request, events)
    assert events == [request]


def test_a_body_lost_with_its_call_is_not_resurrected() -> None:
    """A part that was being written in place when its call ended is dropped."""
    calls = Calls(Role.CLIENT, Limits(), peer_window=1024)
    calls.opened(1, 0)
    calls.receive(Response(1, 10_000), [])
    start = b"\x93\x11\x01\xc5\x13\x88" + bytes(100)
    placed = calls.place(memoryview(start), 5006)
    assert placed is not None
    calls.ended(1)
    calls.opened(1, 0)
    calls.receive(Response(1, 10_000), [])
    events: list[Event] = []
    calls.placed(placed, events)
    assert (events, calls.ignored) == ([], 1)
    assert calls.bodies[1].received == 0
