"""The history of one topic: a window over its newest messages.

The window is bounded in messages, bytes and age by the policy of its topic. It knows how far it
was trimmed, and therefore whether a reader that comes back has missed something that is gone:
it is given everything, or told that it cannot be.

Strategy: messages in an OrderedDict by offset. Both ends are reached at once (in a plain dict the
front is not, once much has left there), and where only the latest of each conflation key is
kept, one leaves from the middle. Reading on costs what is read.

Spec: protocol.md, "Positions and history".
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from typing import TYPE_CHECKING

from framerpc.pubsub.events import Publication
from framerpc.pubsub.positions import Position
from framerpc.pubsub.store import Found, Page

if TYPE_CHECKING:
    from collections.abc import Iterator

    from framerpc.pubsub.store import Message, Since
    from framerpc.topic_config import TopicPolicy

__all__ = ["Usage", "Window", "judge"]


class Usage:
    """What several windows keep together.

    Attributes:
        messages: Messages.
        size: Bytes that they cost.
        removed: Topic and offset of each message that left a window, for who keeps a copy of
            them and takes them out of this list; None if nobody does.
    """

    __slots__ = ("messages", "removed", "size")

    def __init__(self) -> None:
        self.messages = 0
        self.size = 0
        self.removed: list[tuple[str, int]] | None = None


def judge(since: Position, top: Position, floor: int) -> Found:
    """Decide whether a reader at `since` can be given all that it missed.

    It cannot if its offset belongs to another epoch, lies above the top (whoever gave it
    that position has lost messages since) or below what was trimmed.

    Args:
        since: The last message that the reader has seen.
        top: The last message of the topic.
        floor: The highest offset that was trimmed; 0 if none was.
    """
    if since.epoch == top.epoch and floor <= since.offset <= top.offset:
        return Found(since, top, recovered=True)
    return Found(top, top, recovered=False)


class Window:
    """The newest messages of one topic.

    Args:
        epoch: The epoch in which its offsets count.
        policy: What it may keep.
        usage: Where it counts what it keeps, with others.

    Attributes:
        epoch: As given.
        policy: That of the last message.
        top: Offset of the newest message that it was given; 0 at first.
        floor: Highest offset trimmed; 0 if none was.
        floor_stamp: The latest stamp trimmed.
        size: Bytes that its messages cost.
    """

    __slots__ = (
        "_by_key",
        "_kept",
        "_usage",
        "epoch",
        "floor",
        "floor_stamp",
        "policy",
        "size",
        "top",
    )

    def __init__(self, epoch: str, policy: TopicPolicy, usage: Usage) -> None:
        self.epoch = epoch
        self.policy = policy
        self._usage = usage
        self.top = 0
        self.floor = 0
        self.size = 0
        self.floor_stamp = 0.0
        # Offset -> message, and when it came.
        self._kept: OrderedDict[int, tuple[Publication, float]] = OrderedDict()
        self._by_key: dict[str, int] = {}  # conflation key -> offset, where only the latest count

    def __len__(self) -> int:
        return len(self._kept)

    def __repr__(self) -> str:
        return f"<Window {self.epoch} kept={len(self._kept)} floor={self.floor} top={self.top}>"

    @property
    def position(self) -> Position:
        """Where the newest message stands."""
        return Position(self.epoch, self.top)

    def append(self, message: Message, now: float) -> Publication:
        """Add a message, trim what it pushes out, and return it with its position."""
        self.policy = message.policy
        made = Publication(
            message.topic,
            message.data,
            epoch=self.epoch,
            offset=self.top + 1,
            stamp=message.stamp,
            conflate=message.conflate,
        )
        self.add(made, now)
        self.expire(now)
        return made

    def add(self, made: Publication, now: float) -> None:
        """Add a message that has its position, above all others; trim what it pushes out."""
        policy = self.policy
        self.top = made.offset
        if policy.latest:
            if replaced := self._by_key.pop(made.conflate, 0):
                self._leave(self._kept.pop(replaced)[0])
            self._by_key[made.conflate] = made.offset
        self._kept[made.offset] = (made, now)
        self.size += made.size
        self._usage.size += made.size
        self._usage.messages += 1
        while len(self._kept) > policy.history or self.size > policy.history_bytes:
            self.trim()

    def expire(self, now: float) -> None:
        """Trim what is older than the policy allows."""
        ttl = self.policy.ttl
        if ttl is not None:
            while self._kept and now - self._oldest()[1] >= ttl:
                self.trim()

    def trim(self) -> None:
        """Trim the oldest message; there must be one."""
        oldest = self._oldest()[0]
        del self._kept[oldest.offset]
        if self._by_key.get(oldest.conflate) == oldest.offset:
            del self._by_key[oldest.conflate]
        self.floor = oldest.offset
        self.floor_stamp = max(self.floor_stamp, oldest.stamp)
        self._leave(oldest)

    def _leave(self, made: Publication) -> None:
        usage = self._usage
        self.size -= made.size
        usage.size -= made.size
        usage.messages -= 1
        if usage.removed is not None:
            usage.removed.append((made.topic, made.offset))

    def _oldest(self) -> tuple[Publication, float]:
        return self._kept[next(iter(self._kept))]

    # ---------------------------------------------------------------- reading

    def find(self, since: Since, now: float) -> Found:
        """Say what there is for a reader; see `Store.find`."""
        self.expire(now)
        top = self.position
        if since is None:
            return Found(top, top, recovered=True)
        if isinstance(since, Position):
            return judge(since, top, self.floor)
        if isinstance(since, float):
            return self._find_stamp(since)
        if since == "start" or since >= len(self._kept):
            return Found(Position(self.epoch, self.floor), top, recovered=True)
        newest = itertools.islice(reversed(self._kept), since)
        first = min(newest, default=self.top + 1)
        return Found(Position(self.epoch, first - 1), top, recovered=True)

    def _find_stamp(self, stamp: float) -> Found:
        """Begin with the first message of that time, if none of that time was trimmed."""
        top = self.position
        if self.floor and self.floor_stamp >= stamp:
            return Found(top, top, recovered=False)
        first = next((p.offset for p, _ in self._kept.values() if p.stamp >= stamp), self.top + 1)
        return Found(Position(self.epoch, first - 1), top, recovered=True)

    def read(self, after: Position, upto: int, most: int, most_bytes: int) -> Page:
        """Return the messages behind `after`, a page of them; see `Store.read`.

        Args:
            after: Behind which position.
            upto: Last offset wanted.
            most: Messages of a page.
            most_bytes: Bytes of a page; the first message may be larger.
        """
        if after.epoch != self.epoch:
            return Page((), upto - after.offset, upto)
        lost = max(0, min(self.floor, upto) - after.offset)
        read: list[Publication] = []
        size = 0
        for made in self._from(after.offset + 1):
            size += made.size
            if made.offset > upto or (read and (len(read) >= most or size > most_bytes)):
                break
            read.append(made)
        else:
            made = None
        done = made is None or made.offset > upto
        return Page(tuple(read), lost, upto if done else read[-1].offset)

    def _from(self, offset: int) -> Iterator[Publication]:
        """Yield the messages kept from an offset on."""
        if len(self._kept) == self.top - self.floor:  # dense: no need to look for the place
            for number in range(max(offset, self.floor + 1), self.top + 1):
                yield self._kept[number][0]
        else:
            yield from (made for made, _ in self._kept.values() if made.offset >= offset)
