"""Who gets what: the one place where publishes meet subscriptions.

A publish goes to the store, which gives it its position and hands it back, in order; then it
is offered to each subscription that matches, the same object to all. Nothing is encoded here, and
nobody waits for a subscriber. A subscription is entered first and then asks for the past, so that
there is no moment that neither covers.

It has no clock, no loop and no task: times are arguments, and what may have to wait is handed to
`spawn`.

Spec: protocol.md, "Positions and history".
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

from framerpc.errors import CallError, InvalidArgument, PermissionDenied, ResourceExhausted
from framerpc.pubsub.dedupe import check_key
from framerpc.pubsub.feed import Feed, FeedState
from framerpc.pubsub.groups import Group
from framerpc.pubsub.policies import Policies
from framerpc.pubsub.positions import Bookmark, Position
from framerpc.pubsub.queues import Overflow, Queue
from framerpc.pubsub.recovery import begin
from framerpc.pubsub.store import History, Message
from framerpc.pubsub.topics import check_pattern, is_pattern
from framerpc.pubsub.trie import PatternTrie
from framerpc.topic_config import TopicLimits

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from framerpc.pubsub.events import Publication, Published
    from framerpc.pubsub.feed import Segment, Sink
    from framerpc.pubsub.store import Since, Store
    from framerpc.topic_config import TopicPolicy

__all__ = ["Broker", "run_at_once"]


def run_at_once(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that never waits, such as those of the memory store.

    Raises:
        RuntimeError: It waits after all.
    """
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()
    raise RuntimeError("this store waits: the broker needs a `spawn` that makes tasks")


class Broker:
    """Topics of one server.

    Args:
        store: Where messages get their positions; `open` it through the broker.
        policies: What is kept of which topic; the first that matches holds.
        limits: What is granted.
        spawn: Runs a coroutine that reads from the store and must not be lost: at once as far
            as it goes, the rest as a task. Without it, the store must be one that never waits.
        now: The loop's clock, for reading pages: seconds.

    Raises:
        ConfigurationError: The pattern of a policy is impossible.

    Attributes:
        policies: Which policy holds for a topic.
        limits: As given.
        dropped: Messages left out so far, for all subscriptions that have ended.
    """

    def __init__(
        self,
        store: Store,
        policies: Iterable[TopicPolicy] = (),
        limits: TopicLimits | None = None,
        *,
        now: Callable[[], float],
        spawn: Callable[[Coroutine[Any, Any, None]], None] = run_at_once,
    ) -> None:
        self.limits = limits or TopicLimits()
        self.policies = Policies(policies, self.limits.max_routes)
        self.dropped = 0
        self._store = store
        self._now = now
        self._spawn = spawn
        self._routes: PatternTrie[Feed | Group] = PatternTrie(self.limits.max_routes)
        self._groups: dict[tuple[str, str], Group] = {}
        self._owners: Counter[object] = Counter()
        self._feeds: dict[Feed, None] = {}

    def __repr__(self) -> str:
        return f"<Broker subscriptions={len(self._feeds)} store={self._store!r}>"

    async def open(self) -> None:
        """Open the store; see `Store.open`."""
        await self._store.open(self.deliver, self._now())

    async def close(self, error: CallError | None = None) -> None:
        """End all subscriptions, and the store.

        Args:
            error: What subscribers are told.
        """
        for feed in list(self._feeds):
            feed.end(error)
        await self._store.close(self._now())

    # ------------------------------------------------------------- publishing

    async def publish(
        self,
        topic: str,
        data: bytes,
        *,
        key: str | None = None,
        conflate: str = "",
        by_server: bool = False,
        stamp: float = 0.0,
    ) -> Published:
        """Publish an encoded value; return when it is kept as the store promises.

        Cancelling it changes nothing but that nobody learns the position.

        Args:
            topic: Where.
            data: The encoded value.
            key: Idempotency key: a second publish with it is not published again.
            conflate: Conflation key; see `Publication`.
            by_server: Whether the server itself publishes.
            stamp: Seconds since 1970, by the wall clock.

        Raises:
            InvalidArgument: The topic or a key is impossible, or the key was used for another
                message.
            PermissionDenied: Only the server publishes there.
            ResourceExhausted: It would be one topic with a history too many.
            StoreFull: There is no room.
            StoreError: The store cannot do it now.
        """
        policy = self.policies.of(topic)
        if policy.publish == "server" and not by_server:
            raise PermissionDenied(f"only the server publishes to {topic!r}")
        if key is not None:
            check_key(key, "an idempotency key")
        if conflate:
            check_key(conflate, "a conflation key")
        message = Message(topic, data, policy, key, conflate, stamp)
        return await self._store.append(message, self._now())

    def deliver(self, publication: Publication) -> int:
        """Offer a message to all subscriptions that match; return how many they are.

        For the store; see `Deliver`.
        """
        targets = self._routes.match(publication.topic)
        for target in targets:
            target.offer(publication)
        return len(targets)

    # ------------------------------------------------------------- subscribing

    async def subscribe(
        self,
        pattern: str,
        sink: Sink,
        *,
        since: Since | Bookmark = None,
        group: str | None = None,
        overflow: Overflow = Overflow.DISCONNECT,
        queue_limit: int | None = None,
        owner: object = None,
        announce: Callable[[Feed], None] | None = None,
    ) -> Feed:
        """Subscribe; from now on, `sink` is given all that matches, in order.

        Cancelling it ends the subscription.

        Args:
            pattern: A topic or a pattern.
            sink: Takes the events.
            since: Where to begin; None for what comes next.
            group: Share the messages with the others of this group.
            overflow: What happens if the sink is too slow.
            queue_limit: Bytes that may wait for it; no more than `TopicLimits.max_queue`.
            owner: To whom it is counted, such as the connection.
            announce: Called with the feed when it is known where it begins, before the first
                event is written.

        Raises:
            InvalidArgument: The pattern is impossible, or it cannot have what it asks for.
            ResourceExhausted: It is one subscription too many.
            StoreError: The store cannot answer.
        """
        check_pattern(pattern)
        self._check_since(pattern, since, group)
        self._check_room(owner)
        limit = min(queue_limit or self.limits.max_queue, self.limits.max_queue)
        feed = Feed(
            pattern,
            sink,
            Queue(limit, overflow),
            load=self._load,
            on_end=self._forget,
            group=group,
            owner=owner,
        )
        self._enter(feed)
        try:
            begun = await begin(
                self._store,
                self.policies,
                pattern,
                since,
                limit=self.limits.max_positions,
                now=self._now(),
            )
        except BaseException:
            feed.end()
            raise
        if feed.state is FeedState.ENDED:
            raise ResourceExhausted(f"too much was published to {pattern!r} while subscribing")
        feed.recovered, feed.bases, feed.epoch = begun.recovered, begun.bases, begun.epoch
        feed.complete, feed.exact = begun.complete, begun.exact
        if announce is not None:
            announce(feed)
        feed.start(begun.segments, begun.ends)
        return feed

    def _check_since(self, pattern: str, since: Since | Bookmark, group: str | None) -> None:
        if group is not None:
            check_key(group, "the name of a group")
            if since is not None:
                raise InvalidArgument("a queue group shares what comes next, it has no `since`")
        if isinstance(since, Position) and is_pattern(pattern):
            raise InvalidArgument("a position belongs to a topic: resume a pattern by bookmark")
        if isinstance(since, int) and (isinstance(since, bool) or since < 0):
            raise InvalidArgument(f"`since` must be 0 messages or more, got {since!r}")
        if isinstance(since, float) and not math.isfinite(since):
            raise InvalidArgument(f"`since` must be a time, got {since!r}")
        if isinstance(since, Bookmark) and len(since.positions) > self.limits.max_positions:
            raise InvalidArgument(
                f"a bookmark has at most {self.limits.max_positions} topics "
                f"(TopicLimits.max_positions), got {len(since.positions)}"
            )

    def _check_room(self, owner: object) -> None:
        if len(self._feeds) >= self.limits.max_all_subscriptions:
            raise ResourceExhausted(
                f"the server has {len(self._feeds)} subscriptions "
                "(TopicLimits.max_all_subscriptions)"
            )
        if owner is not None and self._owners[owner] >= self.limits.max_subscriptions:
            raise ResourceExhausted(
                f"{self.limits.max_subscriptions} subscriptions on one connection are enough "
                "(TopicLimits.max_subscriptions)"
            )

    def _enter(self, feed: Feed) -> None:
        self._feeds[feed] = None
        if feed.owner is not None:
            self._owners[feed.owner] += 1
        if feed.group is None:
            self._routes.add(feed.pattern, feed)
            return
        group = self._groups.setdefault((feed.pattern, feed.group), Group())
        group.add(feed)
        self._routes.add(feed.pattern, group)

    def unsubscribe(self, feed: Feed) -> None:
        """End a subscription that its subscriber no longer wants, or cannot have."""
        feed.end()

    def _forget(self, feed: Feed, waiting: list[Publication]) -> None:
        """Take an ended feed out of all tables."""
        del self._feeds[feed]
        self.dropped += feed.dropped
        if feed.owner is not None:
            self._owners[feed.owner] -= 1
            if not self._owners[feed.owner]:
                del self._owners[feed.owner]
        if feed.group is None:
            self._routes.discard(feed.pattern, feed)
            return
        group = self._groups[feed.pattern, feed.group]
        group.remove(feed, waiting)
        if not group.members:
            del self._groups[feed.pattern, feed.group]
            self._routes.discard(feed.pattern, group)

    # ------------------------------------------------------------- reading

    def _load(self, feed: Feed, segment: Segment) -> None:
        self._spawn(self._load_page(feed, segment))

    async def _load_page(self, feed: Feed, segment: Segment) -> None:
        topic, after, upto = segment
        try:
            page = await self._store.read(topic, after, upto, self.policies.of(topic), self._now())
        except CallError as exc:
            feed.end(exc)
        else:
            feed.loaded(page)

    async def history(self, topic: str, since: Since = "start") -> History:
        """Return a page of the history of a topic; go on behind its last message.

        Raises:
            InvalidArgument: It is not a topic.
            StoreError: The store cannot answer.
        """
        policy = self.policies.of(topic)
        self._check_since(topic, since, None)
        found = await self._store.find(topic, since, policy, self._now())
        page = await self._store.read(topic, found.base, found.top.offset, policy, self._now())
        return History(page.messages, found, page.upto >= found.top.offset)

    async def tops(self, pattern: str) -> dict[str, Position]:
        """Return the last position of each topic that matches, as many as may be told.

        Raises:
            InvalidArgument: It is not a pattern.
            StoreError: The store cannot answer.
        """
        check_pattern(pattern)
        limit = self.limits.max_positions
        begun = await begin(self._store, self.policies, pattern, None, limit=limit, now=self._now())
        return begun.bases

    async def check(self, feed: Feed) -> None:
        """Tell a subscriber how far it has come, so that it finds what got lost on the way.

        Raises:
            StoreError: The store cannot answer.
        """
        feed.check(await self.tops(feed.pattern))

    def statistics(self) -> dict[str, int]:
        """Return how many subscriptions there are, and what they missed."""
        return {
            "subscriptions": len(self._feeds),
            "groups": len(self._groups),
            "owners": len(self._owners),
            "dropped": self.dropped + sum(feed.dropped for feed in self._feeds),
            "visited": self._routes.visited,
        }
