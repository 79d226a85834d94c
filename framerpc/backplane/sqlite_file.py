"""The file of the SQLite store: its tables, how it is opened, read whole and written.

A connection to the file for one thread; it blocks. What is kept, and when it leaves, is decided by
who calls: here it is only written down, a batch in a transaction. The file belongs to one
process at a time, which the lock of SQLite sees to; after a crash the lock is gone and the journal
holds all that was committed.

`synchronous=FULL`: a commit returns when the bytes are on the disk, so that an acknowledged
publish survives not only the process but the machine. It costs one flush for a batch.

Spec: protocol.md, "Positions and history".
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from framerpc.pubsub.store import StoreCorrupt, StoreError, StoreFull

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from pathlib import Path

__all__ = ["Batch", "Contents", "KeyRow", "MessageRow", "SqliteFile", "TopicRow"]

_APPLICATION: Final = 0x46525043
"""FRPC: marks the file as ours (`PRAGMA application_id`)."""

_SCHEMA_VERSION: Final = 1

_SCHEMA: Final = """
CREATE TABLE meta (instance TEXT NOT NULL, generation INTEGER NOT NULL, clock REAL NOT NULL);
CREATE TABLE topics (
    topic TEXT PRIMARY KEY, epoch TEXT NOT NULL, top INTEGER NOT NULL, floor INTEGER NOT NULL,
    floor_stamp REAL NOT NULL, history INTEGER NOT NULL, ttl REAL, history_bytes INTEGER NOT NULL,
    latest INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE messages (
    number INTEGER PRIMARY KEY, topic TEXT NOT NULL, offset INTEGER NOT NULL, at REAL NOT NULL,
    stamp REAL NOT NULL, conflate TEXT NOT NULL, data BLOB NOT NULL, UNIQUE (topic, offset)
) STRICT;
CREATE TABLE keys (
    number INTEGER PRIMARY KEY, topic TEXT NOT NULL, key TEXT NOT NULL, digest BLOB NOT NULL,
    epoch TEXT NOT NULL, offset INTEGER NOT NULL, at REAL NOT NULL, UNIQUE (topic, key)
) STRICT;
CREATE INDEX keys_by_age ON keys (at);
"""

_ROWS: Final = 256
"""Rows read at a time."""

# What SQLite calls it (the primary codes), and what it means here.
_FULL: Final = {sqlite3.SQLITE_FULL}
_CORRUPT: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_BUSY: Final = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_PRIMARY: Final = 0xFF


class TopicRow(NamedTuple):
    """What is written of a topic; the columns of its table."""

    topic: str
    epoch: str
    top: int
    floor: int
    floor_stamp: float
    history: int
    ttl: float | None
    history_bytes: int
    latest: bool


class MessageRow(NamedTuple):
    """What is written of a message; `at` is in the time of the store."""

    topic: str
    offset: int
    at: float
    stamp: float
    conflate: str
    data: bytes


class KeyRow(NamedTuple):
    """What is written of an idempotency key; `at` is in the time of the store."""

    topic: str
    key: str
    digest: bytes
    epoch: str
    offset: int
    at: float


class Batch(NamedTuple):
    """What one transaction writes.

    Attributes:
        generation: How often topics were forgotten.
        clock: The time of the store, in seconds.
        topics: Topics that are new or changed.
        messages: New messages.
        keys: New keys.
        removed: Messages that left, as topic and offset.
        forgotten: Topics that were forgotten.
        keys_before: Keys that are not younger than this left.
        most_keys: Keys that stay, the newest.
    """

    generation: int
    clock: float
    topics: Sequence[TopicRow]
    messages: Sequence[MessageRow]
    keys: Sequence[KeyRow]
    removed: Sequence[tuple[str, int]]
    forgotten: Sequence[str]
    keys_before: float
    most_keys: int


class Contents(NamedTuple):
    """All that a file holds; messages by topic and offset, keys by age."""

    instance: str
    generation: int
    clock: float
    topics: Sequence[TopicRow]
    messages: Iterator[MessageRow]
    keys: Iterator[KeyRow]


class SqliteFile:
    """An open file.

    Args:
        path: Where it is. It is made if nothing is there.
        instance: Names a new file in epochs.
        max_bytes: Size that it may grow to, its journal not counted; None for no limit.

    Raises:
        StoreCorrupt: It is damaged, not ours, or of another version.
        StoreError: It cannot be opened, or another process uses it.
        StoreFull: There is no room for it.
    """

    def __init__(self, path: Path, instance: str, max_bytes: int | None = None) -> None:
        self._path = path
        with self._errors("open"):
            self._base = sqlite3.connect(path, timeout=0, isolation_level=None)
        try:
            with self._errors("open"):
                self._prepare(instance, max_bytes)
        except BaseException:
            self._base.close()
            raise

    def _prepare(self, instance: str, max_bytes: int | None) -> None:
        """Take the file for this process, check it, and make its tables if it is new."""
        base = self._base
        base.execute("PRAGMA locking_mode = EXCLUSIVE")  # before the journal is touched
        self._check_owner()
        base.execute("PRAGMA journal_mode = WAL")
        base.execute("PRAGMA synchronous = FULL")
        base.execute("BEGIN IMMEDIATE")
        if not self._pragma("user_version"):
            for statement in _SCHEMA.strip().split(";\n"):
                base.execute(statement)
            base.execute("INSERT INTO meta VALUES (?, 0, 0.0)", (instance,))
            base.execute(f"PRAGMA application_id = {_APPLICATION}")
            base.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
        base.execute("COMMIT")
        if max_bytes is not None:
            pages = max(1, max_bytes // self._pragma("page_size"))
            base.execute(f"PRAGMA max_page_count = {pages}")
        (verdict,) = base.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise StoreCorrupt(f"{self._path} is damaged: {verdict}")

    def _check_owner(self) -> None:
        """Refuse a file that is not ours, before anything in it is changed."""
        tables = self._base.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        application, version = self._pragma("application_id"), self._pragma("user_version")
        if (tables or application) and application != _APPLICATION:
            raise StoreCorrupt(f"{self._path} is a database of something else, not of framerpc")
        if tables and version != _SCHEMA_VERSION:
            raise StoreCorrupt(
                f"{self._path} has version {version}, this framerpc knows {_SCHEMA_VERSION}: use "
                "the one that wrote it, or another file"
            )

    def _pragma(self, name: str) -> int:
        value: int = self._base.execute(f"PRAGMA {name}").fetchone()[0]
        return value

    def close(self) -> None:
        """Close the file; its journal goes into it."""
        self._base.close()

    # ------------------------------------------------------------ reading, writing

    def contents(self) -> Contents:
        """Return all that is in the file.

        Raises:
            StoreCorrupt: Something that must be there is missing. Reading on may raise it, too.
        """
        with self._errors("read"):
            execute = self._base.execute
            meta = execute("SELECT instance, generation, clock FROM meta").fetchall()
            if len(meta) != 1:
                raise StoreCorrupt(f"{self._path} is damaged: it does not say which store it is")
            topics = [TopicRow(*row) for row in execute("SELECT * FROM topics ORDER BY topic")]
        ((instance, generation, clock),) = meta
        return Contents(
            instance,
            generation,
            clock,
            topics,
            (MessageRow(*row) for row in self._rows("messages", MessageRow._fields)),
            (KeyRow(*row) for row in self._rows("keys", KeyRow._fields)),
        )

    def _rows(self, table: str, columns: Sequence[str]) -> Iterator[Sequence[Any]]:
        """Yield the rows of a table in the order of writing, reading some at a time."""
        query = (
            f"SELECT number, {', '.join(columns)} FROM {table} "  # noqa: S608 - our names
            f"WHERE number > ? ORDER BY number LIMIT {_ROWS}"
        )
        number = -1
        while True:
            with self._errors("read"):
                rows = self._base.execute(query, (number,)).fetchall()
            if not rows:
                return
            number = rows[-1][0]
            yield from (row[1:] for row in rows)

    def write(self, batch: Batch) -> None:
        """Write a batch, whole or not at all; it is on the disk when this returns.

        Raises:
            StoreFull: There is no room.
            StoreCorrupt: The file is damaged.
            StoreError: It cannot be written.
        """
        with self._errors("write"):
            self._base.execute("BEGIN IMMEDIATE")
            try:
                self._write(batch)
                self._base.execute("COMMIT")
            except BaseException:
                if self._base.in_transaction:  # SQLite itself rolls back what it cannot go on with
                    self._base.execute("ROLLBACK")
                raise

    def _write(self, batch: Batch) -> None:
        run, run_many = self._base.execute, self._base.executemany
        run("UPDATE meta SET generation = ?, clock = ?", (batch.generation, batch.clock))
        for table in ("topics", "messages", "keys"):
            forgotten = [(topic,) for topic in batch.forgotten]
            run_many(f"DELETE FROM {table} WHERE topic = ?", forgotten)  # noqa: S608 - our names
        run_many("DELETE FROM messages WHERE topic = ? AND offset = ?", batch.removed)
        run("DELETE FROM keys WHERE at <= ?", (batch.keys_before,))
        run_many("REPLACE INTO topics VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", batch.topics)
        run_many(
            "INSERT INTO messages (topic, offset, at, stamp, conflate, data) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            batch.messages,
        )
        run_many(
            "REPLACE INTO keys (topic, key, digest, epoch, offset, at) VALUES (?, ?, ?, ?, ?, ?)",
            batch.keys,
        )
        newest = "SELECT max(number) FROM keys"
        run(f"DELETE FROM keys WHERE number <= ({newest}) - ?", (batch.most_keys,))  # noqa: S608 - as above

    @contextmanager
    def _errors(self, what: str) -> Generator[None]:
        """Say what SQLite says as an error of a store."""
        try:
            yield
        except sqlite3.Error as exc:
            code = getattr(exc, "sqlite_errorcode", 0) & _PRIMARY
            where = f"cannot {what} {self._path}: {exc}"
            if code in _FULL:
                raise StoreFull(where) from exc
            if code in _CORRUPT:
                raise StoreCorrupt(where) from exc
            if code in _BUSY:
                raise StoreError(f"{where}; another process uses it") from exc
            raise StoreError(where) from exc
