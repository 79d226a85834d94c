"""Sessions: what a numbered call is, and what becomes of a number, whatever happens to connections.

A session outlives its connections, and within it each `once` call has a number. The caller
writes the number, and below which one it waits for no answer any more; the callee moves each
number along the table `ONCE`. This module owns the header, the table and the counting. It does
not know who runs a call, how long an answer is kept, or where.

Spec: protocol.md, "Sessions" and "Once".
"""

from __future__ import annotations

import enum
import hashlib
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from framerpc.protocol.kinds import MAX_UINT

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "ONCE",
    "ONCE_HEADER",
    "SESSIONS",
    "Act",
    "NumberState",
    "Numbers",
    "Once",
    "OnceEvent",
    "OnceStep",
    "digest",
    "parse_once",
]

SESSIONS: Final = "sessions"
"""The feature that both sides name in their greeting."""

ONCE_HEADER: Final = "once"
"""The header of a numbered REQUEST."""

_DIGEST_SIZE: Final = 16
"""Bytes: it tells a bug of the caller, and guards against nobody."""


class Once(NamedTuple):
    """The value of the header `once`.

    Attributes:
        number: The number of the call in its session, from 1.
        below: The caller waits for no answer to a call with a lower number than this.
    """

    number: int
    below: int


def parse_once(value: object) -> Once | None:
    """Return what the header says, or None if it is malformed."""
    pair = cast("list[object]", value) if isinstance(value, list) else []
    if len(pair) < 2:  # noqa: PLR2004 - later versions may add elements behind these two
        return None
    number, below = pair[:2]
    if type(number) is not int or type(below) is not int or not 1 <= below <= number <= MAX_UINT:
        return None
    return Once(number, below)


def digest(method: str, body: bytes | bytearray | memoryview) -> bytes:
    """Return what two attempts of one call have in common: method and arguments, in 16 bytes."""
    hashed = hashlib.blake2b(method.encode(), digest_size=_DIGEST_SIZE)
    hashed.update(b"\0")
    hashed.update(body)
    return hashed.digest()


# ------------------------------------------------------------------ at the callee


class NumberState(enum.Enum):
    """What a callee knows of a number."""

    UNKNOWN = "unknown"
    RUNNING = "running"
    STORED = "stored"
    FORGOTTEN = "forgotten"


class OnceEvent(enum.Enum):
    """What can happen to a number."""

    SAME = "REQUEST, the same call"
    OTHER = "REQUEST, another call"
    ENDED = "its run ended"
    REFUSED = "its run never began"
    DROPPED = "its answer is dropped"


class Act(enum.Enum):
    """What a callee does about it."""

    RUN = "run"
    ATTACH = "attach"
    ANSWER = "answer"
    REFUSE = "refuse"
    TELL = "tell"
    NOTHING = "nothing"


class OnceStep(NamedTuple):
    """One cell of the table."""

    act: Act
    state: NumberState


_UNKNOWN, _RUNNING, _STORED, _FORGOTTEN = NumberState

ONCE: Final[Mapping[NumberState, Mapping[OnceEvent, OnceStep]]] = {
    _UNKNOWN: {
        OnceEvent.SAME: OnceStep(Act.RUN, _RUNNING),
        OnceEvent.OTHER: OnceStep(Act.RUN, _RUNNING),
        OnceEvent.DROPPED: OnceStep(Act.NOTHING, _FORGOTTEN),
    },
    _RUNNING: {
        OnceEvent.SAME: OnceStep(Act.ATTACH, _RUNNING),
        OnceEvent.OTHER: OnceStep(Act.REFUSE, _RUNNING),
        OnceEvent.ENDED: OnceStep(Act.ANSWER, _STORED),
        OnceEvent.REFUSED: OnceStep(Act.ANSWER, _UNKNOWN),
        OnceEvent.DROPPED: OnceStep(Act.NOTHING, _RUNNING),
    },
    _STORED: {
        OnceEvent.SAME: OnceStep(Act.ANSWER, _STORED),
        OnceEvent.OTHER: OnceStep(Act.REFUSE, _STORED),
        OnceEvent.DROPPED: OnceStep(Act.NOTHING, _FORGOTTEN),
    },
    _FORGOTTEN: {
        OnceEvent.SAME: OnceStep(Act.TELL, _FORGOTTEN),
        OnceEvent.OTHER: OnceStep(Act.TELL, _FORGOTTEN),
        OnceEvent.DROPPED: OnceStep(Act.NOTHING, _FORGOTTEN),
    },
}
"""What each event does to a number. What is missing cannot happen."""


# ------------------------------------------------------------------ at the caller


class Numbers:
    """The numbers of one session, as its caller gives them out. Cost: O(1) a call."""

    __slots__ = ("_last", "_unanswered")

    def __init__(self) -> None:
        self._last = 0
        self._unanswered: dict[int, None] = {}  # in order: numbers only rise

    def __len__(self) -> int:
        return len(self._unanswered)

    def new(self) -> int:
        """Return the number of a call that is about to be sent for the first time."""
        self._last += 1
        self._unanswered[self._last] = None
        return self._last

    def done(self, number: int) -> None:
        """Note that nobody waits for this call any more, whether it was answered or not."""
        self._unanswered.pop(number, None)

    @property
    def below(self) -> int:
        """The lowest number that somebody waits for, or the next one if nobody waits."""
        return next(iter(self._unanswered), self._last + 1)

    def header(self, number: int) -> list[Any]:
        """Return the header `once` of an attempt."""
        return [number, min(self.below, number)]
