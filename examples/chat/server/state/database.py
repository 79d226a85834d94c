"""The SQLite file and its thread: one transaction after the other, told about when it is safe.

What a transaction wants others to hear is collected and handed over after its commit, so that
nobody hears of what a crash could undo. Every commit waits for the disk.
"""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Concatenate, Final, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from examples.chat.api import Event, Place

__all__ = ["Database", "Told", "Transaction"]

_P = ParamSpec("_P")
_T = TypeVar("_T")

_VERSION: Final = 1
"""Of the schema; a file of another version is refused."""

_SCHEMA: Final = """
CREATE TABLE account (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, folded TEXT NOT NULL UNIQUE,
    token BLOB NOT NULL UNIQUE, since REAL NOT NULL
);
CREATE TABLE room (
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, folded TEXT NOT NULL UNIQUE,
    about TEXT NOT NULL, last INTEGER NOT NULL DEFAULT 0, revision INTEGER NOT NULL
);
CREATE TABLE member (
    room INTEGER NOT NULL REFERENCES room, account INTEGER NOT NULL REFERENCES account,
    role TEXT NOT NULL, read INTEGER NOT NULL, since REAL NOT NULL, revision INTEGER NOT NULL,
    PRIMARY KEY (room, account)
) WITHOUT ROWID;
CREATE INDEX member_account ON member (account);
CREATE VIEW inside AS SELECT * FROM member WHERE role IN ('owner', 'moderator', 'member');
CREATE TABLE file (
    id INTEGER PRIMARY KEY, room INTEGER NOT NULL REFERENCES room,
    account INTEGER NOT NULL REFERENCES account, name TEXT NOT NULL, type TEXT NOT NULL,
    size INTEGER, sha256 TEXT, sent INTEGER NOT NULL DEFAULT 0, since REAL NOT NULL
);
CREATE TABLE chunk (
    file INTEGER NOT NULL REFERENCES file, number INTEGER NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY (file, number)
);
CREATE TABLE message (
    id INTEGER PRIMARY KEY, room INTEGER NOT NULL REFERENCES room, number INTEGER NOT NULL,
    account INTEGER NOT NULL REFERENCES account, text TEXT NOT NULL, sent REAL NOT NULL,
    key TEXT NOT NULL, revision INTEGER NOT NULL, file INTEGER REFERENCES file, edited REAL,
    deleted INTEGER REFERENCES account,
    UNIQUE (room, number), UNIQUE (account, key)
);
CREATE TABLE reaction (
    id INTEGER PRIMARY KEY, message INTEGER NOT NULL REFERENCES message, emoji TEXT NOT NULL,
    account INTEGER NOT NULL REFERENCES account, UNIQUE (message, emoji, account)
);
CREATE VIRTUAL TABLE word USING fts5 (text, tokenize = "unicode61 remove_diacritics 2");
CREATE TABLE revision (value INTEGER NOT NULL);
INSERT INTO revision VALUES (0);
"""


@dataclass
class Told:
    """What a transaction wants to be heard, once it is safe.

    Attributes:
        rooms: Events, by the room where they happened.
        accounts: Places, by the name of the account that they belong to.
        removed: Names of accounts that may follow less than before.
    """

    rooms: list[tuple[int, Event]] = field(default_factory=list["tuple[int, Event]"])
    accounts: list[tuple[str, Place]] = field(default_factory=list["tuple[str, Place]"])
    removed: list[str] = field(default_factory=list[str])


class Transaction:
    """One transaction: all of it happens, or nothing.

    Args:
        connection: The database.
        now: Seconds since 1970.

    Attributes:
        now: As given.
        told: What is to be heard of it.
    """

    def __init__(self, connection: sqlite3.Connection, now: float) -> None:
        self._connection = connection
        self.now = now
        self.told = Told()

    def run(self, statement: str, *values: object) -> int:
        """Change something; return how many rows were."""
        return self._connection.execute(statement, values).rowcount

    def insert(self, statement: str, *values: object) -> int:
        """Insert a row; return its id."""
        row = self._connection.execute(statement, values).lastrowid
        assert row is not None
        return row

    def all(self, query: str, *values: object) -> list[sqlite3.Row]:
        """Return all rows of a query."""
        return self._connection.execute(query, values).fetchall()

    def first(self, query: str, *values: object) -> sqlite3.Row | None:
        """Return the first row of a query, if there is one."""
        row: sqlite3.Row | None = self._connection.execute(query, values).fetchone()
        return row

    def number(self, query: str, *values: object) -> int:
        """Return the one number that a query has."""
        row = self.first(query, *values)
        assert row is not None
        return int(row[0])

    def revise(self) -> int:
        """Return a revision: greater than all before, in all rooms."""
        return self.number("UPDATE revision SET value = value + 1 RETURNING value")


class Database:
    """The file, opened at once, and the one thread that uses it.

    Args:
        path: The file; made if there is none.
        now: Returns seconds since 1970.

    Raises:
        sqlite3.Error: The file cannot be opened, or is no database.
        ValueError: It was written by another version of the chat.
    """

    def __init__(self, path: Path, now: Callable[[], float]) -> None:
        self._now = now
        self._thread = ThreadPoolExecutor(1, "chat-database")
        try:
            self._connection = self._thread.submit(_open, path).result()
        except BaseException as error:
            self._thread.shutdown()
            if isinstance(error, sqlite3.Error):
                raise type(error)(f"{path} cannot be used: {error}") from error
            raise

    async def run(
        self,
        work: Callable[Concatenate[Transaction, _P], _T],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> tuple[_T, Told]:
        """Run a transaction; return its result, and what is to be heard of it.

        What `work` raises undoes it. Cancelling stops waiting: whether the transaction happened
        is then not known.
        """

        def transact() -> tuple[_T, Told]:
            return self._run(lambda each: work(each, *args, **kwargs))

        # By the loop, so that a virtual clock waits for the thread.
        return await asyncio.get_running_loop().run_in_executor(self._thread, transact)

    def close(self) -> None:
        """Wait for the transactions that have begun, and close the file. Idempotent."""
        self._thread.submit(self._connection.close)
        self._thread.shutdown()

    def _run(self, work: Callable[[Transaction], _T]) -> tuple[_T, Told]:
        transaction = Transaction(self._connection, self._now())
        self._connection.execute("BEGIN IMMEDIATE")
        with self._connection:  # commits, or undoes
            return work(transaction), transaction.told


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        connection.row_factory = sqlite3.Row
        for setting in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {setting}")
        with closing(connection.execute("PRAGMA user_version")) as cursor:
            (version,) = cursor.fetchone()
        if version == 0:
            connection.executescript(
                f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;"
            )
        else:
            _check_version(path, version)
    except BaseException:
        connection.close()
        raise
    return connection


def _check_version(path: Path, version: int) -> None:
    if version != _VERSION:
        raise ValueError(f"{path} has version {version} of the chat's tables, not {_VERSION}")
