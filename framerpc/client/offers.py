"""What a client offers to its server: nothing yet. The half of an acceptor that serves calls.

Spec: protocol.md, "Calls".
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from framerpc.errors import Status

if TYPE_CHECKING:
    from framerpc.connection.connection import Connection
    from framerpc.protocol.events import Refused
    from framerpc.protocol.frames import Cancel, Notify, Request
    from framerpc.protocol.handshake import Greeting

__all__ = ["OffersNothing"]

_logger: Final = logging.getLogger("framerpc.client")


class OffersNothing:
    """Refuses every call of a server."""

    def greeted(self, connection: Connection, greeting: Greeting) -> None:
        """Never on a client."""

    def request(self, connection: Connection, request: Request) -> None:
        """Refuse: this client offers no methods."""
        self._refuse(connection, request.id)

    def notified(self, connection: Connection, notify: Notify) -> None:
        """Ignore: this client offers no methods."""

    def cancel(self, connection: Connection, cancel: Cancel) -> None:
        """Never, as long as servers make no calls."""

    def refused(self, connection: Connection, refused: Refused) -> None:
        """Refuse: this client offers no methods."""
        self._refuse(connection, refused.frame.id)

    def complain(self, connection: Connection, problem: str) -> None:
        """Log what the server did wrong: once a connection, and dialling has its pauses."""
        _logger.warning("! %s: %s", connection.endpoint, problem)

    def _refuse(self, connection: Connection, call_id: int) -> None:
        connection.fail(call_id, Status.METHOD_NOT_FOUND, 0, "clients offer no methods")
