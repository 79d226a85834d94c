"""How frames are written."""

from __future__ import annotations

import pytest

from framerpc.protocol.bodies import parse_part_header
from framerpc.protocol.encoding import encode, part_header
from framerpc.protocol.frames import Part, decode


def test_a_frame_is_a_length_and_an_array() -> None:
    """END of call 1, byte by byte."""
    assert encode(14, 1) == bytes.fromhex("00000003 92 0e 01")


def test_half_a_surrogate_is_escaped() -> None:
    """A text that UTF-8 cannot carry does not stop the frame that reports it."""
    assert encode(4, "a\udc80b", {"\udc80": ["\udc80"]})[4:] == bytes.fromhex(
        "93 04 a8 61 5c756463 3830 62 81 a6 5c7564633830 91 a6 5c7564633830".replace(" ", "")
    )


@pytest.mark.parametrize("call_id", [1, 127, 128, 255, 256, 65_535, 65_536, 2**31 - 1])
@pytest.mark.parametrize("size", [1, 255, 256, 65_535, 65_536])
def test_a_part_header_and_a_chunk_are_a_part(call_id: int, size: int) -> None:
    """What stands before the chunk makes a PART frame of it, and can be read back alone."""
    header = part_header(call_id, size)
    data = header + bytes(size)
    assert int.from_bytes(data[:4], "big") == len(data) - 4
    part = decode(data[4:])
    assert isinstance(part, Part)
    assert (part.id, len(part.chunk)) == (call_id, size)
    if size > 16:
        assert parse_part_header(memoryview(data)[4:], len(data) - 4) == (call_id, len(header) - 4)
