"""The calls of one connection: which are alive, their streams' credit, their bodies in parts.

Both sides keep the same book. Whether we are the caller or the callee of a call shows in its
id: odd ones were chosen by the client, even ones by the server. The tables of `states` decide
what a frame does; this module only applies them.

Spec: protocol.md, "Calls", "Streams" and "Bodies in parts".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from framerpc.errors import LocalProtocolError, RemoteProtocolError, Status
from framerpc.protocol.bodies import IncomingBody, parse_part_header
from framerpc.protocol.events import Refused
from framerpc.protocol.frames import (
    MAX_CREDIT,
    MAX_ID,
    Credit,
    Error,
    Flag,
    Item,
    Kind,
    Notify,
    Part,
    Request,
    Response,
    encode,
)
from framerpc.protocol.states import (
    CALLEE,
    CALLER,
    CONSUMER,
    PRODUCER,
    CallState,
    Effect,
    Flow,
    Role,
    Step,
)

if TYPE_CHECKING:
    from framerpc.config import Limits
    from framerpc.protocol.events import Event
    from framerpc.protocol.frames import Cancel, End, Receipt

__all__ = ["ITEM_COST", "Calls", "PlacedPart"]

ITEM_COST: Final = 64
"""What an item costs in credit on top of its bytes, so that empty ones are not free."""

_CLOSE: Final = Step(Effect.CLOSE, CallState.IDLE)
_IDLE: Final = CallState.IDLE
_DELIVER: Final = Effect.DELIVER
_WITH_BODY: Final = frozenset({Kind.REQUEST, Kind.RESPONSE, Kind.ITEM, Kind.NOTIFY})
_SENDS_STREAM: Final = Flag.SENDS_STREAM.value
_WANTS_STREAM: Final = Flag.WANTS_STREAM.value


class _Streams:
    """Both directions of one call that streams."""

    __slots__ = ("consuming", "may_receive", "may_send", "producing", "taken", "window")

    def __init__(self, producing: Flow, consuming: Flow, may_send: int, window: int) -> None:
        self.producing = producing
        self.consuming = consuming
        self.may_send = may_send
        self.may_receive = self.window = window
        self.taken = 0  # consumed, and not yet told to the producer


class PlacedPart:
    """A PART frame whose chunk is being written straight into its body."""

    __slots__ = ("body", "call_id", "count", "target")

    def __init__(self, call_id: int, body: IncomingBody, count: int, target: memoryview) -> None:
        self.call_id = call_id
        self.body = body
        self.count = count
        self.target = target


class Calls:
    """The book of the calls of one connection, for one side.

    Args:
        role: Which side we are.
        limits: What we are ready to receive.

    Attributes:
        alive: State of each call that is not idle.
        ignored: Frames that crossed with the end of their call.
        peer_window: Credit that the peer grants to a new stream, in bytes.
    """

    __slots__ = (
        "_bodies",
        "_limits",
        "_next_id",
        "_parity",
        "_receiving",
        "_streams",
        "alive",
        "ignored",
        "peer_window",
    )

    def __init__(self, role: Role, limits: Limits, peer_window: int) -> None:
        self.alive: dict[int, CallState] = {}
        self.ignored = 0
        self.peer_window = peer_window
        self._limits = limits
        self._parity = 1 if role is Role.CLIENT else 0
        self._next_id = 1 if role is Role.CLIENT else 2
        self._streams: dict[int, _Streams] = {}
        self._bodies: dict[int, IncomingBody] = {}
        self._receiving = 0  # sum of the announced sizes in _bodies

    @property
    def receiving(self) -> bool:
        """A body in parts is on its way to us."""
        return bool(self._bodies)

    # ---------------------------------------------------------------- sending

    def new_id(self) -> int:
        """Return an id that no live call of ours has."""
        call_id = self._next_id
        while call_id in self.alive:
            call_id = self._after(call_id)
        self._next_id = self._after(call_id)
        return call_id

    def _after(self, call_id: int) -> int:
        return call_id + 2 if call_id + 2 <= MAX_ID else 2 - self._parity

    def opened(self, call_id: int, flags: int) -> None:
        """Note that we sent a REQUEST."""
        self.alive[call_id] = CallState.OPEN
        if flags:
            self._open_streams(
                call_id,
                producing=flags & _SENDS_STREAM,
                consuming=flags & _WANTS_STREAM,
            )

    def _open_streams(self, call_id: int, *, producing: int, consuming: int) -> None:
        self._streams[call_id] = _Streams(
            Flow.OPEN if producing else Flow.NONE,
            Flow.OPEN if consuming else Flow.NONE,
            self.peer_window,
            self._limits.stream_window,
        )

    def cancelled(self, call_id: int) -> bool:
        """Note that we gave our call up; return whether there is something to tell the peer."""
        if self.alive.get(call_id) is not CallState.OPEN:
            return False
        self.alive[call_id] = CallState.CANCELLING
        body = self._bodies.get(call_id)
        if body is not None and type(body.frame) is Item:
            self._drop_body(call_id)
        return True

    def ended(self, call_id: int) -> CallState:
        """Note that we sent the last frame of a call; return the state it had.

        Raises:
            LocalProtocolError: There is no such call.
        """
        state = self.alive.pop(call_id, None)
        if state is None:
            raise LocalProtocolError(f"call {call_id} is not alive; nothing can be sent about it")
        if self._streams:
            self._streams.pop(call_id, None)
        if self._bodies:
            self._drop_body(call_id)
        return state

    def may_send(self, call_id: int) -> bool:
        """Return whether an item may be sent now."""
        streams = self._streams.get(call_id)
        return streams is not None and streams.may_send > 0

    def sent_item(self, call_id: int, size: int) -> None:
        """Note that we sent an item of `size` bytes.

        Raises:
            LocalProtocolError: The call has no open stream in this direction, or no credit.
        """
        streams = self._streams.get(call_id)
        if streams is None or streams.producing is not Flow.OPEN or streams.may_send <= 0:
            raise LocalProtocolError(f"call {call_id} may not send an item now")
        streams.may_send -= ITEM_COST + size

    def sent_end(self, call_id: int) -> bool:
        """Note that our upload ended; return whether there is something to tell the peer."""
        streams = self._streams.get(call_id)
        if streams is None or streams.producing is not Flow.OPEN:
            return False
        streams.producing = Flow.ENDED
        return self.alive.get(call_id) is CallState.OPEN

    def consumed(self, call_id: int, size: int) -> bytes | None:
        """Note that the application took an item of `size` bytes.

        Returns:
            The CREDIT frame to send; None until half a window has been taken.
        """
        streams = self._streams.get(call_id)
        if streams is None or streams.consuming is not Flow.OPEN:
            return None
        streams.taken += ITEM_COST + size
        if streams.taken * 2 < streams.window:
            return None
        granted, streams.taken = streams.taken, 0
        streams.may_receive += granted
        return encode(Kind.CREDIT.value, call_id, min(granted, MAX_CREDIT))

    # -------------------------------------------------------------- receiving

    def receive(self, kind: Kind, frame: Any, events: list[Event]) -> None:
        """Apply one frame about a call.

        Raises:
            RemoteProtocolError: The tables say CLOSE, or a limit of the protocol is broken.
        """
        call_id: int = frame.id
        state = self.alive.get(call_id, _IDLE)
        table = CALLER if call_id & 1 == self._parity else CALLEE
        step = table[state].get(kind, _CLOSE)
        if step.effect is not _DELIVER:
            self._not_delivered(step, kind, call_id, state)
        elif kind in _WITH_BODY and type(frame.body) is int:
            self._start_body(kind, frame, events)
        elif kind is Kind.RESPONSE and not self._streams and not self._bodies:
            del self.alive[call_id]  # the common case of _deliver, without its questions
            events.append(frame)
        else:
            self._deliver(kind, frame, step, events)

    def _not_delivered(self, step: Step, kind: Kind, call_id: int, state: CallState) -> None:
        if step.effect is Effect.CLOSE:
            raise RemoteProtocolError(
                f"{kind.name} for call {call_id}, which is {state.value}, is not allowed"
            )
        self.ignored += 1

    def _deliver(self, kind: Kind, frame: Any, step: Step, events: list[Event]) -> None:
        call_id: int = frame.id
        if kind is Kind.REQUEST:
            self.alive[call_id] = CallState.OPEN
            if frame.flags & 3:
                self._open_streams(
                    call_id,
                    producing=frame.flags & _WANTS_STREAM,
                    consuming=frame.flags & _SENDS_STREAM,
                )
            events.append(frame)
            return
        elif kind is Kind.PART:
            self._part(cast("Part", frame), events)
            return
        elif call_id in self._streams and not self._stream_frame(kind, frame):
            self.ignored += 1
            return
        elif kind in _STREAM_ONLY and call_id not in self._streams:
            raise RemoteProtocolError(f"{kind.name} for call {call_id}, which has no stream")
        self._apply(call_id, step)
        events.append(frame)

    def _apply(self, call_id: int, step: Step) -> None:
        """Move the call along its table."""
        if step.state is _IDLE:
            self.alive.pop(call_id, None)
            if self._streams:
                self._streams.pop(call_id, None)
            if self._bodies:
                self._drop_body(call_id)
        else:
            state = cast("CallState", step.state)
            self.alive[call_id] = state
            if state is CallState.CANCELLING and call_id & 1 != self._parity:
                self._drop_body(call_id)

    # ---------------------------------------------------------------- streams

    def _stream_frame(
        self, kind: Kind, frame: Item | End | Credit | Error | Response | Cancel | Receipt
    ) -> bool:
        """Apply a frame to the stream that it is about; return whether to deliver it."""
        streams = self._streams[frame.id]
        if kind is Kind.CREDIT:
            step = PRODUCER[streams.producing].get(kind, _CLOSE)
            if step.effect is _DELIVER:
                self._add_credit(streams, cast("Credit", frame))
        elif kind is Kind.ITEM or kind is Kind.END or self._is_upload_error(kind, frame.id):
            step = CONSUMER[streams.consuming].get(kind, _CLOSE)
            if kind is Kind.ITEM and step.effect is _DELIVER:
                self._charge(streams, len(cast("bytes", cast("Item", frame).body)), frame.id)
            if step.effect is _DELIVER:
                streams.consuming = cast("Flow", step.state)
        elif kind is Kind.RESPONSE and streams.consuming is not Flow.NONE:
            step = _CLOSE  # a stream was asked for
        else:
            return True
        if step.effect is Effect.CLOSE:
            raise RemoteProtocolError(f"{kind.name} does not fit the streams of call {frame.id}")
        return step.effect is _DELIVER

    def _is_upload_error(self, kind: Kind, call_id: int) -> bool:
        return kind is Kind.ERROR and call_id & 1 != self._parity

    def _add_credit(self, streams: _Streams, frame: Credit) -> None:
        streams.may_send += frame.bytes
        if streams.may_send > MAX_CREDIT:
            raise RemoteProtocolError(
                f"the credit of call {frame.id} is over {MAX_CREDIT} bytes in total"
            )

    def _charge(self, streams: _Streams, size: int, call_id: int) -> None:
        if streams.may_receive <= 0:
            raise RemoteProtocolError(f"an item of call {call_id} was sent without credit")
        streams.may_receive -= ITEM_COST + size

    # -------------------------------------------------------- bodies in parts

    def _start_body(self, kind: Kind, frame: Any, events: list[Event]) -> None:
        call_id: int = frame.id
        size = cast("int", frame.body)
        if call_id in self._bodies:
            raise RemoteProtocolError(
                f"{kind.name} for call {call_id} while a body of it is still on its way"
            )
        if kind is Kind.REQUEST:
            self.alive[call_id] = CallState.OPEN  # so that the id counts as used
        refused = self._judge(frame, size)
        if refused is not None:
            events.append(refused)
        # Only an answer must be counted to its end: everything else is stale once refused.
        keep = refused is None
        if keep or kind is Kind.RESPONSE or kind is Kind.NOTIFY:
            self._bodies[call_id] = body = IncomingBody(frame, size, keep=keep)
            self._receiving += size if keep else 0
            if body.complete:
                self._complete_body(call_id, body, events)

    def _judge(self, frame: Any, size: int) -> Refused | None:
        limit = self._limits.max_message
        if size > limit:
            return Refused(frame, size, limit, Status.MESSAGE_TOO_LARGE)
        most = cast("int", self._limits.max_receiving)
        if self._receiving + size > most:
            return Refused(frame, size, most, Status.RESOURCE_EXHAUSTED)
        return None

    def _part(self, frame: Part, events: list[Event]) -> None:
        body = self._bodies.get(frame.id)
        if body is None:
            self._stray_part(frame.id)
            return
        body.add(frame.chunk)
        if body.complete:
            self._complete_body(frame.id, body, events)

    def _stray_part(self, call_id: int) -> None:
        if self.alive.get(call_id) is CallState.OPEN:
            raise RemoteProtocolError(f"PART for call {call_id}, which announced no body")
        self.ignored += 1

    def place(self, start: memoryview, size: int) -> PlacedPart | None:
        """Return where the rest of a long frame goes, if it is a PART of a body that we keep.

        Raises:
            RemoteProtocolError: The part is longer than its body.
        """
        header = parse_part_header(start, size)
        if header is None:
            return None
        call_id, begin = header
        body = self._bodies.get(call_id)
        if body is None:
            return None
        room = body.reserve(size - begin)
        if room is None:
            return None
        here = len(start) - begin
        room[:here] = start[begin:]
        return PlacedPart(call_id, body, size - begin, room[here:])

    def placed(self, part: PlacedPart, events: list[Event]) -> None:
        """Note that a part is complete that was written straight into its body."""
        if self._bodies.get(part.call_id) is not part.body:
            self.ignored += 1  # the call ended meanwhile
            return
        part.body.received += part.count
        if part.body.complete:
            self._complete_body(part.call_id, part.body, events)

    def _complete_body(self, call_id: int, body: IncomingBody, events: list[Event]) -> None:
        self._drop_body(call_id)
        frame: Any = body.frame
        kind = _KIND_OF[type(frame)]
        state = self.alive.get(call_id, _IDLE)
        if kind is Kind.REQUEST:
            state = _IDLE  # its step was held back until now
        table = CALLER if call_id & 1 == self._parity else CALLEE
        step = table[state][kind]
        if body.kept:
            frame.body = body.take()
            self._deliver(kind, frame, step, events)
        else:
            self._apply(call_id, step)

    def _drop_body(self, call_id: int) -> None:
        body = self._bodies.pop(call_id, None)
        if body is not None and body.kept:
            self._receiving -= body.size


_STREAM_ONLY: Final = frozenset({Kind.ITEM, Kind.END, Kind.CREDIT})
_KIND_OF: Final[dict[type, Kind]] = {
    Request: Kind.REQUEST,
    Response: Kind.RESPONSE,
    Item: Kind.ITEM,
    Notify: Kind.NOTIFY,
}
