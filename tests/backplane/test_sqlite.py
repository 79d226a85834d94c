"""The store in a file."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from framerpc.backplane.sqlite import SqliteStore
from framerpc.errors import ResourceExhausted
from framerpc.pubsub.store import StoreCorrupt, StoreError, StoreFull
from framerpc.topic_config import TopicLimits, TopicPolicy
from tests.backplane.store_suite import LOG, NEWS, Bench, StoreSuite, bench


def threads() -> set[str]:
    return {each.name for each in threading.enumerate() if each.name.startswith("framerpc-sqlite")}


class TestSqliteStore(StoreSuite):
    """It does what every store does."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> Iterator[None]:
        self.folder = tmp_path
        self.files = 0
        yield
        assert not threads(), "a thread is left"

    def open(self, **limits: Any) -> AbstractAsyncContextManager[Bench]:
        self.files += 1
        return bench(SqliteStore(self.folder / f"{self.files}.db", TopicLimits(**limits)))


async def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    """Messages, positions, keys and epochs are those from before."""
    path = tmp_path / "topics.db"
    async with bench(SqliteStore(path)) as b:
        top = await b.fill(8)
        await b.publish("log.b", b"x", key="k", conflate="c", stamp=7.5)
        before = b.delivered[-1]
    async with bench(SqliteStore(path)) as b:
        assert await b.read("start") == ([b"4", b"5", b"6", b"7", b"8"], True)
        assert await b.read(top._replace(offset=6)) == ([b"7", b"8"], True)
        assert await b.read(top._replace(offset=2)) == ([], False)
        page = await b.store.read("log.b", top._replace(offset=0), 1, LOG, b.now)
        after = page.messages[0]
        for field in ("topic", "data", "epoch", "offset", "stamp", "conflate", "size"):
            assert getattr(after, field) == getattr(before, field)
        assert (await b.publish("log.b", b"x", key="k", conflate="c")).duplicate
        assert await b.fill(1) == top._replace(offset=9)
        assert len(b.delivered) == 1


async def test_what_has_left_does_not_come_back(tmp_path: Path) -> None:
    """A window is as short after a restart as before, and so is the file."""
    path = tmp_path / "topics.db"
    async with bench(SqliteStore(path, TopicLimits(max_history_messages=8))) as b:
        for topic in ("log.a", "log.b", "log.c"):
            top = await b.fill(7, topic)
        before = [await b.read("start", f"log.{each}") for each in "abc"]
    with sqlite3.connect(path) as base:
        assert base.execute("SELECT count(*) FROM messages").fetchone() == (8,)
    base.close()
    async with bench(SqliteStore(path, TopicLimits(max_history_messages=8))) as b:
        assert [await b.read("start", f"log.{each}") for each in "abc"] == before
        assert await b.read(top._replace(offset=1), "log.c") == ([], False)


async def test_a_forgotten_topic_stays_forgotten(tmp_path: Path) -> None:
    """It does not come back with the restart, and its old epoch is not used again."""
    path = tmp_path / "topics.db"
    policy = TopicPolicy("log.>", history=9, ttl=10.0)
    limits = TopicLimits(max_topics=1)
    async with bench(SqliteStore(path, limits)) as b:
        old = await b.fill(2, "log.a", policy)
        b.now += 10
        await b.fill(1, "log.b", policy)
    async with bench(SqliteStore(path, limits)) as b:
        assert (await b.store.topics(">", 9)).names == ("log.b",)
        b.now += 10
        assert (await b.fill(1, "log.a", policy)).epoch != old.epoch


async def test_age_goes_on_where_it_was(tmp_path: Path) -> None:
    """A message is `ttl` old after that much time of running, over any number of restarts."""
    path = tmp_path / "topics.db"
    policy = TopicPolicy("log.>", history=9, ttl=10.0)
    async with bench(SqliteStore(path)) as b:
        await b.fill(1, policy=policy)
        b.now += 6
        await b.publish("log.b", b"x", policy)
    async with bench(SqliteStore(path)) as b:
        b.now += 3.9
        assert (await b.read("start", policy=policy))[0] == [b"1"]
        b.now += 0.1
        assert (await b.read("start", policy=policy))[0] == []


async def test_publishes_of_one_wake_up_share_a_commit(tmp_path: Path) -> None:
    """So do all that come while a commit is under way."""
    async with bench(SqliteStore(tmp_path / "topics.db")) as b:
        await asyncio.gather(*[b.publish() for _ in range(500)])
        assert b.store.statistics()["commits"] == 1  # type: ignore[attr-defined]
        first = asyncio.ensure_future(b.publish())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.gather(first, *[b.publish() for _ in range(500)])
        assert b.store.statistics()["commits"] == 3  # type: ignore[attr-defined]


async def test_topics_without_history_do_not_wait_for_the_disk(tmp_path: Path) -> None:
    """They are delivered at once, and never written."""
    async with bench(SqliteStore(tmp_path / "topics.db")) as b:
        waiting = asyncio.ensure_future(b.publish())
        await asyncio.sleep(0)
        await b.publish("news", b"x", NEWS, key="k")
        assert [each.topic for each in b.delivered] == ["news"]
        await waiting
        assert b.store.statistics()["commits"] == 1  # type: ignore[attr-defined]


async def test_a_full_disk_is_an_error_and_nothing_is_published(tmp_path: Path) -> None:
    """Who publishes is told; nobody is given the message; later ones go on without a hole."""
    store = SqliteStore(tmp_path / "topics.db", max_bytes=200_000)
    async with bench(store) as b:
        await b.publish(data=b"before")
        with pytest.raises(StoreFull, match="full"):
            await b.publish(data=b"x" * 400_000, key="k")
        assert [each.data for each in b.delivered] == [b"before"]
        receipt = await b.publish(data=b"after", key="k")
        assert (receipt.offset, receipt.duplicate) == (2, False)
        assert await b.read("start") == ([b"before", b"after"], True)
    async with bench(SqliteStore(tmp_path / "topics.db")) as b:
        assert await b.read("start") == ([b"before", b"after"], True)


async def test_a_full_disk_fails_all_that_were_to_be_written_together(tmp_path: Path) -> None:
    """A transaction is whole or not at all; also a topic that would have been new."""
    store = SqliteStore(tmp_path / "topics.db", max_bytes=200_000)
    async with bench(store) as b:
        jobs = [b.publish(data=b"1"), b.publish("log.b", b"x" * 400_000)]
        results = await asyncio.gather(*jobs, return_exceptions=True)
        assert [type(each) for each in results] == [StoreFull, StoreFull]
        assert b.delivered == []
        assert (await b.publish(data=b"2")).offset == 1


async def test_what_waits_for_the_disk_is_bounded(tmp_path: Path) -> None:
    """Beyond the bound a publish is refused at once, in messages and in bytes."""
    for options in ({"max_waiting": 3}, {"max_waiting_bytes": 3 * 70}):
        store = SqliteStore(tmp_path / "topics.db", **options)  # type: ignore[arg-type]
        async with bench(store) as b:
            results = await asyncio.gather(*[b.publish() for _ in range(5)], return_exceptions=True)
            assert [isinstance(each, ResourceExhausted) for each in results] == [False] * 3 + [
                True
            ] * 2
            assert len(b.delivered) == 3
            assert b.store.statistics()["waiting_bytes"] == 0  # type: ignore[attr-defined]
            await b.publish()


async def test_a_topic_about_to_be_written_is_not_forgotten(tmp_path: Path) -> None:
    """Making room for a new topic spares an empty one whose message is on its way."""
    policy = TopicPolicy("log.>", history=9, ttl=10.0)
    async with bench(SqliteStore(tmp_path / "topics.db", TopicLimits(max_topics=1))) as b:
        await b.fill(1, "log.a", policy)
        b.now += 10
        results = await asyncio.gather(
            b.publish("log.a", b"2", policy),
            b.publish("log.b", b"1", policy),
            return_exceptions=True,
        )
        assert results[0].offset == 2  # type: ignore[union-attr]
        assert isinstance(results[1], ResourceExhausted)


async def test_closing_answers_who_waits(tmp_path: Path) -> None:
    """What was taken is written; what comes later is refused."""
    store = SqliteStore(tmp_path / "topics.db")
    b = Bench(store)
    await store.open(b.deliver, b.now)
    jobs = [asyncio.ensure_future(b.publish()) for _ in range(10)]
    await asyncio.sleep(0)
    await store.close(0.0)
    assert [each.offset for each in await asyncio.gather(*jobs)] == list(range(1, 11))
    with pytest.raises(StoreError, match="not open"):
        await b.publish()
    assert not threads()


async def test_a_store_that_was_not_opened_takes_nothing(tmp_path: Path) -> None:
    """It says so, and closing it does nothing."""
    store = SqliteStore(tmp_path / "topics.db")
    with pytest.raises(StoreError, match="not open"):
        await Bench(store).publish()
    await store.close(0.0)
    assert "closed" in repr(store)
    assert list(tmp_path.iterdir()) == []


async def test_opening_that_is_cancelled_leaves_the_file_closed(tmp_path: Path) -> None:
    """The thread clears up, and another store can have the file."""
    path = tmp_path / "topics.db"
    store = SqliteStore(path)
    opening = asyncio.ensure_future(store.open(lambda _: 0, 0.0))
    await asyncio.sleep(0)
    opening.cancel()
    await asyncio.wait([opening])
    await asyncio.to_thread(join_all)
    assert opening.cancelled()
    async with bench(SqliteStore(path)) as b:
        await b.publish()


async def test_closing_that_is_cancelled_still_closes(tmp_path: Path) -> None:
    """What is being written is acknowledged, what waits is refused, the file is free."""
    path = tmp_path / "topics.db"
    store = SqliteStore(path)
    b = Bench(store)
    await store.open(b.deliver, b.now)
    first = asyncio.ensure_future(b.publish())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    second = asyncio.ensure_future(b.publish())
    closing = asyncio.ensure_future(store.close(0.0))
    await asyncio.sleep(0)
    closing.cancel()
    results = await asyncio.gather(first, second, closing, return_exceptions=True)
    assert not isinstance(results[0], BaseException)
    assert isinstance(results[1], StoreError)
    assert isinstance(results[2], asyncio.CancelledError)
    await asyncio.to_thread(join_all)
    async with bench(SqliteStore(path)) as again:
        assert await again.read("start") == ([b"x"], True)


def join_all() -> None:
    for thread in threading.enumerate():
        if thread.name.startswith("framerpc-sqlite"):
            thread.join()


# ------------------------------------------------------- files that are not good


async def refusal(path: Path) -> StoreError:
    before = threads()
    store = SqliteStore(path)
    with pytest.raises(StoreError) as caught:
        await store.open(lambda _: 0, 0.0)
    assert threads() == before
    return caught.value


async def make(path: Path) -> None:
    async with bench(SqliteStore(path)) as b:
        for n in range(50):
            await b.publish(f"log.{n}", b"x" * 200)


@pytest.mark.parametrize(
    "content", [b"this is not a database, but a letter to my aunt" * 99, b"\xff" * 9999]
)
async def test_a_file_of_something_else_is_refused_and_left_alone(
    tmp_path: Path, content: bytes
) -> None:
    """A typed error names the file; not one byte of it changes."""
    path = tmp_path / "letter"
    path.write_bytes(content)
    error = await refusal(path)
    assert isinstance(error, StoreCorrupt)
    assert "letter" in str(error)
    assert path.read_bytes() == content


async def test_a_database_of_somebody_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    """Another program's SQLite file is not taken over."""
    path = tmp_path / "other.db"
    base = sqlite3.connect(path)
    base.execute("CREATE TABLE topics (name TEXT)")
    base.commit()
    base.close()
    before = path.read_bytes()
    error = await refusal(path)
    assert isinstance(error, StoreCorrupt)
    assert "something else" in str(error)
    assert path.read_bytes() == before


async def test_a_newer_version_is_refused(tmp_path: Path) -> None:
    """A file of a later framerpc is not read by guessing."""
    path = tmp_path / "topics.db"
    await make(path)
    base = sqlite3.connect(path)
    base.execute("PRAGMA user_version = 7")
    base.close()
    assert "version 7, this framerpc knows 1" in str(await refusal(path))


@pytest.mark.parametrize("place", [0, 1, 2, 3])
async def test_a_damaged_file_is_refused(tmp_path: Path, place: int) -> None:
    """A page of noise is found when the file is opened, wherever it is."""
    path = tmp_path / "topics.db"
    await make(path)
    content = bytearray(path.read_bytes())
    start = len(content) * place // 4 // 4096 * 4096
    content[start : start + 4096] = b"\xa5" * 4096
    path.write_bytes(content)
    assert isinstance(await refusal(path), StoreCorrupt)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM topics",
        "UPDATE topics SET top = 0",
        "UPDATE topics SET floor = 1",
        "UPDATE topics SET history = -1",
        "DELETE FROM meta",
    ],
)
async def test_what_does_not_fit_together_is_refused(tmp_path: Path, statement: str) -> None:
    """A file that was changed by hand is not taken for what it was."""
    path = tmp_path / "topics.db"
    await make(path)
    base = sqlite3.connect(path)
    base.execute(statement)
    base.commit()
    base.close()
    assert isinstance(await refusal(path), StoreCorrupt)


async def test_two_cannot_use_one_file(tmp_path: Path) -> None:
    """The second one is told so; the first one goes on."""
    path = tmp_path / "topics.db"
    async with bench(SqliteStore(path)) as b:
        await b.publish()
        assert "another process uses it" in str(await refusal(path))
        await b.publish()


async def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """It is an error of the store, with the path in it."""
    assert "missing" in str(await refusal(tmp_path / "missing" / "topics.db"))
