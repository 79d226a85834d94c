"""Rooms and who is in them: public, private and direct ones, roles, read marks.

Every change of who is in a room tells the room (a `Member`, and the `Room` with its new count)
and the account itself (a `Place`). Calls that find done what they ask for tell it again: whoever
asked may ask twice because the first answer, and the telling, were lost. Only who is no member is
told nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from examples.chat.api import (
    MEMBERS,
    Member,
    Mine,
    NameTaken,
    NoSuchAccount,
    NoSuchRoom,
    NotAllowed,
    Place,
    Role,
    Room,
    TooMany,
)
from examples.chat.server.rights import check_appointment, check_right
from examples.chat.server.state.accounts import account_named, account_of, folded

if TYPE_CHECKING:
    import sqlite3

    from examples.chat.server.state.database import Transaction

__all__ = [
    "create",
    "describe",
    "direct",
    "invite",
    "is_member",
    "join",
    "leave",
    "members_of",
    "mine",
    "public_rooms",
    "read",
    "role_of",
    "room_of",
    "set_role",
]

MOST_ROOMS: Final = 1_000
"""Public and private rooms; direct ones are bounded by what an account may be a member of."""

MOST_PLACES: Final = 100
"""Rooms that an account may be a member of: it watches all of them on one connection."""

MOST_MEMBERS: Final = 1_000
"""Members of a room, and as many who are banned: all are told to whoever enters it."""

_ROOM: Final = """
SELECT room.*, (SELECT count(*) FROM inside WHERE inside.room = room.id) AS members FROM room
"""


def mine(transaction: Transaction, who: str) -> Mine:
    """Return what belongs to an account."""
    rows = transaction.all(
        "SELECT room FROM inside JOIN account ON account.id = inside.account"
        " WHERE account.name = ? ORDER BY room",
        who,
    )
    places = [_place(transaction, row["room"], who) for row in rows]
    return Mine(account_of(transaction, who), places)


def public_rooms(transaction: Transaction, _who: str) -> list[Room]:
    """Return the public rooms, by name."""
    rows = transaction.all(f"{_ROOM} WHERE kind = 'public' ORDER BY folded")
    return [_room(row) for row in rows]


def room_of(transaction: Transaction, room: int) -> Room:
    """Return a room that exists."""
    row = transaction.first(f"{_ROOM} WHERE id = ?", room)
    if row is None:
        raise NoSuchRoom(room=room)
    return _room(row)


def members_of(transaction: Transaction, room: int) -> list[Member]:
    """Return the members of a room, and who is banned from it, by name."""
    rows = transaction.all(
        "SELECT name, role, revision FROM member JOIN account ON account.id = member.account"
        " WHERE room = ? AND role != 'left' ORDER BY folded",
        room,
    )
    return [Member(room, row["name"], row["role"], row["revision"]) for row in rows]


def is_member(transaction: Transaction, room: int, who: str) -> bool:
    """Return whether somebody is a member of a room."""
    row = _membership(transaction, room, who)
    return row is not None and row["role"] in MEMBERS


def role_of(transaction: Transaction, who: str, room: int) -> Role:
    """Return the role of a member.

    Raises:
        NoSuchRoom: They are none, so that there is no such room for them.
    """
    row = _membership(transaction, room, who)
    if row is None or row["role"] not in MEMBERS:
        raise NoSuchRoom(room=room)
    return cast("Role", row["role"])


# ------------------------------------------------------------------------------ making rooms


def create(transaction: Transaction, who: str, name: str, about: str, *, private: bool) -> Place:
    """Make a room that belongs to its maker."""
    if transaction.first("SELECT 1 FROM room WHERE folded = ?", folded(name)):
        raise NameTaken(name=name)
    if transaction.number("SELECT count(*) FROM room WHERE kind != 'direct'") >= MOST_ROOMS:
        raise TooMany(what="rooms", limit=MOST_ROOMS)
    room = transaction.insert(
        "INSERT INTO room (kind, name, folded, about, revision) VALUES (?, ?, ?, ?, ?)",
        *("private" if private else "public", name, folded(name), about, transaction.revise()),
    )
    _put(transaction, room, who, "owner")
    return _place(transaction, room, who)


def direct(transaction: Transaction, who: str, other: str) -> Place:
    """Return the room of two accounts; make it if there is none."""
    one, two = account_named(transaction, who), account_named(transaction, other)
    if one["id"] == two["id"]:
        raise NotAllowed(why="a direct room is for two")
    # No name of another kind of room has a line break.
    pair = "{}\n{}".format(*sorted((one["id"], two["id"])))
    found = transaction.first("SELECT id FROM room WHERE folded = ?", pair)
    if found is None:
        names = " ".join(sorted((one["name"], two["name"]), key=folded))
        room = transaction.insert(
            "INSERT INTO room (kind, name, folded, about, revision) VALUES (?, ?, ?, ?, ?)",
            *("direct", names, pair, "", transaction.revise()),
        )
        for each in (one, two):
            _put(transaction, room, each["name"], "member")
    else:
        room = found["id"]
        for each in (one, two):
            _tell(transaction, room, each["name"])
    return _place(transaction, room, who)


def describe(transaction: Transaction, who: str, room: int, about: str) -> None:
    """Say what a room is for."""
    check_right(role_of(transaction, who, room), "describe")
    _refuse_direct(transaction, room)
    revision = transaction.revise()
    transaction.run("UPDATE room SET about = ?, revision = ? WHERE id = ?", about, revision, room)
    transaction.told.rooms.append((room, room_of(transaction, room)))


# ---------------------------------------------------------------------------- coming and going


def join(transaction: Transaction, who: str, room: int) -> Place:
    """Become a member of a public room."""
    row = _membership(transaction, room, who)
    if row is not None and row["role"] == "banned":
        raise NotAllowed(why="you were banned from this room")
    if row is not None and row["role"] in MEMBERS:
        _tell(transaction, room, who)
        return _place(transaction, room, who)
    if room_of(transaction, room).kind != "public":
        raise NoSuchRoom(room=room)
    _put(transaction, room, who, "member")
    _keep_an_owner(transaction, room)  # if all had left
    return _place(transaction, room, who)


def leave(transaction: Transaction, who: str, room: int) -> None:
    """Be a member no longer."""
    row = _membership(transaction, room, who)
    if row is None:
        raise NoSuchRoom(room=room)
    _refuse_direct(transaction, room)
    if row["role"] not in MEMBERS:
        return  # and tell them nothing of what became of the room since
    _put(transaction, room, who, "left")
    _keep_an_owner(transaction, room)


def invite(transaction: Transaction, who: str, room: int, name: str) -> None:
    """Make somebody a member."""
    role_of(transaction, who, room)
    _refuse_direct(transaction, room)
    guest: str = account_named(transaction, name)["name"]
    row = _membership(transaction, room, guest)
    if row is not None and row["role"] == "banned":
        raise NotAllowed(why=f"{guest} was banned; owners and moderators may pardon")
    if row is not None and row["role"] in MEMBERS:
        _tell(transaction, room, guest)
    else:
        _put(transaction, room, guest, "member")


def set_role(transaction: Transaction, who: str, room: int, name: str, role: Role) -> None:
    """Change what somebody may do."""
    own = role_of(transaction, who, room)
    _refuse_direct(transaction, room)
    row = _membership(transaction, room, name)
    if row is None:
        raise NoSuchAccount(name=name)
    check_appointment(own, row["role"], role)
    if row["role"] == role:
        _tell(transaction, room, row["name"])
        return
    _put(transaction, room, row["name"], role)
    _keep_an_owner(transaction, room)


def read(transaction: Transaction, who: str, room: int, number: int) -> None:
    """Note up to where somebody has read."""
    role_of(transaction, who, room)
    account = account_named(transaction, who)["id"]
    reached = min(number, transaction.number("SELECT last FROM room WHERE id = ?", room))
    changed = transaction.run(
        "UPDATE member SET revision = ?, read = ? WHERE room = ? AND account = ? AND read < ?",
        *(transaction.revise(), reached, room, account, reached),
    )
    if changed:
        transaction.told.accounts.append((who, _place(transaction, room, who)))


# --------------------------------------------------------------------------------- inner parts


def _put(transaction: Transaction, room: int, who: str, role: Role) -> None:
    """Give somebody a role, and tell everybody whom it concerns."""
    account = account_named(transaction, who)["id"]
    _check_limits(transaction, room, account, role)
    # Whoever comes has read what was said before they came.
    transaction.run(
        "INSERT INTO member (room, account, role, read, since, revision)"
        " VALUES (?, ?, ?, (SELECT last FROM room WHERE id = ?), ?, ?)"
        " ON CONFLICT DO UPDATE SET role = excluded.role, revision = excluded.revision",
        *(room, account, role, room, transaction.now, transaction.revise()),
    )
    transaction.run("UPDATE room SET revision = ? WHERE id = ?", transaction.revise(), room)
    _tell(transaction, room, who)
    if role not in MEMBERS:
        transaction.told.removed.append(who)


def _check_limits(transaction: Transaction, room: int, account: int, role: Role) -> None:
    """Refuse one more of what there may be so many of."""
    before = transaction.first(
        "SELECT role FROM member WHERE room = ? AND account = ?", room, account
    )
    if role == "banned":
        banned = "SELECT count(*) FROM member WHERE room = ? AND role = 'banned'"
        _check_limit(transaction.number(banned, room), "banned from one room", MOST_MEMBERS)
    elif role in MEMBERS and (before is None or before["role"] not in MEMBERS):
        places = "SELECT count(*) FROM inside WHERE account = ?"
        _check_limit(transaction.number(places, account), "rooms of one account", MOST_PLACES)
        members = "SELECT count(*) FROM inside WHERE room = ?"
        _check_limit(transaction.number(members, room), "members of one room", MOST_MEMBERS)


def _check_limit(count: int, what: str, limit: int) -> None:
    if count >= limit:
        raise TooMany(what=what, limit=limit)


def _keep_an_owner(transaction: Transaction, room: int) -> None:
    """Hand a room without an owner to who has been there longest, moderators first."""
    heir = transaction.first(
        "SELECT name, role FROM inside JOIN account ON account.id = inside.account"
        " WHERE room = ?"
        " ORDER BY role = 'owner' DESC, role = 'moderator' DESC, inside.since, account LIMIT 1",
        room,
    )
    if heir is not None and heir["role"] != "owner":
        _put(transaction, room, heir["name"], "owner")


def _refuse_direct(transaction: Transaction, room: int) -> None:
    if room_of(transaction, room).kind == "direct":
        raise NotAllowed(why="a direct room belongs to its two members, for ever")


def _membership(transaction: Transaction, room: int, who: str) -> Any:
    return transaction.first(
        "SELECT member.*, name FROM member JOIN account ON account.id = member.account"
        " WHERE room = ? AND folded = ?",
        *(room, folded(who)),
    )


def _tell(transaction: Transaction, room: int, who: str) -> None:
    """Tell a room, and somebody, what they are there."""
    row = _membership(transaction, room, who)
    member = Member(room, row["name"], row["role"], row["revision"])
    transaction.told.rooms += [(room, member), (room, room_of(transaction, room))]
    transaction.told.accounts.append((row["name"], _place(transaction, room, who)))


def _place(transaction: Transaction, room: int, who: str) -> Place:
    row = _membership(transaction, room, who)
    return Place(room_of(transaction, room), row["role"], row["read"], row["revision"])


def _room(row: sqlite3.Row) -> Room:
    return Room(
        row["id"],
        row["kind"],
        row["name"],
        row["about"],
        row["members"],
        row["last"],
        row["revision"],
    )
