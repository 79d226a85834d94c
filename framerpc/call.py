"""The one shape of a call, on both sides: `CallContext`, `Body`, `Handler`, `Interceptor`.

A client's channel and a server's method are both Handlers: a context and a body in, a body
out. A body is encoded bytes, or a `Stream` of them, so an interceptor wraps streams as well
as single calls, and does not know which side it is on. Bodies stay encoded here: only the
two rooms that know their type open them. Prior art: tower's `Service` and `Layer`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import msgspec

from framerpc.deadline import earlier
from framerpc.errors import ConfigurationError, FrameRPCError

__all__ = [
    "Body",
    "Buffer",
    "CallContext",
    "Handler",
    "Interceptor",
    "NoCurrentCall",
    "Stream",
    "adopt",
    "chain",
    "current_call",
    "current_context",
    "inherit",
    "release",
]

Buffer: TypeAlias = bytes | bytearray | memoryview
"""One encoded value. Whoever receives it may keep it, and must not change it."""


@dataclass(slots=True, frozen=True)
class Stream:
    """A body that comes in pieces.

    Attributes:
        items: The encoded items. Iterate it once. Closing it early (`aclose`, where it has
            one) tells the producer to stop.
        head: What comes before the items: the encoded arguments of a call whose argument is
            a stream, nothing for a result.
    """

    items: AsyncIterator[Buffer]
    head: Buffer = b""


Body: TypeAlias = Buffer | Stream


class CallContext(msgspec.Struct, eq=False, weakref=True):
    """What is known about one call besides its body.

    (A struct for its speed: one is made for every call, on both sides.)

    Attributes:
        method: Name on the wire, "Service/method".
        deadline: Point in loop time by which it must be answered, or None.
        timeout: The seconds it was given, or None; for messages.
        metadata: String pairs that travel with the request.
        identity: What `authenticate` returned for the caller; None on the client.
        peer: Address of the other side, as text.
        server: The server that the call runs in; None on the client.
        streams: The result is a stream.
        quiet: That stream may stand still for as long as it likes.
        arrived: Loop time at which we learned of the call.
        started: Loop time at which its method was entered; None before.
        finished: The call has ended; nothing may inherit from it any more.
        children: The calls that its handler made, as long as they run.
        parent: The call whose handler makes this one, if one does.
        idempotent: It may be sent again without harm.
        attempt: 1 the first time that it is sent, one more each time that it is sent again.
        routing_key: On a client, what decides where it goes if the balancing is sticky.
        hedge: On a client, when it goes to a second server as well.
        choice: On a client with several endpoints, the one of this attempt, and why.
        once: On a client, it is sent again under its number when a connection is lost.
        now: Returns the loop's time; from any thread.
        link: What a call with a stream came over, for the server itself.
        rechecked: Rights were taken from the caller while it ran (`Server.recheck`): whoever
            allowed a subscription before has to be asked again.
    """

    method: str
    now: Callable[[], float]
    arrived: float
    deadline: float | None = None
    timeout: float | None = None
    metadata: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    identity: Any = None
    peer: str = ""
    server: Any = None
    streams: bool = False
    quiet: bool = False
    started: float | None = None
    finished: bool = False
    children: list[CallContext] | None = None
    parent: CallContext | None = None
    idempotent: bool = False
    attempt: int = 1
    routing_key: str | None = None
    hedge: Any = None
    choice: Any = None
    once: bool = False
    link: Any = None
    rechecked: bool = False

    def __repr__(self) -> str:
        return f"<CallContext {self.method} from {self.peer or 'here'}>"

    def remaining(self) -> float | None:
        """Return the seconds left until the deadline (not below 0), or None without one.

        May be called from any thread.
        """
        if self.deadline is None:
            return None
        return max(0.0, self.deadline - self.now())


Handler: TypeAlias = Callable[[CallContext, Body], Awaitable[Body]]
"""One call: its context and encoded arguments in, its encoded result out.

Raises a `CallError` (or another framerpc error) if the call ends badly. Cancelling it
cancels the call.
"""

Interceptor: TypeAlias = Callable[[CallContext, Body, Handler], Awaitable[Body]]
"""Something around a call: it gets the context, the body and the next handler."""


class NoCurrentCall(FrameRPCError, LookupError):
    """`current_call()` was used outside a handler."""

    def __str__(self) -> str:
        return (
            "no call is being handled here; current_call() works inside methods, interceptors "
            "and what they start, not in the application around the server"
        )


current_context: Final[ContextVar[CallContext]] = ContextVar("framerpc_current_call")
"""Set by the dispatcher around each handler."""


def current_call() -> CallContext:
    """Return the call that is being handled.

    Works in `async def` handlers, in `def` handlers (in their worker thread) and in tasks that
    they start.

    Raises:
        NoCurrentCall: Outside a handler.
    """
    context = current_context.get(None)
    if context is None:
        raise NoCurrentCall
    return context


def inherit(context: CallContext, parent: CallContext) -> None:
    """Bind a call that we make to the one that is being handled here.

    It inherits the deadline, if that is earlier. A call that has ended passes nothing on: a
    background task that a handler left behind is not killed by the deadline of the call that
    happened to start it.
    """
    if parent.finished:
        return
    context.parent = parent
    deadline = earlier(context.deadline, parent.deadline)
    if deadline is not None and deadline != context.deadline:
        context.deadline = deadline
        context.timeout = max(deadline - context.arrived, 0.0)


def adopt(context: CallContext) -> None:
    """Enter a call that leaves now in its parent, for the report of where the time went."""
    parent = context.parent
    if parent is not None and not parent.finished:
        if parent.children is None:
            parent.children = []
        parent.children.append(context)


def release(context: CallContext) -> None:
    """Note that a call we made has ended. Idempotent."""
    context.finished = True
    siblings = context.parent.children if context.parent is not None else None
    if siblings and context in siblings:
        siblings.remove(context)


def chain(interceptors: tuple[Interceptor, ...], handler: Handler) -> Handler:
    """Return `handler` with the interceptors around it; the first is the outermost.

    Raises:
        ConfigurationError: One of them cannot be called.
    """
    for interceptor in reversed(interceptors):
        if not callable(interceptor):
            raise ConfigurationError(
                "interceptors must be async functions of a context, a body and the next handler; "
                f"got {interceptor!r}"
            )
        handler = _around(interceptor, handler)
    return handler


def _around(interceptor: Interceptor, inner: Handler) -> Handler:
    def call(context: CallContext, body: Body) -> Awaitable[Body]:
        return interceptor(context, body, inner)

    return call
