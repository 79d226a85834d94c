"""One side of one connection as a value: bytes in, events out, frames to send as bytes.

It owns the order of things: preamble, greeting, then frames; what may come when (the tables
of `states`), and that nothing is read any more after the peer broke a rule. What a call is
stands in `calls`. It knows no socket and no clock, and never raises for what a peer sends: a
broken rule is the last event, `Violation`.

Spec: protocol.md.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, Final, cast

from framerpc.errors import CloseCode, LocalProtocolError, MessageTooLarge, RemoteProtocolError
from framerpc.protocol.calls import ABOUT_CALLS, CallFrame, Calls, PlacedPart
from framerpc.protocol.events import Violation
from framerpc.protocol.frames import (
    CATALOGUE,
    MAX_UINT,
    PART_SIZE,
    Close,
    Frame,
    Hello,
    Kind,
    Welcome,
    decode,
    encode,
)
from framerpc.protocol.framing import LONG, FrameDecoder
from framerpc.protocol.handshake import (
    MINIMUM,
    MINIMUM_EARLY,
    MINIMUM_GREETING,
    PREAMBLE,
    VERSION,
    Announced,
    Greeting,
    Reply,
    announce,
    check_preamble,
    options_of,
    parse_greeting,
    parse_reply,
    speaks_framerpc,
)
from framerpc.protocol.maps import MAX_MAP
from framerpc.protocol.states import CONNECTION, ConnectionState, Role

if TYPE_CHECKING:
    from collections.abc import Iterable

    from framerpc.config import Limits
    from framerpc.errors import Executed
    from framerpc.protocol.events import Event
    from framerpc.protocol.framing import Whole

__all__ = ["Wire", "announce"]

_KIND_OF: Final = {frame: Kind(number) for number, frame in CATALOGUE.items()}


class Wire:
    """One side of one connection.

    Args:
        role: Which side we are.
        limits: What we are ready to receive.

    Attributes:
        state: Where the connection is in its life.
        calls: The calls that are alive.
        decoder: Cuts what arrives into frames.
        peer: What the peer is ready to receive; the minimum until it has told.
        longest: Bytes of a body that both sides take.
        short: Bytes of a body that both sides take in its frame, whatever the name of the method.
        greeting: What the client greeted with (server only, once received).
        reply: What the server answered (client only, once received).
        unknown: Optional frames of a kind that we do not know, ignored.
        farewell: The code of the CLOSE that we have sent, or None.
    """

    __slots__ = (
        "_early",
        "_limits",
        "_preamble",
        "_said",
        "_short_frame",
        "calls",
        "decoder",
        "farewell",
        "greeting",
        "longest",
        "peer",
        "reply",
        "role",
        "short",
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
        self.farewell: CloseCode | None = None
        self.longest = min(limits.max_message, MINIMUM.message)
        self.short = min(self.longest, _SHORT)
        self._limits = limits
        self._preamble = b""  # the peer's, as far as it has arrived
        self._early = bytearray()
        self._said = _Said.NOTHING
        longest = max(limits.max_greeting, MINIMUM_GREETING)
        self.decoder = FrameDecoder(longest, self.calls.place)
        self._short_frame = 0  # bytes of a frame that is not looked at before it is decoded

    def __repr__(self) -> str:
        return f"<Wire {self.role.value} {self.state.value}, {len(self.calls.alive)} calls>"

    # -------------------------------------------------------------- receiving

    def buffer(self) -> memoryview | None:
        """Return where the next bytes belong, or None if any buffer will do."""
        if self.decoder.target is None or self.state not in _LIVE:
            return None
        return self.decoder.buffer()

    def written(self, count: int) -> list[Event]:
        """Account for `count` bytes that were written into `buffer()`."""
        if self.state not in _LIVE:
            return []  # we closed it meanwhile
        whole = self.decoder.written(count)
        return [] if whole is None else self._events([whole])

    def receive(self, data: bytes | bytearray | memoryview, size: int | None = None) -> list[Event]:
        """Take the next bytes from the peer and return what they mean, in order.

        Args:
            data: The bytes, which may change afterwards.
            size: How many of them count, if not all.
        """
        if size is None:
            size = len(data)
        decoder = self.decoder
        if self.state not in _LIVE or decoder.target is not None or decoder.tail:
            data = memoryview(data)[:size]
            if self.state not in _LIVE:
                return self._receive_before(data)
            if decoder.target is not None:
                return self._events(decoder.feed(data))
            data = decoder.joined(data)
            size = len(data)
        events: list[Event] = []
        try:
            taken = self.calls.take(data, size, self._short_frame, events)
        except RemoteProtocolError as error:
            events.append(self._violation(error))
            return events
        if taken < size:
            events += self._events(decoder.feed(memoryview(data)[taken:size]))
        return events

    def _receive_before(self, data: memoryview) -> list[Event]:
        """Take what comes while no frame about a call may be looked at: too early, or too late."""
        if self.state is ConnectionState.CLOSED:
            return []
        try:
            if self.state is ConnectionState.WAITING:
                return self._keep_early(data)
            return self._greet(data)
        except RemoteProtocolError as error:
            return [self._violation(error)]

    def _violation(self, error: RemoteProtocolError) -> Violation:
        self.state = ConnectionState.CLOSED
        return Violation(error)

    def _greet(self, data: memoryview) -> list[Event]:
        """Read up to the greeting and no further: what follows may have to wait."""
        missing = len(PREAMBLE) - len(self._preamble)
        if missing:
            self._preamble += bytes(data[:missing])
            check_preamble(self._preamble)
            data = data[missing:]
        events: list[Event] = []
        while data and self.state is ConnectionState.GREETING:
            missing = self.decoder.missing
            events += self._events(self.decoder.feed(data[:missing]))
            data = data[missing:]
        return events + self.receive(data) if data else events

    def _keep_early(self, data: memoryview) -> list[Event]:
        self._early += data
        most = max(self._limits.max_early, MINIMUM_EARLY)
        if len(self._early) > most:
            raise RemoteProtocolError(f"more than {most} bytes before the welcome")
        return []

    def _events(self, frames: Iterable[memoryview | Whole]) -> list[Event]:
        events: list[Event] = []
        receive, calls = self.calls.receive, self.calls
        live = self.state in _LIVE
        try:
            for data in frames:
                if calls.bodies and self._is_part(data, events):
                    continue
                frame = decode(cast("memoryview", data))
                if live and type(frame) in ABOUT_CALLS:
                    receive(cast("CallFrame", frame), events)
                elif live and frame is None:
                    self.unknown += 1
                else:
                    self._about_us(frame, events)
                    live = self.state in _LIVE
                    if self.state is ConnectionState.CLOSED:
                        break
        except RemoteProtocolError as error:
            events.append(self._violation(error))
        return events

    def _is_part(self, data: memoryview | Whole, events: list[Event]) -> bool:
        """Take a piece of a long body without decoding it, if it is one."""
        if type(data) is PlacedPart:
            self.calls.placed(data, events)
            return True
        view = cast("memoryview", data)
        return len(view) >= LONG and self.calls.whole_part(view, events)

    def _about_us(self, frame: Frame | None, events: list[Event]) -> None:
        """Apply a frame that is about the connection, or has no business here."""
        if frame is None:
            raise RemoteProtocolError("an unknown frame instead of a greeting")
        kind = _KIND_OF[type(frame)]
        state = CONNECTION[self.role][self.state].get(kind)
        if state is None:
            raise RemoteProtocolError(
                f"{kind.name} while the connection is {self.state.value}, is not allowed"
            )
        if type(frame) is Hello:
            self.greeting = parse_greeting(frame.options)
            self._know_peer(self.greeting.limits)
        elif type(frame) is Welcome:
            self.reply = parse_reply(frame.options)
            self._know_peer(self.reply.limits)
        elif type(frame) is Close:
            self._said = _Said.GOODBYE  # it reads no answer
        self.state = state
        events.append(frame)

    def _know_peer(self, announced: Announced) -> None:
        self.peer = announced
        self.longest = min(self._limits.max_message, announced.message)
        self.short = min(self.longest, _SHORT)
        self.calls.peer_window = announced.window
        self.decoder.max_frame = self._limits.max_frame
        self._short_frame = min(self._limits.max_frame, MAX_MAP)

    # ---------------------------------------------------------------- sending

    def hello(self, greeting: Greeting) -> bytes:
        """Return the client's first bytes."""
        self._said = _Said.PREAMBLE
        return PREAMBLE + encode(Kind.HELLO.value, options_of(greeting))

    def welcome(self, reply: Reply) -> bytes:
        """Return the server's first bytes: the caller is known.

        Afterwards call `resume` for what the client sent early.

        Raises:
            LocalProtocolError: Nobody has greeted, or we have answered already.
        """
        if self.state is not ConnectionState.WAITING:
            raise LocalProtocolError(f"WELCOME while the connection is {self.state.value}")
        self.state = ConnectionState.READY
        self._said = _Said.PREAMBLE
        return PREAMBLE + encode(Kind.WELCOME.value, options_of(reply))

    def resume(self) -> list[Event]:
        """Return the events of what the client sent before it was welcomed."""
        early, self._early = self._early, bytearray()
        return self.receive(early) if early else []

    def close(
        self, code: CloseCode, reason: str, details: dict[str, Any] | None = None
    ) -> bytes | None:
        """Return the last bytes to send, or None if the peer would not read or understand them.

        Nothing is read any more. A second call returns None, and so does the first after the
        peer's own CLOSE, or when the peer has not shown that it speaks this protocol.
        """
        self.state = ConnectionState.CLOSED
        said, self._said = self._said, _Said.GOODBYE
        if code is CloseCode.VERSION:
            details = {"versions": [VERSION]}
        frame = encode(Kind.CLOSE.value, code.value, reason[:_LONGEST_REASON], details)
        if said is _Said.NOTHING and self.role is Role.SERVER and speaks_framerpc(self._preamble):
            frame = PREAMBLE + frame
        elif said is not _Said.PREAMBLE:
            return None
        self.farewell = code
        return frame

    def goaway(self, reason: str, grace: float, spread: float = 0.0) -> bytes:
        """Return the frame that asks for no new calls, and stop counting on any.

        Args:
            reason: Why, in words.
            grace: Seconds that calls in flight are given.
            spread: Seconds over which peers that are told the same should dial again.

        Raises:
            LocalProtocolError: There is no connection yet, or no more.
        """
        if self.state not in _LIVE:
            raise LocalProtocolError(f"GOAWAY while the connection is {self.state.value}")
        self.state = ConnectionState.DRAINING
        grace_ms, spread_ms = (int(min(each * 1000, MAX_UINT)) for each in (grace, spread))
        return encode(Kind.GOAWAY.value, reason[:_LONGEST_REASON], grace_ms, spread_ms)

    def check_size(self, size: int, method: str, executed: Executed = "no") -> None:
        """Refuse a body that one of the two sides would not take.

        Raises:
            MessageTooLarge: It is over our limit or the peer's.
        """
        if size > self._limits.max_message:
            raise MessageTooLarge(size, self._limits.max_message, "local", method, executed)
        if size > self.peer.message:
            raise MessageTooLarge(size, self.peer.message, "remote", method, executed)


class _Said(enum.Enum):
    """What we have sent that decides how we can still say goodbye."""

    NOTHING = "nothing"
    PREAMBLE = "preamble"
    GOODBYE = "goodbye"  # or it is of no use any more


_SHORT: Final = PART_SIZE - 1024
"""Leaves room for the longest name, 255 bytes, in the shortest frame that every peer takes."""

_LIVE: Final = frozenset({ConnectionState.READY, ConnectionState.DRAINING})
_LONGEST_REASON: Final = 1000  # characters: enough for a person, and sure to fit in a frame
