"""Replies in a SQLite file: durable, all or nothing, one process at a time."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

import framerpc
from framerpc import ConfigurationError
from framerpc.server.sqlite_replies import SQLiteReplies
from tests.server.numbered import Caller


async def test_what_was_written_is_loaded(tmp_path: Path) -> None:
    """Puts replace, deletes delete, and another opening of the file finds what is left."""
    store = SQLiteReplies(tmp_path / "replies")
    assert await store.load() == {}
    await store.write({b"a": b"1", b"b": b"2"}, [])
    await store.write({b"a": b"3", b"c": bytes(100_000)}, [b"b", b"never there"])
    await store.close()
    await store.close()
    again = SQLiteReplies(str(tmp_path / "replies"))
    assert await again.load() == {b"a": b"3", b"c": bytes(100_000)}
    await again.close()
    assert repr(again) == f"<SQLiteReplies {tmp_path / 'replies'}>"


async def test_file_belongs_to_one_server(tmp_path: Path) -> None:
    """A second one is refused, with a text that says what to do."""
    first, second = SQLiteReplies(tmp_path / "replies"), SQLiteReplies(tmp_path / "replies")
    await first.load()
    with pytest.raises(ConfigurationError, match="locked; give each server a file of its own"):
        await second.load()
    await second.close()
    await first.close()


async def test_other_file_is_refused(tmp_path: Path) -> None:
    """A file that SQLite does not know is left as it is."""
    (tmp_path / "notes").write_text(
        "precious, and long enough not to be taken for an empty one\n" * 9
    )
    store = SQLiteReplies(tmp_path / "notes")
    with pytest.raises(ConfigurationError, match="not a database"):
        await store.load()
    await store.close()
    assert (tmp_path / "notes").read_text().startswith("precious")


async def test_failed_write_writes_nothing(tmp_path: Path) -> None:
    """A transaction that cannot be completed is rolled back, and the store goes on."""
    store = SQLiteReplies(tmp_path / "replies")
    await store.load()
    await store.write({b"a": b"1"}, [])
    with pytest.raises(sqlite3.Error):
        await store.write({b"b": b"2", b"c": None}, [b"a"])  # type: ignore[dict-item]
    await store.write({b"d": b"4"}, [])
    await store.close()
    assert await store.load() == {b"a": b"1", b"d": b"4"}
    await store.close()


SERVE = """
import sys, framerpc
from framerpc.server.sqlite_replies import SQLiteReplies
from tests.server.numbered import Ledger
server = framerpc.Server(Ledger(), replies=SQLiteReplies(sys.argv[1]))
server.run("tcp://127.0.0.1:0", ready=lambda server: print(server.url, flush=True))
"""


class Served:
    """A server in a process of its own, on a file; killed at the end."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def __aenter__(self) -> str:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", SERVE, str(self._path),
            stdout=subprocess.PIPE, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        assert self.process.stdout is not None
        return (await self.process.stdout.readline()).decode().strip()

    async def __aexit__(self, *_: object) -> None:
        if sys.platform == "win32":
            self.process.kill()
        else:
            self.process.send_signal(signal.SIGKILL)
        await self.process.wait()


@pytest.mark.timeout(90)  # two processes, on a machine that is busy
async def test_reply_survives_kill_9(tmp_path: Path) -> None:
    """An answer that was sent is there after the kill; what was running may have been executed."""
    path = tmp_path / "replies"
    async with Served(path) as url, Caller() as before:
        await before.greet(url)
        assert await before.result(1, 5) == 1
        before.call(2, 3600.0, method="Ledger/stubborn")
        assert await before.result(3, 6) == 2  # so the second has begun
    async with Served(path) as url, Caller() as after:
        await after.greet(url, before.session)
        assert after.session == before.session
        assert await after.result(1, 5) == 1
        assert await after.result(3, 6) == 2
        status = framerpc.Status.FORGOTTEN
        answer = await after.result(2, 3600.0, method="Ledger/stubborn")
        assert answer[:3] == [10, status, 1]
        assert await after.result(4, 7) == 1
