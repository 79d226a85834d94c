"""What the next transaction of the SQLite store holds: which publishes, at which positions.

Positions are given beforehand, so that they can be written; the histories in memory change only
when the transaction is committed, and then to the very same positions.

Spec: protocol.md, "Positions and history".
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from framerpc.backplane.sqlite_file import Batch, KeyRow, MessageRow
from framerpc.backplane.sqlite_rows import topic_row
from framerpc.errors import CallError
from framerpc.pubsub.dedupe import digest
from framerpc.pubsub.positions import Position

if TYPE_CHECKING:
    import asyncio
    from collections import deque
    from collections.abc import Sequence

    from framerpc.backplane.shelf import Shelf
    from framerpc.pubsub.events import Published
    from framerpc.pubsub.store import Message
    from framerpc.topic_config import TopicLimits

__all__ = ["Placed", "Waiting", "batch_of", "place"]

_BATCH: Final = 1000
"""Messages of one transaction: beyond it, more of them make a flush no cheaper."""


class Waiting(NamedTuple):
    """A publish that is not kept yet.

    Attributes:
        message: What is published.
        at: When, in the time of the store.
        done: Gets the receipt.
        size: Bytes that it costs while it waits.
    """

    message: Message
    at: float
    done: asyncio.Future[Published]
    size: int


Placed: TypeAlias = tuple[Waiting, Position]
"""A publish, and the position that it is going to have."""


def place(
    waiting: deque[Waiting], shelf: Shelf
) -> tuple[list[Placed], list[tuple[Waiting, Published | CallError]]]:
    """Take publishes for one transaction, in order.

    One whose key is used by another one that was taken stays: its receipt is that of the
    other one, once that is written.

    Returns:
        Those to write, and those that are answered without, with their answers.
    """
    placed: list[Placed] = []
    answered: list[tuple[Waiting, Published | CallError]] = []
    stay: list[Waiting] = []
    new: Counter[str] = Counter()
    used: set[tuple[str, str | None]] = set()
    while waiting and len(placed) < _BATCH:
        each = waiting.popleft()
        message = each.message
        name = message.topic, message.key
        if name in used:
            stay.append(each)
            continue
        try:
            receipt = shelf.keys.find(message, each.at)
            window = shelf.place(message, each.at)
        except CallError as exc:
            answered.append((each, exc))
            continue
        if receipt is not None:
            answered.append((each, receipt))
            continue
        if message.key is not None:
            used.add(name)
        new[message.topic] += 1
        shelf.held.add(message.topic)
        placed.append((each, Position(window.epoch, window.top + new[message.topic])))
    waiting.extendleft(reversed(stay))
    return placed, answered


def batch_of(placed: Sequence[Placed], shelf: Shelf, limits: TopicLimits, now: float) -> Batch:
    """Return what a transaction has to write: these publishes, and what left meanwhile.

    What left is taken out of the lists of the shelf.
    """
    removed, shelf.usage.removed = shelf.usage.removed or [], []
    forgotten, shelf.forgotten = shelf.forgotten or [], []
    changed = dict.fromkeys(topic for topic, _ in removed if topic in shelf.topics)
    topics = {topic: topic_row(topic, shelf) for topic in changed}
    messages: list[MessageRow] = []
    keys: list[KeyRow] = []
    for each, position in placed:
        m = each.message
        topics[m.topic] = topic_row(m.topic, shelf, m, position)
        messages.append(MessageRow(m.topic, position.offset, each.at, m.stamp, m.conflate, m.data))
        if m.key is not None:
            keys.append(KeyRow(m.topic, m.key, digest(m), *position, each.at))
    return Batch(
        generation=shelf.topics.generation,
        clock=now,
        topics=list(topics.values()),
        messages=messages,
        keys=keys,
        removed=removed,
        forgotten=forgotten,
        keys_before=now - limits.key_ttl,
        most_keys=limits.max_keys,
    )
