"""What waits for one subscriber, bounded in bytes, and what happens to it beyond the bound.

A subscriber that is too slow for its topics costs itself, nobody else. What it wants to happen is
its `Overflow`. Each message that is left out is counted, and told to the subscriber at
its place in the order: a `Gap` stands where the messages would have stood.

Spec: protocol.md, "Positions and history".
"""

from __future__ import annotations

import enum
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from framerpc.pubsub.events import MESSAGE_COST, Check, Gap, Publication

if TYPE_CHECKING:
    from framerpc.pubsub.events import Event
    from framerpc.pubsub.positions import Position

__all__ = ["Overflow", "Queue"]

_NAMED: Final = 16
"""Topics named in one gap: the rest of it is pooled, so that a gap is small."""


class Overflow(enum.Enum):
    """What happens to a subscriber that is too slow."""

    DISCONNECT = "disconnect"  # the subscription ends; it can begin again by position
    DROP_OLDEST = "drop_oldest"
    DROP_NEWEST = "drop_newest"
    LATEST = "latest"  # of what waits, only the newest message of each topic and key is kept


class _Dropped:
    """A gap that still grows."""

    __slots__ = ("count", "topics")

    def __init__(self) -> None:
        self.count = 0
        self.topics: dict[str, int] = {}

    def add(self, topic: str, count: int = 1) -> None:
        self.count += count
        known = self.topics
        name = topic if topic in known or len(known) < _NAMED else ""
        known[name] = known.get(name, 0) + count

    def told(self) -> Gap:
        return Gap(self.count, dict(self.topics))


class Queue:
    """Events on their way to one subscriber.

    Args:
        limit: Bytes that may wait. One message may wait even if it is longer.
        overflow: What happens beyond it.

    Attributes:
        limit: As given.
        overflow: As given.
        size: Bytes that wait.
        dropped: Messages left out so far.
    """

    __slots__ = ("_events", "_head", "_number", "dropped", "limit", "overflow", "size")

    def __init__(self, limit: int, overflow: Overflow) -> None:
        self.limit = limit
        self.overflow = overflow
        # Ordered, and quick at both ends and in the middle. Keys: a running number, for LATEST
        # what a message replaces, and `Check` for the one of these.
        self._events: OrderedDict[object, Publication | _Dropped | Check] = OrderedDict()
        self._number = 0
        self._head = _Dropped()  # what is missing before the first of them
        self.size = 0
        self.dropped = 0

    def __bool__(self) -> bool:
        return bool(self._events or self._head.count)

    def __repr__(self) -> str:
        return f"<Queue {self.overflow.value} size={self.size} dropped={self.dropped}>"

    def push(self, publication: Publication) -> bool:
        """Add a message, and leave out what the policy says; return False if it is to end."""
        if self.overflow is Overflow.LATEST:
            self._drop((publication.topic, publication.conflate))
        if self.size and self.size + publication.size > self.limit:
            if self.overflow is Overflow.DISCONNECT:
                return False
            if self.overflow is Overflow.DROP_NEWEST:
                self._leave_out(publication)
                return True
            while self.size and self.size + publication.size > self.limit:
                self._drop(next(iter(self._events)))
        self._append(publication, publication.size)
        return True

    def push_check(self, check: Check) -> None:
        """Add a word about positions, behind what waits; one that waits already gives way."""
        self._events.pop(Check, None)
        self._events[Check] = check

    def lost(self, topic: str, count: int) -> None:
        """Note that messages before all that waits are missing."""
        self._head.add(topic, count)
        self.dropped += count

    def _append(self, event: Publication | _Dropped, size: int) -> None:
        self._number += 1
        key: object = self._number
        if self.overflow is Overflow.LATEST and isinstance(event, Publication):
            key = event.topic, event.conflate
        self._events[key] = event
        self.size += size

    def _drop(self, key: object) -> None:
        """Leave out what waits under a key, if anything does."""
        event = self._events.pop(key, None)
        if isinstance(event, Publication):
            self.size -= event.size
            self.lost(event.topic, 1)

    def _leave_out(self, publication: Publication) -> None:
        """Leave out a message that comes behind all others."""
        last = next(reversed(self._events.values()))
        if not isinstance(last, _Dropped):
            last = _Dropped()
            self._append(last, MESSAGE_COST)
        last.add(publication.topic)
        self.dropped += 1

    # ------------------------------------------------------------------ the way out

    def peek(self) -> Event | None:
        """Return the next event, or None."""
        if self._head.count:
            return self._head.told()
        for event in self._events.values():
            return event.told() if isinstance(event, _Dropped) else event
        return None

    def pop(self) -> None:
        """Take away what `peek` returned."""
        if self._head.count:
            self._head = _Dropped()
            return
        event = self._events.popitem(last=False)[1]
        if isinstance(event, Publication):
            self.size -= event.size
        elif isinstance(event, _Dropped):
            self.size -= MESSAGE_COST

    def discard(self, topic: str, end: Position) -> None:
        """Take away the messages of a topic up to a position, which come in another way."""
        for key, event in list(self._events.items()):
            if (
                isinstance(event, Publication)
                and (event.topic, event.epoch) == (topic, end.epoch)
                and event.offset <= end.offset
            ):
                del self._events[key]
                self.size -= event.size

    def clear(self) -> list[Publication]:
        """Take away everything, and return the messages that waited."""
        waiting = [event for event in self._events.values() if isinstance(event, Publication)]
        self._events.clear()
        self._head = _Dropped()
        self.size = 0
        return waiting
