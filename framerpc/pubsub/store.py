"""The interface of a store: where messages get their positions and are kept.

A store may live in this process, in a file or on other machines. What it promises:

- **Order.** It hands each message to `deliver` exactly once, in the thread of the event loop; those
  of one topic in the order of their offsets and without a hole, whoever published them.
- **No message before its time.** `deliver` comes before `append` returns, and also if whoever
  waited for `append` was cancelled: a message that has an offset is delivered.
- **No position ahead of the messages.** `find` and `topics` never tell a position whose
  message was not yet delivered, so that who subscribes first and asks then misses nothing.
- **Acknowledged means kept.** When `append` returns, the message survives what the store says that
  it survives. When it raises, the message was not delivered, and is not going to be.
- **Epochs.** All offsets of one epoch of a topic are dense, and are never used again. A
  store that lost messages, or cannot know, counts on in a new epoch. Topics that begin do
  so in the epoch that `topics` names, and that one changes whenever a topic is forgotten.

Messages of topics without history go through the store as well, without a position: a store
between several servers takes them to the others.

Times are seconds of the event loop's clock (`now`) or, only to be shown and to answer `since` a
time, of the wall clock (`stamp`). A store on other machines may use its engine's time instead
of `now`. Methods are coroutines; the memory store's never wait, so that no task is needed.
Cancelling one of them changes nothing but that nobody learns the answer.

Spec: protocol.md, "Positions and history".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeAlias

from framerpc.errors import Unavailable
from framerpc.pubsub.events import Publication, Published
from framerpc.pubsub.positions import Position

if TYPE_CHECKING:
    from framerpc.topic_config import TopicPolicy

__all__ = [
    "Deliver",
    "Found",
    "History",
    "Message",
    "Page",
    "Since",
    "Store",
    "StoreCorrupt",
    "StoreError",
    "StoreFull",
    "Topics",
]


class StoreError(Unavailable):
    """The store cannot do it now; what was to be published was not."""


class StoreFull(StoreError):
    """There is no room on the disk of the store; what was to be published was not."""


class StoreCorrupt(StoreError):
    """What should be the data of a store is damaged, or something else: a person has to look."""


Deliver: TypeAlias = Callable[[Publication], int]
"""Takes a message to the subscribers here; returns how many it was offered to. Never raises."""

Since: TypeAlias = Position | Literal["start"] | int | float | None
"""Where a reader wants to begin: behind a position, at the oldest message kept, with the last n
messages (int), at a stamp (float; seconds since 1970), or with what comes next (None)."""


class Message(NamedTuple):
    """What is to be published.

    Attributes:
        topic: A checked topic.
        data: The encoded value.
        policy: That of its topic.
        key: Idempotency key, or None.
        conflate: Conflation key.
        stamp: Seconds since 1970, by the wall clock.
    """

    topic: str
    data: bytes
    policy: TopicPolicy
    key: str | None = None
    conflate: str = ""
    stamp: float = 0.0


class Found(NamedTuple):
    """What a topic has for a reader.

    Attributes:
        base: Behind which position to read on: the reader's own, if it can be served.
        top: The last message delivered; equal to `base` if there is nothing to read.
        recovered: Whether each message that was asked for can be read. If not, `base` is
            `top`: none of them.
    """

    base: Position
    top: Position
    recovered: bool


class Topics(NamedTuple):
    """The topics with a history that match a pattern.

    Attributes:
        epoch: The epoch in which topics begin that are not known yet.
        names: The topics, at most as many as were asked for.
        complete: There are no more.
    """

    epoch: str
    names: tuple[str, ...]
    complete: bool


class Page(NamedTuple):
    """Some messages of a history, in order.

    Attributes:
        messages: As many as fit, at least one if there is any.
        lost: Messages behind the asked-for position that are no longer kept; 0 unless the
            window has moved on meanwhile.
        upto: The offset up to which everything was read, or was lost.
    """

    messages: tuple[Publication, ...]
    lost: int
    upto: int


class History(NamedTuple):
    """A page of the history of one topic.

    Attributes:
        messages: In order.
        found: Where it begins, where the topic stands, and whether that is all that was asked for.
        complete: Whether there are no more.
    """

    messages: tuple[Publication, ...]
    found: Found
    complete: bool


class Store(Protocol):
    """Keeps the histories of topics; see the module for what it promises."""

    async def open(self, deliver: Deliver, now: float) -> None:
        """Begin to deliver; called once, before anything else.

        Raises:
            StoreCorrupt: What is there is damaged or not a store.
            StoreError: It cannot be reached.
        """
        ...

    async def close(self, now: float) -> None:
        """End; whoever waits is answered first. May be called again."""
        ...

    async def append(self, message: Message, now: float) -> Published:
        """Give a message its position, keep it and deliver it.

        Raises:
            InvalidArgument: Its idempotency key was used for another message.
            ResourceExhausted: It would be one topic too many.
            StoreFull: There is no room.
            StoreError: The store cannot do it now.
        """
        ...

    async def find(self, topic: str, since: Since, policy: TopicPolicy, now: float) -> Found:
        """Say where a reader of one topic begins, and what it gets.

        A topic that is not known stands at offset 0 of the epoch in which it would begin.
        """
        ...

    async def topics(self, pattern: str, limit: int) -> Topics:
        """Return the topics that match a checked pattern and have a history."""
        ...

    async def read(
        self, topic: str, after: Position, upto: int, policy: TopicPolicy, now: float
    ) -> Page:
        """Return messages with offsets above `after.offset`, at most `upto`, in order.

        Returns:
            As many as a page holds. If the epoch is another by now, all of them are lost.
        """
        ...
