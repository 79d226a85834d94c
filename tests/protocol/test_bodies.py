"""Bodies in parts: what is allocated for a claim, and what is refused."""

from __future__ import annotations

import mmap
import tracemalloc

import pytest

from framerpc.config import KIB, MIB, Limits
from framerpc.errors import CloseCode, RemoteProtocolError, Status
from framerpc.protocol.bodies import IncomingBodies, IncomingBody, parse_part_header
from framerpc.protocol.frames import Notify, Request, Response, encode


def request(call_id: int, size: int) -> Request:
    """Return a request that announces a body."""
    return Request(call_id, 0, "a/b", None, None, size)


def test_a_body_is_put_together_in_order() -> None:
    """However it was cut, the parts are the body."""
    body = IncomingBody(Response(1, 6), 6)
    for chunk in (b"ab", b"c", b"def"):
        assert not body.complete
        body.add(chunk)
    assert body.complete
    assert bytes(body.take()) == b"abcdef"


def test_a_claim_costs_nothing_before_its_first_byte() -> None:
    """A thousand claims of 16 MiB are a thousand small objects."""
    tracemalloc.start()
    bodies = IncomingBodies(Limits(max_receiving=2**40))
    for call_id in range(1000):
        bodies.announce(request(call_id, 16 * MIB), 16 * MIB)
    assert tracemalloc.get_traced_memory()[0] < 1 * MIB
    tracemalloc.stop()


def test_one_byte_makes_room_for_sixteen() -> None:
    """What is allocated is in proportion to what arrived."""
    body = IncomingBody(Response(1, MIB - 1), MIB - 1)
    body.add(b"x")
    assert len(body.take()) == 16


def test_a_long_body_is_written_once_where_it_stays() -> None:
    """It gets all its address space with the first part, and is never copied to make room."""
    body = IncomingBody(Response(1, 16 * MIB), 16 * MIB)
    body.add(bytes(64 * KIB))
    place = body.take().obj
    assert len(body.take()) == 16 * MIB
    for _ in range(255):
        body.add(bytes(64 * KIB))
    assert body.complete
    assert body.take().obj is place


def test_a_long_body_grows_where_the_system_maps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine out of address space takes it like a short one, in steps of sixteen."""

    def refuse(*_args: object, **_named: object) -> None:
        raise OSError

    monkeypatch.setattr(mmap, "mmap", refuse)
    body = IncomingBody(Response(1, 16 * MIB), 16 * MIB)
    rooms = set[int]()
    for _ in range(256):
        body.add(b"x" * (64 * KIB))
        rooms.add(len(body.take()))
    assert rooms == {MIB, 16 * MIB}
    assert body.take() == b"x" * (16 * MIB)


@pytest.mark.parametrize(("chunk", "text"), [(b"", "no bytes"), (b"abcde", "5 bytes or more, 4")])
def test_parts_that_cannot_be(chunk: bytes, text: str) -> None:
    """Empty parts and parts beyond the end break the rules, refused bodies or not."""
    for keep in (True, False):
        body = IncomingBody(Response(1, 4), 4, keep=keep)
        with pytest.raises(RemoteProtocolError, match=text):
            body.add(chunk)


def test_a_refused_body_is_counted_and_not_kept() -> None:
    """Its parts are dropped."""
    body = IncomingBody(Response(1, 4), 4, keep=False)
    body.add(b"abcd")
    assert body.complete
    assert bytes(body.take()) == b""


def test_the_sum_of_claims_has_a_limit() -> None:
    """What would go over it is refused, until an earlier body is over."""
    bodies = IncomingBodies(Limits(max_message=MIB, max_receiving=2 * MIB))
    assert bodies.announce(request(1, MIB), MIB) is None
    assert bodies.announce(request(3, MIB), MIB) is None
    refused = bodies.announce(request(5, 1), 1)
    assert refused is not None
    assert (refused.status, refused.limit) == (Status.RESOURCE_EXHAUSTED, 2 * MIB)
    bodies.forget(1)
    assert bodies.announce(request(7, MIB), MIB) is None


def test_small_claims_count_for_what_they_cost() -> None:
    """A million bodies of one byte do not fit, although their bytes would."""
    bodies = IncomingBodies(Limits(max_message=MIB, max_receiving=MIB))
    refusals = [bodies.announce(request(call_id, 1), 1) for call_id in range(1025)]
    assert refusals[:1024] == [None] * 1024
    assert refusals[1024] is not None


def test_refused_bodies_without_end_are_a_flood() -> None:
    """A peer that ignores refusals is closed."""
    bodies = IncomingBodies(Limits(max_message=10, max_calls=1))
    for call_id in range(64):
        bodies.announce(Notify(call_id, "a/b", None, 11), 11)
    with pytest.raises(RemoteProtocolError) as caught:
        bodies.announce(Notify(99, "a/b", None, 11), 11)
    assert caught.value.close_code is CloseCode.FLOOD


def test_forgetting_gives_everything_back() -> None:
    """After the last body is gone, the largest fits again, and as many may be refused."""
    limits = Limits(max_message=MIB, max_receiving=MIB, max_calls=1)
    bodies = IncomingBodies(limits)
    for _ in range(200):
        assert bodies.announce(request(1, MIB), MIB) is None
        assert bodies.announce(request(3, MIB), MIB) is not None
        bodies.forget(1)
        bodies.forget(3)
        bodies.forget(5)
    assert not bodies


def test_the_smallest_limits_let_a_body_through() -> None:
    """A limit below what our notes cost does not refuse everything."""
    bodies = IncomingBodies(Limits(max_message=10, max_receiving=10))
    assert bodies.announce(request(1, 10), 10) is None


@pytest.mark.parametrize(
    "data",
    [
        encode(17, 1, b"x" * 20, "more")[4:],  # an element of a later version
        encode(13, 1, b"x" * 20)[4:],  # another kind
        encode(17, 1, "x" * 20)[4:],  # a text
        encode(17, -1, b"x" * 20)[4:],
        encode(17, 2**40, b"x" * 20)[4:],
        b"\x93\x11\x01\xc4\x01",  # too short to tell
        b"\xdd\x00\x00\x00\x03\x11\x01\xc4\x10" + bytes(16),  # written in an unusual way
    ],
)
def test_only_plain_parts_take_the_short_way(data: bytes) -> None:
    """Everything else is read as a whole frame."""
    assert parse_part_header(memoryview(data), len(data)) is None


def test_no_place_for_a_part_of_an_unknown_body() -> None:
    """Nor for one that is not kept."""
    bodies = IncomingBodies(Limits(max_message=100))
    data = encode(17, 1, bytes(200))[4:]
    assert bodies.place(memoryview(data)[:50], len(data)) is None
    bodies.announce(Response(1, 200), 200)
    assert bodies.place(memoryview(data)[:50], len(data)) is None
