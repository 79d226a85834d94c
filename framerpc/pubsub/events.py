"""What a subscriber is given, in order: publications, and words about what is missing.

One `Publication` object goes to all subscribers of a topic. Its data is an encoded value that
nobody here opens.

Spec: protocol.md, "Positions and history".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from framerpc.pubsub.positions import Position

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MESSAGE_COST", "Check", "Event", "Gap", "Publication", "Published"]

MESSAGE_COST: Final = 64
"""What a message costs in queues and histories besides its bytes, so that empty ones are not
free; the same as for an item of a stream."""


class Publication:
    """One message on its way to subscribers, or in a history. Not to be changed.

    Attributes:
        topic: Where it was published.
        data: The encoded value.
        epoch: The epoch of its position; empty if the topic has no history.
        offset: The number of its position; 0 if the topic has no history.
        stamp: When it was published, by the wall clock of the server that took it: seconds
            since 1970. To be shown, and to answer "since yesterday".
        conflate: Its conflation key: a later message of the topic with the same key may
            take its place, where only the latest are asked for.
        size: What it costs in a queue or history, in bytes.
        wire: For who sends it: the form in which it travels, made when it is first sent, so that
            it is made once. The one field that may be set.
    """

    __slots__ = ("conflate", "data", "epoch", "offset", "size", "stamp", "topic", "wire")

    def __init__(
        self,
        topic: str,
        data: bytes,
        *,
        epoch: str = "",
        offset: int = 0,
        stamp: float = 0.0,
        conflate: str = "",
    ) -> None:
        self.topic = topic
        self.data = data
        self.epoch = epoch
        self.offset = offset
        self.stamp = stamp
        self.conflate = conflate
        self.size = MESSAGE_COST + len(topic) + len(conflate) + len(data)
        self.wire: bytes | None = None

    def __repr__(self) -> str:
        where = f" {self.epoch}:{self.offset}" if self.offset else ""
        return f"<Publication {self.topic}{where} {len(self.data)} bytes>"

    @property
    def position(self) -> Position | None:
        """Where it stands in its topic; None if the topic has no history."""
        return Position(self.epoch, self.offset) if self.offset else None


class Gap(NamedTuple):
    """Messages were left out here, because the subscriber was too slow for them.

    Attributes:
        dropped: How many.
        topics: How many of which topic; under `""` those of topics that are not named.
    """

    dropped: int
    topics: Mapping[str, int]


class Check(NamedTuple):
    """All messages up to these positions were sent before this.

    Attributes:
        tops: The last position of each topic.
    """

    tops: Mapping[str, Position]


Event: TypeAlias = Publication | Gap | Check
"""What a subscriber is given."""


class Published(NamedTuple):
    """The receipt for a publish.

    Attributes:
        offset: Number of the message in its topic; None if the topic has no history.
        position: The same with its epoch.
        subscribers: Subscriptions that it was offered to; 0 for a duplicate. A queue group
            counts as one.
        duplicate: Its idempotency key was used before, for the same message: that one was
            published, and this is its receipt.
    """

    offset: int | None
    position: Position | None
    subscribers: int
    duplicate: bool
