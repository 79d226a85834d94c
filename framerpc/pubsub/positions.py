"""Positions: where in the messages of a topic somebody stands, and what that says.

The messages of a topic with history are numbered 1, 2, 3, … without a hole. The numbers
belong to an *epoch*: a topic whose messages were lost counts in another epoch, so that a
position never means two things. A `Bookmark` is what a subscriber keeps: for each topic
the position of the last message it has seen. It tells a hole when it sees one.

Spec: protocol.md, "Positions and history".
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from framerpc.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MAX_EPOCH", "MAX_OFFSET", "Bookmark", "Position", "Step"]

MAX_EPOCH: Final = 64
"""Longest name of an epoch, in characters."""

MAX_OFFSET: Final = 2**53 - 1
"""Largest offset, a uint of the wire."""


class Position(NamedTuple):
    """Just behind one message of a topic: the next one to see is `offset + 1`.

    Attributes:
        epoch: The counting that the offset belongs to: 1 to 64 letters, digits, `-`, `_`.
        offset: Number of the message; 0 stands before the first.
    """

    epoch: str
    offset: int

    def __str__(self) -> str:
        return f"{self.epoch}:{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """Return the position that `str` wrote.

        Raises:
            InvalidArgument: It is not of the form `epoch:offset`.
        """
        epoch, colon, offset = text.partition(":")
        plain = epoch.replace("-", "").replace("_", "")
        good = colon and len(epoch) <= MAX_EPOCH and plain.isascii() and plain.isalnum()
        # 16 digits are enough for the largest; int() of very long ones would take its time.
        if good and offset.isascii() and offset.isdecimal() and len(offset) <= len(str(MAX_OFFSET)):
            position = cls(epoch, int(offset))
            if position.offset <= MAX_OFFSET:
                return position
        raise InvalidArgument(f"{text[:100]!r} is not a position of the form 'epoch:offset'")


class Step(enum.Enum):
    """How a message stands to those seen before it."""

    NEXT = "next"  # exactly the one to come
    HOLE = "hole"  # some before it are missing, and nobody said so
    REPEATED = "repeated"  # seen already: to be ignored
    EPOCH = "epoch"  # of another epoch: what came before may be lost


@dataclass(slots=True)
class Bookmark:
    """How far a subscriber has come in each topic that its pattern matches.

    Attributes:
        mark: The epoch in which topics begin that were unknown when the subscription began.
        positions: The last position seen in each topic.
        limit: Topics in `positions`, at most.
        complete: False once there were more: such a subscription cannot resume.
        exact: False if the topics keep only the latest messages, where holes are no loss.
    """

    mark: str = ""
    positions: dict[str, Position] = field(default_factory=dict[str, Position])
    limit: int = 1000
    complete: bool = True
    exact: bool = True
    _told: dict[str, int] = field(default_factory=dict[str, int])

    def see(self, topic: str, position: Position) -> Step:
        """Note a message; return how it stands to those before it."""
        return self._move(topic, position, here=1)

    def gap(self, dropped: Mapping[str, int]) -> None:
        """Note that the server has said which messages it left out here.

        Args:
            dropped: How many of which topic; under `""` those of topics that it did not name.
        """
        for topic, count in dropped.items():
            self._told[topic] = self._told.get(topic, 0) + count

    def awaited(self) -> dict[str, int]:
        """Return what gaps have told of that lies behind the positions, by topic.

        Whoever goes on from the positions gets these messages after all.
        """
        return {topic: count for topic, count in self._told.items() if count}

    def check(self, tops: Mapping[str, Position]) -> tuple[str, ...]:
        """Compare with how far the server says it has come; return where we miss something.

        Call it when all that came before the server's word was seen. What is missing counts
        as seen afterwards, so that it is found once.
        """
        lost = (Step.HOLE, Step.EPOCH)
        return tuple(topic for topic, top in tops.items() if self._move(topic, top, here=0) in lost)

    def _move(self, topic: str, position: Position, here: int) -> Step:
        """Go forward to `position`, where `here` messages (none or one) were just seen."""
        seen = self.positions.get(topic)
        if seen is None:
            if len(self.positions) >= self.limit:
                self.complete = False  # and nothing can be said about this topic any more
                return Step.NEXT
            seen = Position(position.epoch if self.mark else "", 0)
        if position.epoch == seen.epoch and position.offset <= seen.offset:
            return Step.REPEATED
        self.positions[topic] = position
        if position.epoch != seen.epoch:
            return Step.EPOCH
        missing = position.offset - seen.offset - here
        if not missing or not self.exact or self._excused(topic, missing):
            return Step.NEXT
        return Step.HOLE

    def _excused(self, topic: str, missing: int) -> bool:
        """Return whether gaps have told of all the messages that are missing; use them up then."""
        named = min(missing, self._told.get(topic, 0))
        unnamed = missing - named
        if unnamed > self._told.get("", 0):
            return False
        for name, count in ((topic, named), ("", unnamed)):
            if count:
                self._told[name] -= count
        return True
