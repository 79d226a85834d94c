"""The logical link to one endpoint: dials, greets, and dials again.

It has at most one live connection that takes new calls, and one dial however many callers
wait. Dialling never gives up while the channel is open, unless the refusal is final. Which
calls go over it, and what becomes of those that fail, is not its business.

Spec: protocol.md, "Client writer's guide".
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import random
from collections import Counter
from typing import TYPE_CHECKING, Final

from framerpc.client.answers import upload
from framerpc.client.endings import again
from framerpc.client.failure import to_exception
from framerpc.client.offers import OffersNothing
from framerpc.client.retry import Pauses, until_connected
from framerpc.client.session import Session
from framerpc.client.state import CONNECTED, State
from framerpc.connection.connection import Connection
from framerpc.connection.dial import dial
from framerpc.connection.timers import PatientTimeout
from framerpc.errors import (
    CLOSE_CODES,
    CloseCode,
    ConnectionFailed,
    ConnectionLost,
    FrameRPCError,
    Unauthenticated,
    Unavailable,
)
from framerpc.protocol.handshake import VERSION, Greeting
from framerpc.protocol.sessions import SESSIONS
from framerpc.protocol.states import ConnectionState, Role
from framerpc.protocol.topics import TOPICS
from framerpc.protocol.wire import Wire, announce
from framerpc.version import AGENT

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable

    from framerpc.call import Stream
    from framerpc.client.options import ChannelOptions
    from framerpc.connection.addresses import Address
    from framerpc.connection.outgoing import OutgoingCall
    from framerpc.errors import RemoteProtocolError
    from framerpc.protocol.frames import Close, Error, Goaway, Outcome
    from framerpc.protocol.handshake import Reply

__all__ = ["Channel"]

_logger: Final = logging.getLogger("framerpc.client")


class Channel(OffersNothing):
    """The link of one client to one endpoint.

    Args:
        address: Where to dial.
        options: How to dial, and whom to tell.
        loop: The event loop that it lives on.
        changed: Called with this channel after each change of its state or its connection.

    Attributes:
        state: Where it is.
        connection: The one that takes new calls, or None.
        final: Why it will never be ready again, once that is so.
        failure: What went wrong when it was dialled last; None once it is ready.
        session: What the server knows of us beyond one connection.
    """

    def __init__(
        self,
        address: Address,
        options: ChannelOptions,
        loop: AbstractEventLoop,
        changed: Callable[[Channel], None],
    ) -> None:
        self.state = State.CONNECTING
        self.connection: Connection | None = None
        self.final: FrameRPCError | None = None
        self.failure: ConnectionFailed | None = None
        self.session = Session(None)
        self._address = address
        self._options = options
        self._loop = loop
        self._tell = changed
        self._changed: asyncio.Future[None] = loop.create_future()
        self._leaving: set[Connection] = set()  # no new calls, calls in flight
        self._tasks: set[asyncio.Task[None]] = set()  # uploads, and a farewell
        self._dialling: asyncio.Task[None] | None = None
        self._refusal: FrameRPCError | None = None
        self._cause = ""  # why the last connection ended
        self._pauses = Pauses(options.reconnect)
        self._ready_since = float("-inf")
        self._flapped = False  # the last connection was ready, and not for long
        self._receipts: Counter[Outcome] = Counter()
        self._dial()

    def __repr__(self) -> str:
        return f"<Channel to {self._address}, {self.state.value}>"

    # ------------------------------------------------------------------- dialling

    def _dial(self, after: float = 0.0) -> None:
        """Begin to dial in `after` seconds, unless that is under way or pointless."""
        if self.final is None and (self._dialling is None or self._dialling.done()):
            self._dialling = self._loop.create_task(self._connect(after))

    async def _connect(self, after: float) -> None:
        """Dial until the server has welcomed us, or refuses for good."""
        if after:
            await asyncio.sleep(after)
        try:
            await until_connected(self._attempt, pauses=self._pauses, failed=self._dial_failed)
        except FrameRPCError as error:
            self._end(error)
        except Exception as error:  # a bug of ours: those who wait must hear of it
            _logger.exception("! %s: dialling failed", str(self._address))
            self._end(ConnectionFailed(str(self._address), 1, repr(error), final=True))

    async def _attempt(self) -> None:
        """Connect and greet; a connection that dies before the welcome is a failed attempt.

        Calls may use the connection meanwhile: they need not wait for the welcome.
        """
        flapped, self._flapped = self._flapped, False
        if flapped:
            # So that a server that takes us and drops us is dialled less and less often.
            raise ConnectionFailed(str(self._address), 1, "the last connection did not last")
        connection = self.connection = await self._dial_once()
        self._notify()
        timeout = self._options.limits.handshake_timeout
        try:
            async with PatientTimeout(self._loop, self._loop.time() + timeout):
                await self._welcome(connection)
        except TimeoutError:
            cause = f"connected, but not welcomed within {timeout:.3g} s"
            connection.close(CloseCode.HANDSHAKE_TIMEOUT, cause)
            raise ConnectionFailed(str(self._address), 1, cause) from None

    async def _welcome(self, connection: Connection) -> None:
        """Wait until the server has welcomed us on this connection."""
        while self.state not in CONNECTED:
            if self.connection is not connection:
                raise self._refusal or ConnectionFailed(str(self._address), 1, self._cause)
            await asyncio.shield(self._changed)

    async def _dial_once(self) -> Connection:
        """Connect, and send the greeting; calls may follow without waiting for the answer."""
        token = await self._token()
        self._refusal = None
        greeting = Greeting(
            versions=[VERSION],
            agent=AGENT,
            token=token,
            limits=announce(self._options.limits),
            ping_ms=self._options.keepalive.ping_ms,
            lag_ms=self._options.keepalive.lag_ms,
            features=[SESSIONS, TOPICS],
            session=self.session.token,
        )
        options = self._options

        def make() -> Connection:
            return Connection(
                Wire(Role.CLIENT, options.limits),
                self,
                limits=options.limits,
                keepalive=options.keepalive,
                endpoint=str(self._address),
                loop=self._loop,
                greeting=greeting,
            )

        return await dial(
            self._address, make, tls=options.tls, timeout=options.limits.handshake_timeout
        )

    async def _token(self) -> str | None:
        token = self._options.token
        if token is None or isinstance(token, str):
            return token
        asked = token()
        return await asked if inspect.isawaitable(asked) else asked

    def _dial_failed(self, attempts: int, error: BaseException) -> None:
        assert isinstance(error, ConnectionFailed)
        self.failure = ConnectionFailed(error.endpoint, attempts, error.cause)
        _logger.info("! %s", self.failure)

    # --------------------------------------------------------------------- states

    def _enter(self, state: State) -> None:
        if state is not self.state:
            self.state = state
            _logger.debug("= %s: %s", self._address, state.value)
        self._notify()

    def _notify(self) -> None:
        """Wake everybody who waits for the channel to change."""
        changed, self._changed = self._changed, self._loop.create_future()
        changed.set_result(None)
        self._tell(self)

    def _end(self, error: FrameRPCError) -> None:
        """Give up for good."""
        self.final = error
        self._enter(State.CLOSED)

    async def close(self) -> None:
        """End everything and wait until nothing is left. Idempotent."""
        self.final = self.final or Unavailable("the client was closed")
        dialling, self._dialling = self._dialling, None
        if dialling is not None:
            dialling.cancel()
            await asyncio.wait([dialling])
        connections = [*self._leaving, *([self.connection] if self.connection else [])]
        self.connection = None
        for connection in connections:
            connection.close(CloseCode.NORMAL, "the client was closed")
        self._enter(State.CLOSED)
        for task in self._tasks:
            task.cancel()
        waiting = [connection.closed for connection in connections]
        if waiting or self._tasks:
            await asyncio.wait([*waiting, *self._tasks], timeout=_CLOSE_GRACE)
        for connection in connections:
            if not connection.closed.done():
                connection.abort("the client was closed")

    async def retire(self, grace: float) -> None:
        """Take no more calls, let those in flight finish, and close.

        Args:
            grace: Seconds that they get.
        """
        connection, self.connection = self.connection, None
        self.final = Unavailable(f"{self._address} is not among the endpoints any more")
        self._enter(State.CLOSED)
        if connection is not None:
            self._leaving.add(connection)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace):
                    await connection.idle()
        await self.close()

    def drop(self) -> None:
        """Cut the live connection, as a fault would."""
        if self.connection is not None:
            self.connection.abort("dropped on request")

    async def reconnected(self, size: int) -> Connection:
        """Wait for a connection of this channel on which a call may be sent again.

        Args:
            size: Bytes of its arguments.

        Raises:
            FrameRPCError: There will never be one.
        """
        while True:
            connection = self.connection
            if connection is None or connection.wire.state is ConnectionState.CLOSED:
                if self.final is not None:
                    raise again(self.final)
                await asyncio.shield(self._changed)
            elif connection.may_call(size, simple=False):
                return connection
            else:
                await connection.turns.wait()

    def begin_upload(self, connection: Connection, call: OutgoingCall, body: Stream) -> None:
        """Send the stream of a call that has just been sent, until it ends."""
        grace = self._options.limits.cancel_grace
        task = self._loop.create_task(upload(connection, call, body.items, grace))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        assert call.writer is not None
        call.writer.on_stop = task.cancel

    def statistics(self) -> Counter[str]:
        """Return what is in flight, what became of cancelled calls, how the server is."""
        counted = {f"cancelled_{outcome.name.lower()}": n for outcome, n in self._receipts.items()}
        here = self.connection
        alive, told = (len(here.calls.alive), here.load.statistics()) if here else (0, {})
        return Counter({"calls_in_flight": alive, **counted, **told})

    # ---------------------------------------------------- acceptor of the connection

    def opened(self, connection: Connection, transport: asyncio.BaseTransport) -> None:
        """Nothing is known of it yet."""

    def welcomed(self, connection: Connection, reply: Reply) -> None:
        """The server knows us."""
        self.failure = None
        self.session = connection.owner = self.session.after(reply)
        self._ready_since = self._loop.time()
        self._enter(State.READY)

    def goaway(self, connection: Connection, goaway: Goaway) -> None:
        """The server is leaving: let its calls finish, and dial anew for others, a bit later.

        Its other clients are told the same, and whoever takes them over is not to be overrun.
        """
        if connection is self.connection:
            self.connection = None
            self._leaving.add(connection)
            self._enter(State.CONNECTING)
            spread = min(goaway.spread_ms / 1000, _LONGEST_SPREAD)
            self._dial(after=random.uniform(0.0, spread))  # noqa: S311 - no secret

    def overdue(self, connection: Connection) -> None:
        """A PONG is overdue, or not any more."""
        if connection is self.connection and self.state in CONNECTED:
            self._enter(State.DEGRADED if connection.overdue else State.READY)

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
        if connection is not self.connection:
            return
        self.connection = None
        self._cause = error.cause
        if self.final is None:
            if connection.wire.reply is not None:  # we were welcomed
                self._flapped = self._loop.time() - self._ready_since < _STABLE
                if not self._flapped:
                    self._pauses.reset()
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


_LONGEST_SPREAD: Final = 30.0
"""Seconds that a server may have us wait before we dial again, at most."""

_STABLE: Final = 5.0
"""Seconds a connection must have been ready for the next dial to follow at once, and for the
backoff to begin anew: a server that takes us and drops us again gets no rest otherwise."""

_CLOSE_GRACE: Final = 2.0
"""Seconds for the last bytes when a client is closed."""
