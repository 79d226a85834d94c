"""What a client knows of its rooms does not depend on the way by which it heard."""

from __future__ import annotations

import datetime as dt
from typing import Literal

from examples.chat.api import Account, Message, Mine, Place, Role, Room
from examples.chat.client.model import Model, Pending

EPOCH = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
ACCOUNT = Account("ada", EPOCH)


def message(number: int, revision: int, who: str = "bob", key: str = "") -> Message:
    return Message(1, number, who, "text", EPOCH, key or f"k{number}", revision)


def place(
    revision: int,
    role: Role = "member",
    read: int = 0,
    *,
    id_: int = 1,
    last: int = 0,
    name: str = "lobby",
    kind: Literal["public", "direct"] = "public",
) -> Place:
    return Place(Room(id_, kind, name, "", 1, last, 1), role, read, revision)


def test_unread_counts_from_the_read_mark_which_never_goes_back() -> None:
    """Whichever of the place and the message comes first."""
    model = Model()
    model.mine(Mine(ACCOUNT, [place(5, read=2, last=4)]))
    model.event(message(5, 9))
    assert model.rooms[1].unread == 3
    model.place(place(6, read=4))
    model.place(place(5, read=2))
    assert model.rooms[1].unread == 1


def test_a_room_is_gone_with_a_place_or_with_a_list_that_says_so() -> None:
    """And comes back with a newer place only."""
    model = Model()
    model.mine(Mine(ACCOUNT, [place(5), place(6, id_=2)]))
    gone = model.place(place(7, "left"))
    assert gone is not None
    assert model.place(place(5)) is None
    assert list(model.rooms) == [2]
    assert [view.room.id for view in model.mine(Mine(ACCOUNT, []))] == [2]
    model.place(place(8))
    assert list(model.rooms) == [1]


def test_an_old_farewell_does_not_remove_a_room_that_was_joined_again() -> None:
    """The newest revision wins for places too."""
    model = Model()
    model.place(place(9))
    assert model.place(place(7, "left")) is None
    assert list(model.rooms) == [1]


def test_rooms_are_found_by_what_people_call_them() -> None:
    """A direct room is called like the other one."""
    model = Model(ACCOUNT)
    model.place(place(5, name="Café"))
    model.place(place(6, id_=2, kind="direct", name="ada Bob"))
    assert model.find("café") is model.find("#CAFÉ") is model.rooms[1]
    assert model.find("@bob") is model.rooms[2]
    assert model.find("bob") is None
    assert [view.title("ada") for view in model.listed] == ["#Café", "@Bob"]


def test_what_is_pending_ends_with_the_message_of_its_key_and_author() -> None:
    """Somebody else may use the same key."""
    model = Model(ACCOUNT)
    model.place(place(5))
    model.pending = [Pending(1, "a", "one"), Pending(1, "b", "two")]
    model.event(message(1, 8, who="bob", key="a"))
    assert [each.key for each in model.pending_in(1)] == ["a", "b"]
    model.event(message(2, 9, who="ada", key="a"))
    assert [each.key for each in model.pending_in(1)] == ["b"]
