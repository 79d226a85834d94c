"""Where a connection, a call and a stream are in their lives: enums, and the tables that move them.

Rule 1: what a received frame does is a cell of one of these tables. Rule 2: a cell that is
not written here is CLOSE: the peer broke the rules. protocol.md, "States", prints the tables
in full, and a test compares the two.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final, NamedTuple

from framerpc.protocol.frames import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "CALLEE",
    "CALLER",
    "CONNECTION",
    "CONSUMER",
    "PRODUCER",
    "CallState",
    "ConnectionState",
    "Effect",
    "Flow",
    "Role",
    "Step",
]


class Role(enum.Enum):
    """Which side of a connection we are: the one that dialled, or the one that listened."""

    CLIENT = "client"
    SERVER = "server"


class ConnectionState(enum.Enum):
    """Where one connection is in its life."""

    __hash__ = object.__hash__  # in C: enum's own is a Python function

    GREETING = "greeting"  # preambles and greetings are on their way
    WAITING = "waiting"  # server only: the application decides who this is
    READY = "ready"
    DRAINING = "draining"  # a GOAWAY was sent or received: calls in flight may finish
    CLOSED = "closed"


class CallState(enum.Enum):
    """Where one call is, seen from either of its two ends."""

    __hash__ = object.__hash__  # as above

    IDLE = "idle"  # no such call: not yet, or no more
    OPEN = "open"  # asked, not answered
    CANCELLING = "cancelling"  # given up by the caller; the last frame is outstanding


class Flow(enum.Enum):
    """Where one direction of a stream is."""

    __hash__ = object.__hash__  # as above

    NONE = "none"  # the call has no stream in this direction
    OPEN = "open"
    ENDED = "ended"


class Effect(enum.Enum):
    """What happens to a received frame."""

    DELIVER = "deliver"
    IGNORE = "ignore"  # it crossed with the end of its call; counted
    CLOSE = "close"  # the peer broke the rules


class Step(NamedTuple):
    """One cell of the call and stream tables: what happens, and the state afterwards.

    A frame whose body comes in parts takes its step when the body is complete.
    """

    effect: Effect
    state: enum.Enum


_OPEN, _IDLE, _CANCELLING = CallState.OPEN, CallState.IDLE, CallState.CANCELLING
_ENDS: Final = Step(Effect.DELIVER, _IDLE)
_STALE: Final = Step(Effect.IGNORE, _IDLE)
_GIVEN_UP: Final = Step(Effect.IGNORE, _CANCELLING)
_GOES_ON: Final = Step(Effect.DELIVER, _OPEN)

CALLER: Final[Mapping[CallState, Mapping[Kind, Step]]] = {
    CallState.IDLE: {
        Kind.RESPONSE: _STALE,
        Kind.ERROR: _STALE,
        Kind.RECEIPT: _STALE,
        Kind.ITEM: _STALE,
        Kind.END: _STALE,
        Kind.CREDIT: _STALE,
        Kind.PART: _STALE,
    },
    CallState.OPEN: {
        Kind.RESPONSE: _ENDS,
        Kind.ERROR: _ENDS,
        Kind.ITEM: _GOES_ON,
        Kind.END: _ENDS,
        Kind.CREDIT: _GOES_ON,
        Kind.PART: _GOES_ON,
    },
    CallState.CANCELLING: {
        Kind.RESPONSE: _ENDS,
        Kind.ERROR: _ENDS,
        Kind.RECEIPT: _ENDS,
        Kind.ITEM: _GIVEN_UP,
        Kind.END: _ENDS,
        Kind.CREDIT: _GIVEN_UP,
        Kind.PART: Step(Effect.DELIVER, _CANCELLING),
    },
}
"""What a frame does that the caller receives about its call."""

CALLEE: Final[Mapping[CallState, Mapping[Kind, Step]]] = {
    CallState.IDLE: {
        Kind.REQUEST: _GOES_ON,
        Kind.NOTIFY: _ENDS,
        Kind.ERROR: _STALE,
        Kind.CANCEL: _STALE,
        Kind.ITEM: _STALE,
        Kind.END: _STALE,
        Kind.CREDIT: _STALE,
        Kind.PART: _STALE,
    },
    CallState.OPEN: {
        Kind.ERROR: _GOES_ON,
        Kind.CANCEL: Step(Effect.DELIVER, _CANCELLING),
        Kind.ITEM: _GOES_ON,
        Kind.END: _GOES_ON,
        Kind.CREDIT: _GOES_ON,
        Kind.PART: _GOES_ON,
    },
    CallState.CANCELLING: {
        Kind.ERROR: _GIVEN_UP,
        Kind.CANCEL: _GIVEN_UP,
        Kind.ITEM: _GIVEN_UP,
        Kind.END: _GIVEN_UP,
        Kind.CREDIT: _GIVEN_UP,
        Kind.PART: _GIVEN_UP,
    },
}
"""What a frame does that the callee receives about a call."""

CONSUMER: Final[Mapping[Flow, Mapping[Kind, Step]]] = {
    Flow.NONE: {},
    Flow.OPEN: {
        Kind.ITEM: Step(Effect.DELIVER, Flow.OPEN),
        Kind.END: Step(Effect.DELIVER, Flow.ENDED),
        Kind.ERROR: Step(Effect.DELIVER, Flow.ENDED),
    },
    Flow.ENDED: {},
}
"""What a frame does to a stream that its receiver consumes, if the call's table delivers it.

ERROR stands here for the one that the caller sends; from the callee it ends the whole call."""

PRODUCER: Final[Mapping[Flow, Mapping[Kind, Step]]] = {
    Flow.NONE: {},
    Flow.OPEN: {Kind.CREDIT: Step(Effect.DELIVER, Flow.OPEN)},
    Flow.ENDED: {Kind.CREDIT: Step(Effect.IGNORE, Flow.ENDED)},
}
"""What a CREDIT does to a stream that its receiver produces, if the call's table delivers it."""

_CALL_KINDS: Final = (
    Kind.REQUEST,
    Kind.RESPONSE,
    Kind.ERROR,
    Kind.CANCEL,
    Kind.RECEIPT,
    Kind.ITEM,
    Kind.END,
    Kind.CREDIT,
    Kind.NOTIFY,
    Kind.PART,
)


def _live(state: ConnectionState) -> Mapping[Kind, ConnectionState]:
    """Return the row of a connection that carries calls."""
    return {
        Kind.CLOSE: ConnectionState.CLOSED,
        Kind.GOAWAY: ConnectionState.DRAINING,
        Kind.PING: state,
        Kind.PONG: state,
    } | dict.fromkeys(_CALL_KINDS, state)


CONNECTION: Final[Mapping[Role, Mapping[ConnectionState, Mapping[Kind, ConnectionState]]]] = {
    Role.CLIENT: {
        ConnectionState.GREETING: {
            Kind.WELCOME: ConnectionState.READY,
            Kind.CLOSE: ConnectionState.CLOSED,
        },
        ConnectionState.WAITING: {},
        ConnectionState.READY: _live(ConnectionState.READY),
        ConnectionState.DRAINING: _live(ConnectionState.DRAINING),
        ConnectionState.CLOSED: {},
    },
    Role.SERVER: {
        ConnectionState.GREETING: {
            Kind.HELLO: ConnectionState.WAITING,
            Kind.CLOSE: ConnectionState.CLOSED,
        },
        ConnectionState.WAITING: {},
        ConnectionState.READY: _live(ConnectionState.READY),
        ConnectionState.DRAINING: _live(ConnectionState.DRAINING),
        ConnectionState.CLOSED: {},
    },
}
"""The state of a connection after a frame was received. What arrives while WAITING is kept
unread until the server has decided; what arrives after CLOSED is dropped."""
