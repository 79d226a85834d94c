"""`once` calls: sent to one server, under one number, on as many connections as it takes.

A call gets its number when it first leaves, and keeps it: whatever happens to connections, it is
sent again with the same number in the same session, until it is answered, its time is over, or
the server turns out to have lost the session. Only then it is unknown whether it was executed.
A call that never left is in no session yet, and goes wherever there is a connection: where, is
decided by `caller`.

Spec: protocol.md, "Sessions" and "Once".
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from framerpc.client.endings import explain
from framerpc.errors import ConnectionLost, DeadlineExceeded, FrameRPCError
from framerpc.protocol.sessions import ONCE_HEADER, SESSIONS, Numbers
from framerpc.protocol.states import ConnectionState

if TYPE_CHECKING:
    from framerpc.call import Buffer, CallContext
    from framerpc.client.channel import Channel
    from framerpc.connection.connection import Connection
    from framerpc.connection.outgoing import OutgoingCall
    from framerpc.protocol.handshake import Reply

__all__ = ["OnceCall", "Session"]


class Session:
    """What client and server share across connections.

    Args:
        token: How the server names it; None if there is no session.

    Attributes:
        numbers: The numbers of its calls.
    """

    __slots__ = ("numbers", "token")

    def __init__(self, token: bytes | None) -> None:
        self.token = token
        self.numbers = Numbers()

    def after(self, reply: Reply) -> Session:
        """Return the session of a new connection: this one, unless the server has lost it."""
        token = reply.session if SESSIONS in reply.features else None
        return self if token is not None and token == self.token else Session(token)


class OnceCall:
    """One `once` call on its way.

    Args:
        context: The call.
        body: Its arguments.
        channel: The one server that it is sent to.
    """

    __slots__ = ("_body", "_channel", "_context", "_lost", "_number", "_session")

    def __init__(self, context: CallContext, body: Buffer, channel: Channel) -> None:
        self._context = context
        self._body = body
        self._channel = channel
        self._session = channel.session
        self._number = 0
        self._lost: ConnectionLost | None = None  # how the last attempt ended

    async def answer(self, connection: Connection) -> Buffer:
        """Send the call, first on this connection, until there is an answer.

        Cancelling it gives the call up on the server as well: at once if there is a connection,
        otherwise with the next `once` call that leaves.

        Raises:
            ConnectionLost: It is unknown whether it was executed: the server has lost the
                session, or the answer, or knows of no sessions.
        """
        self._session = connection.owner
        try:
            while True:
                call = self._start(connection)
                try:
                    return await call.future  # type: ignore[no-any-return]
                except ConnectionLost as error:
                    alive = connection.wire.state is not ConnectionState.CLOSED
                    if alive or self._session.token is None:
                        raise  # the server has forgotten the number, or never took note of it
                    self._lost = error
                except asyncio.CancelledError:
                    call.table.cancel(call)
                    raise
                except DeadlineExceeded as error:
                    explain(error, self._context, call)
                    raise
                connection = await self._next(self._lost)
        finally:
            self._session.numbers.done(self._number)

    def _start(self, connection: Connection) -> OutgoingCall:
        headers: dict[str, Any] = {}
        if self._session.token is not None:
            self._number = self._number or self._session.numbers.new()
            headers[ONCE_HEADER] = self._session.numbers.header(self._number)
        try:
            return connection.calls.start(self._context, self._body, headers=headers)
        except FrameRPCError as error:
            if self._lost is None:
                raise  # it never left
            raise self._given_up(self._lost, error) from error

    async def _next(self, lost: ConnectionLost) -> Connection:
        """Return the next connection of the session."""
        context = self._context
        try:
            async with asyncio.timeout_at(context.deadline):
                connection = await self._channel.reconnected(len(self._body))
        except TimeoutError:
            detail = str(self._channel.failure or lost)
            error = DeadlineExceeded(detail, context.timeout)
            error.method = context.method
            error.where = (("connection", context.now() - context.arrived),)
            raise error from lost
        except FrameRPCError as error:
            raise self._given_up(lost, error) from error
        if connection.owner is not self._session:
            cause = "the server has lost the session"
            raise ConnectionLost(connection.endpoint, cause, "maybe", context.method)
        return connection

    def _given_up(self, lost: ConnectionLost, error: FrameRPCError) -> ConnectionLost:
        cause = f"{lost.cause}; it was not sent again: {error}"
        return ConnectionLost(lost.endpoint, cause, "maybe", self._context.method)
