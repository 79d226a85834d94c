"""Preamble and greetings."""

from __future__ import annotations

import pytest

from framerpc.config import Limits
from framerpc.errors import CloseCode, RemoteProtocolError
from framerpc.protocol.handshake import (
    MINIMUM,
    PREAMBLE,
    Announced,
    Greeting,
    Reply,
    announce,
    check_preamble,
    options_of,
    parse_greeting,
    parse_reply,
    speaks_framerpc,
    window_of,
)


@pytest.mark.parametrize("length", range(len(PREAMBLE) + 1))
def test_every_start_of_the_preamble_is_good(length: int) -> None:
    """Bytes may trickle in."""
    check_preamble(PREAMBLE[:length])


@pytest.mark.parametrize("place", range(len(PREAMBLE) - 1))
def test_a_stranger_is_noticed_at_the_first_wrong_byte(place: int) -> None:
    """No further byte is needed."""
    wrong = PREAMBLE[:place] + bytes([PREAMBLE[place] ^ 1])
    with pytest.raises(RemoteProtocolError) as caught:
        check_preamble(wrong)
    assert caught.value.close_code is CloseCode.PROTOCOL_ERROR
    assert not speaks_framerpc(wrong)


def test_another_version_is_a_relative() -> None:
    """Seven good bytes and another version get an answer that names ours."""
    with pytest.raises(RemoteProtocolError, match="version 9, we speak 1") as caught:
        check_preamble(PREAMBLE[:-1] + b"\x09")
    assert caught.value.close_code is CloseCode.VERSION


@pytest.mark.parametrize(
    ("received", "hint"),
    [
        (b"\x16\x03\x01", "TLS; use a tls:// address"),
        (b"\x15\x03", "TLS alert"),
        (b"GET / HT", "HTTP"),
        (b"HTTP/1.1", "HTTP"),
        (b"SSH-2.0-", "SSH"),
        (b"\x00", "began with"),
    ],
)
def test_the_wrong_port_is_recognised(received: bytes, hint: str) -> None:
    """The reason helps whoever dialled the wrong port."""
    with pytest.raises(RemoteProtocolError, match=hint):
        check_preamble(received)


def test_greetings_survive_the_wire() -> None:
    """What one side says is what the other side reads."""
    greeting = Greeting(
        versions=[1], agent="a", token="t", limits=Announced(calls=3), features=["f"], session=b"s"
    )
    assert parse_greeting(options_of(greeting)) == greeting
    reply = Reply(version=1, agent="b", instance="i", peer="p", limits=Announced(window=1024))
    assert parse_reply(options_of(reply)) == reply


def test_what_is_none_is_left_out() -> None:
    """A greeting without a token has no key for it."""
    assert options_of(Greeting(versions=[1])).keys() == {
        "versions", "agent", "limits", "ping_ms", "lag_ms", "features",
    }  # fmt: skip


def test_a_greeting_never_shows_its_token() -> None:
    """Its repr says only whether there is one."""
    assert repr(Greeting(versions=[1], token="hunter2")) == (
        "<Greeting of '', versions [1], token hidden>"
    )
    assert "token none" in repr(Greeting(versions=[1]))


def test_a_reply_never_shows_its_session() -> None:
    """Its repr says only whether there is one."""
    shown = repr(Reply(version=1, agent="a", session=b"secret"))
    assert shown == "<Reply of 'a', version 1, session hidden>"
    assert "session none" in repr(Reply(version=1))


def test_a_bad_greeting_does_not_show_its_values() -> None:
    """The reason that goes to the peer and to the log names the key only."""
    with pytest.raises(RemoteProtocolError) as caught:
        parse_greeting({"versions": [1], "token": 424242})
    assert "token" in str(caught.value)
    assert "424242" not in str(caught.value)


def test_limits_are_announced_as_they_are() -> None:
    """What we announce is what we enforce."""
    limits = Limits(max_frame=100_000, max_message=5, max_calls=7, stream_window=2048)
    assert announce(limits) == Announced(frame=100_000, message=5, calls=7, window=2048)


def test_limits_out_of_the_range_of_the_wire_are_bent() -> None:
    """No option can make a greeting that the peer would refuse."""
    limits = Limits(max_frame=2**40, max_calls=2**40, stream_window=1)
    assert announce(limits) == Announced(
        frame=2**32 - 1, message=limits.max_message, calls=2**30, window=1024
    )
    assert window_of(Limits(stream_window=2**40)) == 2**31 - 1


def test_nothing_is_assumed_that_a_peer_may_refuse() -> None:
    """Until it has announced its limits, a peer is taken to have the assumed ones."""
    assert parse_greeting({"versions": [1]}).limits == MINIMUM
