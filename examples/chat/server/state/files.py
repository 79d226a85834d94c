"""Files: content in pieces, kept once its message is said, dropped if that never happens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from examples.chat.api import File, NoSuchFile, TooMany
from examples.chat.server.state.accounts import account_named
from examples.chat.server.state.rooms import role_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from examples.chat.server.state.database import Transaction

__all__ = ["add", "begin", "chunk", "discard", "drop", "file_of", "finish"]

MOST_UNSENT: Final = 10
"""Files of one account that wait for their message, those that are being uploaded among them."""

_PATIENCE: Final = 24 * 3600.0
"""Seconds that a file waits for its message."""


def begin(transaction: Transaction, who: str, room: int, name: str, kind: str) -> int:
    """Make room for a file; return its id."""
    role_of(transaction, who, room)
    account = account_named(transaction, who)["id"]
    late = transaction.now - _PATIENCE
    for row in transaction.all("SELECT id FROM file WHERE NOT sent AND since < ?", late):
        drop(transaction, row["id"])
    unsent = "SELECT count(*) FROM file WHERE account = ? AND NOT sent"
    if transaction.number(unsent, account) >= MOST_UNSENT:
        raise TooMany(what="files that wait for their message", limit=MOST_UNSENT)
    return transaction.insert(
        "INSERT INTO file (room, account, name, type, since) VALUES (?, ?, ?, ?, ?)",
        *(room, account, name, kind, transaction.now),
    )


def add(transaction: Transaction, file: int, number: int, chunks: Sequence[bytes]) -> None:
    """Keep pieces of a file, the first of them with this number."""
    for place, data in enumerate(chunks, number):
        transaction.run("INSERT INTO chunk VALUES (?, ?, ?)", file, place, data)


def finish(transaction: Transaction, file: int, size: int, sha256: str) -> File:
    """Close a file whose content is complete."""
    transaction.run("UPDATE file SET size = ?, sha256 = ? WHERE id = ?", size, sha256, file)
    return file_of(transaction, file)


def drop(transaction: Transaction, file: int) -> None:
    """Forget a file."""
    transaction.run("DELETE FROM chunk WHERE file = ?", file)
    transaction.run("DELETE FROM file WHERE id = ?", file)


def discard(transaction: Transaction, who: str, file: int) -> None:
    """Forget a complete file of this account that waits for its message."""
    row = transaction.first(
        "SELECT 1 FROM file JOIN account ON account.id = file.account"
        " WHERE file.id = ? AND account.name = ? AND NOT sent AND size IS NOT NULL",
        *(file, who),
    )
    if row is not None:
        drop(transaction, file)


def file_of(transaction: Transaction, file: int) -> File:
    """Return a file that exists and is complete."""
    row = transaction.first("SELECT * FROM file WHERE id = ?", file)
    assert row is not None
    return File(row["id"], row["name"], row["type"], row["size"], row["sha256"])


def chunk(transaction: Transaction, who: str, file: int, number: int) -> bytes | None:
    """Return a piece of a file, as long as somebody may have it; None behind the last one.

    Raises:
        NoSuchFile: There is none where they are a member.
    """
    row = transaction.first(
        "SELECT 1 FROM file JOIN inside ON inside.room = file.room"
        " JOIN account ON account.id = inside.account"
        " WHERE file.id = ? AND account.name = ? AND size IS NOT NULL"
        " AND (sent OR file.account = inside.account)",
        *(file, who),
    )
    if row is None:
        raise NoSuchFile(file=file)
    row = transaction.first("SELECT data FROM chunk WHERE file = ? AND number = ?", file, number)
    return None if row is None else row["data"]
