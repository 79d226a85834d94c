"""How we end a connection: asking the peer to go, saying goodbye, and not waiting for ever.

It owns the order of our last words, and that a peer that does not read cannot hold us up. Why a
connection ended when its transport says so is the business of `causes`, who is told that of
`Connection.connection_lost`.

Spec: protocol.md, "Drain" and "Close codes".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from framerpc.errors import CloseCode
from framerpc.protocol.frames import Kind, encode
from framerpc.protocol.states import ConnectionState

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from framerpc.config import Limits
    from framerpc.connection.outbox import Outbox
    from framerpc.errors import Executed
    from framerpc.protocol.wire import Wire

__all__ = ["BEHIND_GOAWAY", "Ending"]

_CLOSE_TIMEOUT: Final = 5.0
"""Seconds for the last bytes of a closing connection, before it is cut."""


BEHIND_GOAWAY: Final = 1
"""Nonce of the PING that follows a GOAWAY; those of the keepalive have 0."""


class Ending:
    """The part of a `Connection` that ends it."""

    __slots__ = ("_cause", "_cut", "_ended", "_settled")

    outbox: Outbox
    wire: Wire
    _acceptor: Any  # an Acceptor; it is handed the whole Connection
    _cause: tuple[str, Executed] | None
    _cut: asyncio.TimerHandle | None
    _ended: bool
    _limits: Limits
    _loop: asyncio.AbstractEventLoop
    _settled: Callable[[], None] | None
    _transport: asyncio.Transport | None

    def goaway(self, reason: str, grace: float, spread: float, settled: Callable[[], None]) -> None:
        """Ask the peer for no new calls; those in flight get `grace` seconds.

        Peers that are told the same should come back within `spread` seconds. `settled` is called
        once no call can follow: the peer has read it, and has answered the PING behind it.
        """
        if self.wire.state in {ConnectionState.READY, ConnectionState.DRAINING}:
            self._settled = settled
            self.outbox.send(self.wire.goaway(reason, grace, spread))
            self.outbox.send(encode(Kind.PING.value, BEHIND_GOAWAY, None))

    def _settle(self) -> None:
        settled, self._settled = self._settled, None
        if settled is not None:
            settled()

    def close(self, code: CloseCode, reason: str, within: float = _CLOSE_TIMEOUT) -> None:
        """End the connection: say why, write what is queued `within` seconds. Idempotent."""
        if self.wire.state is not ConnectionState.CLOSED:
            self._cause = self._cause or (reason, "maybe")
            self._send_close(code, reason, within)

    def abort(self, cause: str) -> None:
        """End the connection at once; nothing more is written. Idempotent."""
        self.wire.state = ConnectionState.CLOSED
        self._ended = True
        self._cause = self._cause or (cause, "maybe")
        if self._transport is not None:
            self._transport.abort()

    def _send_close(self, code: CloseCode, reason: str, within: float = _CLOSE_TIMEOUT) -> None:
        frame = self.wire.close(code, reason)
        if frame is not None:
            self.outbox.send(frame)
        self._end(within)

    def _end(self, within: float = _CLOSE_TIMEOUT) -> None:
        """Write what is queued, then close; a peer that does not read cannot hold us up."""
        self._ended = True
        self.outbox.uncork()
        transport = self._transport
        if transport is not None and self._cut is None:
            transport.close()
            # TLS says goodbye, too, and its transport does not tell what is still to be written.
            self._cut = self._loop.call_later(within, transport.abort)

    def _give_up(self, code: CloseCode, reason: str, within: float = _CLOSE_TIMEOUT) -> None:
        """Close on a peer that misbehaves without breaking the grammar."""
        if self._ended:
            return
        self._acceptor.complain(self, reason)
        self._cause = self._cause or (reason, "maybe")
        self._send_close(code, reason, within)

    def _overflow(self) -> None:
        limit = self._limits.max_outbox
        self._give_up(CloseCode.SLOW, f"more than {limit} bytes wait for a peer that does not read")
