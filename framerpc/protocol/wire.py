"""One side of one connection as a value: bytes in, events out, frames to send as bytes.

It owns the order of things: preamble, greeting, then frames; what may come when (the tables
of `states`), and that nothing is read any more after the peer broke a rule. What a call is
stands in `calls`. It knows no socket and no clock, and never raises for what a peer sends: a
broken rule is the last event, `Violation`.

Spec: protocol.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from framerpc.errors import (
    CloseCode,
    LocalProtocolError,
    MessageTooLarge,
    RemoteProtocolError,
)
from framerpc.protocol.calls import Calls, PlacedPart
from framerpc.protocol.events import Violation
from framerpc.protocol.frames import CATALOGUE, Hello, Kind, Welcome, decode, encode
from framerpc.protocol.framing import FrameDecoder
from framerpc.protocol.handshake import (
    MINIMUM,
    PREAMBLE,
    VERSION,
    Announced,
    Greeting,
    Reply,
    check_preamble,
    parse_greeting,
    parse_reply,
)
from framerpc.protocol.states import CONNECTION, ConnectionState, Role

if TYPE_CHECKING:
    from collections.abc import Iterable

    from framerpc.config import Limits
    from framerpc.errors import Executed
    from framerpc.protocol.events import Event
    from framerpc.protocol.framing import Whole

__all__ = ["Wire", "announce"]

_KIND_OF: Final = {frame: Kind(number) for number, frame in CATALOGUE.items()}
_FIRST_ABOUT_CALLS: Final = Kind.REQUEST.value
_LIVE: Final = frozenset({ConnectionState.READY, ConnectionState.DRAINING})


def announce(limits: Limits) -> Announced:
    """Return what we tell the peer of our limits."""
    return Announced(
        frame=limits.max_frame,
        message=max(limits.max_message, MINIMUM.message),
        calls=limits.max_calls,
        window=max(limits.stream_window, 1024),
    )


class Wire:
    """One side of one connection.

    Args:
        role: Which side we are.
        limits: What we are ready to receive.

    Attributes:
        state: Where the connection is in its life.
        calls: The calls that are alive.
        peer: What the peer is ready to receive; the minimum until it has told.
        greeting: What the client greeted with (server only, once received).
        reply: What the server answered (client only, once received).
        unknown: Optional frames of a kind that we do not know, ignored.
    """

    __slots__ = (
        "_decoder",
        "_early",
        "_limits",
        "_preamble",
        "calls",
        "greeting",
        "peer",
        "reply",
        "role",
        "state",
        "unknown",
    )

    def __init__(self, role: Role, limits: Limits) -> None:
        self.role = role
        self.state = ConnectionState.GREETING
        self.calls = Calls(role, limits, MINIMUM.window)
        self.peer: Announced = MINIMUM
        self.greeting: Greeting | None = None
        self.reply: Reply | None = None
        self.unknown = 0
        self._limits = limits
        self._preamble = b""
        self._early = b""
        self._decoder = FrameDecoder(limits.max_greeting, self.calls.place)

    def __repr__(self) -> str:
        return f"<Wire {self.role.value} {self.state.value}, {len(self.calls.alive)} calls>"

    # -------------------------------------------------------------- receiving

    def buffer(self) -> memoryview | None:
        """Return where the next bytes belong, or None if any buffer will do."""
        return self._decoder.buffer()

    def written(self, count: int) -> list[Event]:
        """Account for `count` bytes that were written into `buffer()`."""
        whole = self._decoder.written(count)
        return [] if whole is None else self._events((whole,))

    def receive(self, data: bytes | bytearray | memoryview) -> list[Event]:
        """Take the next bytes from the peer and return what they mean, in order."""
        if self.state is ConnectionState.CLOSED:
            return []
        if self.state is ConnectionState.WAITING:
            return self._keep_early(bytes(data))
        try:
            if len(self._preamble) < len(PREAMBLE):
                data = self._read_preamble(memoryview(data))
            if self.state is ConnectionState.GREETING:
                return self._greet(memoryview(data))
            return self._events(self._decoder.feed(data))
        except RemoteProtocolError as error:
            return [self._violation(error)]

    def _violation(self, error: RemoteProtocolError) -> Violation:
        self.state = ConnectionState.CLOSED
        return Violation(error)

    def _read_preamble(self, data: memoryview) -> memoryview:
        missing = len(PREAMBLE) - len(self._preamble)
        self._preamble += bytes(data[:missing])
        check_preamble(self._preamble)
        return data[missing:]

    def _greet(self, data: memoryview) -> list[Event]:
        """Read up to the greeting and no further: what follows may have to wait."""
        events: list[Event] = []
        while data and self.state is ConnectionState.GREETING:
            # One frame at a time: the length of the first decides what belongs to it.
            needed = self._first_frame(data)
            events += self._events(self._decoder.feed(data[:needed]))
            data = data[needed:]
        if data:
            events += self.receive(data)
        return events

    def _first_frame(self, data: memoryview) -> int:
        """Return how many of these bytes belong to the frame that is being read."""
        have = self._decoder.pending
        if have:
            return 1  # only a stranger dribbles its greeting
        if len(data) < 4:  # noqa: PLR2004 - the length prefix
            return len(data)
        return min(len(data), 4 + int.from_bytes(data[:4], "big"))

    def _keep_early(self, data: bytes) -> list[Event]:
        self._early += data
        if len(self._early) > self._limits.max_early:
            return [
                self._violation(
                    RemoteProtocolError(
                        f"more than {self._limits.max_early} bytes before the welcome"
                    )
                )
            ]
        return []

    def _events(self, frames: Iterable[memoryview | Whole]) -> list[Event]:
        events: list[Event] = []
        try:
            for frame in frames:
                if type(frame) is PlacedPart:
                    self.calls.placed(frame, events)
                else:
                    self._frame(frame, events)  # type: ignore[arg-type]
        except RemoteProtocolError as error:
            events.append(self._violation(error))
        return events

    def _frame(self, data: memoryview | bytearray, events: list[Event]) -> None:
        frame = decode(data)
        if frame is None:
            self.unknown += 1
            return
        kind = _KIND_OF[type(frame)]
        if kind >= _FIRST_ABOUT_CALLS and self.state in _LIVE:
            self.calls.receive(kind, frame, events)
            return
        state = CONNECTION[self.role][self.state].get(kind)
        if state is None:
            if self.state is ConnectionState.CLOSED:
                return
            raise RemoteProtocolError(
                f"{kind.name} while the connection is {self.state.value}, is not allowed"
            )
        if type(frame) is Hello:
            self.greeting = parse_greeting(frame.options)
            self._know_peer(self.greeting.limits)
        elif type(frame) is Welcome:
            self.reply = parse_reply(frame.options)
            self._know_peer(self.reply.limits)
        self.state = state
        events.append(frame)

    def _know_peer(self, announced: Announced) -> None:
        self.peer = announced
        self.calls.peer_window = announced.window
        self._decoder.max_frame = self._limits.max_frame

    # ---------------------------------------------------------------- sending

    def hello(self, greeting: Greeting) -> bytes:
        """Return the client's first bytes."""
        options = msgspec.to_builtins(greeting, builtin_types=(bytes,))
        return PREAMBLE + encode(Kind.HELLO.value, _without_none(options))

    def welcome(self, reply: Reply) -> bytes:
        """Return the server's first bytes: the caller is known.

        Afterwards call `resume` for what the client sent early.
        """
        if self.state is not ConnectionState.WAITING:
            raise LocalProtocolError(f"WELCOME while the connection is {self.state.value}")
        self.state = ConnectionState.READY
        options = msgspec.to_builtins(reply)
        return PREAMBLE + encode(Kind.WELCOME.value, options)

    def resume(self) -> list[Event]:
        """Return the events of what the client sent before it was welcomed."""
        early, self._early = self._early, b""
        return self.receive(early) if early else []

    def close(
        self, code: CloseCode, reason: str, details: dict[str, Any] | None = None
    ) -> bytes | None:
        """Return the last frame to send, or None if the peer could not read it."""
        before, self.state = self.state, ConnectionState.CLOSED
        if self.role is Role.SERVER and len(self._preamble) < len(PREAMBLE):
            return None  # a stranger
        if code is CloseCode.VERSION:
            details = {"versions": [VERSION]}
        frame = encode(Kind.CLOSE.value, code.value, reason[:1000], details)
        greeted = self.role is Role.CLIENT or before not in _UNGREETED
        return frame if greeted else PREAMBLE + frame

    def goaway(self, reason: str, grace: float) -> bytes:
        """Return the frame that asks for no new calls, and stop counting on any."""
        self.state = ConnectionState.DRAINING
        return encode(Kind.GOAWAY.value, reason, int(grace * 1000))

    def check_size(self, size: int, method: str, executed: Executed = "no") -> None:
        """Refuse a body that one of the two sides would not take.

        Raises:
            MessageTooLarge: It is over our limit or the peer's.
        """
        if size > self._limits.max_message:
            raise MessageTooLarge(size, self._limits.max_message, "local", method, executed)
        if size > self.peer.message:
            raise MessageTooLarge(size, self.peer.message, "remote", method, executed)


_UNGREETED: Final = frozenset({ConnectionState.GREETING, ConnectionState.WAITING})


def _without_none(options: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if value is not None}
