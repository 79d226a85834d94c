"""The logical link to a server: dials, greets, dials again, and carries calls.

A channel is a Handler. It has at most one live connection that takes new calls, one dial
however many callers wait, and no second try of a call that may have left: what was in flight
when a connection died ends with `ConnectionLost`, what had not left waits for the next one,
within its deadline. Dialling never gives up while the channel is open, unless the refusal is
final.

Spec: protocol.md, "Client writer's guide".
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import Counter
from typing import TYPE_CHECKING, Final

from framerpc.call import Stream, adopt, release
from framerpc.client.answers import Answer, upload
from framerpc.client.endings import again, explain
from framerpc.client.failure import to_exception
from framerpc.client.offers import OffersNothing
from framerpc.client.retry import until_connected
from framerpc.client.state import State
from framerpc.connection.connection import Connection
from framerpc.connection.dial import dial
from framerpc.errors import (
    CLOSE_CODES,
    CloseCode,
    ConnectionFailed,
    ConnectionLost,
    DeadlineExceeded,
    FrameRPCError,
    Unauthenticated,
    Unavailable,
)
from framerpc.protocol.handshake import VERSION, Greeting
from framerpc.protocol.states import ConnectionState, Role
from framerpc.protocol.wire import Wire, announce
from framerpc.version import AGENT

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from framerpc.call import Body, Buffer, CallContext
    from framerpc.client.options import ChannelOptions
    from framerpc.connection.addresses import Address
    from framerpc.connection.outgoing import OutgoingCall
    from framerpc.errors import RemoteProtocolError
    from framerpc.protocol.frames import Close, Error, Goaway, Outcome
    from framerpc.protocol.handshake import Reply

__all__ = ["Channel"]

_logger: Final = logging.getLogger("framerpc.client")


class Channel(OffersNothing):
    """The link of one client to the first of its addresses that answers.

    Args:
        addresses: Tried in order at each dial.
        options: How to dial, and whom to tell.
        loop: The event loop that it lives on.
    """

    def __init__(
        self, addresses: tuple[Address, ...], options: ChannelOptions, loop: AbstractEventLoop
    ) -> None:
        self.state = State.CONNECTING
        self.reply: Reply | None = None
        self._addresses = addresses
        self._options = options
        self._loop = loop
        self._connection: Connection | None = None
        self._leaving: set[Connection] = set()  # drained by their server, calls in flight
        self._final: FrameRPCError | None = None
        self._failure: ConnectionFailed | None = None  # the last one, for messages
        self._changed: asyncio.Future[None] = loop.create_future()
        self._uploads: set[asyncio.Task[None]] = set()
        self._dialling: asyncio.Task[None] | None = None
        self._refusal: FrameRPCError | None = None
        self._cause = ""  # why the last connection ended
        self._ready_since = float("-inf")
        self._flapped = False  # the last connection was ready, and not for long
        self._receipts: Counter[Outcome] = Counter()
        self._dial()

    def __repr__(self) -> str:
        return f"<Channel to {self._endpoints()}, {self.state.value}>"

    def _endpoints(self) -> str:
        return ", ".join(map(str, self._addresses))

    @property
    def connection(self) -> Connection | None:
        """The live connection, or None."""
        return self._connection

    # ------------------------------------------------------------------- dialling

    def _dial(self) -> None:
        """Begin to dial, unless that is under way or pointless."""
        if self.state is not State.CLOSED and (self._dialling is None or self._dialling.done()):
            self._dialling = self._loop.create_task(self._connect())

    async def _connect(self) -> None:
        """Dial until the server has welcomed us, or refuses for good."""
        try:
            await until_connected(
                self._attempt, wait=self._options.reconnect, failed=self._dial_failed
            )
        except FrameRPCError as error:
            self._end(error)
        except Exception as error:  # a bug of ours: those who wait must hear of it
            _logger.exception("! %s: dialling failed", self._endpoints())
            self._end(ConnectionFailed(self._endpoints(), 1, repr(error), final=True))

    async def _attempt(self) -> None:
        """Connect and greet; a connection that dies before the welcome is a failed attempt.

        Calls may use the connection meanwhile: they need not wait for the welcome.
        """
        flapped, self._flapped = self._flapped, False
        if flapped:
            # So that a server that takes us and drops us is not dialled without a pause.
            raise ConnectionFailed(self._endpoints(), 1, "the last connection did not last")
        connection = self._connection = await self._dial_once()
        self._notify()
        timeout = self._options.limits.handshake_timeout
        try:
            async with asyncio.timeout(timeout):
                await self._welcome(connection)
        except TimeoutError:
            cause = f"connected, but not welcomed within {timeout:.3g} s"
            connection.close(CloseCode.HANDSHAKE_TIMEOUT, cause)
            raise ConnectionFailed(self._endpoints(), 1, cause) from None

    async def _welcome(self, connection: Connection) -> None:
        """Wait until the server has welcomed us on this connection."""
        while self.state is not State.READY:
            if self._connection is not connection:
                raise self._refusal or ConnectionFailed(self._endpoints(), 1, self._cause)
            await asyncio.shield(self._changed)

    async def _dial_once(self) -> Connection:
        """Try each address in turn; return the first connection."""
        token = await self._token()
        self._refusal = None
        greeting = Greeting(
            versions=[VERSION],
            agent=AGENT,
            token=token,
            limits=announce(self._options.limits),
            ping_ms=max(1, int(self._options.keepalive.interval * 1000)),
        )
        problem: ConnectionFailed | None = None
        for address in self._addresses:
            try:
                return await self._dial_address(address, greeting)
            except ConnectionFailed as error:
                problem = error
                if error.final:
                    break
        assert problem is not None
        raise problem

    async def _dial_address(self, address: Address, greeting: Greeting) -> Connection:
        """Connect, and send the greeting; calls may follow without waiting for the answer."""
        options = self._options

        def make() -> Connection:
            return Connection(
                Wire(Role.CLIENT, options.limits),
                self,
                limits=options.limits,
                keepalive=options.keepalive,
                endpoint=str(address),
                loop=self._loop,
                greeting=greeting,
            )

        return await dial(
            address,
            make,
            tls=options.tls,
            keepalive=options.keepalive,
            timeout=options.limits.handshake_timeout,
        )

    async def _token(self) -> str | None:
        token = self._options.token
        if token is None or isinstance(token, str):
            return token
        asked = token()
        return await asked if inspect.isawaitable(asked) else asked

    def _dial_failed(self, attempts: int, error: BaseException) -> None:
        assert isinstance(error, ConnectionFailed)
        self._failure = ConnectionFailed(error.endpoint, attempts, error.cause)
        _logger.info("! %s", self._failure)

    # --------------------------------------------------------------------- states

    def _enter(self, state: State) -> None:
        if state is not self.state:
            self.state = state
            _logger.debug("= %s: %s", self._endpoints(), state.value)
            if self._options.on_state is not None:
                self._options.on_state(state)
        self._notify()

    def _notify(self) -> None:
        """Wake everybody who waits for the channel to change."""
        changed, self._changed = self._changed, self._loop.create_future()
        changed.set_result(None)

    def _end(self, error: FrameRPCError) -> None:
        """Give up for good."""
        self._final = error
        self._enter(State.CLOSED)

    async def ready(self) -> None:
        """Wait for the handshake to be complete.

        Raises:
            FrameRPCError: It was refused for good, or the channel was closed.
        """
        while self.state is not State.READY:
            if self._final is not None:
                raise again(self._final)
            await asyncio.shield(self._changed)

    async def close(self) -> None:
        """End everything and wait until nothing is left. Idempotent."""
        self._final = self._final or Unavailable("the client was closed")
        dialling, self._dialling = self._dialling, None
        if dialling is not None:
            dialling.cancel()
            await asyncio.wait([dialling])
        connections = [*self._leaving, *([self._connection] if self._connection else [])]
        self._connection = None
        for connection in connections:
            connection.close(CloseCode.NORMAL, "the client was closed")
        self._enter(State.CLOSED)
        for task in self._uploads:
            task.cancel()
        waiting = [connection.closed for connection in connections]
        if waiting or self._uploads:
            await asyncio.wait([*waiting, *self._uploads], timeout=_CLOSE_GRACE)
        for connection in connections:
            if not connection.closed.done():
                connection.abort("the client was closed")

    def drop(self) -> None:
        """Cut the live connection, as a fault would."""
        if self._connection is not None:
            self._connection.abort("dropped on request")

    # ---------------------------------------------------------------------- calls

    def begin(self, context: CallContext, body: Buffer) -> OutgoingCall | None:
        """Send a call with one answer if it can leave now; return None if it has to wait.

        Whoever waits for its future must hand what that raises to `again`. For calls that no
        handler makes: theirs are entered in the report of their parents.
        """
        connection = self._connection
        if connection is None or context.parent is not None:
            return None
        return connection.calls.start(context, body) if connection.may_call(len(body)) else None

    async def again(
        self, context: CallContext, body: Buffer, call: OutgoingCall, error: BaseException
    ) -> Body:
        """Deal with a call that failed: give it up, or send it once more if it never left."""
        self._failed(context, call, error)
        if isinstance(error, ConnectionLost) and error.executed == "no":
            # The server refused the connection before it looked at the call.
            return await self.handle(context, body)
        raise error

    async def handle(self, context: CallContext, body: Body) -> Body:
        """Carry one call: the innermost Handler of a client.

        Cancelling it gives the call up on the server as well.
        """
        if context.streams or isinstance(body, Stream):
            return await self._handle_stream(context, body)
        connection = await self._admission(context, len(body), simple=True)
        call = connection.calls.start(context, body)
        adopt(context)
        try:
            return await call.future  # type: ignore[misc,no-any-return] # it was asked for
        except BaseException as error:  # noqa: BLE001 - again() raises it
            return await self.again(context, body, call, error)
        finally:
            release(context)

    async def _handle_stream(self, context: CallContext, body: Body) -> Body:
        """Carry a call that sends a stream, or whose result is one."""
        head = body.head if isinstance(body, Stream) else body
        connection = await self._admission(context, len(head), simple=False)
        call = connection.calls.start_stream(
            context,
            head,
            wants_stream=context.streams,
            sends_stream=isinstance(body, Stream),
        )
        adopt(context)
        if isinstance(body, Stream):
            self._start_upload(connection, call, body)
        if context.streams:
            assert call.reader is not None  # a stream was asked for
            return Stream(Answer(context, call.reader))
        try:
            return await call.future  # type: ignore[misc,no-any-return] # it was asked for
        except BaseException as error:
            self._failed(context, call, error)
            raise
        finally:
            release(context)

    def _failed(self, context: CallContext, call: OutgoingCall, error: BaseException) -> None:
        """Give up a call that nobody waits for any more; complete the report of a late one."""
        if isinstance(error, asyncio.CancelledError):
            call.table.cancel(call)
        elif isinstance(error, DeadlineExceeded):
            explain(error, context, call)

    async def notify(self, context: CallContext, body: Buffer) -> None:
        """Send a one-way call as soon as there is a connection; nothing comes back."""
        connection = await self._admission(context, len(body), simple=True)
        connection.calls.notify(context, body)

    async def _admission(self, context: CallContext, size: int, simple: bool) -> Connection:  # noqa: FBT001
        """Wait for a connection that takes this call, at most until its deadline."""
        connection = self._connection
        if connection is not None and connection.may_call(size, simple=simple):
            return connection
        try:
            async with asyncio.timeout_at(context.deadline):
                while True:
                    connection = self._connection
                    if connection is None or connection.wire.state is ConnectionState.CLOSED:
                        if self._final is not None:
                            raise again(self._final, context.method)
                        await asyncio.shield(self._changed)
                    elif connection.may_call(size, simple=simple):
                        return connection
                    else:
                        await connection.admission()
        except TimeoutError:
            error = self.too_late(context.timeout)
            error.method = context.method
            error.where = (("connection", context.now() - context.arrived),)
            raise error from self._failure

    def too_late(self, timeout: float | None) -> DeadlineExceeded:
        """Return the error of who waited for a connection, and say what was tried."""
        tried = self._failure if self.state is State.CONNECTING else None
        detail = str(tried or f"nothing could be sent to {self._endpoints()} in time")
        error = DeadlineExceeded(detail, timeout)
        error.executed = "no"
        return error

    def statistics(self) -> dict[str, int]:
        """Return what is in flight, and what became of cancelled calls."""
        alive = len(self._connection.calls.alive) if self._connection else 0
        counted = {f"cancelled_{outcome.name.lower()}": n for outcome, n in self._receipts.items()}
        return {"calls_in_flight": alive, **counted}

    def _start_upload(self, connection: Connection, call: OutgoingCall, body: Stream) -> None:
        task = self._loop.create_task(upload(connection, call, body.items))
        self._uploads.add(task)
        task.add_done_callback(self._uploads.discard)
        assert call.writer is not None
        call.writer.on_stop = task.cancel

    # ---------------------------------------------------- acceptor of the connection

    def opened(self, connection: Connection, transport: asyncio.BaseTransport) -> None:
        """Nothing is known of it yet."""

    def welcomed(self, connection: Connection, reply: Reply) -> None:  # noqa: ARG002 - see Acceptor
        """The server knows us."""
        self.reply = reply
        self._failure = None
        self._ready_since = self._loop.time()
        self._enter(State.READY)

    def goaway(self, connection: Connection, goaway: Goaway) -> None:  # noqa: ARG002 - see Acceptor
        """The server is leaving: let its calls finish, and dial anew for others."""
        if connection is self._connection:
            self._connection = None
            self._leaving.add(connection)
            self._enter(State.CONNECTING)
            self._dial()

    def closed(self, connection: Connection, close: Close) -> None:
        """The server said why it ends the connection: some reasons are final."""
        try:
            code = CloseCode(close.code)
        except ValueError:
            return
        if CLOSE_CODES[code]:
            return
        if code is CloseCode.UNAUTHENTICATED:
            self._refusal = Unauthenticated(close.reason)
        else:
            self._refusal = ConnectionFailed(connection.endpoint, 1, close.reason, final=True)

    def violated(self, connection: Connection, error: RemoteProtocolError) -> None:
        """What answers is no framerpc server, or a broken one."""
        if connection.wire.reply is None:
            self._refusal = ConnectionFailed(
                connection.endpoint, 1, str(error), final=error.close_code is CloseCode.VERSION
            )

    def lost(self, connection: Connection, error: ConnectionLost) -> None:
        """Dial again, unless that is pointless."""
        self._leaving.discard(connection)
        if connection is not self._connection:
            return
        self._connection = None
        self._cause = error.cause
        if self._final is None:
            self._flapped = self._loop.time() - self._ready_since < _STABLE
            self._enter(State.CONNECTING)
            self._dial()  # unless that is what failed: then its next attempt follows

    def translate(self, error: Error, method: str) -> BaseException:
        """Return the exception that an ERROR frame stands for."""
        return to_exception(error, method)

    def receipt(self, method: str, outcome: Outcome) -> None:
        """Tell what became of a cancelled call."""
        self._receipts[outcome] += 1
        if self._options.on_receipt is not None:
            self._options.on_receipt(method, outcome)


_STABLE: Final = 1.0
"""Seconds a connection must have been ready for the next dial to follow at once."""


_CLOSE_GRACE: Final = 2.0
"""Seconds for the last bytes when a client is closed."""
