"""The longest map that a frame may carry: found out before the map is decoded.

A map of the envelope holds whatever its sender likes, and a value of one byte (an empty list)
costs sixty times its size once it is an object. So a long frame is first split into its
fields, which costs no object for what is inside them. Short frames need no look: they bound
their maps.

Spec: protocol.md, "Framing" (R-FRAME-7).
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from framerpc.codecs import packb
from framerpc.errors import InvalidArgument, RemoteProtocolError
from framerpc.protocol.kinds import Kind

__all__ = ["MAX_MAP", "check_headers", "check_maps"]

MAX_MAP: Final = 65_536
"""Bytes of a map: a frame that every peer accepts can hold one, and it takes some 5 ms to read."""

_NOTHING: Final = msgspec.Raw()


class _Fields(msgspec.Struct, array_like=True):
    """The fields of any frame as they came; what a later version has added is skipped."""

    kind: int
    second: msgspec.Raw = _NOTHING
    third: msgspec.Raw = _NOTHING
    fourth: msgspec.Raw = _NOTHING
    fifth: msgspec.Raw = _NOTHING
    sixth: msgspec.Raw = _NOTHING
    seventh: msgspec.Raw = _NOTHING


class _Texts(msgspec.Struct):
    """What may be long in the details of an ERROR: one piece of bytes or text, not many values."""

    fields: msgspec.Raw = _NOTHING
    traceback: msgspec.Raw = _NOTHING


_split: Final = msgspec.msgpack.Decoder(_Fields).decode
_texts_of: Final = msgspec.msgpack.Decoder(_Texts).decode


def check_maps(frame: bytes | bytearray | memoryview) -> None:
    """Refuse a frame with a huge map.

    Raises:
        RemoteProtocolError: It has one.
        ValueError: It is no frame; msgspec says why.
    """
    fields = _split(frame)
    for name in _Fields.__struct_fields__[1:]:
        field = memoryview(getattr(fields, name))
        if len(field) <= MAX_MAP or not _is_map(field[0]):
            continue
        size = len(field)
        if fields.kind == Kind.ERROR:
            size -= _long_texts(field)
        if size > MAX_MAP:
            raise RemoteProtocolError(
                f"a map of {size} bytes in a frame, the limit is {MAX_MAP} bytes"
            )


def check_headers(headers: dict[str, Any], method: str) -> None:
    """Refuse headers that would break the connection instead of their call.

    Raises:
        InvalidArgument: They are too long; nothing was sent.
    """
    size = len(packb(headers))
    if size > MAX_MAP:
        error = InvalidArgument(f"the metadata has {size} bytes, a call carries at most {MAX_MAP}")
        error.method = method
        raise error


def _is_map(first: int) -> bool:
    return first & 0xF0 == 0x80 or first in (0xDE, 0xDF)  # noqa: PLR2004 - fixmap, map 16, map 32


def _long_texts(details: memoryview) -> int:
    """Return the bytes of what may be long."""
    texts = _texts_of(details)
    parts = (memoryview(texts.fields), memoryview(texts.traceback))
    return sum(len(part) for part in parts if len(part) and part[0] in _TEXTS)


_TEXTS: Final = frozenset({0xC4, 0xC5, 0xC6, 0xD9, 0xDA, 0xDB})
"""The first bytes of bin and str of more than 31 bytes."""
