"""The channels of one client, one for each endpoint, and which of them a call goes over.

A pool follows its resolver: new endpoints are dialled, those that went away finish their calls.
The balancer decides and does no I/O, the pool acts; with a single endpoint there is nothing to
decide. A call that finds no channel ready waits, within its deadline: that is no attempt.

Spec: protocol.md, "Client writer's guide".
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import random
from collections import Counter
from typing import TYPE_CHECKING, Final

from framerpc.balancing.balancer import Balancer
from framerpc.client.channel import Channel
from framerpc.client.endings import again
from framerpc.client.state import CONNECTED, State
from framerpc.connection.addresses import parse_address
from framerpc.connection.turns import Turns, any_turn
from framerpc.errors import DeadlineExceeded, Unavailable

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Collection, Iterable

    from framerpc.balancing.candidate import Choice, Report
    from framerpc.balancing.endpoint import Endpoint
    from framerpc.call import CallContext
    from framerpc.client.options import ChannelOptions
    from framerpc.connection.addresses import Address
    from framerpc.connection.connection import Connection
    from framerpc.errors import FrameRPCError
    from framerpc.resolvers.resolver import Resolver

__all__ = ["Place", "Pool"]

_logger: Final = logging.getLogger("framerpc.client")

_RETIREMENT: Final = 30.0
"""Seconds that calls in flight get when their endpoint went away: a default deadline."""


class Place:
    """Where one attempt of a call goes.

    Attributes:
        channel: The channel.
        connection: Its connection, which takes the call now.
        choice: Why this endpoint; None where there is only one.
    """

    __slots__ = ("_pool", "channel", "choice", "connection")

    def __init__(
        self, pool: Pool, channel: Channel, connection: Connection, choice: Choice | None
    ) -> None:
        self.channel = channel
        self.connection = connection
        self.choice = choice
        self._pool = pool

    def left(self, error: BaseException | None) -> None:
        """Note how the attempt ended."""
        if self.choice is not None:
            self._pool.ended(self.choice, error)


class Pool:
    """The channels of one client.

    Args:
        resolver: Where the endpoints come from.
        options: How to dial, and how to balance.
        loop: The event loop that it lives on.

    Attributes:
        state: What the client can say of its channels together.
        final: Why no call can be made any more, once that is so.
        only: The channel, if there is one endpoint and there will never be another.
    """

    def __init__(
        self, resolver: Resolver, options: ChannelOptions, loop: AbstractEventLoop
    ) -> None:
        self.state = State.CONNECTING
        self.final: FrameRPCError | None = None
        self.only: Channel | None = None
        self._options = options
        self._loop = loop
        chance = random.Random()  # noqa: S311 - no secret is drawn
        self._balancer = Balancer(options.balance, options.balancing, chance)
        self._channels: dict[str, Channel] = {}
        self._endpoints: dict[Channel, Endpoint] = {}
        self._retired: set[asyncio.Task[None]] = set()
        self._changes = Turns(loop)
        self._following: asyncio.Task[None] | None = None
        self._resolver = resolver
        self._problem: FrameRPCError | None = None  # of the resolver
        self.update(resolver.initial)
        if not resolver.fixed:
            self._following = loop.create_task(self._follow())
        elif len(self._channels) == 1:
            (self.only,) = self._channels.values()

    def __repr__(self) -> str:
        return f"<Pool of {self.where()}, {self.state.value}>"

    def where(self) -> str:
        """Return the endpoints as text."""
        return ", ".join(self._channels) or repr(self._resolver)

    @property
    def ready_endpoints(self) -> int:
        """Endpoints that take calls now."""
        return sum(channel.state is State.READY for channel in self._channels.values())

    def has_other(self, failed: Collection[Endpoint]) -> bool:
        """Return whether an endpoint takes calls that is none of these."""
        return self.only is None and any(
            channel.state is State.READY and endpoint not in failed
            for channel, endpoint in self._endpoints.items()
        )

    # ------------------------------------------------------------------ endpoints

    async def _follow(self) -> None:
        """Take over each set of endpoints that the resolver names."""
        resolver = self._resolver
        try:
            async with contextlib.aclosing(resolver.watch()) as resolutions:
                async for resolution in resolutions:
                    self._problem = resolution.problem
                    if resolution.problem is not None:
                        _logger.warning("! %r: %s", resolver, resolution.problem)
                    self.update(resolution.endpoints)
        except Exception as error:
            # What was named last stays: a registry with a bug takes no service down.
            self._problem = Unavailable(f"{resolver!r} failed: {error!r}")
            _logger.exception("! %r failed; its last endpoints stay", resolver)
            self._notify()

    def update(self, endpoints: Iterable[Endpoint]) -> None:
        """Dial new endpoints, and retire those that are not named any more."""
        if self.state is State.CLOSED:
            return
        added, removed = self._balancer.update(endpoints)
        for endpoint in added:
            channel = Channel(
                _address_of(endpoint), self._options, self._loop, self._channel_changed
            )
            self._channels[endpoint.url] = channel
            self._endpoints[channel] = endpoint
        for endpoint in removed:
            channel = self._channels.pop(endpoint.url)
            del self._endpoints[channel]
            task = self._loop.create_task(channel.retire(_RETIREMENT))
            self._retired.add(task)
            task.add_done_callback(self._retired.discard)
        self._settle()

    def _channel_changed(self, channel: Channel) -> None:
        endpoint = self._endpoints.get(channel)
        if endpoint is not None:
            ready = channel.state is State.READY and channel.connection is not None
            self._balancer.set_ready(endpoint, ready, self._loop.time())
            if not ready:
                self._resolver.refresh()  # it may have moved
        self._settle()

    def _settle(self) -> None:
        """Find the state of all channels together."""
        states = {channel.state for channel in self._channels.values()}
        if self.state is State.CLOSED:
            pass
        elif State.READY in states:
            self._enter(State.READY)
        elif State.DEGRADED in states:
            self._enter(State.DEGRADED)
        elif states == {State.CLOSED} and self._following is None:
            self.final = next(channel.final for channel in self._channels.values())
            self._enter(State.CLOSED)
        else:
            self._enter(State.CONNECTING)
        self._notify()

    def _enter(self, state: State) -> None:
        if state is not self.state:
            self.state = state
            if self._options.on_state is not None:
                self._options.on_state(state)

    def _notify(self) -> None:
        self._changes.all()

    # -------------------------------------------------------------------- placing

    async def place(
        self,
        context: CallContext,
        size: int,
        *,
        simple: bool = True,
        avoid: frozenset[Endpoint] = frozenset(),
    ) -> Place:
        """Wait until there is a connection that takes this call, at most until its deadline.

        Args:
            context: The call.
            size: Bytes of its arguments.
            simple: It has no stream.
            avoid: Endpoints that failed it before; taken only if there is no other.

        Raises:
            DeadlineExceeded: There was none in time; it says what was tried.
            FrameRPCError: There will never be one.
        """
        place = self._place_now(context, size, simple, avoid)
        if place is not None:
            return place
        try:
            async with asyncio.timeout_at(context.deadline):
                while True:
                    place = self._place_now(context, size, simple, avoid)
                    if place is not None:
                        return place
                    if self.final is not None:
                        raise again(self.final, context.method)
                    await self._turn()
        except TimeoutError:
            error = self.too_late(context.timeout)
            error.method = context.method
            error.where = (("connection", context.now() - context.arrived),)
            raise error from self._failure()

    def _place_now(
        self,
        context: CallContext,
        size: int,
        simple: bool,  # noqa: FBT001 - as `place` was told
        avoid: frozenset[Endpoint],
    ) -> Place | None:
        if self.only is not None:
            connection = self.only.connection
            if connection is not None and connection.may_call(size, simple=simple):
                return Place(self, self.only, connection, None)
            return None
        now = self._loop.time()
        full: frozenset[Endpoint] = frozenset()
        while True:
            choice = self._balancer.pick(now, context.routing_key, avoid | full)
            if choice is None and avoid:
                avoid = frozenset()
                continue
            if choice is None:
                return self._degraded_place(size, simple) if not full else None
            channel = self._channels[choice.endpoint.url]
            connection = channel.connection
            if connection is not None and connection.may_call(size, simple=simple):
                self._balancer.began(choice, now)
                context.choice = choice
                return Place(self, channel, connection, choice)
            self._balancer.ended(choice, now)
            full |= {choice.endpoint}

    def _degraded_place(self, size: int, simple: bool) -> Place | None:  # noqa: FBT001
        """Return a place at a server that is late with its answers: better than none."""
        for channel in self._channels.values():
            connection = channel.connection
            if channel.state is not State.DEGRADED or connection is None:
                continue
            if connection.may_call(size, simple=simple):
                return Place(self, channel, connection, None)
        return None

    async def _turn(self) -> None:
        """Wait until `_place_now` may have changed its mind."""
        connections = [channel.connection for channel in self._channels.values()]
        # Ready, and yet not taken: they are full. Whichever has room first will do.
        full = [each.turns for each in connections if each is not None and each.ready]
        await any_turn([*full, self._changes])

    def ended(self, choice: Choice, error: BaseException | None) -> None:
        """Note how an attempt ended, for the balancer."""
        self._balancer.ended(choice, self._loop.time(), error)

    # -------------------------------------------------------------------- waiting

    async def ready(self, *, all_of_them: bool = False) -> None:
        """Wait for one channel to be ready, or for all of them.

        Raises:
            FrameRPCError: It will never be.
        """
        while not self._is_ready(all_of_them):
            if self.final is not None:
                raise again(self.final)
            await self._changes.wait()

    def _is_ready(self, all_of_them: bool) -> bool:  # noqa: FBT001 - as `ready` was told
        if not all_of_them:
            return self.state in CONNECTED
        for channel in self._channels.values():
            if channel.final is not None:
                raise again(channel.final)
        states = {channel.state for channel in self._channels.values()}
        return bool(states) and states <= CONNECTED

    def too_late(self, timeout: float | None) -> DeadlineExceeded:
        """Return the error of who waited for a connection, and say what was tried."""
        tried = [
            str(channel.failure)
            for channel in self._channels.values()
            if channel.failure is not None and channel.state not in CONNECTED
        ]
        if not self._channels and self._problem is not None:
            tried = [str(self._problem)]
        elif self.state in CONNECTED or not tried:
            tried = [f"nothing could be sent to {self.where()} in time"]
        error = DeadlineExceeded("; ".join(tried[:_MOST_NAMED]), timeout)
        error.executed = "no"
        return error

    def _failure(self) -> BaseException | None:
        failures = (channel.failure for channel in self._channels.values())
        return next((failure for failure in failures if failure is not None), None)

    # --------------------------------------------------------------------- ending

    async def close(self) -> None:
        """End everything and wait until nothing is left. Idempotent."""
        self.final = self.final or Unavailable("the client was closed")
        self._enter(State.CLOSED)
        self._notify()
        tasks = [*self._retired, *([self._following] if self._following is not None else [])]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await asyncio.gather(*(channel.close() for channel in self._channels.values()))

    def drop(self) -> None:
        """Cut all connections, as a fault would."""
        for channel in self._channels.values():
            channel.drop()

    def statistics(self) -> dict[str, int]:
        """Return what is in flight, what became of cancelled calls, and how the servers are."""
        total: Counter[str] = Counter()
        lags: list[int] = []
        for channel in self._channels.values():
            told = channel.statistics()
            if "peer_lag_ms" in told:
                lags.append(told.pop("peer_lag_ms"))  # the worst counts, not the sum
            total.update(told)
        return dict(total) | ({"peer_lag_ms": max(lags)} if lags else {})

    def explain(self) -> list[Report]:
        """Return what is known of each endpoint."""
        return self._balancer.explain(self._loop.time())


def _address_of(endpoint: Endpoint) -> Address:
    """Return what to dial: the certificate may be for another name than the address."""
    name = endpoint.attributes.get("server_name", "")
    return dataclasses.replace(parse_address(endpoint.url), server_name=name)


_MOST_NAMED: Final = 3
"""Endpoints of which an error tells what went wrong."""
