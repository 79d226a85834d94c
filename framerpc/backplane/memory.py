"""The store in memory: what is published is there as long as the process.

Its methods never wait, so a publish through it needs no task. All other stores are compared with
it: it is what the interface means.

Spec: protocol.md, "Positions and history".
"""

from __future__ import annotations

import secrets
from collections import deque
from typing import TYPE_CHECKING, Final

from framerpc.config import TopicLimits, TopicPolicy
from framerpc.pubsub.catalogue import Catalogue
from framerpc.pubsub.dedupe import Dedupe
from framerpc.pubsub.events import Publication, Published
from framerpc.pubsub.history import Usage, Window
from framerpc.pubsub.positions import Position
from framerpc.pubsub.store import Page

if TYPE_CHECKING:
    from framerpc.pubsub.store import Deliver, Found, Message, Since, Topics

__all__ = ["MemoryStore"]

_LOOKS: Final = 16
"""Topics looked at for one that is empty, before a new one is refused."""

_NO_POLICY: Final = TopicPolicy(">")


class MemoryStore:
    """Histories in this process; a `Store`.

    Args:
        limits: What it may keep.
        instance: Names this run in epochs: 1 to 32 letters and digits; drawn at random if not
            given.

    Attributes:
        evicted: Messages that left before their time, for the bounds over all topics.
    """

    def __init__(self, limits: TopicLimits | None = None, *, instance: str = "") -> None:
        self._limits = limits or TopicLimits()
        self._topics: Catalogue[Window] = Catalogue(
            instance or secrets.token_hex(6), self._limits.max_topics
        )
        self._keys = Dedupe(self._limits.max_keys, self._limits.key_ttl)
        self._deliver: Deliver = _to_nobody
        self._usage = Usage()
        self._round: deque[str] = deque()  # topics, the next to look after first
        self._empty: set[str] = set()  # those found without messages: the first to be forgotten
        self.evicted = 0

    def __repr__(self) -> str:
        return (
            f"<MemoryStore topics={len(self._topics)} messages={self._usage.messages} "
            f"bytes={self._usage.size} keys={len(self._keys)}>"
        )

    def statistics(self) -> dict[str, int]:
        """Return what is kept, and what left before its time."""
        return {
            "topics": len(self._topics),
            "messages": self._usage.messages,
            "bytes": self._usage.size,
            "keys": len(self._keys),
            "evicted": self.evicted,
            "forgotten_topics": self._topics.generation,
            "forgotten_keys": self._keys.forgotten,
        }

    async def open(self, deliver: Deliver) -> None:
        """Begin to deliver."""
        self._deliver = deliver

    async def close(self) -> None:
        """End: nothing is kept."""

    # ------------------------------------------------------------- publishing

    async def append(self, message: Message, now: float) -> Published:
        """Keep and deliver a message; see `Store.append`."""
        if message.key is not None and (done := self._keys.find(message, now)):
            return done
        if message.policy.history:
            made = self._keep(message, now)
            position = Position(made.epoch, made.offset)
            receipt = Published(made.offset, position, self._deliver(made), duplicate=False)
        else:
            made = Publication(
                message.topic, message.data, stamp=message.stamp, conflate=message.conflate
            )
            receipt = Published(None, None, self._deliver(made), duplicate=False)
        if message.key is not None:
            self._keys.note(message, receipt, now)
        return receipt

    def _keep(self, message: Message, now: float) -> Publication:
        topic = message.topic
        window = self._topics.get(topic)
        if window is None:
            self._make_room(now)
            window = Window(self._topics.epoch, message.policy, self._usage)
            self._topics.add(topic, window)
            self._round.append(topic)
        else:
            self._topics.touch(topic)
        made = window.append(message, now)
        usage, limits = self._usage, self._limits
        while usage.messages > limits.max_history_messages or usage.size > limits.max_history_bytes:
            self._evict()
        self._look_after_one(now)
        return made

    # --------------------------------------------------------------- tidying

    def _evict(self) -> None:
        """Take the oldest message of the topic that was silent for the longest."""
        topic = next(iter(self._topics))
        if window := self._topics.get(topic):
            window.trim()
            self.evicted += 1
        else:  # it has none: not to be asked again soon
            self._topics.touch(topic)

    def _look_after_one(self, now: float) -> None:
        """Expire the messages of one topic, another each time, so that no timer is needed."""
        topic = self._round.popleft()
        window = self._topics.get(topic)
        if window is None:
            return  # forgotten
        window.expire(now)
        if not window:
            self._empty.add(topic)
        self._round.append(topic)

    def _make_room(self, now: float) -> None:
        """Forget a topic without messages if there is no room for another topic."""
        if self._topics.full:
            for _ in range(min(_LOOKS, len(self._round))):
                self._look_after_one(now)
        while self._topics.full and self._empty:
            topic = self._empty.pop()
            window = self._topics.get(topic)
            if window is not None and not window:
                self._topics.forget(topic)

    # ---------------------------------------------------------------- reading

    async def find(self, topic: str, since: Since, policy: TopicPolicy, now: float) -> Found:
        """Say what a topic has for a reader; see `Store.find`."""
        del policy  # that of the publish holds
        window = self._topics.get(topic) or Window(self._topics.epoch, _NO_POLICY, Usage())
        return window.find(since, now)

    async def topics(self, pattern: str, limit: int) -> Topics:
        """Return the topics that match; see `Store.topics`."""
        return self._topics.find(pattern, limit)

    async def read(
        self, topic: str, after: Position, upto: int, policy: TopicPolicy, now: float
    ) -> Page:
        """Return a page of messages; see `Store.read`."""
        del policy
        window = self._topics.get(topic)
        if window is None:
            return Page((), upto - after.offset, upto)
        window.expire(now)
        return window.read(after, upto, self._limits.max_page, self._limits.max_page_bytes)


def _to_nobody(publication: Publication) -> int:
    del publication
    return 0
