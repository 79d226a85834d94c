"""How a frame is written: its fields as one msgpack array, behind their length.

It does not check what it writes: that is for those who know the state of the connection.

Spec: protocol.md, "Framing" and "The msgpack profile".
"""

from __future__ import annotations

from typing import Any, Final

from framerpc.codecs import packb
from framerpc.protocol.kinds import Kind

__all__ = ["encode", "part_header"]

_SHORT: Final = 256
_PREFIXES: Final = [size.to_bytes(4, "big") for size in range(_SHORT)]
"""Prefixes of short frames: most are, and a look-up is the cheaper way."""


def encode(*fields: Any) -> bytes:
    """Return the frame with these fields (the kind first), with its length prefix.

    What UTF-8 cannot carry in a text (half of a surrogate pair) is written as an escape.
    """
    try:
        payload = packb(fields)
    except UnicodeEncodeError:
        payload = packb(_encodable(fields))
    size = len(payload)
    return (_PREFIXES[size] if size < _SHORT else size.to_bytes(4, "big")) + payload


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, tuple | list):
        return [_encodable(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType]
    return value


def part_header(call_id: int, size: int) -> bytes:
    """Return what stands before the `size` bytes of a PART frame, so that they need no copy."""
    if size < 2**16:
        after_id = b"\xc5" + size.to_bytes(2, "big")
    else:
        after_id = b"\xc6" + size.to_bytes(4, "big")
    start = b"\x93" + bytes((Kind.PART.value,)) + packb(call_id) + after_id
    return (len(start) + size).to_bytes(4, "big") + start
