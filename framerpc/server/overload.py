"""Concurrency limits: how many calls run at once, and what happens to those beyond.

A limit stands around a handler from the moment that the method is registered; a method without
one does not know that there are any. A call beyond it is refused before anything of it runs, with
`ResourceExhausted`, so that it may go elsewhere. It never waits: a queue would only make
everybody late. Who is refused is decided by `fairness`, how much an adaptive limit allows by
`gradient`.

Spec: protocol.md, "Overload".
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

from framerpc.call import Body, CallContext, Stream
from framerpc.concurrency import AdaptiveConcurrency
from framerpc.errors import ResourceExhausted
from framerpc.server.fairness import Shares
from framerpc.server.gradient import Gradient
from framerpc.server.sink import StreamSink

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

    from framerpc.call import Buffer, Handler
    from framerpc.concurrency import ConcurrencyLimit

__all__ = ["Limiter", "limited"]

_PATIENCE: Final = 1.0
"""Seconds for which a slot is kept for a client that was refused, at least."""

_LONGEST_PAUSE: Final = 1.0
"""Seconds that a refused caller is asked to wait, at most: how long calls take is no promise."""

_INERTIA: Final = 16
"""Calls over which the time that they take is averaged."""


class Limiter:
    """One limit, of a server or of a method.

    Args:
        option: A number of calls, or how to find it out.
        name: Whose limit, for messages.

    Attributes:
        refused: Calls that were refused.
        pace: Seconds that a call takes, on average; 0.0 while nothing is known.
    """

    __slots__ = ("_gradient", "_limit", "_name", "_shares", "pace", "refused")

    def __init__(self, option: ConcurrencyLimit, name: str) -> None:
        self.refused = 0
        self.pace = 0.0
        self._name = name
        self._shares = Shares()
        self._gradient: Gradient | None = None
        if isinstance(option, AdaptiveConcurrency):
            self._gradient = Gradient(option)
            self._limit = self._gradient.limit
        else:
            self._limit = option

    def __repr__(self) -> str:
        return f"<Limiter of {self._name}, {self._shares.busy} of {self._limit} calls>"

    def statistics(self) -> dict[str, int]:
        """Return the limit, the calls in flight, and how many were refused."""
        return {
            "limit": self._limit,
            "calls_in_flight": self._shares.busy,
            "refused_calls": self.refused,
        }

    def enter(self, who: Hashable, now: float) -> bool:
        """Take a slot for a call of this client; return False if there is none for it."""
        if self._shares.enter(who, self._limit, now, max(_PATIENCE, 2 * self.pace)):
            return True
        self.refused += 1
        return False

    def leave(self, who: Hashable, now: float, took: float | None) -> None:
        """Give a slot back.

        Args:
            who: Whose call.
            now: Loop time.
            took: How long the call took, in seconds; None if that says nothing.
        """
        if took is not None:
            self.pace += (took - self.pace) / _INERTIA if self.pace else took
            if self._gradient is not None:
                self._gradient.sample(took, self._shares.busy, now)
                self._limit = self._gradient.limit
        self._shares.leave(who, now)

    def refusal(self) -> ResourceExhausted:
        """Return what a refused caller is told."""
        return ResourceExhausted(
            f"{self._shares.busy} of {self._limit} calls are in flight at {self._name} "
            "(max_concurrency)",
            retry_after=min(self.pace, _LONGEST_PAUSE) or None,
        )


def limited(handler: Handler, limiters: tuple[Limiter, ...]) -> Handler:
    """Return `handler` within these limits. A stream counts until its last item was taken."""

    async def handle(context: CallContext, body: Body) -> Body:
        who = _client_of(context)
        _enter(limiters, who, context.arrived)
        try:
            result = await handler(context, body)
        except BaseException:
            _leave(limiters, who, context, tells=_is_late(context))
            raise
        if isinstance(result, Stream) and type(result.items) is not StreamSink:
            return Stream(_Held(result.items, lambda: _leave(limiters, who, context)), result.head)
        # A subscription is no call: nothing runs for it any more.
        _leave(limiters, who, context, tells=True)
        return result

    return handle


def _client_of(context: CallContext) -> Hashable:
    """Return the unit of fairness: who calls, if that is known, otherwise the connection."""
    identity: Any = context.identity
    if identity is None:
        return context.peer
    try:
        hash(identity)
    except TypeError:
        return context.peer
    return identity  # type: ignore[no-any-return]


def _is_late(context: CallContext) -> bool:
    """Return whether a call failed because it took too long: that does say how long it took."""
    return context.deadline is not None and context.now() >= context.deadline


def _enter(limiters: tuple[Limiter, ...], who: Hashable, now: float) -> None:
    """Take a slot in all of them or in none.

    Raises:
        ResourceExhausted: One of them has none.
    """
    for place, limiter in enumerate(limiters):
        if not limiter.enter(who, now):
            for entered in limiters[:place]:
                entered.leave(who, now, None)
            raise limiter.refusal()


def _leave(
    limiters: tuple[Limiter, ...], who: Hashable, context: CallContext, *, tells: bool = False
) -> None:
    now = context.now()
    took = now - context.arrived if tells else None
    for limiter in limiters:
        limiter.leave(who, now, took)


class _Held(AsyncIterator["Buffer"]):
    """The items of a stream, with a slot that is given back when they are closed.

    Whoever sends a stream closes it, however that ends.
    """

    __slots__ = ("_items", "_release")

    def __init__(self, items: AsyncIterator[Buffer], release: Callable[[], None]) -> None:
        self._items = items
        self._release: Callable[[], None] | None = release

    def __anext__(self) -> Awaitable[Buffer]:
        return self._items.__anext__()

    async def aclose(self) -> None:
        """Close the items, and give the slot back."""
        release, self._release = self._release, None
        try:
            close: Any = getattr(self._items, "aclose", None)
            if close is not None:
                await close()
        finally:
            if release is not None:
                release()
