"""What a Wire reports besides the frames themselves.

Spec: protocol.md, "Limits" and "Violations".
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from framerpc.errors import RemoteProtocolError, Status  # noqa: TC001 - msgspec reads the types
from framerpc.protocol.frames import Frame, Item, Notify, Request, Response

__all__ = ["Event", "Refused", "Violation"]


class Refused(msgspec.Struct, gc=False):
    """A body was announced that is over a limit; its parts will be dropped.

    Attributes:
        frame: The frame that announced it.
        size: Announced size, in bytes.
        limit: The limit that it breaks, in bytes.
        status: MESSAGE_TOO_LARGE, or RESOURCE_EXHAUSTED if it would fit on a quieter day.
    """

    frame: Request | Response | Item | Notify
    size: int
    limit: int
    status: Status


class Violation(msgspec.Struct, gc=False):
    """The peer broke the rules. The last event of a connection: nothing more is read."""

    error: RemoteProtocolError


Event: TypeAlias = Frame | Refused | Violation
