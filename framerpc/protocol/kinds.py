"""The numbers of the protocol: kinds of frames, flags, reasons, outcomes, and what they may be.

It does not know what a frame looks like: see `frames`.

Spec: protocol.md, "Frames" and "Room for what comes next".
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from framerpc.errors import Executed

__all__ = [
    "EXECUTED",
    "KNOWN_FLAGS",
    "MAX_CREDIT",
    "MAX_ID",
    "MAX_UINT",
    "OPTIONAL_KINDS",
    "PART_SIZE",
    "REQUIRED_KINDS",
    "CancelReason",
    "Flag",
    "Kind",
    "Outcome",
]


class Kind(enum.IntEnum):
    """The first element of every frame."""

    __hash__ = int.__hash__  # in C: enum's own is a Python function, and this is a hot key

    HELLO = 1
    WELCOME = 2
    CLOSE = 3
    GOAWAY = 4
    PING = 5
    PONG = 6
    REQUEST = 8
    RESPONSE = 9
    ERROR = 10
    CANCEL = 11
    RECEIPT = 12
    ITEM = 13
    END = 14
    CREDIT = 15
    NOTIFY = 16
    PART = 17


REQUIRED_KINDS: Final = range(64)
"""A receiver that does not know one of these closes the connection."""
OPTIONAL_KINDS: Final = range(64, 128)
"""A receiver that does not know one of these ignores it."""

MAX_UINT: Final = 2**53 - 1
"""Largest number in a frame, so that JavaScript can hold it."""
MAX_ID: Final = 2**31 - 1
MAX_CREDIT: Final = 2**31 - 1
PART_SIZE: Final = 64 * 1024
"""Bodies up to this many bytes travel inside their frame, longer ones in parts of this size.

64 KiB keeps what stands behind a part waiting for less than a millisecond on a gigabit link."""


class Flag(enum.IntFlag):
    """What a REQUEST asks for. Bits above the eighth are ignored by those who do not know them."""

    WANTS_STREAM = 1
    SENDS_STREAM = 2


KNOWN_FLAGS: Final = int(Flag.WANTS_STREAM | Flag.SENDS_STREAM)


class CancelReason(enum.IntEnum):
    """Why a caller gives a call up."""

    CANCELLED = 0
    DEADLINE = 1


class Outcome(enum.IntEnum):
    """What became of a call that was cancelled."""

    STOPPED = 0
    FINISHED = 1
    STILL_RUNNING = 2


EXECUTED: Final[tuple[Executed, ...]] = ("no", "maybe", "yes")
"""How an ERROR frame numbers the answers."""
