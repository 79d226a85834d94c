"""Properties of a Wire under any bytes at all: typed outcomes, indifferent to cuts, bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framerpc.config import Limits
from framerpc.errors import RemoteProtocolError
from framerpc.protocol.encoding import encode
from framerpc.protocol.events import Refused, Violation
from framerpc.protocol.frames import CATALOGUE, decode
from framerpc.protocol.handshake import PREAMBLE, Greeting
from framerpc.protocol.states import ConnectionState, Role
from framerpc.protocol.wire import Wire
from tests.protocol.vectors import DELIVERIES, VECTORS, meaning, ready, received

if TYPE_CHECKING:
    from framerpc.protocol.events import Event

LIMITS = Limits(max_message=20_000, max_receiving=50_000, max_calls=4, stream_window=2000)

IDS = st.sampled_from([1, 2, 3, 5, 2**31 - 1]) | st.integers()
BODIES = st.binary(max_size=50) | st.sampled_from([1, 5, 6000, 20_001, 2**53 - 1]) | st.integers()
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text()
    | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip
HEADERS = st.none() | st.dictionaries(st.text(max_size=5), ANYTHING, max_size=3)
SMALL = st.integers(0, 4)
CHUNKS = st.binary(min_size=1, max_size=5) | st.integers(1, 7000).map(bytes)
SENSIBLE = st.one_of(
    st.tuples(st.just(8), IDS, SMALL, st.text(max_size=5), st.none() | SMALL, HEADERS, BODIES),
    st.tuples(st.just(9), IDS, BODIES),
    st.tuples(st.just(10), IDS, SMALL, st.integers(0, 2), st.text(max_size=5), HEADERS),
    st.tuples(st.just(11), IDS, SMALL),
    st.tuples(st.just(12), IDS, st.integers(0, 2)),
    st.tuples(st.just(13), IDS, BODIES),
    st.tuples(st.just(14), IDS),
    st.tuples(st.just(15), IDS, st.integers(1, 2**31 - 1)),
    st.tuples(st.just(16), IDS, st.text(max_size=5), HEADERS, BODIES),
    st.tuples(st.just(17), IDS, CHUNKS),
    st.tuples(st.just(4), st.text(max_size=5), SMALL),
    st.tuples(st.sampled_from([5, 6]), SMALL, HEADERS),
)
SENSELESS = st.lists(ANYTHING, max_size=8)
KINDS = [*CATALOGUE, 0, 7, 63, 64, 127, 128]
ODD = st.tuples(st.sampled_from(KINDS), SENSELESS).map(lambda both: (both[0], *both[1]))


def _frame(fields: Any) -> bytes:
    try:
        return encode(*fields)
    except (ValueError, OverflowError):
        return b""


FRAMES = (SENSIBLE | SENSIBLE | SENSIBLE | ODD).map(_frame)
STREAMS = st.lists(FRAMES | FRAMES | FRAMES | st.binary(max_size=20), max_size=25).map(b"".join)
VECTOR_BYTES = st.sampled_from(
    [
        b"".join(received(step["receive"]) for step in vector["steps"] if "receive" in step)
        for vector in VECTORS.values()
    ]
).filter(lambda data: len(data) < 20_000)


def side(role: Role, *, new: bool) -> Wire:
    """Return a side with a few calls of its own."""
    if new:
        wire = Wire(role, LIMITS)
        if role is Role.CLIENT:
            wire.hello(Greeting(versions=[1]))
        return wire
    wire = ready(role, LIMITS)
    if role is Role.CLIENT:
        for call_id, flags in ((1, 0), (3, 3), (5, 1)):
            wire.calls.opened(call_id, flags)
        wire.calls.cancelled(5)
    return wire


def outcome(wire: Wire, events: list[Event]) -> Any:
    """Return what can be seen of a side."""
    calls = wire.calls
    means = repr([meaning(event) for event in events])  # NaN is not equal to itself
    return means, wire.state, calls.alive, calls.ignored, wire.unknown


def check(wire: Wire, events: list[Event], data: bytes) -> None:
    """Check what holds after any bytes."""
    for event in events:
        assert isinstance(event, (Refused, Violation, *CATALOGUE.values()))
        assert len(repr(event)) < 2000
    violations = [event for event in events if isinstance(event, Violation)]
    assert violations in ([], events[-1:])
    assert not violations or wire.state is ConnectionState.CLOSED
    bodies = wire.calls.bodies
    assert bodies._receiving <= 50_000
    assert sum(len(body.take()) for body in bodies.values()) <= 16 * len(data)
    assert len(wire._early) <= LIMITS.max_early + len(data)


@pytest.mark.parametrize("role", Role)
@given(data=STREAMS | VECTOR_BYTES, cuts=st.lists(st.integers(1, 5000), min_size=1, max_size=5))
def test_cuts_do_not_matter(role: Role, data: bytes, cuts: list[int]) -> None:
    """A side that is ready makes the same of any bytes, whole, in pieces or written in place."""
    whole = side(role, new=False)
    events = whole.receive(data)
    check(whole, events, data)
    cut, cut_events, start, index = side(role, new=False), [], 0, 0
    while start < len(data):
        step = cuts[index % len(cuts)]
        cut_events += cut.receive(data[start : start + step])
        start, index = start + step, index + 1
    placed = side(role, new=False)
    placed_events = DELIVERIES["into buffers"](placed, data)
    assert outcome(cut, cut_events) == outcome(whole, events)
    assert outcome(placed, placed_events) == outcome(whole, events)


GREETINGS = st.one_of(
    st.binary(max_size=10),
    st.just(PREAMBLE),
    st.just(PREAMBLE + encode(1, {"versions": [1]})),
    st.just(PREAMBLE + encode(2, {"version": 1})),
    st.dictionaries(
        st.sampled_from(["versions", "version", "limits", "ping_ms", "token", "features"]),
        ANYTHING | st.just([1]) | st.just(1),
    ).map(lambda options: PREAMBLE + _frame((1, options)) + _frame((2, options))),
)


@pytest.mark.parametrize("role", Role)
@given(greeting=GREETINGS, data=STREAMS)
def test_a_stranger_gets_a_typed_answer(role: Role, greeting: bytes, data: bytes) -> None:
    """Before and during the greetings as well, whole or byte by byte."""
    whole, bytewise = side(role, new=True), side(role, new=True)
    events = whole.receive(greeting + data)
    check(whole, events, greeting + data)
    assert outcome(bytewise, DELIVERIES["byte by byte"](bytewise, greeting + data)) == outcome(
        whole, events
    )


@given(st.binary(max_size=200) | FRAMES.map(lambda data: data[4:]))
def test_any_frame_is_read_ignored_or_refused(data: bytes) -> None:
    """Nothing but RemoteProtocolError comes out of `decode`."""
    try:
        frame = decode(data)
    except RemoteProtocolError:
        pass
    else:
        assert frame is None or type(frame) in CATALOGUE.values()


@given(SENSIBLE)
def test_frames_survive_the_wire(fields: tuple[Any, ...]) -> None:
    """What is written is what is read, whatever frame it is, if it is one."""
    data = _frame(fields)
    if not data:
        return
    try:
        frame = decode(data[4:])
    except RemoteProtocolError:
        return
    assert frame is not None
    assert repr(meaning(frame)) == repr(list(fields))
