"""The network between the two ends of an in-memory connection, one object a direction.

The only thing to replace in order to have a bad network. It knows neither what it brings
nor how the ends work.
"""

from __future__ import annotations

from typing import Protocol

__all__ = ["Link", "Receiver"]


class Receiver(Protocol):
    """The end that a link leads to. Called on the loop of the sender."""

    def arrive(self, data: bytes) -> None:
        """Take bytes."""

    def arrive_eof(self) -> None:
        """Take the news that no more bytes come."""

    def arrive_reset(self) -> None:
        """Take the news that the connection is broken."""


class Link:
    """One direction of a connection: brings what is sent to the other end at once, in order.

    For a bad network, subclass it and call the methods of this class later, with smaller
    pieces, or never. A link is used on the loop of its sender only.
    """

    _receiver: Receiver

    def attach(self, receiver: Receiver) -> None:
        """Remember where everything goes to; called once, before anything is sent."""
        self._receiver = receiver

    @property
    def blocked(self) -> bool:
        """Whether nothing that is sent now would arrive, acknowledgements included."""
        return False

    def unacknowledged(self) -> int:
        """Return how many of the bytes sent have not reached the other host."""
        return 0

    def send(self, data: bytes) -> None:
        """Bring bytes over; never empty."""
        self._receiver.arrive(data)

    def send_eof(self) -> None:
        """Tell the other end that no more bytes come."""
        self._receiver.arrive_eof()

    def send_reset(self) -> None:
        """Break the connection: what has not arrived is lost."""
        self._receiver.arrive_reset()
