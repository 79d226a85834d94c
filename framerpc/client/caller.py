"""Each call as one or more attempts: the innermost Handler of a client.

It places an attempt, sends it, waits for its answer, and decides what becomes of one that
failed: what never left goes again at once, what is safe to repeat goes to `retry`, everything
else to the caller. A call that works passes none of that.

Spec: protocol.md, "Errors" and "Client writer's guide".
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from framerpc.call import Stream, adopt, release
from framerpc.client.answers import Answer
from framerpc.client.endings import explain
from framerpc.client.hedging import Hedging
from framerpc.client.retry import Retries
from framerpc.client.session import OnceCall
from framerpc.errors import ConnectionLost, DeadlineExceeded, FrameRPCError

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from framerpc.balancing.endpoint import Endpoint
    from framerpc.call import Body, Buffer, CallContext
    from framerpc.client.options import ChannelOptions
    from framerpc.client.pool import Place, Pool
    from framerpc.connection.outgoing import OutgoingCall

__all__ = ["Caller"]


class Caller:
    """Carries the calls of one client.

    Args:
        pool: Where they can go.
        options: How often, and how soon again.
    """

    def __init__(self, pool: Pool, options: ChannelOptions) -> None:
        self._pool = pool
        self._only = pool.only
        self._calls = 0
        self._retries = Retries(options.retry, options.on_retry, lambda: pool.final is None)
        self._hedging = Hedging()

    # ------------------------------------------------------------------- the short way

    def begin(
        self, method: str, body: bytes, timeout: float | None, timeout_ms: int | None
    ) -> OutgoingCall | None:
        """Send a call with one answer if it can leave now; return None if it goes the long way.

        Whoever waits for its future must hand what that raises to `again`, with the context that
        it has had no need of. Only where there is one endpoint, and for calls that no handler
        makes: others are entered in reports.
        """
        channel = self._only
        if channel is None or channel.connection is None:
            return None
        call = channel.connection.calls.start_now(method, body, timeout, timeout_ms)
        if call is not None:
            self._calls += 1
        return call

    async def again(
        self, context: CallContext, body: Buffer, call: OutgoingCall, error: BaseException
    ) -> Body:
        """Deal with the failure of a call that `begin` sent: raise it, or send the call again."""
        _settle(context, call, error)
        if isinstance(error, ConnectionLost) and error.executed == "no":
            return await self.handle(context, body)
        if not isinstance(error, FrameRPCError):
            raise error
        return await self._retry(context, body, error, set())

    # -------------------------------------------------------------------- the long way

    async def handle(self, context: CallContext, body: Body) -> Body:
        """Carry one call.

        Cancelling it gives the call up on the server as well.
        """
        self._calls += 1
        if context.streams or isinstance(body, Stream):
            return await self._stream(context, body)
        failed: set[Endpoint] = set()
        try:
            if context.hedge is not None and context.idempotent and self._pool.ready_endpoints > 1:
                return await self._hedged(context, body, failed)
            return await self._attempt(context, body, failed)
        except FrameRPCError as error:
            return await self._retry(context, body, error, failed)

    async def _hedged(self, context: CallContext, body: Buffer, failed: set[Endpoint]) -> Body:
        def attempt(one: CallContext) -> Coroutine[Any, Any, Body]:
            if one is not context and context.choice is not None:
                failed.add(context.choice.endpoint)  # not yet, but the second goes elsewhere
            return self._attempt(one, body, failed)

        return await self._hedging.run(context, attempt, self._calls)

    async def _retry(
        self, context: CallContext, body: Buffer, error: FrameRPCError, failed: set[Endpoint]
    ) -> Body:
        return await self._retries.again(
            context,
            error,
            lambda: self._attempt(context, body, failed),
            self._calls,
            lambda: self._pool.has_other(failed),
        )

    async def _attempt(self, context: CallContext, body: Buffer, failed: set[Endpoint]) -> Body:
        """Send a call once; more than once only if it surely never left."""
        if context.once:
            return await self._once(context, body, failed)
        while True:
            place = await self._pool.place(context, len(body), avoid=frozenset(failed))
            try:
                return await self._sent(context, body, place)
            except FrameRPCError as error:
                if place.choice is not None:
                    failed.add(place.choice.endpoint)
                if not isinstance(error, ConnectionLost) or error.executed != "no":
                    raise
                # The server refused the connection before it looked at the call.

    async def _sent(self, context: CallContext, body: Buffer, place: Place) -> Body:
        """Send a call to a place and wait for the answer."""
        call: OutgoingCall | None = None
        problem: BaseException | None = None
        adopt(context)
        try:
            call = place.connection.calls.start(context, body)
            return await call.future  # type: ignore[no-any-return]
        except BaseException as error:
            problem = error
            if call is not None:
                _settle(context, call, error)
            raise
        finally:
            release(context)
            place.left(problem)

    async def _once(self, context: CallContext, body: Buffer, failed: set[Endpoint]) -> Body:
        """Send a call to one server, under one number, until there is an answer."""
        # Not before the welcome: only then it is known which session this is.
        place = await self._pool.place(context, len(body), simple=False, avoid=frozenset(failed))
        problem: BaseException | None = None
        adopt(context)
        try:
            return await OnceCall(context, body, place.channel).answer(place.connection)
        except BaseException as error:
            problem = error
            if place.choice is not None:
                failed.add(place.choice.endpoint)
            raise
        finally:
            release(context)
            place.left(problem)

    async def _stream(self, context: CallContext, body: Body) -> Body:
        """Carry a call that sends a stream, or whose result is one."""
        head = body.head if isinstance(body, Stream) else body
        place = await self._pool.place(context, len(head), simple=False)
        sends = isinstance(body, Stream)
        try:
            call = place.connection.calls.start(
                context, head, wants_stream=context.streams, sends_stream=sends
            )
        except FrameRPCError as error:
            place.left(error)
            raise
        adopt(context)
        if isinstance(body, Stream):
            place.channel.begin_upload(place.connection, call, body)
        if context.streams:
            assert call.reader is not None  # a stream was asked for
            return Stream(Answer(context, call.reader, place.left))
        problem: BaseException | None = None
        try:
            return await call.future  # type: ignore[no-any-return]
        except BaseException as error:
            problem = error
            _settle(context, call, error)
            raise
        finally:
            release(context)
            place.left(problem)

    async def notify(self, context: CallContext, body: Buffer) -> None:
        """Send a one-way call as soon as there is a connection; nothing comes back."""
        place = await self._pool.place(context, len(body))
        place.connection.calls.notify(context, body)
        place.left(None)


def _settle(context: CallContext, call: OutgoingCall, error: BaseException) -> None:
    """Give up a call that nobody waits for any more; complete the report of a late one."""
    if isinstance(error, asyncio.CancelledError):
        call.table.cancel(call)
    elif isinstance(error, DeadlineExceeded):
        explain(error, context, call)
