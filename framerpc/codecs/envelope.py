"""Plain values to msgpack and back: every frame is written with `packb`.

The only importer of msgpack. `unpackb` is for worker processes, tools and tests, not for bytes
of a stranger: a list costs more than the bytes that announce it. Frames are read by
`protocol.frames`, straight into their types, and bodies by `contract/`. What is no msgpack
becomes a RemoteProtocolError.

Spec: protocol.md, "The msgpack profile".
"""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgpack

from framerpc.errors import RemoteProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["packb", "unpackb"]

# One packer for the process: `pack` runs from start to end without releasing the GIL,
# because nothing in a plain value calls back into Python.
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
        raise RemoteProtocolError(f"not one msgpack value: {problem}") from exc
