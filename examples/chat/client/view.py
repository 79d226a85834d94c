"""What a client knows of one room: snapshots, events and pages in; what there is to show, out.

It makes no calls and knows no clock. The rules of the contract make it short: of everything the
newest revision wins, so that messages, members, rooms and pages may come in any order and any
number of times. Only snapshots count in the order of their watch, since what is missing in one is
gone.

A hole is a message that must exist, by its number, and is not here; or one that was changed,
maybe, while nobody told us: it is shown, and asked for again. `RoomView.hole` finds them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from examples.chat.api import MEMBERS, Event, Member, Message, Place, Role, Room, RoomState

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["PAGE", "TYPING", "Hole", "RoomView"]

PAGE: Final = 200
"""Messages that are asked for at once; the contract allows no more."""

TYPING: Final = 5.0
"""Seconds that somebody is shown as typing: they say it again every two."""


@dataclass(frozen=True)
class Hole:
    """Messages to ask for: those between two numbers, without these.

    Attributes:
        after: All wanted ones are greater.
        before: All wanted ones are smaller.
        seen: Snapshots that had come when it was found; see `RoomView.page`.
    """

    after: int
    before: int
    seen: int


class RoomView:
    """One room.

    Args:
        room: The room.

    Attributes:
        room: The newest that was told of it.
        role: What we may do there.
        read: Number of the last message that we have read.
        messages: By number.
        members: By name, also those who have left, as far as they were seen.
        present: Who is there now, if anybody asked.
        revision: Of our own part in it, see `Place`.
    """

    def __init__(self, room: Room) -> None:
        self.room = room
        self.role: Role = "left"
        self.read = 0
        self.messages: dict[int, Message] = {}
        self.members: dict[str, Member] = {}
        self.present: set[str] = set()
        self.revision = 0
        self._complete = 0  # all members up to this revision are known
        self._stale: set[int] = set()  # numbers of messages that may have been changed
        self._seen = 0  # snapshots
        self._first = 0  # number of the first message of the last one
        self._top = 0  # the greatest number of a message
        self._typing: dict[str, float] = {}

    # ------------------------------------------------------------------------- what there is

    @property
    def last(self) -> int:
        """Number of the last message."""
        return max(self.room.last, self._top)

    @property
    def unread(self) -> int:
        """How many messages were not read."""
        return max(0, self.last - self.read)

    @property
    def known(self) -> bool:
        """Whether a snapshot has come."""
        return self._seen > 0

    @property
    def people(self) -> list[Member]:
        """The members, the mightiest first, then by name."""
        inside = [member for member in self.members.values() if member.role in MEMBERS]
        return sorted(inside, key=lambda each: (MEMBERS.index(each.role), each.name.casefold()))

    def title(self, me: str) -> str:
        """Return what to call it: "#name", or "@somebody" for a direct room."""
        if self.room.kind != "direct":
            return f"#{self.room.name}"
        others = [name for name in self.room.name.split() if name.casefold() != me.casefold()]
        return f"@{' '.join(others)}"

    def between(self, low: int, high: int) -> list[Message]:
        """Return what is here of the messages `low` to `high`, both included, in order."""
        numbers = range(max(low, 1), min(high, self.last) + 1)
        return [self.messages[number] for number in numbers if number in self.messages]

    def hole(self, low: int, high: int) -> Hole | None:
        """Return the newest hole among the messages `low` to `high`; at most a page of it."""
        number = min(high, self.last)
        low = max(low, 1)
        while number >= low and self._is_here(number):
            number -= 1
        if number < low:
            return None
        before = number + 1
        while number >= low and before - number <= PAGE and not self._is_here(number):
            number -= 1
        return Hole(number, before, self._seen)

    def _is_here(self, number: int) -> bool:
        return number in self.messages and number not in self._stale

    def typing(self, now: float) -> list[str]:
        """Return who types at a time, in seconds on any clock that `types` is told as well."""
        return sorted(name for name, until in self._typing.items() if until > now)

    # ------------------------------------------------------------------------ what is applied

    def place(self, place: Place) -> None:
        """Take what we are in this room."""
        self._take_room(place.room)
        self.read = max(self.read, place.read)  # it never goes back
        if place.revision > self.revision:
            self.revision, self.role = place.revision, place.role

    def snapshot(self, state: RoomState) -> None:
        """Take a room as its watch begins, or begins again.

        What is here besides may be outdated: everything after the watch's end was missed.
        """
        self._seen += 1
        self._first = min((each.number for each in state.messages), default=state.room.last + 1)
        self._stale |= {number for number in self.messages if number < self._first}
        self._take_room(state.room)
        self._take_members(state.room.revision, state.members)
        for message in state.messages:
            self._take_message(message, fresh=True)

    def event(self, event: Event) -> None:
        """Take something that has happened."""
        if isinstance(event, Message):
            self._take_message(event)
        elif isinstance(event, Member):
            self._take_member(event)
        else:
            self._take_room(event)

    def page(self, hole: Hole, messages: Iterable[Message]) -> None:
        """Take what was asked for.

        If a snapshot came meanwhile, the answer may be older than what that one made doubtful.
        """
        for message in messages:
            self._take_message(message, fresh=hole.seen == self._seen)

    def types(self, name: str, now: float) -> None:
        """Note that somebody types."""
        self._typing = {who: until for who, until in self._typing.items() if until > now}
        self._typing[name] = now + TYPING

    def forget(self, low: int, high: int) -> None:
        """Let go of the messages outside of `low` to `high`: the server has them."""
        self.messages = {n: each for n, each in self.messages.items() if low <= n <= high}
        self._stale &= self.messages.keys()

    def _take_room(self, room: Room) -> None:
        if room.revision > self.room.revision:
            self.room = room

    def _take_message(self, message: Message, *, fresh: bool = False) -> None:
        """Take a message, unless a newer state of it is here.

        Args:
            message: The message.
            fresh: It was asked for after the last snapshot had begun: no change was missed.
        """
        number = message.number
        known = self.messages.get(number)
        if fresh:
            self._stale.discard(number)
        elif known is None and number < self._first:
            self._stale.add(number)
        if known is None or known.revision < message.revision:
            self.messages[number] = message
        if number > self._top:
            self._top = number
            self._typing.pop(message.who, None)

    def _take_member(self, member: Member) -> None:
        known = self.members.get(member.name)
        if member.revision > max(self._complete, known.revision if known is not None else 0):
            self.members[member.name] = member

    def _take_members(self, revision: int, members: Iterable[Member]) -> None:
        """Take all members at a revision of their room: those who are missing are gone.

        Each change of a member changes the room as well, and has the smaller revision.
        """
        if revision > self._complete:
            self._complete = revision
            later = {name: each for name, each in self.members.items() if each.revision > revision}
            self.members = {member.name: member for member in members} | later
