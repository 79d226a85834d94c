"""What a connection asks of whoever it belongs to: the interface of clients and servers.

It owns no state. A connection knows what its peer says; what to do about it is decided here.

Spec: protocol.md, "Calls".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio

    from framerpc.connection.connection import Connection
    from framerpc.errors import ConnectionLost, RemoteProtocolError
    from framerpc.protocol.events import Refused
    from framerpc.protocol.frames import Cancel, Close, Error, Goaway, Notify, Outcome, Request
    from framerpc.protocol.handshake import Greeting, Reply

__all__ = ["Acceptor"]


class Acceptor(Protocol):
    """Who decides about what the peer sends. Called from the event loop; must not raise."""

    def opened(self, connection: Connection, transport: asyncio.BaseTransport) -> None:
        """Note that there is a connection, of which nothing is known yet."""

    def greeted(self, connection: Connection, greeting: Greeting) -> None:
        """Decide about a client that introduced itself: call `welcome` or `close`."""

    def welcomed(self, connection: Connection, reply: Reply) -> None:
        """Note that the server knows us."""

    def request(self, connection: Connection, request: Request) -> None:
        """Take a call: answer with `respond`, `fail` or a stream."""

    def notified(self, connection: Connection, notify: Notify) -> None:
        """Take a one-way call."""

    def cancel(self, connection: Connection, cancel: Cancel) -> None:
        """Stop a call: answer with `receipt`, unless the answer crosses."""

    def refused(self, connection: Connection, refused: Refused) -> None:
        """Refuse a call whose arguments, or whose upload, are over a limit: `fail` it."""

    def goaway(self, connection: Connection, goaway: Goaway) -> None:
        """Note that the peer wants no new calls."""

    def overdue(self, connection: Connection) -> None:
        """Note that `connection.overdue` has changed: a PONG is overdue, or not any more."""

    def closed(self, connection: Connection, close: Close) -> None:
        """Note that the peer said why it ends the connection."""

    def violated(self, connection: Connection, error: RemoteProtocolError) -> None:
        """Note that the peer broke the protocol."""

    def complain(self, connection: Connection, problem: str) -> None:
        """Log what the peer did wrong, for which it is closed."""

    def lost(self, connection: Connection, error: ConnectionLost) -> None:
        """Note that the connection is gone. Called once, last."""

    def translate(self, error: Error, method: str) -> BaseException:
        """Return the exception that an ERROR frame stands for."""
        ...

    def receipt(self, method: str, outcome: Outcome) -> None:
        """Note what became of a call that we cancelled."""
