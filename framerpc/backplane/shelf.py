"""What a store keeps in this process: histories, positions, idempotency keys, within bounds.

Everything is done at once, nothing waits, and nobody is told: that is for the store around it.
Keeping is two steps, so that a store can write in between: `place` says which position a
message will have, `keep` gives it that one.

Messages expire without a timer: each publish looks after one topic, in turns.

Spec: protocol.md, "Positions and history".
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from framerpc.pubsub.catalogue import Catalogue
from framerpc.pubsub.dedupe import Dedupe
from framerpc.pubsub.history import Usage, Window
from framerpc.pubsub.store import Page
from framerpc.topic_config import TopicPolicy

if TYPE_CHECKING:
    from framerpc.pubsub.events import Publication
    from framerpc.pubsub.positions import Position
    from framerpc.pubsub.store import Found, Message, Since
    from framerpc.topic_config import TopicLimits

__all__ = ["Shelf"]

_LOOKS: Final = 16
"""Topics looked at for one that is empty, before a new one is refused."""

_NO_POLICY: Final = TopicPolicy(">")


class Shelf:
    """Histories and keys.

    Args:
        limits: What it may keep.
        instance: Names it in epochs.
        generation: How often topics were forgotten before.

    Attributes:
        topics: The topics with a history.
        keys: The idempotency keys.
        usage: What all histories keep together.
        evicted: Messages that left before their time, for the bounds over all topics.
        held: Topics that are about to get a message, and must not be forgotten.
        forgotten: Topics that were forgotten, for who keeps a copy and takes them out of this
            list; None if nobody does.
    """

    def __init__(self, limits: TopicLimits, instance: str, generation: int = 0) -> None:
        self._limits = limits
        self.topics: Catalogue[Window] = Catalogue(instance, limits.max_topics, generation)
        self.keys = Dedupe(limits.max_keys, limits.key_ttl)
        self.usage = Usage()
        self.evicted = 0
        self.held: set[str] = set()
        self.forgotten: list[str] | None = None
        self._round: OrderedDict[str, None] = OrderedDict()  # the topic to look after next is first
        self._empty: dict[str, None] = {}  # those found without messages: the first to be forgotten

    def __repr__(self) -> str:
        return (
            f"<Shelf topics={len(self.topics)} messages={self.usage.messages} "
            f"bytes={self.usage.size} keys={len(self.keys)}>"
        )

    def statistics(self) -> dict[str, int]:
        """Return what is kept, and what left before its time."""
        return {
            "topics": len(self.topics),
            "messages": self.usage.messages,
            "bytes": self.usage.size,
            "keys": len(self.keys),
            "evicted": self.evicted,
            "forgotten_topics": self.topics.generation,
            "forgotten_keys": self.keys.forgotten,
        }

    # ---------------------------------------------------------------- keeping

    def place(self, message: Message, now: float) -> Window:
        """Return the window that a message goes into; the topic is known from then on.

        Raises:
            ResourceExhausted: It would be one topic too many.
        """
        window = self.topics.get(message.topic)
        if window is None:
            self._make_room(now)
            window = self.add_topic(message.topic, self.topics.epoch, message.policy)
        return window

    def add_topic(self, topic: str, epoch: str, policy: TopicPolicy) -> Window:
        """Add a topic that is not known.

        Raises:
            ResourceExhausted: It would be one too many.
        """
        window = Window(epoch, policy, self.usage)
        self.topics.add(topic, window)
        self._round[topic] = None
        return window

    def keep(self, message: Message, now: float) -> Publication:
        """Give a message its position and keep it.

        Raises:
            ResourceExhausted: It would be one topic too many.
        """
        made = self.place(message, now).append(message, now)
        self.topics.touch(message.topic)
        self.tidy()
        self._look_after_one(now)
        return made

    def tidy(self) -> None:
        """Take away the oldest messages of the topics that are silent, until all bounds hold."""
        usage, limits = self.usage, self._limits
        while usage.messages > limits.max_history_messages or usage.size > limits.max_history_bytes:
            topic = next(iter(self.topics))
            if window := self.topics.get(topic):
                window.trim()
                self.evicted += 1
            else:  # it has none: not to be asked again soon
                self.topics.touch(topic)

    def _look_after_one(self, now: float) -> None:
        """Expire the messages of one topic, another each time."""
        topic = next(iter(self._round))
        self._round.move_to_end(topic)
        window = self.topics.get(topic)
        assert window is not None
        window.expire(now)
        if not window:
            self._empty[topic] = None

    def _make_room(self, now: float) -> None:
        """Forget a topic without messages if there is no room for another topic."""
        if self.topics.full:
            for _ in range(min(_LOOKS, len(self._round))):
                self._look_after_one(now)
        while self.topics.full and self._empty:
            topic, _ = self._empty.popitem()
            window = self.topics.get(topic)
            if window is not None and not window and topic not in self.held:
                self.topics.forget(topic)
                del self._round[topic]
                if self.forgotten is not None:
                    self.forgotten.append(topic)

    # ---------------------------------------------------------------- reading

    def find(self, topic: str, since: Since, now: float) -> Found:
        """Say what a topic has for a reader; see `Store.find`."""
        window = self.topics.get(topic)
        if window is None:
            window = Window(self.topics.epoch, _NO_POLICY, Usage())
        return window.find(since, now)

    def read(self, topic: str, after: Position, upto: int, now: float) -> Page:
        """Return a page of messages; see `Store.read`."""
        window = self.topics.get(topic)
        if window is None:
            return Page((), upto - after.offset, upto)
        window.expire(now)
        return window.read(after, upto, self._limits.max_page, self._limits.max_page_bytes)
