"""The file itself: what is written is read, whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from framerpc.backplane.sqlite_file import Batch, KeyRow, MessageRow, SqliteFile, TopicRow
from framerpc.pubsub.store import StoreError

TOPIC = TopicRow("t", "i-0", 2, 1, 3.5, 9, None, 1000, latest=False)
MESSAGES = [MessageRow("t", n, float(n), 2.5, "c", b"x") for n in range(1, 600)]
KEYS = [KeyRow("t", f"k{n}", b"d", "i-0", n, float(n)) for n in range(1, 9)]


def batch(**changes: Any) -> Batch:
    whole = Batch(3, 7.5, [TOPIC], MESSAGES, KEYS, [], [], 2.0, 5)
    return whole._replace(**changes)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """All rows, in order; of the keys those that are young and new enough."""
    file = SqliteFile(tmp_path / "a.db", "i")
    file.write(batch())
    file.close()
    file = SqliteFile(tmp_path / "a.db", "j")
    contents = file.contents()
    assert contents[:3] == ("i", 3, 7.5)
    assert contents.topics == [TOPIC]
    assert list(contents.messages) == MESSAGES
    assert [each.key for each in contents.keys] == ["k4", "k5", "k6", "k7", "k8"]
    file.close()


def test_what_left_is_gone(tmp_path: Path) -> None:
    """Removed messages, forgotten topics with all that was theirs."""
    file = SqliteFile(tmp_path / "a.db", "i")
    other = TOPIC._replace(topic="u")
    file.write(batch(topics=[TOPIC, other]))
    file.write(batch(topics=[], messages=[MessageRow("u", 1, 0.0, 0.0, "", b"")], keys=[]))
    gone = [("t", n) for n in range(1, 599)]
    file.write(batch(topics=[], messages=[], keys=[], removed=gone))
    assert [(each.topic, each.offset) for each in file.contents().messages] == [
        ("t", 599),
        ("u", 1),
    ]
    file.write(batch(topics=[], messages=[], keys=[], forgotten=["t"]))
    contents = file.contents()
    assert [each.topic for each in contents.topics] == ["u"]
    assert [each.topic for each in contents.messages] == ["u"]
    assert list(contents.keys) == []
    file.close()


def test_a_batch_that_fails_leaves_no_trace(tmp_path: Path) -> None:
    """An error in its last row takes back all others, and the next batch can be written."""
    file = SqliteFile(tmp_path / "a.db", "i")
    twice = [*MESSAGES[:3], MESSAGES[0]]
    with pytest.raises(StoreError, match="UNIQUE"):
        file.write(batch(messages=twice, generation=9))
    assert list(file.contents().messages) == []
    assert file.contents().generation == 0
    file.write(batch())
    file.close()


def test_it_waits_for_the_disk(tmp_path: Path) -> None:
    """The journal is a write-ahead log, and each commit is flushed."""
    file = SqliteFile(tmp_path / "a.db", "i")
    assert file._base.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert file._base.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    file.close()
