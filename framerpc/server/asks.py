"""What a server asks of its clients: nothing yet. The half of an acceptor that makes calls.

Spec: protocol.md, "Calls".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from framerpc.errors import Cancelled

if TYPE_CHECKING:
    from framerpc.connection.connection import Connection
    from framerpc.protocol.frames import Close, Error, Goaway, Outcome
    from framerpc.protocol.handshake import Reply

__all__ = ["AsksNothing"]


class AsksNothing:
    """Hears what a client says of itself, and has no call of its own to think of."""

    __slots__ = ()

    def welcomed(self, connection: Connection, reply: Reply) -> None:
        """Never on a server."""

    def goaway(self, connection: Connection, goaway: Goaway) -> None:
        """A client that goes finishes its calls and closes."""

    def overdue(self, connection: Connection) -> None:
        """A client owes an answer to a PING, or not any more; `Server.statistics` counts them."""

    def closed(self, connection: Connection, close: Close) -> None:
        """A client said goodbye; `lost` follows."""

    def translate(self, error: Error, method: str) -> BaseException:  # noqa: ARG002 - see Acceptor
        """Return what a handler sees whose caller's stream broke."""
        return Cancelled(f"the caller's stream broke: {error.detail}")

    def receipt(self, method: str, outcome: Outcome) -> None:
        """Never on a server, as long as servers make no calls."""
