"""One side of a connection: order, first and last bytes, cost of hostile cuts."""

from __future__ import annotations

import time

import pytest

from framerpc.config import KIB, Limits
from framerpc.errors import CloseCode, LocalProtocolError, MessageTooLarge
from framerpc.protocol.events import Violation
from framerpc.protocol.frames import Close, Goaway, Hello, Ping, Request, decode, encode
from framerpc.protocol.handshake import PREAMBLE, Announced, Greeting, Reply
from framerpc.protocol.states import ConnectionState, Role
from framerpc.protocol.wire import Wire
from tests.protocol.vectors import ready

HELLO = Wire(Role.CLIENT, Limits()).hello(Greeting(versions=[1]))


def last(data: bytes | None) -> Close:
    """Return the CLOSE frame in these bytes, which hold nothing else."""
    assert data is not None
    frame = decode(data[4:])
    assert isinstance(frame, Close)
    assert int.from_bytes(data[:4], "big") == len(data) - 4
    return frame


# -------------------------------------------------------------- last bytes


@pytest.mark.parametrize("received", [b"", PREAMBLE[:7], b"GET / HT", b"\x16\x03\x01\x00"])
def test_a_server_says_nothing_to_a_stranger(received: bytes) -> None:
    """Before a good preamble there is nobody who would understand a CLOSE."""
    wire = Wire(Role.SERVER, Limits())
    wire.receive(received)
    assert wire.close(CloseCode.PROTOCOL_ERROR, "?") is None


@pytest.mark.parametrize("received", [PREAMBLE, HELLO[:-1], HELLO, PREAMBLE + b"\0\0\0\0"])
def test_a_server_that_refuses_says_its_preamble_first(received: bytes) -> None:
    """A client that has not been greeted yet can still read the reason."""
    wire = Wire(Role.SERVER, Limits())
    wire.receive(received)
    said = wire.close(CloseCode.UNAUTHENTICATED, "no")
    assert said is not None
    assert said.startswith(PREAMBLE)
    assert last(said[8:]).code == CloseCode.UNAUTHENTICATED


def test_another_version_is_told_which_ones_we_speak() -> None:
    """Seven good bytes are enough for an answer."""
    wire = Wire(Role.SERVER, Limits())
    (violation,) = wire.receive(PREAMBLE[:-1] + b"\x07")
    assert isinstance(violation, Violation)
    said = wire.close(violation.error.close_code, str(violation.error))
    assert said is not None
    assert last(said[8:]).details == {"versions": [1]}


@pytest.mark.parametrize("role", Role)
def test_after_the_greetings_only_a_frame_is_left_to_say(role: Role) -> None:
    """Also after a violation."""
    wire = ready(role)
    wire.receive(b"\0\0\0\0")
    assert last(wire.close(CloseCode.PROTOCOL_ERROR, "bad")).reason == "bad"


def test_a_client_can_take_its_greeting_back() -> None:
    """Its preamble has left with the greeting, so a frame follows."""
    wire = Wire(Role.CLIENT, Limits())
    wire.hello(Greeting(versions=[1]))
    assert last(wire.close(CloseCode.NORMAL, "")).code == CloseCode.NORMAL


def test_a_client_that_said_nothing_says_nothing() -> None:
    """A CLOSE without a preamble would be no framerpc."""
    assert Wire(Role.CLIENT, Limits()).close(CloseCode.NORMAL, "") is None


@pytest.mark.parametrize("role", Role)
def test_goodbye_is_said_once_and_not_returned(role: Role) -> None:
    """A second CLOSE, or one in answer to the peer's, is not sent."""
    wire = ready(role)
    assert wire.close(CloseCode.NORMAL, "") is not None
    assert wire.close(CloseCode.NORMAL, "") is None
    wire = ready(role)
    wire.receive(encode(3, 0, "", None))
    assert wire.close(CloseCode.NORMAL, "") is None


def test_a_long_reason_is_cut() -> None:
    """The last frame always fits."""
    reason = last(ready(Role.CLIENT).close(CloseCode.NORMAL, "x" * 100_000)).reason
    assert len(reason) == 1000


# ------------------------------------------------------------------- order


def test_early_calls_wait_for_the_welcome() -> None:
    """A server knows nothing of them before it knows the caller."""
    wire = Wire(Role.SERVER, Limits())
    (hello,) = wire.receive(HELLO + encode(8, 1, 0, "a/b", None, None, b"\x90"))
    assert isinstance(hello, Hello)
    assert (wire.state, wire.calls.alive) == (ConnectionState.WAITING, {})
    wire.welcome(Reply(version=1))
    assert wire.calls.alive == {}
    (request,) = wire.resume()
    assert isinstance(request, Request)
    assert wire.resume() == []


@pytest.mark.parametrize("role", Role)
def test_welcome_needs_a_greeting(role: Role) -> None:
    """It is said once, by a server that has read HELLO."""
    with pytest.raises(LocalProtocolError, match="WELCOME while"):
        Wire(role, Limits()).welcome(Reply(version=1))
    with pytest.raises(LocalProtocolError, match="WELCOME while the connection is ready"):
        ready(role).welcome(Reply(version=1))


def test_goaway_needs_a_connection() -> None:
    """There is none before the greetings, and none after the end."""
    wire = Wire(Role.SERVER, Limits())
    with pytest.raises(LocalProtocolError, match="GOAWAY while the connection is greeting"):
        wire.goaway("", 1)
    wire.close(CloseCode.NORMAL, "")
    with pytest.raises(LocalProtocolError, match="closed"):
        wire.goaway("", 1)


def test_goaway_says_how_long_in_milliseconds() -> None:
    """Also if that is forever, and again while draining."""
    wire = ready(Role.SERVER)
    for seconds, expected in ((1.5, 1500), (float("inf"), 2**53 - 1)):
        frame = decode(wire.goaway("restart", seconds, seconds)[4:])
        assert frame == Goaway("restart", expected, expected)
    assert wire.state is ConnectionState.DRAINING


def test_both_sides_know_the_limits_of_the_other() -> None:
    """They are in the greetings."""
    announced = Announced(frame=70_000, message=9, calls=3, window=2048)
    for role in Role:
        wire = ready(role, peer=announced)
        assert wire.peer == announced
        assert wire.calls.peer_window == 2048


def test_a_body_that_one_side_would_not_take_is_not_sent() -> None:
    """The error says whose limit it is."""
    wire = ready(Role.CLIENT, Limits(max_message=100), Announced(message=50))
    wire.check_size(50, "a/b")
    for size, whose, limit in ((51, "remote", 50), (101, "local", 100)):
        with pytest.raises(MessageTooLarge) as caught:
            wire.check_size(size, "a/b")
        assert (caught.value.whose, caught.value.limit) == (whose, limit)


def test_a_wire_shows_where_it_is() -> None:
    """Role, state and number of calls."""
    wire = ready(Role.CLIENT)
    wire.calls.opened(1, 0)
    assert repr(wire) == "<Wire client ready, 1 calls>"


def test_unknown_optional_frames_are_counted() -> None:
    """A peer of a later version can be seen in the statistics."""
    wire = ready(Role.CLIENT)
    assert wire.receive(encode(64) + encode(127, "x")) == []
    assert wire.unknown == 2


# -------------------------------------------------------------------- cuts


def test_a_buffer_that_was_handed_out_may_be_filled_after_the_end() -> None:
    """A read that was under way when we closed does no harm."""
    wire = ready(Role.CLIENT)
    wire.receive(encode(100, bytes(10_000))[:5000])
    place = wire.buffer()
    assert place is not None
    wire.close(CloseCode.NORMAL, "")
    assert wire.written(len(place)) == []
    assert wire.buffer() is None


@pytest.mark.parametrize("kept", [0, 1, 20], ids=["whole", "behind a byte", "behind a part"])
def test_only_the_bytes_that_count_are_read(kept: int) -> None:
    """What lies behind them in the buffer is of an earlier read."""
    wire = ready(Role.SERVER, Limits())
    request = encode(8, 1, 0, "A/b", 1000, None, b"\x90" * 20)
    assert wire.receive(memoryview(request), kept) == []
    (event,) = wire.receive(request[kept:] + request, len(request) - kept)
    assert isinstance(event, Request)
    assert list(wire.calls.alive) == [1]


def test_early_bytes_are_only_those_that_count() -> None:
    """Also while nobody is known yet."""
    wire = Wire(Role.SERVER, Limits())
    (hello,) = wire.receive(HELLO + b"\0\0\0\0", len(HELLO))
    assert isinstance(hello, Hello)


def test_events_do_not_change_when_the_buffer_is_used_again() -> None:
    """The bytes that were read may be overwritten at once."""
    wire = ready(Role.SERVER)
    data = bytearray(encode(8, 1, 0, "a/b", None, {"meta": {"k": "v"}}, b"body") + b"\0\0\0")
    (request,) = wire.receive(memoryview(data))
    data[:] = bytes(len(data))
    assert request == Request(1, 0, "a/b", None, {"meta": {"k": "v"}}, b"body")
    (ping,) = wire.receive(encode(5, 9, None)[3:])
    assert ping == Ping(9, None)


@pytest.mark.parametrize(
    ("what", "limit"),
    [
        ("a greeting", PREAMBLE + encode(1, {"versions": [1], "pad": bytes(16 * KIB - 40)})),
        ("early data", HELLO + bytes(64 * KIB)),
        ("a big frame", None),
        ("a small frame", None),
    ],
)
def test_bytes_that_trickle_in_cost_linear_time(what: str, limit: bytes | None) -> None:
    """One byte at a time costs a few microseconds for each byte, never their square."""
    if limit is not None:
        wire, data = Wire(Role.SERVER, Limits()), limit
    else:
        size = 300 * KIB if what == "a big frame" else 4000
        wire, data = ready(Role.SERVER), encode(100, bytes(size))
    began = time.process_time()
    for place in range(len(data)):
        wire.receive(data[place : place + 1])
    assert wire.state is not ConnectionState.CLOSED
    assert time.process_time() - began < 20e-6 * len(data) + 0.05


def test_a_thousand_small_requests_are_cheap() -> None:
    """About a microsecond each; ten here, so that a busy machine does not fail the test."""
    wire = ready(Role.SERVER)
    data = b"".join(
        encode(8, 2 * number + 1, 0, "Greeter/greet", 5000, None, bytes(32))
        for number in range(1000)
    )
    began = time.process_time()
    assert len(wire.receive(data)) == 1000
    assert time.process_time() - began < 10e-6 * 1000
