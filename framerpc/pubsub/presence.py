"""Who is on a topic: members by identity, a snapshot, then changes without a gap.

A member is an identity; it joins with its first connection and leaves with its last. Changes
are numbered upwards, and a snapshot has the number of the last change before it: those that
belong behind it have a higher one. Connections come and go here by calls; what nobody has
refreshed for too long is expired, for members that another server knows of.

Spec: protocol.md, "Positions and history".
"""

from __future__ import annotations

import enum
import itertools
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

from framerpc.errors import ResourceExhausted

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

__all__ = ["Leave", "Member", "Presence", "PresenceChange", "PresenceSnapshot"]


class Leave(enum.Enum):
    """Why a member is no longer there."""

    LEFT = "left"  # it unsubscribed, or closed its connection in order
    LOST = "lost"  # its connection broke, or was silent for too long
    EXPIRED = "expired"  # nobody has refreshed it in time
    CLOSED = "closed"  # the server ended its subscription or its connection


class Member(NamedTuple):
    """One who is on a topic.

    Attributes:
        identity: Who.
        info: What it said of itself when it joined, encoded.
        since: When it joined: seconds since 1970, by the wall clock; to be shown.
    """

    identity: str
    info: bytes
    since: float


class PresenceChange(NamedTuple):
    """Somebody came or went.

    Attributes:
        topic: Where.
        number: Greater than that of every change before it, on any topic.
        member: Who.
        left: Why it went; None if it came.
    """

    topic: str
    number: int
    member: Member
    left: Leave | None


class PresenceSnapshot(NamedTuple):
    """Who is there.

    Attributes:
        number: That of the last change before it; 0 if there was none.
        members: Who is there, in the order of joining, as many as were asked for.
        total: How many are there.
    """

    number: int
    members: tuple[Member, ...]
    total: int


class Presence:
    """Who is on which topic.

    A *link* is one reason for a member to be there: a subscription of one of its connections. The
    member is there as long as it has one.

    Args:
        limit: Links of all topics together.
        page: Members in one snapshot, at most.
        changed: Called with each change, in order. Must not raise.
        ttl: Seconds without a refresh after which a link is gone; None: it stays until it leaves.
    """

    __slots__ = ("_changed", "_limit", "_links", "_number", "_page", "_topics", "_ttl")

    def __init__(
        self,
        limit: int,
        page: int,
        changed: Callable[[PresenceChange], None],
        ttl: float | None = None,
    ) -> None:
        self._limit = limit
        self._page = page
        self._changed = changed
        self._ttl = ttl
        self._number = 0
        self._topics: dict[str, dict[str, _Present]] = {}
        # By the last refresh, the oldest first.
        self._links: OrderedDict[tuple[str, str, Hashable], float] = OrderedDict()

    def __len__(self) -> int:
        """Return the links of all topics together."""
        return len(self._links)

    def __repr__(self) -> str:
        return f"<Presence topics={len(self._topics)} links={len(self._links)}>"

    def join(
        self,
        topic: str,
        identity: str,
        link: Hashable,
        now: float,
        *,
        info: bytes = b"",
        stamp: float = 0.0,
    ) -> None:
        """Add a link of a member; it joins if it is its first. A known link is refreshed.

        Args:
            topic: Where.
            identity: Who.
            link: By what; unique among the links of this member on this topic.
            now: Loop time.
            info: What it says of itself; that of the first link is shown.
            stamp: Seconds since 1970, by the wall clock.

        Raises:
            ResourceExhausted: It would be one link too many.
        """
        key = topic, identity, link
        if key not in self._links and len(self._links) >= self._limit:
            raise ResourceExhausted(
                f"{self._limit} members are present already (TopicLimits.max_presence)"
            )
        self._links[key] = now
        self._links.move_to_end(key)
        members = self._topics.setdefault(topic, {})
        present = members.get(identity)
        if present is None:
            present = members[identity] = _Present(Member(identity, info, stamp))
            self._tell(topic, present.member, None)
        present.links.add(link)

    def leave(self, topic: str, identity: str, link: Hashable, reason: Leave) -> None:
        """Take a link away; the member leaves if it was its last. An unknown one is ignored."""
        if self._links.pop((topic, identity, link), None) is None:
            return
        members = self._topics[topic]
        present = members[identity]
        present.links.discard(link)
        if not present.links:
            del members[identity]
            if not members:
                del self._topics[topic]
            self._tell(topic, present.member, reason)

    def refresh(self, topic: str, identity: str, link: Hashable, now: float) -> bool:
        """Say that a link is still there; return whether it was known."""
        key = topic, identity, link
        if key not in self._links:
            return False
        self._links[key] = now
        self._links.move_to_end(key)
        return True

    def expire(self, now: float) -> None:
        """Take away the links that were not refreshed in time."""
        while self._ttl is not None and self._links:
            (topic, identity, link), seen = next(iter(self._links.items()))
            if now - seen < self._ttl:
                return
            self.leave(topic, identity, link, Leave.EXPIRED)

    def snapshot(self, topic: str) -> PresenceSnapshot:
        """Return who is there. The changes behind it have higher numbers than it has."""
        members = self._topics.get(topic, {})
        first = itertools.islice(members.values(), self._page)
        return PresenceSnapshot(
            self._number, tuple(present.member for present in first), len(members)
        )

    def _tell(self, topic: str, member: Member, left: Leave | None) -> None:
        self._number += 1
        self._changed(PresenceChange(topic, self._number, member, left))


class _Present:
    """A member and its links."""

    __slots__ = ("links", "member")

    def __init__(self, member: Member) -> None:
        self.member = member
        self.links: set[Hashable] = set()
