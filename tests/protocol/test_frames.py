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


@pytest.mark.parametrize("fill", [b"\xc0", b"\x90", b"\x80"], ids=["nils", "lists", "maps"])
def test_worst_map_of_a_frame_costs_less_than_five_mebibytes(fill: bytes) -> None:
    """Tiny values cost many times their bytes; the longest map of a frame bounds how many."""
    count = 65_000
    data = b"\x93\x05\x01\x81\xa1x\xdd" + count.to_bytes(4, "big") + fill * count
    tracemalloc.start()
    assert decode(data) is not None
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * 2**20
