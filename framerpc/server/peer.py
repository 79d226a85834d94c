"""The other end of one connection, as the server keeps it: who it is, and its calls in flight.

A peer owns the tasks of its calls: it starts them, stops them at their deadline or when their
caller gives up, and answers each exactly once. A handler that does not wait costs no task.

Spec: protocol.md, "Calls", "Cancellation" and "Deadlines".
"""

from __future__ import annotations

import asyncio
import logging
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from framerpc.call import Body, Buffer, CallContext, Stream, current_context
from framerpc.connection.timers import Sweeper
from framerpc.errors import Cancelled, Status
from framerpc.protocol.frames import KNOWN_FLAGS, CancelReason, Flag, Notify, Outcome
from framerpc.server.eager import start
from framerpc.server.failure import Failure, describe, times

if TYPE_CHECKING:
    from framerpc.connection.connection import Connection
    from framerpc.errors import ConnectionLost, RemoteProtocolError
    from framerpc.protocol.events import Refused
    from framerpc.protocol.frames import Cancel, Close, Error, Goaway, Request
    from framerpc.protocol.handshake import Greeting, Reply
    from framerpc.server.dispatcher import Method
    from framerpc.server.server import Server

__all__ = ["IncomingCall", "Peer"]

_logger: Final = logging.getLogger("framerpc.server")

_REPORT_GRACE: Final = 0.025
"""Seconds past its deadline that a handler may wait for the calls it made to say where the time
went. Half of what its own caller waits."""


class IncomingCall(msgspec.Struct, eq=False):
    """A call that is being handled.

    Attributes:
        id: Its number on the connection; 0 for a one-way call, which is never answered.
        context: What its handler sees.
        deadline: As the sweeper sees it: None once it has passed.
        task: Runs the handler, if it waits.
        answered: The last frame was sent, or nobody waits for one.
        cancelled: The caller gave it up and waits for a receipt.
    """

    id: int
    context: CallContext
    deadline: float | None
    answered: bool = False
    cancelled: bool = False
    task: asyncio.Future[Any] | None = None

    def __repr__(self) -> str:
        return f"<IncomingCall {self.id} {self.context.method}>"


class Peer:
    """One client, from its greeting to its last call.

    Args:
        server: Whom it talks to.

    Attributes:
        connection: Its connection, once there is one.
        identity: What `authenticate` returned.
        address: Where it connected from.
        host: The same without the port, for counting.
        calls: Its calls that have not ended, answered ones included.
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
        "host",
        "identity",
    )

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        self.connection: Connection = cast("Connection", None)  # set by the server at once
        self.identity: Any = None
        self.address = ""
        self.host = ""
        self.calls: dict[int, IncomingCall] = {}
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

    def _expiring(self) -> list[IncomingCall]:
        return list(self.calls.values())

    # -------------------------------------------------- acceptor of the connection

    def opened(self, connection: Connection, transport: asyncio.BaseTransport) -> None:
        """Count the stranger, or turn it away."""
        self._server.peers.opened(self, connection, transport)

    def greeted(self, connection: Connection, greeting: Greeting) -> None:
        """Find out who it is."""
        self._server.peers.greeted(self, connection, greeting)

    def welcomed(self, connection: Connection, reply: Reply) -> None:
        """Never on a server."""

    def goaway(self, connection: Connection, goaway: Goaway) -> None:
        """A client that goes finishes its calls and closes."""

    def closed(self, connection: Connection, close: Close) -> None:
        """A client said goodbye; `lost` follows."""

    def violated(self, connection: Connection, error: RemoteProtocolError) -> None:  # noqa: ARG002
        """A client broke the protocol; `lost` follows."""
        self._server.counters.violations += 1

    def lost(self, connection: Connection, error: ConnectionLost) -> None:  # noqa: ARG002
        """Stop what nobody waits for any more."""
        self._sweeper.stop()
        for call in list(self.calls.values()):
            call.answered = True
            if call.task is not None:
                call.task.cancel()
        self._server.peers.lost(self)

    def translate(self, error: Error, method: str) -> BaseException:  # noqa: ARG002 - see Acceptor
        """Return what a handler sees whose caller's stream broke."""
        return Cancelled(f"the caller's stream broke: {error.detail}")

    def receipt(self, method: str, outcome: Outcome) -> None:
        """Never on a server, as long as servers make no calls."""

    def notified(self, connection: Connection, notify: Notify) -> None:  # noqa: ARG002
        """Run a one-way call; what is wrong with it is counted and logged, never answered."""
        method = self._server.dispatcher.methods.get(notify.method)
        problem = self._why_not(notify.method, method, 0, notify.headers)
        if problem is not None or method is None:
            self._server.counters.dropped_notifications += 1
            detail = problem.detail if problem else ""
            _logger.warning("! %s: a one-way call was dropped: %s", self.address, detail)
            return
        self._one_way -= 1
        context = self._context(notify.method, notify.headers, self._server.limits.max_timeout)
        call = IncomingCall(0, context, context.deadline, answered=True)
        self.calls[self._one_way] = call
        self._start(self._one_way, call, method, cast("Buffer", notify.body))

    def request(self, connection: Connection, request: Request) -> None:
        """Run a call."""
        call_id = request.id
        server = self._server
        method = self._methods.get(request.method)
        if (
            method is None
            or request.flags != method.flags
            or request.headers
            or len(self.calls) >= self._most_calls
            or server.draining
        ):
            problem = self._why_not(request.method, method, request.flags, request.headers)
            if problem is not None or method is None:
                self._refuse(connection, call_id, problem)
                return
        timeout_ms = request.timeout_ms
        timeout: float | None = self._longest
        if timeout_ms:
            timeout = timeout_ms / 1000
            timeout = min(timeout, self._longest)
        elif timeout_ms == 0:
            late = Failure(Status.DEADLINE_EXCEEDED, "no", "it had passed on arrival")
            self._refuse(connection, call_id, late)
            return
        elif method.flags:
            timeout = None
        context = self._context(request.method, request.headers, timeout)
        self.calls[call_id] = call = IncomingCall(call_id, context, context.deadline)
        body: Any = request.body
        if method.flags:
            context.streams = bool(method.flags & Flag.WANTS_STREAM)
            if method.flags & Flag.SENDS_STREAM:
                body = Stream(connection.streams.reader(call_id), body)
        self._start(call_id, call, method, body)

    def _refuse(self, connection: Connection, call_id: int, problem: Failure | None) -> None:
        assert problem is not None  # there is one whenever there is no method
        self._server.counters.refused_calls += 1
        connection.fail(call_id, problem.status, problem.executed, problem.detail, problem.details)

    def cancel(self, connection: Connection, cancel: Cancel) -> None:
        """Stop a call, and tell what became of it."""
        call = self.calls.get(cancel.id)
        if call is None or call.answered:
            # Its arguments were still on their way, or its answer is.
            dropped = connection.outbox.drop_body(cancel.id)
            if cancel.id in connection.wire.calls.alive:
                connection.receipt(cancel.id, Outcome.FINISHED if dropped else Outcome.STOPPED)
            return
        if cancel.reason == CancelReason.DEADLINE:
            self._expire(call)
            return
        call.cancelled = True
        call.deadline = None
        if call.task is not None:
            call.task.cancel()
        self._loop.call_later(self._server.limits.cancel_grace, self._still_running, call)

    def refused(self, connection: Connection, refused: Refused) -> None:
        """Refuse arguments, or end a call whose upload has an item, that are over a limit."""
        call_id = refused.frame.id
        details = {"size": refused.size, "limit": refused.limit}
        detail = f"{refused.size} bytes were announced, the limit is {refused.limit} bytes"
        call = self.calls.get(call_id)
        if type(refused.frame) is Notify:
            self._server.counters.dropped_notifications += 1
            _logger.warning("! %s: a one-way call was dropped: %s", self.address, detail)
        elif call is None:
            self._refuse(connection, call_id, Failure(refused.status, "no", detail, details))
        elif not call.answered:
            self._fail(call, Failure(refused.status, "maybe", detail, details))
            if call.task is not None:
                call.task.cancel()

    # ------------------------------------------------------------------ admission

    def _why_not(
        self,
        name: str,
        method: Method | None,
        flags: int,
        headers: dict[str, Any] | None,
    ) -> Failure | None:
        """Say why a call may not start, or None."""
        limits = self._server.limits
        if self._server.draining:
            return Failure(Status.UNAVAILABLE, "no", "the server is stopping")
        if len(self.calls) >= limits.max_calls:
            detail = f"{limits.max_calls} calls of this connection are in flight (Limits.max_calls)"
            return Failure(Status.RESOURCE_EXHAUSTED, "no", detail)
        if method is None:
            return Failure(Status.METHOD_NOT_FOUND, "no", _not_found(name, limits.max_method_name))
        if flags & 0xFF & ~KNOWN_FLAGS:
            return Failure(Status.UNIMPLEMENTED, "no", f"unknown flags {flags:#x}")
        if flags & 0xFF != method.flags:
            return Failure(Status.INVALID_ARGUMENT, "no", _wrong_shape(flags, method.flags))
        return self._bad_metadata(headers)

    def _bad_metadata(self, headers: dict[str, Any] | None) -> Failure | None:
        pairs = headers.get("meta") if headers else None
        if pairs is None:
            return None
        if not isinstance(pairs, dict) or not all(
            isinstance(key, str) and isinstance(value, str)
            for key, value in cast("dict[object, object]", pairs).items()
        ):
            return Failure(Status.INVALID_ARGUMENT, "no", "metadata must be pairs of strings")
        size = sum(
            len(key.encode()) + len(value.encode())
            for key, value in cast("dict[str, str]", pairs).items()
        )
        limit = self._server.limits.max_metadata
        if size > limit:
            detail = f"the metadata has {size} bytes, the limit is {limit} (Limits.max_metadata)"
            return Failure(Status.RESOURCE_EXHAUSTED, "no", detail)
        return None

    def _context(
        self, name: str, headers: dict[str, Any] | None, timeout: float | None
    ) -> CallContext:
        clock = self._clock
        now = clock()
        context = CallContext(
            name,
            clock,
            now,
            None if timeout is None else now + timeout,
            timeout,
            {},
            self.identity,
            self.address,
            self._server,
        )
        if headers:
            context.metadata = headers.get("meta") or {}
            attempt = headers.get("attempt")
            if type(attempt) is int and attempt > 0:
                context.attempt = attempt
        return context

    # -------------------------------------------------------------------- running

    def _start(self, key: int, call: IncomingCall, method: Method, body: Body) -> None:
        task = start(self._run(key, call, method, body), loop=self._loop, context=copy_context())
        if task is not None and not call.context.finished:
            call.task = task
            deadline = call.deadline
            if deadline is not None and deadline < self._sweeper.next:
                self._sweeper.add(deadline)

    async def _run(self, key: int, call: IncomingCall, method: Method, body: Body) -> None:
        """Handle one call to its end, whatever happens. Cancelling it stops the handler."""
        current_context.set(call.context)  # this coroutine has a context of its own
        try:
            result: Any = await method.handler(call.context, body)
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
            server = self._server
            server.counters.calls += 1
            if server.draining and not self.calls:
                server.peers.note()

    async def _send_stream(self, call: IncomingCall, result: Stream) -> None:
        """Send the items as the caller takes them; stop the producer if it takes no more."""
        connection = self.connection
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

    def _stopped(self, call: IncomingCall) -> None:
        """The handler was cancelled: by its caller, by its deadline, by us, or by itself."""
        if call.answered:
            return
        if call.cancelled:
            self._receipt(call, Outcome.STOPPED)
        elif self._server.draining:
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
        if not call.answered:
            call.answered = True
            self._server.counters.failed_calls += 1
            self.connection.fail(
                call.id, failure.status, failure.executed, failure.detail, failure.details
            )

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
            self._loop.call_later(_REPORT_GRACE, self._give_up, call)
        else:
            self._give_up(call)

    def _give_up(self, call: IncomingCall) -> None:
        self._fail(
            call,
            Failure(
                Status.DEADLINE_EXCEEDED,
                "no" if call.context.started is None else "maybe",
                "the deadline passed",
                {"where": times(call.context)},
            ),
        )
        if call.task is not None and not call.context.finished:
            call.task.cancel()


def _not_found(name: str, longest: int) -> str:
    if len(name) > longest:
        return f"a method's name has at most {longest} bytes, this one has {len(name.encode())}"
    return f"there is no method {name!r} here"


def _wrong_shape(asked: int, declared: int) -> str:
    """Say how the two sides' ideas of a method differ."""
    problems: list[str] = []
    if declared & Flag.WANTS_STREAM and not asked & Flag.WANTS_STREAM:
        problems.append("the result is a stream: use stream() or iterate over the stub's method")
    if asked & Flag.WANTS_STREAM and not declared & Flag.WANTS_STREAM:
        problems.append("the result is a single value: use call()")
    if declared & Flag.SENDS_STREAM and not asked & Flag.SENDS_STREAM:
        problems.append("one argument is a stream: pass an async iterator")
    if asked & Flag.SENDS_STREAM and not declared & Flag.SENDS_STREAM:
        problems.append("no argument is a stream, and one was sent")
    return "; ".join(problems)
