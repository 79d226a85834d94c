"""One client on its way out: it was asked to go, and may finish what it has begun.

After the GOAWAY a PING is sent. Bytes stay in order, so the PONG says that no call of this client
is on its way to us any more: those that crossed with the GOAWAY have arrived, and are served. From
then on the connection closes as soon as nothing is in flight on it. This is the same whether a
server stops or a connection has become too old.

Spec: protocol.md, "Drain".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from framerpc.errors import CloseCode
    from framerpc.server.peer import Peer

__all__ = ["Leaving"]


class Leaving:
    """The end of one connection.

    Args:
        peer: Whose.
        code: For the CLOSE frame.
        reason: Why, for people.
        until: Loop time at which the grace is over.
        loop: The event loop.
    """

    __slots__ = ("_code", "_loop", "_peer", "_reason", "_settled", "_until")

    def __init__(
        self,
        peer: Peer,
        code: CloseCode,
        reason: str,
        until: float,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._peer = peer
        self._code = code
        self._reason = reason
        self._until = until
        self._loop = loop
        self._settled = False

    def __repr__(self) -> str:
        return f"<Leaving of {self._peer.address}{', settled' if self._settled else ''}>"

    def begin(self, spread: float) -> None:
        """Ask the client to go, and to come back within `spread` seconds.

        Its subscriptions end, so that it takes them elsewhere.
        """
        peer = self._peer
        grace = self._until - self._loop.time()
        peer.connection.goaway(self._reason, grace, spread, self._settle)
        if peer.guest is not None:
            peer.guest.drain(peer.connection)

    def _settle(self) -> None:
        self._settled = True
        self.check()

    def check(self) -> None:
        """Close if nothing is in flight; called whenever something has ended."""
        peer = self._peer
        if self._settled and not peer.calls and not peer.connection.wire.calls.alive:
            self.end()

    def end(self) -> None:
        """Close, whatever is in flight; the last bytes get what is left of the grace."""
        left = self._until - self._loop.time()
        self._peer.connection.close(self._code, self._reason, max(left, _LAST_BYTES))


_LAST_BYTES = 5.0
"""Seconds for the last bytes, at least."""
