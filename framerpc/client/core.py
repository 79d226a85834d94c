"""What all views of one client share: its pool, its interceptors, and the loop it lives on.

It knows no method and opens no body. It binds to the first loop that it is used on, and says
so to everybody who comes from another one; a forked child has none of its parent's loops.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Final, TypeAlias

from framerpc.call import Handler, Stream, chain
from framerpc.client.caller import Caller
from framerpc.client.pool import Pool
from framerpc.connection.timers import PatientTimeout
from framerpc.errors import ConfigurationError, DeadlineExceeded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from framerpc.call import Body, Buffer, CallContext, Interceptor
    from framerpc.client.options import ChannelOptions
    from framerpc.connection.outgoing import OutgoingCall
    from framerpc.resolvers.resolver import Resolver

__all__ = ["Again", "Begin", "Core", "single"]

Begin: TypeAlias = "Callable[[str, bytes, float | None, int | None], OutgoingCall | None]"
"""Sends a call at once, or returns None if it has to go the long way: through the handler."""

Again: TypeAlias = "Callable[[CallContext, Buffer, OutgoingCall, BaseException], Awaitable[Body]]"
"""Deals with the failure of a call that was sent at once."""


class Core:
    """What all views of one client share."""

    __slots__ = (
        "again",
        "begin",
        "clock",
        "handler",
        "interceptors",
        "loop",
        "notify",
        "options",
        "pid",
        "pool",
        "resolver",
    )

    def __init__(
        self,
        resolver: Resolver,
        options: ChannelOptions,
        interceptors: tuple[Interceptor, ...],
    ) -> None:
        chain(interceptors, _nothing)  # says at once what is wrong with them
        self.resolver = resolver
        self.options = options
        self.interceptors = interceptors
        self.loop: asyncio.AbstractEventLoop | None = None
        self.pid = 0  # of the process that the loop runs in
        self.pool: Pool | None = None
        # From here on, what `start` replaces.
        self.clock: Callable[[], float] = _no_clock
        self.begin: Begin = _long_way
        self.again: Again = _no_again
        self.handler: Handler = _nothing
        self.notify: Handler = _nothing

    def start(self) -> Pool:
        """Bind to the running loop and begin to dial; return the pool."""
        if self.pool is None:
            self.loop = asyncio.get_running_loop()
            self.pid = os.getpid()
            self.clock = self.loop.time
            self.pool = Pool(self.resolver, self.options, self.loop)
            caller = Caller(self.pool, self.options)
            self.handler = self._around(caller.handle)
            if not self.interceptors:
                self.begin, self.again = caller.begin, caller.again
            self.notify = self._around(_one_way(caller))
        elif not self.is_here():
            raise ConfigurationError(_WRONG_LOOP)
        return self.pool

    def is_here(self) -> bool:
        """Return whether the loop that runs is the one that the client belongs to."""
        try:
            return asyncio.get_running_loop() is self.loop
        except RuntimeError:  # none: a coroutine is driven by hand, as in a forked child
            return False

    async def items(self, context: CallContext, body: Body) -> AsyncIterator[Buffer]:
        """Call a method whose result is a stream; return its encoded items.

        Raises:
            ConfigurationError: An interceptor made something else of it.
        """
        result = await self.handler(context, body)
        if not isinstance(result, Stream):
            raise ConfigurationError(f"{context.method}: an interceptor returned no stream for one")
        return result.items

    def _around(self, handler: Handler) -> Handler:
        if not self.interceptors:
            return handler  # which keeps the deadline by itself
        return _in_time(chain(self.interceptors, handler))


_WRONG_LOOP: Final = (
    "this client belongs to another event loop or process; make one with framerpc.connect() in "
    "each loop, or use framerpc.sync, which can be shared between threads"
)


def single(body: Body, name: str) -> Buffer:
    """Return a body that must not be a stream.

    Raises:
        ConfigurationError: An interceptor made one of it.
    """
    if isinstance(body, Stream):
        raise ConfigurationError(f"{name}: an interceptor made a stream of a single value")
    return body


async def _nothing(context: CallContext, body: Body) -> Body:
    raise NotImplementedError


def _no_clock() -> float:
    raise NotImplementedError


async def _no_again(
    context: CallContext, body: Buffer, call: OutgoingCall, error: BaseException
) -> Body:
    raise NotImplementedError


def _long_way(*_: object) -> None:
    return None


def _one_way(caller: Caller) -> Handler:
    """Return the Handler of notifications: it answers nothing, once they are on their way."""

    async def handle(context: CallContext, body: Body) -> Body:
        await caller.notify(context, single(body, context.method))
        return b""

    return handle


def _in_time(inner: Handler) -> Handler:
    """Return `inner` bound to the deadline, which its interceptors do not know of."""

    async def handle(context: CallContext, body: Body) -> Body:
        if context.deadline is None:
            return await inner(context, body)
        due = context.deadline + _INTERCEPTOR_GRACE
        scope = PatientTimeout(asyncio.get_running_loop(), due)
        try:
            async with scope:
                return await inner(context, body)
        except TimeoutError as exc:
            if isinstance(exc, DeadlineExceeded) or not scope.expired():
                raise
            spent = (("interceptors", context.now() - context.arrived),)
            error = DeadlineExceeded("the deadline passed", context.timeout, spent)
            error.method = context.method
            raise error from None

    return handle


_INTERCEPTOR_GRACE: Final = 0.075
"""Seconds past its deadline that a call has to end by itself, and to say where the time went.

Between the 0.05 s of the connection and the 0.1 s within which every call has ended."""
