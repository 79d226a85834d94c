"""Between the rows of the SQLite file and the histories in memory.

What the file holds is put back as if it was published again, except that each message has its
position already. What does not fit together is damage, and said to be.

Spec: protocol.md, "Positions and history".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from framerpc.backplane.shelf import Shelf
from framerpc.backplane.sqlite_file import TopicRow
from framerpc.errors import ConfigurationError
from framerpc.pubsub.events import Publication, Published
from framerpc.pubsub.positions import Position
from framerpc.pubsub.store import StoreCorrupt
from framerpc.topic_config import TopicPolicy

if TYPE_CHECKING:
    from framerpc.backplane.sqlite_file import Contents
    from framerpc.pubsub.history import Window
    from framerpc.pubsub.store import Message
    from framerpc.topic_config import TopicLimits

__all__ = ["load", "topic_row"]


def topic_row(
    topic: str, shelf: Shelf, message: Message | None = None, position: Position | None = None
) -> TopicRow:
    """Return what to write of a topic.

    Args:
        topic: A known topic.
        shelf: Where it is kept.
        message: A message that it is about to get, whose policy holds from then on.
        position: Where that one will stand.
    """
    window = shelf.topics.get(topic)
    assert window is not None
    policy = message.policy if message else window.policy
    return TopicRow(
        topic,
        window.epoch,
        position.offset if position else window.top,
        window.floor,
        window.floor_stamp,
        policy.history,
        policy.ttl,
        policy.history_bytes,
        policy.latest,
    )


def load(contents: Contents, limits: TopicLimits) -> Shelf:
    """Put back what a file holds.

    Raises:
        StoreCorrupt: It does not fit together.
        ResourceExhausted: It holds more topics than the limits allow.
    """
    shelf = Shelf(limits, contents.instance, contents.generation)
    shelf.usage.removed, shelf.forgotten = [], []
    for row in contents.topics:
        window = shelf.add_topic(row.topic, row.epoch, _policy(row))
        window.top, window.floor, window.floor_stamp = row.floor, row.floor, row.floor_stamp
    for topic, offset, at, stamp, conflate, data in contents.messages:
        window = _known(shelf, topic)
        if offset <= window.top:
            raise StoreCorrupt(f"message {offset} of {topic!r} is behind {window.top}")
        made = Publication(
            topic, data, epoch=window.epoch, offset=offset, stamp=stamp, conflate=conflate
        )
        window.add(made, at)
        shelf.topics.touch(topic)
    for row in contents.topics:
        window = _known(shelf, row.topic)
        if window.top > row.top:
            raise StoreCorrupt(f"{row.topic!r} has message {window.top}, but ends with {row.top}")
        window.top = row.top
    shelf.tidy()
    _load_keys(contents, shelf)
    return shelf


def _policy(row: TopicRow) -> TopicPolicy:
    try:
        return TopicPolicy(
            row.topic,
            history=row.history,
            ttl=row.ttl,
            history_bytes=row.history_bytes,
            latest=bool(row.latest),
        )
    except ConfigurationError as exc:
        raise StoreCorrupt(f"what is kept of {row.topic!r} makes no sense: {exc}") from exc


def _known(shelf: Shelf, topic: str) -> Window:
    window = shelf.topics.get(topic)
    if window is None:
        raise StoreCorrupt(f"there are messages of {topic!r}, but no such topic")
    return window


def _load_keys(contents: Contents, shelf: Shelf) -> None:
    for topic, key, digest, epoch, offset, at in contents.keys:
        receipt = Published(offset, Position(epoch, offset), 0, duplicate=True)
        shelf.keys.put((topic, key), digest, receipt, at)
