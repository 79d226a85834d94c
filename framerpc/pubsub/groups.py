"""Queue groups: subscriptions that share the messages of a pattern, each goes to one of them.

Members take turns. One that cannot take a message now is skipped if another one can; if none
can, the message waits where the fewest bytes wait. What waited for a member that leaves goes
to the others, unless it leaves because it was too slow: then it is lost, and counted. What
was written to a member is its own. A group promises no more than that.

Spec: protocol.md, "Positions and history".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from framerpc.pubsub.events import Publication
    from framerpc.pubsub.feed import Feed

__all__ = ["Group"]


class Group:
    """The members of one group; takes messages as if it was one feed.

    Attributes:
        members: Its members, in the order of joining.
    """

    __slots__ = ("_turn", "members")

    def __init__(self) -> None:
        self.members: list[Feed] = []
        self._turn = 0

    def __repr__(self) -> str:
        return f"<Group members={len(self.members)}>"

    def add(self, member: Feed) -> None:
        """Add a member."""
        self.members.append(member)

    def remove(self, member: Feed, waiting: list[Publication]) -> None:
        """Remove a member, and give what waited for it to the others.

        Args:
            member: Who leaves.
            waiting: What was offered to it and not written, in order.
        """
        place = self.members.index(member)
        del self.members[place]
        if place < self._turn:
            self._turn -= 1
        if self.members:
            for publication in waiting:
                self.offer(publication)

    def offer(self, publication: Publication) -> None:
        """Give a message to one member; never waits, never raises."""
        members, count = self.members, len(self.members)
        for step in range(count):
            place = (self._turn + step) % count
            # Taking may end a member, and so make the list shorter.
            if place < len(members) and members[place].take(publication):
                self._turn = place + 1
                return
        if members:
            min(members, key=lambda member: member.waiting).offer(publication)
