"""The envelope of a frame: one msgpack value to bytes and back.

The only importer of msgpack. Everything a stranger can put into a frame becomes a value or
a RemoteProtocolError: the C unpacker bounds every announced length by the bytes at hand, so
nothing is allocated for a length that is only claimed, and nesting has a fixed stack.

Bodies (arguments, results, items) are opaque here: `contract/` encodes and decodes them.

Spec: protocol.md, "The msgpack profile".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgpack

from framerpc.errors import RemoteProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["packb", "unpackb"]

# One packer for the process: `pack` runs from start to end without releasing the GIL,
# because nothing in an envelope calls back into Python.
_packer: Final = msgpack.Packer(use_bin_type=True, autoreset=True)
packb: Final[Callable[[Any], bytes]] = _packer.pack
"""Return the msgpack encoding of a plain value. (See `msgpack.Packer.pack`.)"""


def unpackb(buffer: bytes | bytearray | memoryview) -> Any:
    """Return the one msgpack value that `buffer` holds.

    Raises:
        RemoteProtocolError: It is not exactly one valid value.
    """
    try:
        return msgpack.unpackb(buffer)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as exc:
        problem = str(exc) or type(exc).__name__
        raise RemoteProtocolError(f"a frame is not one msgpack value: {problem}") from exc
