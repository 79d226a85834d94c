"""What a subscriber gets: messages, and what is missing before one of them.

Spec: protocol.md, "Topics".
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping  # noqa: TC003 - read at run time by users' tools
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import msgspec

from framerpc.pubsub.positions import Position

__all__ = ["Gap", "History", "Member", "Message", "Presence", "PresenceChange"]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Gap:
    """Messages that a subscriber did not get, and never will.

    Attributes:
        dropped: How many, because it was too slow; None if it is not known: the connection was
            lost, and the history does not reach back to where it was.
        topics: How many of which topic, as far as that is known.
    """

    dropped: int | None
    topics: Mapping[str, int] = field(default_factory=dict[str, int])


class Message(msgspec.Struct, Generic[_T], frozen=True):
    """One message.

    Attributes:
        data: What was published.
        topic: Where it was published.
        offset: Its number in the topic; None if the topic has no history.
        epoch: The numbering that the offset belongs to, or None.
        stamp_ms: When it was published by the server's wall clock, in milliseconds since 1970.
        gap: What is missing between the message before it and this one; None if nothing is.
    """

    data: _T
    topic: str
    offset: int | None
    epoch: str | None
    stamp_ms: int | None
    gap: Gap | None = None

    @property
    def position(self) -> Position | None:
        """Where it stands: what `since=` takes to go on behind it; None without history."""
        if self.offset is None or self.epoch is None:
            return None
        return Position(self.epoch, self.offset)

    @property
    def published(self) -> dt.datetime | None:
        """When it was published, by the server's wall clock."""
        if self.stamp_ms is None:
            return None
        return dt.datetime.fromtimestamp(self.stamp_ms / 1000, dt.UTC)


@dataclass(frozen=True, slots=True)
class History(Generic[_T]):
    """A page of the history of a topic, the oldest message first.

    Attributes:
        messages: The messages.
        recovered: Nothing that `since` asked for is missing.
        top: Where the newest message of the topic stands; None if the topic has no history.
        more: There are further messages: ask again with `since` the position of the last one.
    """

    messages: tuple[Message[_T], ...]
    recovered: bool
    top: Position | None
    more: bool


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody on a topic.

    Attributes:
        name: What the server calls it: one identity, however many connections it has.
        since: When it came, by the server's wall clock.
    """

    name: str
    since: dt.datetime


@dataclass(frozen=True, slots=True)
class Presence:
    """Who is on a topic.

    Attributes:
        members: Who is there, in the order of joining, as many as the server tells.
        total: How many are there.
    """

    members: tuple[Member, ...]
    total: int


@dataclass(frozen=True, slots=True)
class PresenceChange:
    """Somebody came or went.

    Attributes:
        member: Who.
        left: Why it went: "left" (it unsubscribed or closed its connection), "lost" (its
            connection broke), "closed" (the server ended it) or "expired"; None if it came.
    """

    member: Member
    left: str | None
