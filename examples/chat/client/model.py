"""What a client knows of all its rooms, and of what it said there that is not confirmed yet.

It makes no calls and knows no clock. What is told may come in any order and any number of times,
except for the list of rooms: the last one counts. What there is in a room is known to `view`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from examples.chat.api import MEMBERS, Account, Event, Message, Mine, Place, Room, RoomState
from examples.chat.client.view import Hole, RoomView

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Model", "Pending"]


@dataclass
class Pending:
    """What was said here and not confirmed yet.

    Attributes:
        room: Where.
        key: Names it, also when it is sent again.
        text: What was said.
        file: The id of the file that goes with it.
        name: The name of that file.
        why: Why the server refused it; empty as long as it did not.
    """

    room: int
    key: str
    text: str
    file: int | None = None
    name: str = ""
    why: str = ""


@dataclass
class Model:
    """All rooms of one account.

    Attributes:
        account: Whose; None until the server has told.
        rooms: By id; those that one is a member of.
        pending: What was said and is not confirmed yet, in this order.
    """

    account: Account | None = None
    rooms: dict[int, RoomView] = field(default_factory=dict[int, RoomView])
    pending: list[Pending] = field(default_factory=list[Pending])
    _left: dict[int, int] = field(default_factory=dict[int, int])  # the revision of leaving

    # ------------------------------------------------------------------------- what there is

    @property
    def me(self) -> str:
        """The name of the account; empty until the server has told."""
        return self.account.name if self.account is not None else ""

    @property
    def listed(self) -> list[RoomView]:
        """The rooms in the order in which they are shown: direct ones last, then by name."""
        return sorted(
            self.rooms.values(),
            key=lambda view: (view.room.kind == "direct", view.title(self.me).casefold()),
        )

    def find(self, name: str) -> RoomView | None:
        """Return the room that people call so: "lobby", "#lobby", or "@somebody"."""
        wanted = name.casefold()
        titles = {view.title(self.me).casefold(): view for view in self.rooms.values()}
        return titles.get(wanted) or titles.get(f"#{wanted}")

    def pending_in(self, room: int) -> list[Pending]:
        """Return what was said in a room and is not confirmed, the oldest first."""
        return [each for each in self.pending if each.room == room]

    # ------------------------------------------------------------------------ what is applied

    def mine(self, mine: Mine) -> list[RoomView]:
        """Take all places at once; return the rooms that are gone."""
        self.account = mine.account
        for place in mine.places:
            self.place(place)
        here = {place.room.id for place in mine.places}
        gone = [view for room, view in self.rooms.items() if room not in here]
        for view in gone:
            del self.rooms[view.room.id]
        return gone

    def place(self, place: Place) -> RoomView | None:
        """Take what one is in a room; return the room if it is gone by that."""
        room = place.room.id
        if place.revision <= self._left.get(room, 0):
            return None
        known = self.rooms.get(room)
        if place.role in MEMBERS:
            if known is None:
                known = self.rooms[room] = RoomView(place.room)
            known.place(place)
            return None
        if known is not None and known.revision > place.revision:
            return None
        self._left[room] = place.revision
        return self.rooms.pop(room, None)

    def snapshot(self, state: RoomState) -> None:
        """Take a room as its watch begins."""
        view = self.rooms.get(state.room.id)
        if view is not None:
            view.snapshot(state)
        self._confirm(state.messages)

    def event(self, event: Event) -> None:
        """Take something that has happened in a room, in any order."""
        view = self.rooms.get(event.id if isinstance(event, Room) else event.room)
        if view is not None:
            view.event(event)
        if isinstance(event, Message):
            self._confirm([event])

    def page(self, room: int, hole: Hole, messages: Sequence[Message]) -> None:
        """Take what was asked for to fill a hole; see `RoomView.page`."""
        view = self.rooms.get(room)
        if view is not None:
            view.page(hole, messages)
        self._confirm(messages)

    def _confirm(self, messages: Iterable[Message]) -> None:
        """Let go of what is pending and was taken."""
        if self.pending:
            said = {each.key for each in messages if each.who == self.me}
            self.pending = [each for each in self.pending if each.key not in said]
