"""What received frames do to the calls of one connection, their streams and their bodies.

The tables of `states` decide; this module only applies them. The few cells that nearly all
traffic goes through are written out in `Calls.take`, where they cost a third.

Spec: protocol.md, "Calls", "Streams" and "Bodies in parts".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from framerpc.errors import RemoteProtocolError
from framerpc.protocol.bodies import (
    Announcement,
    IncomingBody,
    PlacedPart,
    parse_part_header,
)
from framerpc.protocol.book import STREAM_FLAGS, CallBook
from framerpc.protocol.frames import (
    CATALOGUE,
    Cancel,
    Credit,
    End,
    Error,
    Flag,
    Item,
    Kind,
    Notify,
    Part,
    Receipt,
    Request,
    Response,
    decode_known,
)
from framerpc.protocol.framing import LONG, PREFIX
from framerpc.protocol.states import CALLEE, CALLER, CallState, Effect, Flow, Step
from framerpc.protocol.streams import ITEM_COST, NO_STREAMS

if TYPE_CHECKING:
    from framerpc.protocol.events import Event

__all__ = ["ABOUT_CALLS", "ITEM_COST", "CallFrame", "Calls", "PlacedPart"]

CallFrame: TypeAlias = (
    Request | Response | Error | Cancel | Receipt | Item | End | Credit | Notify | Part
)
"""A frame about a call."""

ABOUT_CALLS: Final = frozenset(CATALOGUE[kind] for kind in Kind if kind >= Kind.REQUEST)
"""The frames of `CallFrame`, to look a class up."""

_unpack_length: Final = PREFIX.unpack_from
_CLOSE: Final = Step(Effect.CLOSE, CallState.IDLE)
_IDLE: Final = CallState.IDLE
_OPEN: Final = CallState.OPEN
_FLOWS: Final = Flow.OPEN
_KIND_OF: Final = {frame: Kind(number) for number, frame in CATALOGUE.items()}
_STARTS: Final = frozenset({Kind.REQUEST, Kind.NOTIFY})
_WITH_BODY: Final = frozenset({Kind.REQUEST, Kind.RESPONSE, Kind.ITEM, Kind.NOTIFY})
_AFTER_BODY: Final = frozenset({Kind.RESPONSE, Kind.ITEM, Kind.END})
"""What its sender may not send while a body of the same call is on its way."""
_SENDS_STREAM: Final = Flag.SENDS_STREAM.value
_WANTS_STREAM: Final = Flag.WANTS_STREAM.value


class Calls(CallBook):
    """The calls of one connection, and what received frames do to them."""

    __slots__ = ()

    def take(
        self, data: bytes | bytearray | memoryview, size: int, longest: int, events: list[Event]
    ) -> int:
        """Apply the frames at the front of `data` that nearly all traffic consists of.

        These are short frames about calls, with their bodies inside. The cells of the tables
        for a request, a response and an item are written out here.

        Args:
            data: Whole frames, and perhaps the start of one, with their prefixes.
            size: How many bytes of `data` count.
            longest: Bytes of a frame that is not looked at before it is decoded.
            events: Gets what they mean.

        Returns:
            The position of the first frame that takes the long way, or is not complete.

        Raises:
            RemoteProtocolError: As `receive`.
        """
        alive, bodies = self.alive, self.bodies
        end = 0 if self._mixed else size
        start = 0
        while (first := start + 4) < end and not bodies:
            (length,) = _unpack_length(data, start)
            stop = first + length
            if stop > end or length > longest or not length:
                return start
            try:
                frame = decode_known(data[first:stop])
            except (ValueError, RecursionError):
                return start
            kind = frame.__class__
            if kind is Request and (  # CALLEE, idle
                (call_id := frame.id) not in alive
                and call_id & 1 != self._parity
                and self.serves
                and frame.body.__class__ is bytes
                and not frame.flags & STREAM_FLAGS
            ):
                alive[call_id] = _OPEN
            elif kind is Response and (  # CALLER, open
                alive.get(call_id := frame.id) is _OPEN
                and call_id & 1 == self._parity
                and frame.body.__class__ is bytes
                and call_id not in self._streams
            ):
                del alive[call_id]
            elif kind not in ABOUT_CALLS or length >= LONG:
                return start
            elif kind is not Item or not self._took(frame):
                self.receive(frame, events)
                start = stop
                continue
            events.append(frame)
            start = stop
        return start

    def _took(self, item: Item) -> bool:
        """Charge an item that is here and may come now; return False for any other."""
        streams = self._streams.get(item.id, NO_STREAMS)
        if (  # CONSUMER, open
            streams.consuming is not _FLOWS
            or streams.may_receive <= 0
            or self.alive.get(item.id) is not _OPEN
            or type(item.body) is not bytes
        ):
            return False
        streams.may_receive -= ITEM_COST + len(item.body)
        return True

    def receive(self, frame: CallFrame, events: list[Event]) -> None:
        """Apply one frame about a call, by the tables.

        Raises:
            RemoteProtocolError: The tables say CLOSE, or a limit of the protocol is broken.
        """
        call_id = frame.id
        kind = _KIND_OF[type(frame)]
        state = self.alive.get(call_id, _IDLE)
        ours = call_id & 1 == self._parity
        step = (CALLER if ours else CALLEE)[state].get(kind, _CLOSE)
        if step.effect is Effect.CLOSE or (kind in _STARTS and not self.serves):
            raise RemoteProtocolError(
                f"{kind.name} for call {call_id}, which is {state.value}, is not allowed"
            )
        if step.effect is Effect.IGNORE:
            self.ignored += 1
        elif type(frame) is Part:
            self._part(frame, events)
        else:
            self._in_order(kind, call_id, ours=ours)
            if not self._in_stream(kind, frame, ours=ours):
                self.ignored += 1
            elif kind not in _WITH_BODY or not self._announced(cast("Announcement", frame), events):
                self._apply(frame, step)
                events.append(frame)

    def _in_order(self, kind: Kind, call_id: int, *, ours: bool) -> None:
        """Refuse what may not come between the parts of a body."""
        body = self.bodies.get(call_id)
        if body is None:
            return
        upload_error = kind is Kind.ERROR and not ours
        if kind in _AFTER_BODY or (upload_error and type(body.frame) is not Item):
            raise RemoteProtocolError(
                f"{kind.name} for call {call_id} while a body of it is still on its way"
            )
        if upload_error:
            self.bodies.forget(call_id)

    def _in_stream(self, kind: Kind, frame: CallFrame, *, ours: bool) -> bool:
        """Apply a frame to the stream that it is about; return whether to deliver it."""
        streams = self._streams.get(frame.id, NO_STREAMS)
        if type(frame) is Credit:
            return streams.granted(frame.bytes)
        if type(frame) is Item:
            return streams.arrived(kind, _size_of(frame))
        if kind is Kind.END or (kind is Kind.ERROR and not ours):
            return streams.arrived(kind)
        if kind is Kind.RESPONSE and streams.consuming is not Flow.NONE:
            raise RemoteProtocolError(f"RESPONSE for call {frame.id}, which asked for a stream")
        return True

    def _apply(self, frame: CallFrame, step: Step) -> None:
        """Move a call along its table."""
        call_id = frame.id
        if step.state is _IDLE:
            self._forget(call_id)
            return
        self.alive[call_id] = cast("CallState", step.state)
        if type(frame) is Request:
            self._open(frame)
        elif type(frame) is Cancel:
            self.bodies.forget(call_id)

    def _open(self, request: Request) -> None:
        flags = request.flags
        if flags & STREAM_FLAGS:
            self._open_streams(request.id, flags & _WANTS_STREAM, flags & _SENDS_STREAM)

    def _forget(self, call_id: int) -> None:
        self.alive.pop(call_id, None)
        self._streams.pop(call_id, None)
        self.bodies.forget(call_id)

    # -------------------------------------------------------- bodies in parts

    def _announced(self, frame: Announcement, events: list[Event]) -> bool:
        """Take a body that follows in parts, or is too long; return False for any other."""
        body = frame.body
        if type(body) is not int:
            # One that is here already is only refused if somebody can still be told.
            refused = self.bodies.too_long(frame, _size_of(frame)) if self._mixed else None
            if refused is None or type(frame) is Response:
                return False
            if type(frame) is Request:
                self.alive[frame.id] = _OPEN
        else:
            if type(frame) is Request or type(frame) is Notify:
                self.alive[frame.id] = _OPEN  # so that the id counts as used
            if type(frame) is Request:
                self._open(frame)
            refused = self.bodies.announce(frame, body)
        if refused is not None:
            events.append(refused)
        return True

    def _part(self, frame: Part, events: list[Event]) -> None:
        body = self.bodies.get(frame.id)
        if body is not None:
            body.add(frame.chunk)
            self._added(frame.id, body, events)
        elif self.alive.get(frame.id) is _OPEN:
            raise RemoteProtocolError(f"PART for call {frame.id}, which announced no body")
        else:
            self.ignored += 1

    def whole_part(self, data: memoryview | bytearray, events: list[Event]) -> bool:
        """Copy a PART frame straight into its body; return False for any other frame."""
        view = memoryview(data)
        header = parse_part_header(view, len(view))
        body = self.bodies.get(header[0]) if header is not None else None
        if header is None or body is None:
            return False
        call_id, begin = header
        body.add(view[begin:])
        self._added(call_id, body, events)
        return True

    def place(self, start: memoryview, size: int) -> PlacedPart | None:
        """Return where the rest of a long frame goes, if it is a PART of a body that we keep.

        Raises:
            RemoteProtocolError: The part is longer than its body.
        """
        return self.bodies.place(start, size) if self.bodies else None

    def placed(self, part: PlacedPart, events: list[Event]) -> None:
        """Note that a part is complete that was written straight into its body."""
        if self.bodies.get(part.call_id) is not part.body:
            self.ignored += 1  # the call ended meanwhile
            return
        part.body.received += part.count
        self._added(part.call_id, part.body, events)

    def _added(self, call_id: int, body: IncomingBody, events: list[Event]) -> None:
        """Let the frame that announced a body take its step once all of it is here."""
        if not body.complete:
            return
        self.bodies.forget(call_id)
        frame = body.frame
        if type(frame) is Response or type(frame) is Notify:
            self._forget(call_id)
        if body.keep:
            frame.body = cast("bytes", body.take())
            events.append(frame)


def _size_of(frame: Any) -> int:
    """Return the size of a body, here or announced."""
    body = frame.body
    return body if type(body) is int else len(body)
