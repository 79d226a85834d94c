"""Reading from a store that has everything in this process.

What stores of this kind have in common: they differ in how a message gets onto the shelf.

Spec: protocol.md, "Positions and history".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from framerpc.backplane.shelf import Shelf
    from framerpc.pubsub.positions import Position
    from framerpc.pubsub.store import Found, Page, Since, Topics
    from framerpc.topic_config import TopicPolicy

__all__ = ["Shelved"]


class Shelved:
    """The reading half of a `Store`; nothing of it waits.

    Args:
        shelf: Where everything is.
    """

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def statistics(self) -> dict[str, int]:
        """Return what is kept, and what left before its time."""
        return self._shelf.statistics()

    async def find(self, topic: str, since: Since, policy: TopicPolicy, now: float) -> Found:
        """Say what a topic has for a reader; see `Store.find`."""
        del policy  # that of the last publish holds
        return self._shelf.find(topic, since, self._at(now))

    async def topics(self, pattern: str, limit: int) -> Topics:
        """Return the topics that match; see `Store.topics`."""
        return self._shelf.topics.find(pattern, limit)

    async def read(
        self, topic: str, after: Position, upto: int, policy: TopicPolicy, now: float
    ) -> Page:
        """Return a page of messages; see `Store.read`."""
        del policy
        return self._shelf.read(topic, after, upto, self._at(now))

    def _at(self, now: float) -> float:
        """Return the time of the store, by which its messages age."""
        return now
