"""Any order of publishes, credit, slow reads, lost connections and resumes: nothing is lost silently.

The model knows all that was acknowledged. Each client keeps what a client would keep, its
bookmark, and is checked against the model at every step (P3 of the promises: an acknowledged
publish reaches every subscriber that recovers within the window, once, in order).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Coroutine
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from framerpc.backplane.memory import MemoryStore
from framerpc.errors import CallError
from framerpc.pubsub.broker import Broker, run_at_once
from framerpc.pubsub.events import Check, Event, Gap
from framerpc.pubsub.feed import Feed, FeedState
from framerpc.pubsub.positions import Bookmark, Step
from framerpc.pubsub.queues import Overflow
from framerpc.pubsub.topics import matches
from framerpc.topic_config import TopicLimits, TopicPolicy

HISTORY = 5
POLICIES = (TopicPolicy("log.>", history=HISTORY), TopicPolicy("live"))
TOPICS = ["log.a", "log.b", "log.c", "live"]
PATTERNS = ["log.a", "log.*", ">"]


class Client:
    """A subscriber at the other end of a connection that can break.

    Attributes:
        flight: What was written and not read yet; lost with the connection.
        read: For each topic with history, the offsets read since `first`.
        first: For each topic, the offset behind which it reads without interruption.
        told: Messages that gaps have told of.
    """

    def __init__(self, pattern: str, overflow: Overflow) -> None:
        self.pattern = pattern
        self.overflow = overflow
        self.credit = 3
        self.flight: deque[Event] = deque()
        self.feed: Feed | None = None
        self.error: CallError | None = None
        self.bookmark: Bookmark | None = None
        self.read: dict[str, list[int]] = {}
        self.first: dict[str, int] = {}
        self.told = 0

    # ------------------------------------------------------ the sink of its feed

    def write(self, event: Event) -> bool:
        if self.credit <= 0:
            return False
        self.credit -= 1
        self.flight.append(event)
        return True

    def end(self, error: CallError | None) -> None:
        self.error = error

    # -------------------------------------------------------------- its own side

    def announced(self, feed: Feed) -> None:
        """Take the answer to the subscription, which comes before its first event."""
        assert not self.flight
        if feed.recovered is not True or self.bookmark is None:
            self.first = {topic: base.offset for topic, base in feed.bases.items()}
            self.read = {}
        else:
            for topic, base in feed.bases.items():
                had = self.bookmark.positions.get(topic)
                # It goes on exactly where it was; what appeared meanwhile begins at its start.
                assert base.offset == (had.offset if had else 0)
        self.bookmark = Bookmark(feed.epoch, dict(feed.bases))

    def consume(self) -> None:
        """Read one event, as the application would."""
        assert self.bookmark
        event = self.flight.popleft()
        if isinstance(event, Gap):
            assert self.overflow is not Overflow.DISCONNECT
            self.told += event.dropped
            self.bookmark.gap(event.topics)
        elif isinstance(event, Check):
            assert self.bookmark.check(event.tops) == (), "nothing gets lost on this connection"
        elif (position := event.position) is not None:
            assert matches(self.pattern, event.topic)
            assert self.bookmark.see(event.topic, position) is Step.NEXT
            assert event.data == b"%d" % event.offset
            self.read.setdefault(event.topic, []).append(event.offset)


class Simulation(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loads: deque[Coroutine[Any, Any, None]] = deque()
        limits = TopicLimits(max_page=2)
        self.broker = Broker(
            MemoryStore(limits, instance="i"),
            POLICIES,
            limits,
            now=lambda: 0.0,
            spawn=self.loads.append,
        )
        run_at_once(self.broker.open())
        self.tops = dict.fromkeys(TOPICS, 0)
        self.clients: list[Client] = []

    def teardown(self) -> None:
        for load in self.loads:
            load.close()

    # ------------------------------------------------------------------- the world

    @rule(topic=st.sampled_from(TOPICS), count=st.integers(1, 4))
    def publish(self, topic: str, count: int) -> None:
        async def job() -> None:
            for _ in range(count):
                number = self.tops[topic] + 1
                receipt = await self.broker.publish(topic, b"%d" % number)
                assert receipt.offset == (number if topic != "live" else None)
                self.tops[topic] = number

        run_at_once(job())

    @precondition(lambda self: len(self.clients) < 3)
    @rule(
        pattern=st.sampled_from(PATTERNS),
        overflow=st.sampled_from([Overflow.DISCONNECT, Overflow.DROP_OLDEST, Overflow.DROP_NEWEST]),
        since=st.sampled_from([None, "start", 2]),
    )
    def join(self, pattern: str, overflow: Overflow, since: Any) -> None:
        client = Client(pattern, overflow)
        self.clients.append(client)
        self._subscribe(client, since)

    def _subscribe(self, client: Client, since: Any) -> None:
        client.error = None

        async def job() -> None:
            client.feed = await self.broker.subscribe(
                client.pattern,
                client,
                since=since,
                overflow=client.overflow,
                queue_limit=4 * 70,
                announce=client.announced,
            )

        run_at_once(job())

    @precondition(lambda self: self.clients)
    @rule(data=st.data(), credit=st.integers(1, 5))
    def grant(self, data: st.DataObject, credit: int) -> None:
        client = data.draw(st.sampled_from(self.clients))
        client.credit += credit
        if client.feed:
            client.feed.resume()

    @precondition(lambda self: self.loads)
    @rule()
    def answer(self) -> None:
        """Let the store answer, whenever it comes to it."""
        run_at_once(self.loads.popleft())

    @precondition(lambda self: any(client.flight for client in self.clients))
    @rule(data=st.data(), count=st.integers(1, 5))
    def consume(self, data: st.DataObject, count: int) -> None:
        client = data.draw(st.sampled_from([each for each in self.clients if each.flight]))
        for _ in range(min(count, len(client.flight))):
            client.consume()

    @precondition(lambda self: any(client.feed for client in self.clients))
    @rule(data=st.data())
    def check(self, data: st.DataObject) -> None:
        client = data.draw(st.sampled_from([each for each in self.clients if each.feed]))
        assert client.feed
        run_at_once(self.broker.check(client.feed))

    @precondition(lambda self: any(client.feed for client in self.clients))
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        """The connection breaks: what was under way is lost."""
        client = data.draw(st.sampled_from([each for each in self.clients if each.feed]))
        self._lose(client)

    def _lose(self, client: Client) -> None:
        assert client.feed
        client.feed.end()
        client.feed = None
        client.flight.clear()

    @precondition(lambda self: any(not client.feed for client in self.clients))
    @rule(data=st.data())
    def resume(self, data: st.DataObject) -> None:
        """The client comes back with its bookmark: all or nothing, and yes whenever it can be."""
        client = data.draw(st.sampled_from([each for each in self.clients if not each.feed]))
        self._resume(client)

    def _resume(self, client: Client) -> None:
        assert client.bookmark
        had = {topic: position.offset for topic, position in client.bookmark.positions.items()}
        self._subscribe(client, client.bookmark)
        possible = all(
            self.tops[topic] - HISTORY <= had.get(topic, 0)
            for topic in TOPICS
            if topic != "live" and matches(client.pattern, topic)
        )
        assert client.feed
        assert client.feed.recovered == possible

    # ------------------------------------------------------------------ the promises

    @invariant()
    def what_was_read_has_no_hole(self) -> None:
        """Who is never left out reads every message from where it began, once, in order."""
        for client in self.clients:
            for topic, offsets in client.read.items():
                first = client.first.get(topic, 0)
                if client.overflow is Overflow.DISCONNECT:
                    assert offsets == list(range(first + 1, first + 1 + len(offsets)))
                else:
                    assert offsets == sorted(set(offsets))
                    assert all(offset > first for offset in offsets)

    @invariant()
    def ended_feeds_say_why(self) -> None:
        """A feed ends by itself only for being slow, and its client can come back."""
        for client in self.clients:
            if client.feed and client.feed.state is FeedState.ENDED:
                assert client.overflow is Overflow.DISCONNECT
                assert "slow consumer" in str(client.error)
                while client.flight:  # what arrived before the error is read first
                    client.consume()
                client.feed = None

    @rule()
    def catch_up(self) -> None:
        """With all the credit they need, all are where the topics are."""
        for client in self.clients:
            if client.feed is None:
                self._resume(client)
        for client in self.clients:
            client.credit = 10**6
            assert client.feed
            client.feed.resume()
        while self.loads:
            run_at_once(self.loads.popleft())
        self.ended_feeds_say_why()
        for client in self.clients:
            if client.feed is not None:  # else it was too slow for the window while it read
                self._is_up_to_date(client, client.feed)

    def _is_up_to_date(self, client: Client, feed: Feed) -> None:
        assert feed.state is FeedState.LIVE
        run_at_once(self.broker.check(feed))
        while client.flight:
            client.consume()
        client.credit = 3
        if client.overflow is Overflow.DISCONNECT:
            for topic in TOPICS:
                if topic != "live" and matches(client.pattern, topic):
                    count = len(client.read.get(topic, ()))
                    assert client.first.get(topic, 0) + count == self.tops[topic]


TestSimulation = Simulation.TestCase
TestSimulation.settings = settings(max_examples=120, stateful_step_count=50, deadline=None)
