"""Which topics have a history, the silent ones first, and in which epoch new ones begin.

The epoch of new topics changes whenever a topic is forgotten: if that one comes again, its
offsets are not taken for the old ones, and no reader takes a topic for new that is not.

Spec: protocol.md, "Positions and history".
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from framerpc.errors import ResourceExhausted
from framerpc.pubsub.store import Topics
from framerpc.pubsub.topics import is_pattern, tokens_match

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Catalogue"]

T = TypeVar("T")

_ANSWERS: Final = 64
"""Patterns whose topics are remembered: thousands that come back at once ask for few."""


class Catalogue(Generic[T]):
    """Topics and what is known of each.

    Args:
        instance: Names this set of topics; another one has another name.
        limit: Topics, at most.
        generation: How often topics were forgotten before.

    Attributes:
        generation: How often topics were forgotten.
    """

    __slots__ = ("_answers", "_instance", "_limit", "_topics", "generation")

    def __init__(self, instance: str, limit: int, generation: int = 0) -> None:
        self._instance = instance
        self._limit = limit
        self._topics: OrderedDict[str, T] = OrderedDict()
        self._answers: dict[str, list[str]] = {}
        self.generation = generation

    def __len__(self) -> int:
        return len(self._topics)

    def __contains__(self, topic: str) -> bool:
        return topic in self._topics

    def __iter__(self) -> Iterator[str]:
        """Yield the topics, the one that was silent for the longest first."""
        return iter(self._topics)

    @property
    def epoch(self) -> str:
        """The epoch in which a topic begins."""
        return f"{self._instance}-{self.generation}"

    @property
    def full(self) -> bool:
        """Whether there is no room for another topic."""
        return len(self._topics) >= self._limit

    def get(self, topic: str) -> T | None:
        """Return what is known of a topic, or None."""
        return self._topics.get(topic)

    def add(self, topic: str, known: T) -> None:
        """Add a topic.

        Raises:
            ResourceExhausted: It would be one too many.
        """
        if self.full:
            raise ResourceExhausted(
                f"{self._limit} topics have a history (TopicLimits.max_topics), {topic!r} would "
                "be one more"
            )
        self._topics[topic] = known
        self._answers.clear()

    def touch(self, topic: str) -> None:
        """Note that a topic is not silent."""
        self._topics.move_to_end(topic)

    def forget(self, topic: str) -> None:
        """Forget a topic."""
        del self._topics[topic]
        self._answers.clear()
        self.generation += 1

    def find(self, pattern: str, limit: int) -> Topics:
        """Return the topics that match; see `Store.topics`."""
        if not is_pattern(pattern):
            names = [pattern] if pattern in self._topics else []
        elif (known := self._answers.get(pattern)) is not None:
            names = known
        else:
            tokens = pattern.split(".")
            names = [topic for topic in self._topics if tokens_match(tokens, topic.split("."))]
            if len(self._answers) >= _ANSWERS:
                self._answers.clear()
            self._answers[pattern] = names
        return Topics(self.epoch, tuple(names[:limit]), complete=len(names) <= limit)
