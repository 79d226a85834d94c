"""The calls that we made on one connection, from their request to their last frame.

The in-flight table: a reply reaches only its own call, whatever was cancelled or came late. A
call that is given up stays in the table until the peer has told what became of it; only then is
its id free.

Spec: protocol.md, "Calls", "Cancellation" and "Deadlines".
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec

from framerpc.connection.timers import CATCH_UP, Sweeper, was_blocked
from framerpc.deadline import to_wire
from framerpc.errors import (
    ConnectionLost,
    DeadlineExceeded,
    MessageTooLarge,
    ResourceExhausted,
    Status,
)
from framerpc.protocol.frames import PART_SIZE, CancelReason, Flag, Kind, encode
from framerpc.protocol.maps import check_headers
from framerpc.protocol.states import CallState, ConnectionState

if TYPE_CHECKING:
    import asyncio

    from framerpc.call import Buffer, CallContext
    from framerpc.connection.outbox import Outbox
    from framerpc.connection.streams import ItemReader, ItemWriter, StreamEnds
    from framerpc.protocol.events import Refused
    from framerpc.protocol.wire import Wire

__all__ = ["REPORT_GRACE", "OutgoingCall", "OutgoingCalls"]

_READY: Final = ConnectionState.READY
_OPEN: Final = CallState.OPEN
_REQUEST: Final = Kind.REQUEST.value
_NOTIFY: Final = Kind.NOTIFY.value

REPORT_GRACE: Final = 0.05
"""Seconds past its deadline that a call waits for the peer to say where the time went.

Half of the 0.1 s within which every call has ended after its deadline."""


class OutgoingCall(msgspec.Struct, eq=False):
    """A call in flight.

    Attributes:
        id: Its number on the connection.
        table: The calls of the connection that it is on.
        method: The method called.
        deadline: Point in loop time, or None; None as well once it has passed.
        sent: Loop time at which the request was handed to the outbox.
        timeout: Seconds it was given, for messages.
        future: Its answer, unless the answer is a stream.
        reader: Its answer as a stream.
        writer: The stream that it sends.
        expired: It was given up because its deadline passed.
    """

    id: int
    table: OutgoingCalls
    method: str
    deadline: float | None
    sent: float
    timeout: float | None = None
    future: Any = None  # an asyncio.Future, which its users need not ask for
    reader: ItemReader | None = None
    writer: ItemWriter | None = None
    expired: bool = False

    def __repr__(self) -> str:
        return f"<OutgoingCall {self.id} {self.method}>"

    def fail(self, error: BaseException) -> None:
        """Hand an error to whoever waits for the answer; nobody may."""
        if self.future is not None and not self.future.done():
            self.future.set_exception(error)
            self.future.exception()  # it may be that nobody asks any more: that is no fault
        if self.reader is not None:
            self.reader.finish(error)
        if self.writer is not None:
            self.writer.stop(error)


class OutgoingCalls:
    """The in-flight table of one connection.

    Args:
        loop: The connection's event loop.
        wire: The state of the protocol.
        outbox: Where frames leave.
        streams: The stream ends of the connection.
        endpoint: The peer's address, which the contexts of calls are told.

    Attributes:
        alive: The calls that have not ended, by id.
    """

    __slots__ = ("_endpoint", "_loop", "_outbox", "_streams", "_sweeper", "_wire", "alive")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        wire: Wire,
        outbox: Outbox,
        streams: StreamEnds,
        endpoint: str,
    ) -> None:
        self.alive: dict[int, OutgoingCall] = {}
        self._loop = loop
        self._wire = wire
        self._outbox = outbox
        self._streams = streams
        self._endpoint = endpoint
        self._sweeper = Sweeper(loop, self.alive.values, self._expire)

    # ---------------------------------------------------------------- starting

    def start_now(
        self, method: str, body: bytes, timeout: float | None, timeout_ms: int | None
    ) -> OutgoingCall | None:
        """Send a request that has one answer, the call's `future`, and nothing special about it.

        Nearly all calls are like that: no context is made for them, and `Connection.may_call` is
        written out here.

        Args:
            method: Name of a method that was declared.
            body: Its arguments.
            timeout: Seconds that it is given, from now on.
            timeout_ms: The same as it is said on the wire.

        Returns:
            None if it cannot leave at once in one frame: `start` says why not, or finds a way.
        """
        wire, alive = self._wire, self.alive
        if (
            wire.state is not _READY
            or len(body) > wire.short
            or len(alive) >= wire.peer.calls
            or self._outbox.paused is not None
        ):
            return None
        call_id = wire.calls.new_id()
        frame = encode(_REQUEST, call_id, 0, method, timeout_ms, None, body)
        if alive:
            self._outbox.send(frame)
        else:
            self._outbox.send_now(frame)
        # From here on the peer works at the same time.
        wire.calls.alive[call_id] = _OPEN
        loop = self._loop
        sent, deadline = loop.time(), None
        if timeout is not None:
            deadline = sent + timeout
            if deadline < self._sweeper.next:
                self._sweeper.add(deadline)
        future = loop.create_future()
        call = OutgoingCall(call_id, self, method, deadline, sent, timeout, future)
        alive[call_id] = call
        return call

    def start(
        self,
        context: CallContext,
        body: Buffer,
        *,
        wants_stream: bool = False,
        sends_stream: bool = False,
        headers: dict[str, Any] | None = None,
    ) -> OutgoingCall:
        """Send a request; its answer is the call's `future`, or its `reader` if it is a stream.

        Args:
            context: The call.
            body: Its arguments.
            wants_stream: The answer is a stream.
            sends_stream: One of the arguments is a stream, which goes to the call's `writer`.
            headers: What the request says besides what its context does.

        Raises:
            MessageTooLarge: The arguments are over a limit; nothing was sent.
            InvalidArgument: The metadata is over a limit; likewise.
        """
        method = context.method
        self._wire.check_size(len(body), method)
        if context.metadata:
            check_headers(_headers(context), method)
        book = self._wire.calls
        call_id = book.new_id()
        flags = int(wants_stream * Flag.WANTS_STREAM | sends_stream * Flag.SENDS_STREAM)
        book.opened(call_id, flags)
        call = OutgoingCall(
            call_id, self, method, context.deadline, self._loop.time(), context.timeout
        )
        if wants_stream:
            stop = partial(self.cancel, call)
            call.reader = self._streams.reader(call_id, stop, quiet=context.quiet)
        else:
            call.future = self._loop.create_future()
        if sends_stream:
            call.writer = self._streams.writer(call_id)
        self._send(call, flags, _headers(context) | (headers or {}) or None, context, body)
        return call

    def _send(
        self,
        call: OutgoingCall,
        flags: int,
        headers: dict[str, Any] | None,
        context: CallContext,
        body: Buffer,
    ) -> None:
        context.peer = self._endpoint
        deadline = call.deadline
        timeout_ms = None if deadline is None else to_wire(deadline, call.sent)
        size = len(body)
        frame = b""
        if size <= PART_SIZE:
            frame = encode(_REQUEST, call.id, flags, call.method, timeout_ms, headers, body)
        if not frame or len(frame) > self._wire.peer.frame:  # metadata may be what is too much
            head = encode(_REQUEST, call.id, flags, call.method, timeout_ms, headers, size)
            self._outbox.send_body(head, call.id, body, _ignore)
        elif self.alive:
            self._outbox.send(frame)
        else:
            self._outbox.send_now(frame)
        self.alive[call.id] = call
        if deadline is not None and deadline < self._sweeper.next:
            self._sweeper.add(deadline)

    def notify(self, context: CallContext, body: Buffer) -> None:
        """Send a one-way call.

        Raises:
            MessageTooLarge: The arguments are over a limit; nothing was sent.
            InvalidArgument: The metadata is over a limit; likewise.
        """
        context.peer = self._endpoint
        method, size = context.method, len(body)
        headers = {"meta": context.metadata} if context.metadata else None
        self._wire.check_size(size, method)
        if headers is not None:
            check_headers(headers, method)
        call_id = self._wire.calls.new_id()
        frame = encode(_NOTIFY, call_id, method, headers, body) if size <= PART_SIZE else b""
        if frame and len(frame) <= self._wire.peer.frame:
            self._outbox.send(frame)
        else:
            head = encode(_NOTIFY, call_id, method, headers, size)
            self._outbox.send_body(head, call_id, body, _ignore)

    # ------------------------------------------------------------------ ending

    def holds(self, call: OutgoingCall) -> bool:
        """Return whether a call has not ended for the peer; its id may be another's by now."""
        return self.alive.get(call.id) is call

    def succeed(self, call_id: int, body: Any) -> None:
        """Take a RESPONSE with its complete body."""
        call = self.alive.pop(call_id, None)
        if call is None:
            return
        future = call.future
        if future is not None and not future.done():  # nobody may wait any more
            future.set_result(body)
        if call.writer is not None:
            self._streams.forget(call_id)

    def fail(self, call_id: int, error: BaseException) -> None:
        """Take an ERROR."""
        call = self.alive.pop(call_id, None)
        if call is not None:
            self._outbox.drop_body(call_id)
            call.fail(error)
            self._streams.forget(call_id)

    def end(self, call_id: int) -> None:
        """Take the END of a stream that is an answer.

        One that crossed with our CANCEL ends what its caller has only a part of.
        """
        call = self.alive.pop(call_id, None)
        if call is not None and call.expired:
            call.fail(self._late(call))
        self._streams.forget(call_id)

    def receipt(self, call_id: int) -> str:
        """Take a RECEIPT; return the method that was called."""
        call = self.alive.pop(call_id, None)
        if call is None:
            return ""
        call.fail(self._late(call))  # or its caller has gone, and nobody hears of it
        self._streams.forget(call_id)
        return call.method

    def refused(self, refused: Refused) -> None:
        """An answer was announced that is over our limits."""
        call = self.alive.get(refused.frame.id)
        if call is None:
            return
        if refused.status is Status.MESSAGE_TOO_LARGE:
            error: BaseException = MessageTooLarge(
                refused.size, refused.limit, "local", call.method, "yes"
            )
        else:
            error = ResourceExhausted(
                f"an answer of {refused.size} bytes does not fit: Limits.max_receiving is "
                f"{refused.limit} bytes for all answers on their way"
            )
            error.method, error.executed = call.method, "yes"
        call.fail(error)
        self.cancel(call)

    def cancel(self, call: OutgoingCall, reason: CancelReason = CancelReason.CANCELLED) -> None:
        """Give a call up: tell the peer, once, and forget what we still had to send."""
        if not self.holds(call) or not self._wire.calls.cancelled(call.id):
            return
        call.deadline = None
        self._outbox.drop_body(call.id)
        if call.writer is not None:
            call.writer.stop()
        self._outbox.send(encode(Kind.CANCEL.value, call.id, reason.value))

    def lost(self, error: ConnectionLost) -> None:
        """The connection is gone: every call ends here."""
        self._sweeper.stop()
        calls = list(self.alive.values())
        self.alive.clear()
        for call in calls:
            call.fail(ConnectionLost(error.endpoint, error.cause, error.executed, call.method))

    # --------------------------------------------------------------- deadlines

    def _expire(self, call: OutgoingCall) -> None:
        """The deadline passed: stop the peer, and let it say where the time went."""
        self.cancel(call, CancelReason.DEADLINE)
        call.deadline = None
        call.expired = True
        due = self._loop.time() + REPORT_GRACE
        self._loop.call_at(due, self._give_up, call, due)

    def _give_up(self, call: OutgoingCall, due: float) -> None:
        if not self.holds(call):
            return
        if was_blocked(self._loop, due):  # its answer may be there, unread
            self._loop.call_later(CATCH_UP, self._give_up, call, float("inf"))
        else:
            call.fail(self._late(call))

    def _late(self, call: OutgoingCall) -> DeadlineExceeded:
        waited = self._loop.time() - call.sent
        error = DeadlineExceeded(
            "the deadline passed", call.timeout, (("no word from the server", waited),)
        )
        error.method = call.method
        return error


def _headers(context: CallContext) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    if context.metadata:
        headers["meta"] = context.metadata
    if context.attempt > 1:
        headers["attempt"] = context.attempt
    return headers


def _ignore(_sent: bool) -> None:  # noqa: FBT001 - the callback's shape
    """Nobody needs to know when a request has left."""
