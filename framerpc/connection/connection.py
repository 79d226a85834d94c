"""One live connection: pumps bytes between a transport and a `Wire`, and routes what they mean.

It owns its transport, outbox, in-flight table, stream ends and timers, and knows nothing of
methods or retries: what the peer asks for goes to an `Acceptor`, an answer to the call that
waits for it. A socket error becomes `ConnectionLost` here and nowhere else.

On the hot path a call costs one future, one entry in a table and one frame; everything that
arrives in one wake-up is answered in one write.

Spec: protocol.md.
"""

# pyright: reportPrivateUsage=false
# The table at the end names the methods of this very class.

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Any, Final, cast

from framerpc.connection.acceptor import Acceptor
from framerpc.connection.answering import Answering
from framerpc.connection.causes import why_ended
from framerpc.connection.evidence import Witness
from framerpc.connection.keepalive import KeepaliveTimer
from framerpc.connection.liveness import Liveness, Load
from framerpc.connection.outbox import Outbox
from framerpc.connection.outgoing import OutgoingCalls
from framerpc.connection.routing import Routing
from framerpc.connection.scratch import scratch
from framerpc.connection.streams import StreamEnds
from framerpc.connection.turns import Turns
from framerpc.connection.writes import WriteWatch
from framerpc.errors import CloseCode, ConnectionLost
from framerpc.protocol.events import Event, Refused, Violation
from framerpc.protocol.frames import (
    PART_SIZE,
    Cancel,
    Close,
    Credit,
    End,
    Error,
    Goaway,
    Hello,
    Item,
    Notify,
    Ping,
    Pong,
    Receipt,
    Request,
    Response,
    Welcome,
)
from framerpc.protocol.handshake import MINIMUM_EARLY
from framerpc.protocol.states import ConnectionState, Role

if TYPE_CHECKING:
    from collections.abc import Callable

    from framerpc.config import Keepalive, Limits
    from framerpc.errors import Executed
    from framerpc.protocol.handshake import Greeting, Reply
    from framerpc.protocol.wire import Wire

__all__ = ["Acceptor", "Connection"]

_logger = logging.getLogger("framerpc.connection")

_EVENTS_PER_TURN: Final = 256
"""Events handled before other connections get their turn: about a millisecond of work."""


class Connection(Answering, Liveness, Routing, asyncio.BufferedProtocol):
    """One live connection, on either side.

    Args:
        wire: The state of the protocol.
        acceptor: Who decides about what the peer sends.
        limits: Bounds.
        keepalive: When to suspect a silent peer.
        endpoint: The peer's address as text, for messages; known later on a server.
        loop: The event loop that it lives on.

    Attributes:
        calls: The calls that we made.
        streams: The stream ends of calls in both directions.
        turns: Where those wait whom `may_call` refuses.
        outbox: Where frames leave.
        owner: Whatever the acceptor keeps for this connection.
        load: What the peer said of itself in its last PONG.
        closed: Done when the connection is gone; never fails.
    """

    __slots__ = (
        "_acceptor",
        "_backlog",
        "_early",
        "_greeting",
        "_keepalive",
        "_limits",
        "_loop",
        "_scratch",
        "_small_scratch",
        "_target",
        "_transport",
        "_witness",
        "_writes",
        "calls",
        "closed",
        "endpoint",
        "outbox",
        "owner",
        "streams",
        "turns",
        "wire",
    )

    def __init__(
        self,
        wire: Wire,
        acceptor: Acceptor,
        *,
        limits: Limits,
        keepalive: Keepalive,
        endpoint: str,
        loop: asyncio.AbstractEventLoop,
        greeting: Greeting | None = None,
    ) -> None:
        self.wire = wire
        self.endpoint = endpoint
        self.owner: Any = None
        self.load = Load()
        self.closed: asyncio.Future[None] = loop.create_future()
        self.outbox = Outbox(loop, limits.max_outbox, self._overflow, self._room)
        self.streams = StreamEnds(loop, wire, self.outbox, limits)
        self.calls = OutgoingCalls(loop, wire, self.outbox, self.streams, endpoint)
        self._acceptor = acceptor
        self._limits = limits
        self._loop = loop
        self._greeting = greeting
        self._transport: asyncio.Transport | None = None
        self._scratch, self._small_scratch = scratch.large, scratch.small
        self._target: memoryview | None = None
        self._backlog: deque[Event] | None = None
        self.turns = Turns(loop)
        self._witness = Witness(self.outbox)
        self._keepalive = KeepaliveTimer(
            loop,
            keepalive,
            limits.max_pings,
            self._witness.look,
            self._ping,
            self._changed,
            self._silent,
        )
        self._writes = WriteWatch(loop, self.outbox, limits.write_timeout, self._stuck)
        self._cut: asyncio.TimerHandle | None = None  # ends what does not end by itself
        self._ended = False  # we end it: nothing that has arrived matters any more
        self._settled: Callable[[], None] | None = None  # told when the peer has read our GOAWAY
        self._early = 0  # bytes of calls sent before the welcome
        self._cause: tuple[str, Executed] | None = None  # why it ended, once we know

    def __repr__(self) -> str:
        return (
            f"<Connection to {self.endpoint}, {self.wire.state.value}, "
            f"{len(self.calls.alive)} calls out>"
        )

    @property
    def ready(self) -> bool:
        """Both sides know each other, and neither wants to go."""
        return self.wire.state is ConnectionState.READY

    def transport_info(self, name: str) -> Any:
        """Return what the transport knows under `name` (`asyncio.BaseTransport`), or None."""
        return None if self._transport is None else self._transport.get_extra_info(name)

    # ------------------------------------------------------- asyncio's protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; a client greets at once."""
        self._transport = cast("asyncio.Transport", transport)
        self.outbox.open(self._transport)
        self._witness.open(transport)
        self._acceptor.opened(self, transport)
        if self._greeting is not None:
            self.outbox.send_now(self.wire.hello(self._greeting))

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """Return where the next bytes go: to their place, or to the shared scratch."""
        wire = self.wire
        self._target = target = None if wire.decoder.target is None else wire.buffer()
        if target is not None:
            return target
        return self._scratch if wire.calls.bodies else self._small_scratch

    def buffer_updated(self, nbytes: int) -> None:
        """Take what arrived."""
        keepalive = self._keepalive
        keepalive.heard = self._loop.time()
        if keepalive.overdue:
            keepalive.revive()
        if self._target is None:
            events = self.wire.receive(self._scratch, nbytes)
        else:
            self._target = None
            events = self.wire.written(nbytes)
        if events:
            self._handle(events)

    def eof_received(self) -> bool:
        """Let the transport close: a peer that sends nothing more can get no answer either."""
        self._cause = self._cause or ("the peer closed the connection", "maybe")
        return False

    def connection_lost(self, exc: BaseException | None) -> None:
        """Tell everybody who waits."""
        cause, executed = self._cause or (why_ended(exc), "maybe")
        self._transport = None
        self._keepalive.stop()
        self._writes.stop()
        if self._cut is not None:
            self._cut.cancel()
        error = ConnectionLost(self.endpoint, cause, executed)
        _logger.debug("x %s: %s", self.endpoint, cause)
        self.wire.state = ConnectionState.CLOSED
        self._backlog = None
        self.outbox.shut()
        self.calls.lost(error)
        self.streams.close(error)
        self.turns.all()
        if not self.closed.done():
            self.closed.set_result(None)
        self._acceptor.lost(self, error)

    def pause_writing(self) -> None:
        """Stop adding to a full transport; a server stops taking calls from this peer as well."""
        self.outbox.pause()
        self._writes.watch()
        if self.wire.role is Role.SERVER and self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on."""
        self.outbox.resume()
        self.streams.writable()
        self.turns.all()
        if self._transport is not None and self._backlog is None:
            self._transport.resume_reading()

    def _stuck(self, seconds: float) -> None:
        self._give_up(CloseCode.SLOW, f"the peer has not read for {seconds:.3g} s")

    # ----------------------------------------------------------------- events

    def _handle(self, events: list[Event]) -> None:
        """Handle what arrived in one wake-up, and answer it in one write."""
        if self._backlog is not None or len(events) > _EVENTS_PER_TURN:
            self._set_aside(events)
            return
        several = len(events) > 1  # an answer to a single one may leave at once
        if several:
            self.outbox.cork()
        for event in events:
            kind = event.__class__
            if self._ended:
                break
            if kind is Request:  # as in `Routing`, without its calls: nearly all are
                self._acceptor.request(self, event)
            elif kind is Response:  # one of these two
                self.calls.succeed(event.id, event.body)  # type: ignore[union-attr]
                if self.turns.waiting:
                    self.turns.next()
            else:
                _HANDLERS[kind](self, event)
        if several:
            self.outbox.uncork()

    def _set_aside(self, events: list[Event]) -> None:
        """Keep what is too much for one turn."""
        if self._backlog is not None:
            self._backlog.extend(events)
            return
        self._backlog = deque(events)
        if self._transport is not None:
            self._transport.pause_reading()
        self._work_off()

    def _work_off(self) -> None:
        """Handle a slice of a long backlog, then let others have their turn."""
        backlog = self._backlog
        if backlog is None:
            return
        self.outbox.cork()
        for _ in range(min(_EVENTS_PER_TURN, len(backlog))):
            event = backlog.popleft()
            _HANDLERS[type(event)](self, event)
            if self._ended:
                backlog.clear()
                break
        self.outbox.uncork()
        if backlog:
            self._loop.call_soon(self._work_off)
        else:
            self._backlog = None
            if self._transport is not None and self.outbox.paused is None:
                self._transport.resume_reading()

    def _on_hello(self, _hello: Hello) -> None:
        assert self.wire.greeting is not None
        if self._transport is not None:
            self._transport.pause_reading()  # until we know who this is
        self._acceptor.greeted(self, self.wire.greeting)

    def _on_welcome(self, _welcome: Welcome) -> None:
        reply = self.wire.reply
        assert reply is not None
        self._watch(reply)
        _logger.debug("= %s: ready, %s", self.endpoint, reply.agent)
        self.turns.all()
        self._acceptor.welcomed(self, reply)

    def _on_close(self, close: Close) -> None:
        # Nothing is started before the welcome.
        refused = self.wire.role is Role.CLIENT and self.wire.reply is None
        executed: Executed = "no" if refused else "maybe"
        reason = close.reason or "no reason given"
        self._cause = (f"closed by the peer: {reason}", executed)
        self._acceptor.closed(self, close)
        self._end()

    def _on_goaway(self, goaway: Goaway) -> None:
        _logger.debug("= %s: the peer asks for no new calls: %s", self.endpoint, goaway.reason)
        self.turns.all()
        self._acceptor.goaway(self, goaway)

    def _on_violation(self, violation: Violation) -> None:
        error = violation.error
        # Who speaks another version has not understood any call.
        executed: Executed = "no" if error.close_code is CloseCode.VERSION else "maybe"
        self._cause = (f"the peer broke the protocol: {error}", executed)
        self._acceptor.complain(self, str(error))
        self._acceptor.violated(self, error)
        self._send_close(error.close_code, str(error))

    def welcome(self, reply: Reply) -> None:
        """Let the client in, and take what it sent early."""
        if self._transport is None or self.wire.state is not ConnectionState.WAITING:
            return
        assert self.wire.greeting is not None
        self.outbox.send(self.wire.welcome(reply))
        self._watch(self.wire.greeting)
        events = self.wire.resume()
        if events:
            self._handle(events)
        transport = cast("asyncio.Transport | None", self._transport)  # `_handle` may end it
        if self._backlog is None and transport is not None and self.outbox.paused is None:
            transport.resume_reading()

    # --------------------------------------------------------------- admission

    def may_call(self, size: int, *, simple: bool = True) -> bool:
        """Return whether a call with `size` bytes of arguments may be sent now.

        Args:
            size: Bytes of the encoded arguments.
            simple: The call sends no stream, so that it may go before the welcome.
        """
        state = self.wire.state
        if state is ConnectionState.READY:
            return (
                len(self.calls.alive) < self.wire.peer.calls
                and self.outbox.paused is None
                and (size <= PART_SIZE or self.outbox.has_room(size))
            )
        if state is not ConnectionState.GREETING or not simple or size > PART_SIZE:
            return False
        if self._early + size + _EARLY_OVERHEAD > MINIMUM_EARLY or self._transport is None:
            return False
        if len(self.calls.alive) >= self.wire.peer.calls:
            return False
        self._early += size + _EARLY_OVERHEAD
        return True

    async def idle(self) -> None:
        """Wait until no call of ours is in flight; at once if the connection is gone."""
        while self.calls.alive:
            await self.turns.wait()

    # -------------------------------------------------------------- the outbox

    def _room(self) -> None:
        """A long body has left: others that wait may be next."""
        self.streams.writable()
        self.turns.all()


_EARLY_OVERHEAD: Final = 512
"""What a frame may add to the arguments of an early call: its method, times and headers."""


_HANDLERS: Final[dict[type, Callable[[Connection, Any], None]]] = {
    Hello: Connection._on_hello,  # noqa: SLF001 - our own class, here and below
    Welcome: Connection._on_welcome,  # noqa: SLF001
    Close: Connection._on_close,  # noqa: SLF001
    Goaway: Connection._on_goaway,  # noqa: SLF001
    Ping: Connection._on_ping,  # noqa: SLF001
    Pong: Connection._on_pong,  # noqa: SLF001
    Request: Connection._on_request,  # noqa: SLF001
    Response: Connection._on_response,  # noqa: SLF001
    Error: Connection._on_error,  # noqa: SLF001
    Cancel: Connection._on_cancel,  # noqa: SLF001
    Receipt: Connection._on_receipt,  # noqa: SLF001
    Item: Connection._on_item,  # noqa: SLF001
    End: Connection._on_end,  # noqa: SLF001
    Credit: Connection._on_credit,  # noqa: SLF001
    Notify: Connection._on_notify,  # noqa: SLF001
    Refused: Connection._on_refused,  # noqa: SLF001
    Violation: Connection._on_violation,  # noqa: SLF001
}
