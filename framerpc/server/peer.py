"""The other end of one connection, as the server keeps it: who it is, and its calls in flight.

A peer owns the tasks of its calls: it starts them, stops them at their deadline or when their
caller gives up, and answers each exactly once. A handler that does not wait costs no task.

Spec: protocol.md, "Calls", "Cancellation" and "Deadlines".
"""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, cast

from framerpc.call import Body, Buffer, CallContext, Stream, current_context
from framerpc.connection.timers import Sweeper
from framerpc.errors import CloseCode, Status
from framerpc.protocol.frames import CancelReason, Flag, Notify, Outcome
from framerpc.protocol.sessions import ONCE_HEADER
from framerpc.pubsub.presence import Leave
from framerpc.server.admission import full, misfit
from framerpc.server.asks import AsksNothing
from framerpc.server.eager import start
from framerpc.server.failure import REPORT_GRACE, Failure, describe, too_late
from framerpc.server.incoming import IncomingCall, read_headers
from framerpc.server.leaving import Leaving
from framerpc.server.sink import StreamSink

if TYPE_CHECKING:
    from framerpc.call import Handler
    from framerpc.connection.connection import Connection
    from framerpc.errors import ConnectionLost, RemoteProtocolError
    from framerpc.protocol.events import Refused
    from framerpc.protocol.frames import Cancel, Close, Request
    from framerpc.protocol.handshake import Greeting
    from framerpc.server.dispatcher import Method
    from framerpc.server.guests import Guest
    from framerpc.server.server import Server
    from framerpc.server.session import Session

__all__ = ["Peer"]


class Peer(AsksNothing):
    """One client, from its greeting to its last call.

    Args:
        server: Whom it talks to.

    Attributes:
        connection: Its connection, once there is one.
        identity: What `authenticate` returned.
        address: Where it connected from.
        host: The same without the port, for counting.
        session: What survives the connection, or None.
        calls: Its calls that have not ended, answered ones included.
        guest: Its subscriptions, once it has made one. They are no calls: nothing runs for them.
        leaving: It was asked to go.
    """

    __slots__ = (
        "_clock",
        "_longest",
        "_loop",
        "_methods",
        "_most_calls",
        "_one_way",
        "_server",
        "_sweeper",
        "address",
        "calls",
        "connection",
        "guest",
        "host",
        "identity",
        "leaving",
        "session",
    )

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        self.connection: Connection = cast("Connection", None)  # set by the server at once
        self.identity: Any = None
        self.address = ""
        self.host = ""
        self.session: Session | None = None
        self.calls: dict[int, IncomingCall] = {}
        self.guest: Guest | None = None
        self.leaving: Leaving | None = None
        self._one_way = 0  # number of the last one-way call; negative keys in `calls`
        self._server = server
        self._loop = loop
        # What every call asks for.
        self._clock = loop.time
        self._methods = server.dispatcher.methods
        self._most_calls = server.limits.max_calls
        self._longest = server.limits.max_timeout
        self._sweeper = Sweeper(loop, self._expiring, self._expire)

    def __repr__(self) -> str:
        return f"<Peer {self.address}, {len(self.calls)} calls>"

    def leave(self, code: CloseCode, reason: str, grace: float, spread: float = 0.0) -> None:
        """Ask the client to go; its calls get `grace` seconds, which the caller sees to."""
        if self.leaving is None:
            self.leaving = Leaving(self, code, reason, self._clock() + grace, self._loop)
            self.leaving.begin(spread)

    def cut(self) -> list[asyncio.Future[Any]]:
        """Stop what runs and take nothing more; return what has to stop."""
        self._most_calls = 0
        tasks = [call.task for call in self.calls.values() if call.task is not None]
        for task in tasks:
            task.cancel()
        return tasks

    def _expiring(self) -> list[IncomingCall]:
        return list(self.calls.values())

    # -------------------------------------------------- acceptor of the connection

    def opened(self, connection: Connection, transport: asyncio.BaseTransport) -> None:
        """Count the stranger, or turn it away."""
        self._server.peers.opened(self, connection, transport)

    def greeted(self, connection: Connection, greeting: Greeting) -> None:
        """Find out who it is."""
        self._server.peers.greeted(self, connection, greeting)

    def closed(self, connection: Connection, close: Close) -> None:  # noqa: ARG002
        """A client said goodbye; `lost` follows."""
        if self.guest is not None:
            self.guest.lost(Leave.LEFT)
        if close.code == CloseCode.NORMAL:
            self._server.sessions.ended(self)

    def violated(self, connection: Connection, error: RemoteProtocolError) -> None:  # noqa: ARG002
        """A client broke the protocol; `lost` follows."""
        self._server.counters.violations += 1

    def complain(self, connection: Connection, problem: str) -> None:
        """Log why a client is closed; a flood of them must not fill the log."""
        self._server.complaints.say("connections", f"{connection.endpoint}: {problem}")

    def lost(self, connection: Connection, error: ConnectionLost) -> None:  # noqa: ARG002
        """Stop what nobody waits for any more."""
        self._sweeper.stop()
        if self.guest is not None:
            self.guest.lost(Leave.LOST)
        for call in list(self.calls.values()):
            call.answered = True
            if call.task is not None:
                call.task.cancel()
        self._server.sessions.left(self)
        self._server.peers.lost(self)

    def notified(self, connection: Connection, notify: Notify) -> None:  # noqa: ARG002
        """Run a one-way call; what is wrong with it is counted and logged, never answered."""
        method = self._server.dispatcher.methods.get(notify.method)
        problem = self.why_not(notify.method, method, 0, notify.headers)
        if problem is not None or method is None:
            detail = problem.detail if problem else ""
            self._dropped(detail)
            return
        self._one_way -= 1
        context = self.context_of(notify.method, notify.headers, self._server.limits.max_timeout)
        call = IncomingCall(0, context, context.deadline, answered=True)
        self.calls[self._one_way] = call
        self._start(self._one_way, call, method.handler, cast("Buffer", notify.body))

    def _dropped(self, detail: str) -> None:
        self._server.counters.dropped_notifications += 1
        complaint = f"{self.address}: a one-way call was dropped: {detail}"
        self._server.complaints.say("one-way calls", complaint)

    def request(self, connection: Connection, request: Request) -> None:
        """Run a call."""
        method = self._methods.get(request.method)
        if (
            method is None
            or request.flags
            or method.flags
            or request.headers
            or not request.timeout_ms
            or len(self.calls) >= self._most_calls
        ):
            self._request_special(connection, request, method)
            return
        # As there, without what nearly no call has.
        timeout = request.timeout_ms / 1000
        if timeout > self._longest:  # noqa: PLR1730 - `min` is dear where each call passes
            timeout = self._longest
        clock = self._clock
        now = clock()
        due = now + timeout
        name, call_id = request.method, request.id
        context = CallContext(
            name, clock, now, due, timeout, {}, self.identity, self.address, self._server
        )
        self.calls[call_id] = call = IncomingCall(call_id, context, due)
        self._start(call_id, call, method.handler, request.body)  # type: ignore[arg-type] # is here

    def _request_special(
        self, connection: Connection, request: Request, method: Method | None
    ) -> None:
        """Run a call that has more to it, or refuse it."""
        call_id, headers, timeout_ms = request.id, request.headers, request.timeout_ms
        if self.session is not None and ONCE_HEADER in (headers or ()):
            self._server.sessions.once.request(self, request, method)
            return
        problem = self.why_not(request.method, method, request.flags, headers)
        if problem is None and timeout_ms == 0:
            problem = Failure(Status.DEADLINE_EXCEEDED, "no", "it had passed on arrival")
        if problem is not None or method is None:
            self.refuse(call_id, problem)
            return
        timeout: float | None = None if method.flags else self._longest
        if timeout_ms is not None:
            timeout = min(timeout_ms / 1000, self._longest)
        context = self.context_of(request.method, headers, timeout)
        self.calls[call_id] = call = IncomingCall(call_id, context, context.deadline)
        body: Any = request.body
        if method.flags:
            context.link = self
            context.streams = bool(method.flags & Flag.WANTS_STREAM)
            if method.flags & Flag.SENDS_STREAM:
                body = Stream(connection.streams.reader(call_id), body)
        self._start(call_id, call, method.handler, body)

    def attach(self, request: Request, handler: Handler, work: CallContext | None) -> None:
        """Run a call that has no deadline of its own: it waits for work that has one.

        Args:
            request: The call.
            handler: Waits.
            work: What it waits for, if that has not ended.
        """
        context = self.context_of(request.method, request.headers, None)
        context.started = context.arrived
        if work is not None:
            context.children = work.children  # for the report of where the time went
        call = self.calls[request.id] = IncomingCall(request.id, context, None)
        self._start(request.id, call, handler, cast("Buffer", request.body))

    def refuse(self, call_id: int, problem: Failure | None) -> None:
        """Answer a call that is not going to run."""
        assert problem is not None  # there is one whenever there is no method
        self._server.counters.refused_calls += 1
        self.connection.fail(
            call_id, problem.status, problem.executed, problem.detail, problem.details
        )
        if self.leaving is not None:
            self.leaving.check()

    def cancel(self, connection: Connection, cancel: Cancel) -> None:
        """Stop a call, and tell what became of it."""
        call = self.calls.get(cancel.id)
        if call is None or call.answered:
            if self.guest is not None and self.guest.cancel(connection, cancel.id):
                return
            # Its arguments were still on their way, or its answer is.
            dropped = connection.outbox.drop_body(cancel.id)
            if cancel.id in connection.wire.calls.alive:
                connection.receipt(cancel.id, Outcome.FINISHED if dropped else Outcome.STOPPED)
            if self.leaving is not None:
                self.leaving.check()
            return
        if cancel.reason == CancelReason.DEADLINE:
            self._expire(call)
            return
        call.cancelled = True
        call.deadline = None
        if call.task is not None:
            call.task.cancel()
        self._loop.call_later(self._server.limits.cancel_grace, self._still_running, call)

    def refused(self, connection: Connection, refused: Refused) -> None:  # noqa: ARG002
        """Refuse arguments, or end a call whose upload has an item, that are over a limit."""
        call_id = refused.frame.id
        details = {"size": refused.size, "limit": refused.limit}
        detail = f"{refused.size} bytes were announced, the limit is {refused.limit} bytes"
        call = self.calls.get(call_id)
        if type(refused.frame) is Notify:
            self._dropped(detail)
        elif call is None:
            self.refuse(call_id, Failure(refused.status, "no", detail, details))
        elif not call.answered:
            self._fail(call, Failure(refused.status, "maybe", detail, details))
            if call.task is not None:
                call.task.cancel()

    # ------------------------------------------------------------------ admission

    def why_not(
        self,
        name: str,
        method: Method | None,
        flags: int,
        headers: dict[str, Any] | None,
    ) -> Failure | None:
        """Say why a call may not start; None if it may."""
        if not self._most_calls:
            return Failure(Status.UNAVAILABLE, "no", "the server is stopping")
        limits = self._server.limits
        if len(self.calls) >= limits.max_calls:
            return full(limits)
        return misfit(name, method, flags, headers, limits)

    def context_of(
        self, name: str, headers: dict[str, Any] | None, timeout: float | None
    ) -> CallContext:
        """Return what the handler of a call of this client sees."""
        clock = self._clock
        now = clock()
        due = None if timeout is None else now + timeout
        context = CallContext(
            name, clock, now, due, timeout, {}, self.identity, self.address, self._server
        )
        if headers:
            read_headers(headers, context)
        return context

    # -------------------------------------------------------------------- running

    def _start(self, key: int, call: IncomingCall, handler: Handler, body: Body) -> None:
        task = start(self._run(key, call, handler, body), loop=self._loop, context=copy_context())
        if task is not None and not call.context.finished:
            call.task = task
            deadline = call.deadline
            if deadline is not None and deadline < self._sweeper.next:
                self._sweeper.add(deadline)

    async def _run(self, key: int, call: IncomingCall, handler: Handler, body: Body) -> None:
        """Handle one call to its end, whatever happens. Cancelling it stops the handler."""
        current_context.set(call.context)  # this coroutine has a context of its own
        try:
            result: Any = await handler(call.context, body)
            if result.__class__ is Stream:
                await self._send_stream(call, result)
            elif call.cancelled:
                self._receipt(call, Outcome.FINISHED)
            elif not call.answered:
                leaving = self.connection.respond(call.id, result)  # or raises MessageTooLarge
                call.answered = True
                if leaving is not None:
                    await leaving
        except asyncio.CancelledError:
            self._stopped(call)
        except GeneratorExit:
            raise  # the loop was thrown away; nothing can be sent
        except BaseException as exc:  # noqa: BLE001 - SystemExit in a handler ends the call only
            self._failed(call, exc)
        finally:
            call.context.finished = True
            del self.calls[key]
            if body.__class__ is Stream:
                self.connection.streams.forget(call.id)
            self._server.counters.calls += 1
            if self.leaving is not None:
                self.leaving.check()

    async def _send_stream(self, call: IncomingCall, result: Stream) -> None:
        """Send the items as the caller takes them; stop the producer if it takes no more."""
        connection = self.connection
        if type(result.items) is StreamSink:
            self._feed(call, result.items)
            return
        writer = connection.streams.writer(call.id)
        try:
            async for item in result.items:
                if not writer.try_send(item):
                    await writer.send(item)
                if call.answered:
                    return
            if call.cancelled:
                self._receipt(call, Outcome.FINISHED)
            elif not call.answered:
                call.answered = True
                connection.end_stream(call.id)
        finally:
            close = getattr(result.items, "aclose", None)
            if close is not None:
                await close()
            connection.streams.forget(call.id)

    def _feed(self, call: IncomingCall, sink: StreamSink) -> None:
        """Leave a subscription to the broker: its items come without a task."""
        if call.cancelled or call.answered or self.guest is None:
            sink.close()
            self._receipt(call, Outcome.FINISHED)
        else:
            call.answered = True
            self.guest.attach(self.connection, call.id, sink)
            if self.leaving is not None:
                self.guest.drain(self.connection)

    def _stopped(self, call: IncomingCall) -> None:
        """The handler was cancelled: by its caller, by its deadline, by us, or by itself."""
        if call.answered:
            return
        if call.cancelled:
            self._receipt(call, Outcome.STOPPED)
        elif not self._most_calls:
            detail = "the server stopped before the call had ended"
            self._fail(call, Failure(Status.UNAVAILABLE, "maybe", detail))
        else:
            self._fail(call, Failure(Status.CANCELLED, "maybe", "the handler cancelled itself"))

    def _failed(self, call: IncomingCall, exc: BaseException) -> None:
        failure = describe(exc, call.context, trusted=self._server.trusts(call.context))
        if call.cancelled and not call.answered:
            self._receipt(call, Outcome.FINISHED)
        else:
            self._fail(call, failure)

    def _fail(self, call: IncomingCall, failure: Failure) -> None:
        counters = self._server.counters
        if not call.answered:
            call.answered = True
            counters.failed_calls += failure.executed > 0
            counters.refused_calls += not failure.executed
            self.connection.fail(
                call.id, failure.status, failure.executed, failure.detail, failure.details
            )
        elif not call.id and not failure.executed:
            self._dropped(failure.detail)

    def _receipt(self, call: IncomingCall, outcome: Outcome) -> None:
        if not call.answered:
            call.answered = True
            self.connection.receipt(call.id, outcome)

    def _still_running(self, call: IncomingCall) -> None:
        self._receipt(call, Outcome.STILL_RUNNING)

    # ------------------------------------------------------------------ deadlines

    def _expire(self, call: IncomingCall) -> None:
        """The deadline passed: report where the time went, and stop the handler."""
        call.deadline = None
        if call.context.children and not call.answered:
            self._loop.call_later(REPORT_GRACE, self._give_up, call)
        else:
            self._give_up(call)

    def _give_up(self, call: IncomingCall) -> None:
        self._fail(call, too_late(call.context))
        if call.task is not None and not call.context.finished:
            call.task.cancel()
