"""The store in a file answers as the store in memory does, over any number of restarts."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from framerpc.backplane.memory import MemoryStore
from framerpc.backplane.sqlite import SqliteStore
from framerpc.errors import CallError
from framerpc.pubsub.policies import Policies
from framerpc.pubsub.positions import Position
from framerpc.pubsub.store import Message
from framerpc.topic_config import TopicLimits, TopicPolicy
from tests.backplane.store_suite import Bench

POLICIES = Policies(
    [
        TopicPolicy("few", history=3),
        TopicPolicy("aged", history=9, ttl=10.0),
        TopicPolicy("bytes", history=9, history_bytes=200),
        TopicPolicy("latest", history=2, latest=True),
        TopicPolicy("many", history=50),
    ]
)
# No bounds over all topics and keys: when something leaves for them depends on who waits together.
LIMITS = TopicLimits(key_ttl=20.0, max_page=3, max_page_bytes=200)
TOPICS = st.sampled_from(["few", "aged", "bytes", "latest", "many", "none"])
MESSAGES = st.tuples(
    TOPICS,
    st.sampled_from([b"", b"x", b"y" * 60]),
    st.sampled_from([None, None, "k", "l"]),
    st.sampled_from(["", "a", "b"]),
)


def plain(value: Any) -> Any:
    """Return a value in which the epochs of all stores have the same names."""
    if isinstance(value, Position):
        return value.epoch.rpartition("-")[2], value.offset
    if isinstance(value, tuple) and not hasattr(value, "epoch"):
        return tuple(map(plain, value))
    return value


class Comparison(RuleBasedStateMachine):
    """The same is done to both stores; all that they say must be the same."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.oracle = Bench(MemoryStore(LIMITS, instance="oracle"))
        self.subject = self.make()
        self.run(self.oracle.store.open(self.oracle.deliver, 100.0))
        self.run(self.subject.store.open(self.subject.deliver, 100.0))

    def make(self) -> Bench:
        return Bench(SqliteStore(Path(self.folder.name) / "topics.db", LIMITS))

    def run(self, job: Any) -> Any:
        return self.runner.run(job)

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.run(self.subject.store.close(self.subject.now))
            self.runner.close()
            self.folder.cleanup()

    async def _publish(
        self, bench: Bench, batch: list[tuple[str, bytes, str | None, str]]
    ) -> list[Any]:
        jobs = []
        for topic, data, key, conflate in batch:
            policy = POLICIES.of(topic)
            stamp = bench.now // 1
            jobs.append(
                bench.store.append(
                    Message(topic, data, policy, key if policy.history else None, conflate, stamp),
                    bench.now,
                )
            )
        results = await asyncio.gather(*jobs, return_exceptions=True)
        return [each if isinstance(each, tuple) else type(each) for each in results]

    @rule(batch=st.lists(MESSAGES, min_size=1, max_size=8))
    def publish(self, batch: list[tuple[str, bytes, str | None, str]]) -> None:
        expected = self.run(self._publish(self.oracle, batch))
        # Those of topics without history do not wait for the disk.
        got = self.run(self._publish(self.subject, batch))
        assert list(map(plain, got)) == list(map(plain, expected)), (
            batch,
            got,
            expected,
            self.subject.store,
            self.oracle.store,
        )
        for topic in {each[0] for each in batch}:
            mine, theirs = (
                [
                    (made.data, plain(made.position), made.stamp)
                    for made in b.delivered
                    if made.topic == topic
                ]
                for b in (self.subject, self.oracle)
            )
            assert mine == theirs

    @rule(seconds=st.sampled_from([0.5, 3.0, 10.0]))
    def wait(self, seconds: float) -> None:
        self.oracle.now += seconds
        self.subject.now += seconds

    @rule()
    def restart(self) -> None:
        self.run(self.subject.store.close(self.subject.now))
        before, self.subject = self.subject, self.make()
        self.subject.now = before.now
        self.subject.delivered = before.delivered
        self.run(self.subject.store.open(self.subject.deliver, self.subject.now))

    @rule(
        topic=TOPICS,
        since=st.one_of(st.sampled_from(["start", 0, 2, None]), st.floats(95.0, 150.0)),
    )
    def find(self, topic: str, since: Any) -> None:
        assert self._found(self.subject, topic, since) == self._found(self.oracle, topic, since)

    @rule(topic=TOPICS, offset=st.integers(0, 40))
    def recover(self, topic: str, offset: int) -> None:
        mine, theirs = (
            self._found(b, topic, self._position(b, topic, offset))
            for b in (self.subject, self.oracle)
        )
        assert mine == theirs

    def _position(self, bench: Bench, topic: str, offset: int) -> Position:
        found = self.run(bench.store.find(topic, None, POLICIES.of(topic), bench.now))
        return Position(found.top.epoch, offset)

    def _found(self, bench: Bench, topic: str, since: Any) -> Any:
        """Return what is found, and all pages of it."""

        async def look() -> Any:
            policy = POLICIES.of(topic)
            found = await bench.store.find(topic, since, policy, bench.now)
            after, pages = found.base, []
            while after.offset < found.top.offset:
                page = await bench.store.read(topic, after, found.top.offset, policy, bench.now)
                pages.append([(each.offset, each.data, each.conflate) for each in page.messages])
                after = after._replace(offset=page.upto)
            return plain(found), pages

        try:
            return self.run(look())
        except CallError as exc:
            return type(exc)

    @invariant()
    def same_topics(self) -> None:
        if hasattr(self, "runner"):
            for pattern in (">", "few"):
                mine, theirs = (
                    self.run(b.store.topics(pattern, 9)) for b in (self.subject, self.oracle)
                )
                assert (sorted(mine.names), mine.complete) == (
                    sorted(theirs.names),
                    theirs.complete,
                )


TestComparison = Comparison.TestCase
TestComparison.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
