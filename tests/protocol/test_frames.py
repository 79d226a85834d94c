"""The catalogue of frames: reading, and what a frame shows of itself."""

from __future__ import annotations

import time
import tracemalloc

import pytest

from framerpc.errors import RemoteProtocolError
from framerpc.protocol.frames import CATALOGUE, Hello, Kind, Request, decode, encode


def test_every_kind_has_a_class() -> None:
    """The catalogue knows every kind, and nothing else."""
    assert set(CATALOGUE) == {kind.value for kind in Kind}


def test_the_repr_of_a_hello_hides_the_token() -> None:
    """Not even a debug log shows credentials."""
    hello = decode(encode(1, {"versions": [1], "token": "hunter2"})[4:])
    assert repr(hello) == "Hello(options=['versions', 'token'])"


def test_the_repr_of_a_request_hides_arguments_and_metadata() -> None:
    """Sizes and keys are shown, not what users sent."""
    request = Request(1, 0, "a/b", None, {"meta": {"key": "secret"}}, b"secret")
    assert repr(request) == (
        "Request(id=1, flags=0, method='a/b', timeout_ms=None, headers=['meta'], body=<6 bytes>)"
    )


def test_a_repr_stays_short() -> None:
    """A stranger cannot fill the log with one frame."""
    assert len(repr(Request(1, 0, "m" * 10_000, None, None, 10**6))) < 300
    assert len(repr(Hello({"k" * 10_000: 1}))) < 300


def test_what_a_frame_refuses_is_named() -> None:
    """The reason says which frame and which field."""
    with pytest.raises(
        RemoteProtocolError, match=r"a bad RESPONSE frame: .*`bytes \| int`|bad RES"
    ):
        decode(encode(9, 1, "text")[4:])


@pytest.mark.parametrize("fill", [b"\x91", b"\x81\xa1a", b"\xdd\x00\x0f\xff\xff", b"\xdc\xff\xff"])
def test_hostile_nesting_costs_no_more_than_the_frame(fill: bytes) -> None:
    """Nested claims of long lists take neither memory nor time in proportion to the claims."""
    data = b"\x93\x05\x01\x81\xa1x" + fill * (2**20 // len(fill))
    tracemalloc.start()
    began = time.process_time()
    with pytest.raises(RemoteProtocolError):
        decode(data)
    spent = time.process_time() - began
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 * 2**20
    assert spent < 2.0


def test_a_list_of_nothing_costs_eight_times_its_bytes() -> None:
    """The worst honest value, a megabyte of nil, costs a pointer for each byte."""
    data = b"\x93\x05\x01\x81\xa1x\xdd\x00\x0f\x00\x00" + b"\xc0" * 0xF0000
    tracemalloc.start()
    decode(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * len(data)


def test_many_colliding_keys_take_linear_time() -> None:
    """A map of 100,000 keys, all of one kind, is read in well under a second."""
    pairs = b"".join(b"\xa8%08d\xc0" % key for key in range(100_000))
    data = b"\x93\x05\x01\xdf\x00\x01\x86\xa0" + pairs
    began = time.process_time()
    assert decode(data) is not None
    assert time.process_time() - began < 1.0
