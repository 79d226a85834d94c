"""Messages: said once by their key, numbered without holes, changed whole, found by their words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from examples.chat.api import (
    File,
    Found,
    Message,
    NoSuchFile,
    NoSuchMessage,
    NotAllowed,
    RoomState,
    TooMany,
)
from examples.chat.server.rights import check_right
from examples.chat.server.state.accounts import account_named, moment
from examples.chat.server.state.files import drop, file_of
from examples.chat.server.state.rooms import members_of, role_of, room_of
from framerpc import InvalidArgument

if TYPE_CHECKING:
    import sqlite3

    from examples.chat.server.state.database import Transaction

__all__ = ["delete", "edit", "history", "react", "room_state", "say", "search"]

MOST_REACTIONS: Final = 20
"""Different reactions to one message."""

_MESSAGE: Final = """
SELECT message.*, author.name AS who, deleter.name AS deleter FROM message
JOIN account AS author ON author.id = message.account
LEFT JOIN account AS deleter ON deleter.id = message.deleted
"""


def room_state(transaction: Transaction, who: str, room: int, last: int) -> RoomState:
    """Return a room as whoever enters it needs it."""
    messages = history(transaction, who, room, limit=last) if last else []
    return RoomState(room_of(transaction, room), members_of(transaction, room), messages)


def history(
    transaction: Transaction,
    who: str,
    room: int,
    *,
    before: int | None = None,
    after: int = 0,
    limit: int,
) -> list[Message]:
    """Return messages of a room, the oldest first."""
    role_of(transaction, who, room)
    rows = transaction.all(
        f"{_MESSAGE} WHERE room = ? AND number > ? AND number < ? ORDER BY number DESC LIMIT ?",
        *(room, after, _BEYOND if before is None else before, limit),
    )
    return [_message(transaction, row) for row in reversed(rows)]


def say(
    transaction: Transaction, who: str, room: int, text: str, *, key: str, file: int | None
) -> Message:
    """Add a message, or return what was said with this key."""
    role_of(transaction, who, room)
    account = account_named(transaction, who)["id"]
    said = transaction.first(f"{_MESSAGE} WHERE account = ? AND key = ?", account, key)
    if said is not None and said["room"] != room:
        raise InvalidArgument("key: something was said with it in another room; take a new one")
    if said is not None:
        return _told(transaction, said)
    if file is not None and not transaction.run(
        "UPDATE file SET sent = 1 WHERE id = ? AND room = ? AND account = ?"
        " AND size IS NOT NULL AND NOT sent",
        *(file, room, account),
    ):
        raise NoSuchFile(file=file)
    revision = transaction.revise()
    number = transaction.number(
        "UPDATE room SET last = last + 1, revision = ? WHERE id = ? RETURNING last", revision, room
    )
    row = transaction.insert(
        "INSERT INTO message (room, number, account, text, sent, key, revision, file)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        *(room, number, account, text, transaction.now, key, revision, file),
    )
    transaction.run("INSERT INTO word (rowid, text) VALUES (?, ?)", row, text)
    return _told(transaction, _row(transaction, room, number))


def edit(transaction: Transaction, who: str, room: int, number: int, text: str) -> Message:
    """Change what one has said."""
    role_of(transaction, who, room)
    row = _row(transaction, room, number, alive=True)
    if row["who"] != who:
        raise NotAllowed(why=f"{row['who']} said this; only they can change it")
    if row["file"] is None and not text.strip():
        raise InvalidArgument("text: say something, or delete the message")
    if row["text"] != text:
        transaction.run(
            "UPDATE message SET text = ?, edited = ?, revision = ? WHERE id = ?",
            *(text, transaction.now, transaction.revise(), row["id"]),
        )
        transaction.run("UPDATE word SET text = ? WHERE rowid = ?", text, row["id"])
    return _told(transaction, _row(transaction, room, number))


def delete(transaction: Transaction, who: str, room: int, number: int) -> Message:
    """Delete a message with all that belongs to it; its number stays."""
    role = role_of(transaction, who, room)
    row = _row(transaction, room, number)
    if row["who"] != who:
        check_right(role, "delete")
    if row["deleted"] is None:
        transaction.run(
            "UPDATE message SET text = '', file = NULL, deleted = ?, revision = ? WHERE id = ?",
            *(account_named(transaction, who)["id"], transaction.revise(), row["id"]),
        )
        transaction.run("DELETE FROM word WHERE rowid = ?", row["id"])
        transaction.run("DELETE FROM reaction WHERE message = ?", row["id"])
        if row["file"] is not None:
            drop(transaction, row["file"])
    return _told(transaction, _row(transaction, room, number))


def react(
    transaction: Transaction, who: str, room: int, number: int, emoji: str, *, on: bool
) -> Message:
    """Add a reaction, or take it back."""
    role_of(transaction, who, room)
    row = _row(transaction, room, number, alive=True)
    account = account_named(transaction, who)["id"]
    if on:
        known = {each["emoji"] for each in _reactions(transaction, row["id"])}
        if emoji not in known and len(known) >= MOST_REACTIONS:
            raise TooMany(what="different reactions to a message", limit=MOST_REACTIONS)
        changed = transaction.run(
            "INSERT INTO reaction (message, emoji, account) VALUES (?, ?, ?)"
            " ON CONFLICT DO NOTHING",
            *(row["id"], emoji, account),
        )
    else:
        changed = transaction.run(
            "DELETE FROM reaction WHERE message = ? AND emoji = ? AND account = ?",
            *(row["id"], emoji, account),
        )
    if changed:
        revision = transaction.revise()
        transaction.run("UPDATE message SET revision = ? WHERE id = ?", revision, row["id"])
    return _told(transaction, _row(transaction, room, number))


def search(
    transaction: Transaction,
    who: str,
    text: str,
    *,
    room: int | None,
    before: int | None,
    limit: int,
) -> Found:
    """Find messages with all words of a text, the newest first."""
    if room is not None:
        role_of(transaction, who, room)
    # Quoted, so that nothing in it is an operator; a star behind the quotes asks for a prefix.
    # SQLite takes the query for ended where a NUL is.
    wanted = text.replace("\0", " ").split()
    words = " ".join('"{}"*'.format(word.replace('"', '""')) for word in wanted)
    if not words:
        return Found([], None)
    rows = transaction.all(
        f"{_MESSAGE} JOIN word ON word.rowid = message.id"  # noqa: S608 - a constant
        " JOIN inside ON inside.room = message.room"
        " AND inside.account = (SELECT id FROM account WHERE name = ?)"
        " WHERE word MATCH ? AND message.id < ? AND (? IS NULL OR message.room = ?)"
        " ORDER BY message.id DESC LIMIT ?",
        *(who, words, _BEYOND if before is None else before, room, room, limit + 1),
    )
    more = rows[limit - 1]["id"] if len(rows) > limit else None
    return Found([_message(transaction, row) for row in rows[:limit]], more)


# --------------------------------------------------------------------------------- inner parts

_BEYOND: Final = 2**62
"""Greater than every number and every id."""


def _row(transaction: Transaction, room: int, number: int, *, alive: bool = False) -> sqlite3.Row:
    row = transaction.first(f"{_MESSAGE} WHERE room = ? AND number = ?", room, number)
    if row is None or (alive and row["deleted"] is not None):
        raise NoSuchMessage(room=room, number=number)
    return row


def _reactions(transaction: Transaction, message: int) -> list[sqlite3.Row]:
    return transaction.all(
        "SELECT emoji, name FROM reaction JOIN account ON account.id = reaction.account"
        " WHERE message = ? ORDER BY reaction.id",
        message,
    )


def _told(transaction: Transaction, row: sqlite3.Row) -> Message:
    """Return a message, and tell its room."""
    message = _message(transaction, row)
    transaction.told.rooms.append((message.room, message))
    return message


def _message(transaction: Transaction, row: Any) -> Message:
    reactions: dict[str, list[str]] = {}
    for each in _reactions(transaction, row["id"]):
        reactions.setdefault(each["emoji"], []).append(each["name"])
    file: File | None = None if row["file"] is None else file_of(transaction, row["file"])
    return Message(
        room=row["room"],
        number=row["number"],
        who=row["who"],
        text=row["text"],
        sent=moment(row["sent"]),
        key=row["key"],
        revision=row["revision"],
        file=file,
        edited=None if row["edited"] is None else moment(row["edited"]),
        deleted=row["deleter"],
        reactions=reactions,
    )
