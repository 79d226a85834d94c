"""A store of replies in one SQLite file.

Each write is one transaction, and is on the disk when it returns: the journal of SQLite is
flushed (`synchronous=FULL`), so a reply survives `kill -9` of the server, and a power failure
as far as the disk keeps its word. The file belongs to one process at a time.

SQLite blocks, so it has a thread of its own.
"""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from framerpc.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from os import PathLike

__all__ = ["SQLiteReplies"]


class SQLiteReplies:
    """Keeps the replies of `once` calls in a file, for `framerpc.Server(replies=...)`.

    Args:
        path: The file; it is made if it is not there. Beside it SQLite keeps its journal.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self._path = path
        self._database: sqlite3.Connection | None = None
        self._thread: ThreadPoolExecutor | None = None

    def __repr__(self) -> str:
        return f"<SQLiteReplies {self._path}>"

    async def load(self) -> Mapping[bytes, bytes]:
        """Open the file and return what is in it.

        Raises:
            ConfigurationError: It is in use by another process, or is no such file.
        """
        self._thread = ThreadPoolExecutor(1, "framerpc-replies")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._open)

    def _open(self) -> dict[bytes, bytes]:
        # One thread uses it, and not the one in which it may be collected.
        database = sqlite3.connect(
            self._path, timeout=0, isolation_level=None, check_same_thread=False
        )
        try:
            database.execute("PRAGMA locking_mode=EXCLUSIVE")
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("PRAGMA synchronous=FULL")
            database.execute(
                "CREATE TABLE IF NOT EXISTS framerpc_replies"
                " (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID"
            )
            found = dict(database.execute("SELECT key, value FROM framerpc_replies").fetchall())
        except sqlite3.Error as exc:
            database.close()
            raise ConfigurationError(
                f"the replies cannot be kept in {self._path}: {exc}; give each server a file of "
                "its own"
            ) from exc
        self._database = database
        return found

    async def write(self, puts: Mapping[bytes, bytes], deletes: Collection[bytes]) -> None:
        """Put and delete in one transaction; see `ReplyStore`.

        Raises:
            sqlite3.Error: The disk is full or broken. Nothing was written.
        """
        assert self._thread is not None  # `load` comes first
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._write, puts, deletes)

    def _write(self, puts: Mapping[bytes, bytes], deletes: Collection[bytes]) -> None:
        assert self._database is not None
        database = self._database
        database.execute("BEGIN IMMEDIATE")
        try:
            database.executemany(
                "DELETE FROM framerpc_replies WHERE key = ?", [(key,) for key in deletes]
            )
            database.executemany(
                "INSERT OR REPLACE INTO framerpc_replies VALUES (?, ?)", puts.items()
            )
            database.execute("COMMIT")
        except BaseException:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise

    async def close(self) -> None:
        """Close the file, and end the thread. Idempotent."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        database, self._database = self._database, None
        if database is not None:
            await asyncio.get_running_loop().run_in_executor(thread, database.close)
        thread.shutdown()
