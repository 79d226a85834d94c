"""A subscriber for tests: takes events as long as it has credit."""

from __future__ import annotations

from framerpc.errors import CallError
from framerpc.pubsub.events import Event, Gap, Publication
from framerpc.pubsub.feed import Feed

__all__ = ["ListSink"]


class ListSink:
    """Writes events into a list.

    Args:
        credit: Events that it takes before it is given more.

    Attributes:
        events: What it was given.
        ended: How often it was told that nothing more comes.
        error: What it was told then.
    """

    def __init__(self, credit: int = 10**9) -> None:
        self.credit = credit
        self.events: list[Event] = []
        self.ended = 0
        self.error: CallError | None = None

    def write(self, event: Event) -> bool:
        assert not self.ended, "written after the end"
        if self.credit <= 0:
            return False
        self.credit -= 1
        self.events.append(event)
        return True

    def end(self, error: CallError | None) -> None:
        self.ended += 1
        self.error = error

    def grant(self, feed: Feed, credit: int) -> None:
        """Give credit, as a CREDIT frame would."""
        self.credit += credit
        feed.resume()

    @property
    def data(self) -> list[bytes]:
        """What was in the messages, in order."""
        return [event.data for event in self.events if isinstance(event, Publication)]

    @property
    def offsets(self) -> list[int]:
        """The offsets of the messages, in order."""
        return [event.offset for event in self.events if isinstance(event, Publication)]

    @property
    def gaps(self) -> list[Gap]:
        """The gaps, in order."""
        return [event for event in self.events if isinstance(event, Gap)]
