"""Topics on a server: who may publish and subscribe, and how both meet the broker.

This module owns what the framework's methods about topics do, and the rule that is asked first.
Matching, histories and queues are the broker's; how items leave is known to `sink`, and who is
connected to `guests`.

Spec: protocol.md, "Topics".
"""

from __future__ import annotations

import asyncio
import enum
import inspect
import logging
import time
from collections import OrderedDict
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast

from framerpc.backplane.memory import MemoryStore
from framerpc.call import Stream
from framerpc.codecs import packb
from framerpc.contract.topic import encode_message, topic_of
from framerpc.errors import CallError, InvalidArgument, InvalidResult, PermissionDenied
from framerpc.protocol.topics import (
    POLICIES,
    SINCE,
    HistoryOptions,
    PublishOptions,
    Started,
    SubscribeOptions,
    encode_snapshot,
)
from framerpc.pubsub.broker import Broker
from framerpc.pubsub.coverage import keeps_all
from framerpc.pubsub.positions import Bookmark, Position
from framerpc.pubsub.queues import Overflow
from framerpc.pubsub.topics import check_pattern, check_topic, is_pattern
from framerpc.server.checks import PositionChecks
from framerpc.server.eager import start
from framerpc.server.guests import Guests
from framerpc.server.sink import StreamSink, body_of
from framerpc.topic_config import TopicLimits

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    from framerpc.call import CallContext
    from framerpc.contract.topic import Topic
    from framerpc.contract.watching import Watch
    from framerpc.pubsub.events import Published
    from framerpc.pubsub.feed import Feed
    from framerpc.pubsub.store import Since, Store
    from framerpc.topic_config import TopicPolicy

__all__ = ["Rule", "TopicAction", "Topics"]

_audit: Final = logging.getLogger("framerpc.audit")


class TopicAction(enum.Enum):
    """What a client wants to do with a topic; the second argument of `authorize_topic`."""

    PUBLISH = "publish"
    SUBSCRIBE = "subscribe"
    HISTORY = "history"
    PRESENCE = "presence"


if TYPE_CHECKING:
    Rule = Callable[[Any, TopicAction, str], Awaitable[bool] | bool]
else:
    Rule = Any


class Topics:
    """The topics of one server.

    Args:
        policies: What is kept of which topic; the first that matches holds.
        limits: What clients are granted.
        store: Where histories are kept; in memory if None.
        rule: Whether an identity may do something with a topic, or a pattern as it is written;
            None allows everything.

    Attributes:
        limits: As given.
        refused: What the rule, or the owner of a topic, did not allow.
    """

    def __init__(
        self,
        policies: Sequence[TopicPolicy] = (),
        limits: TopicLimits | None = None,
        store: Store | None = None,
        rule: Rule | None = None,
    ) -> None:
        self.limits = limits or TopicLimits()
        self.refused = 0
        self._policies = tuple(policies)
        self._rule = rule
        self._broker = Broker(
            store or MemoryStore(self.limits),
            self._policies,
            self.limits,
            now=lambda: asyncio.get_running_loop().time(),
            spawn=self._spawn,
        )
        self._reading: set[asyncio.Future[None]] = set()
        self._watched: OrderedDict[str, int] = OrderedDict()  # by how many, now
        self._checks = PositionChecks(self._broker, self._spawn)
        self.guests = Guests(self._broker, self.limits)

    def __repr__(self) -> str:
        return f"<Topics {self._broker!r}>"

    async def open(self) -> None:
        """Open the store."""
        await self._broker.open()

    async def close(self) -> None:
        """End all subscriptions, and the store."""
        self._checks.stop()
        await self._broker.close()
        if self._reading:
            await asyncio.wait(self._reading)

    def _spawn(self, reading: Coroutine[Any, Any, None]) -> None:
        """Read from a store: at once, or in a task if the store has to wait."""
        task: object = start(reading, loop=asyncio.get_running_loop(), context=copy_context())
        if isinstance(task, asyncio.Future):
            self._reading.add(task)
            task.add_done_callback(self._reading.discard)

    def statistics(self) -> dict[str, int]:
        """Return what there is, and what was refused."""
        counted = self._broker.statistics()
        return {
            "subscriptions": counted["subscriptions"],
            "dropped_messages": counted["dropped"],
            "refused_topics": self.refused,
        }

    # ------------------------------------------------------------------ publishing

    async def publish(
        self, topic: str | Topic[Any], data: Any, *, key: str | None = None, conflate: str = ""
    ) -> Published:
        """Publish for the server itself; see `Server.publish`."""
        name = topic_of(topic).name
        return await self._broker.publish(
            name,
            encode_message(data),
            key=key,
            conflate=conflate,
            by_server=True,
            stamp=time.time(),
        )

    async def published(
        self, context: CallContext, topic: str, data: bytes, options: PublishOptions | None = None
    ) -> bytes:
        """Publish for a client; return the encoded receipt."""
        check_topic(topic)
        if self._rule is not None:
            await self._ask(context, TopicAction.PUBLISH, topic)
        if topic in self._watched:
            self._refuse(context, TopicAction.PUBLISH, topic)
        key, conflate = (None, "") if options is None else (options.key, options.conflate)
        context.started = context.now()
        try:
            receipt = await self._broker.publish(
                topic, data, key=key, conflate=conflate, stamp=time.time()
            )
        except PermissionDenied:
            context.started = None
            self._refuse(context, TopicAction.PUBLISH, topic)
        except CallError:
            context.started = None  # it was not published
            raise
        position = receipt.position
        epoch = None if position is None else position.epoch
        return packb((receipt.subscribers, epoch, receipt.offset, receipt.duplicate))

    # ----------------------------------------------------------------- subscribing

    async def subscribe(
        self, context: CallContext, pattern: str, options: SubscribeOptions | None = None
    ) -> Stream:
        """Subscribe for a client; return the stream of its items."""
        options = options or SubscribeOptions()
        check_pattern(pattern)
        recoverable = keeps_all(self._policies, pattern)
        overflow = _overflow(options.policy, recoverable=recoverable)
        since = self._since(options)
        guest = self.guests.admit(context)
        if self._rule is not None:
            await self._ask(context, TopicAction.SUBSCRIBE, pattern)
        sink = StreamSink()

        def announce(feed: Feed) -> None:
            recovered = feed.recovered is not False
            if isinstance(since, Bookmark):
                recovered = recovered and recoverable
            guest.hold(sink)
            sink.announce(feed, _started(feed, recovered=recovered))

        feed = await self._broker.subscribe(
            pattern,
            sink,
            since=since,
            group=options.group,
            overflow=overflow,
            queue_limit=options.max_queue,
            owner=guest,
            announce=announce,
        )
        context.started = context.now()
        if context.rechecked:
            sink.revoke()
            return Stream(sink)
        if options.group is None and (feed.bases or recoverable):
            self._checks.add(feed)
        if not is_pattern(pattern) and self._broker.policies.of(pattern).presence:
            self.guests.join(guest, pattern, sink)
        return Stream(sink)

    def _since(self, options: SubscribeOptions | HistoryOptions) -> Since | Bookmark:
        """Return where a client wants to begin, as the broker has it."""
        since = options.since
        if options.since_ms is not None:
            if since is not None:
                raise InvalidArgument("since and since_ms are two ways to say where to begin")
            return options.since_ms / 1000
        if isinstance(since, dict):
            if len(since) > self.limits.max_positions:
                return Bookmark(complete=False)
            positions = {topic: Position.parse(text) for topic, text in since.items()}
            return Bookmark(getattr(options, "mark", ""), positions)
        if isinstance(since, str) and since != "start":
            raise InvalidArgument('since is "start", a number, or a map from topic to position')
        return cast("Since", since)

    # --------------------------------------------------------------------- watching

    async def watch(self, context: CallContext, watch: Watch[Any, Any], encode: Any) -> Stream:
        """Follow the topic of a watch for a client; return the stream of its items."""
        check_topic(watch.topic)
        if watch.authorize is not None:
            verdict: Any = watch.authorize()
            if inspect.isawaitable(verdict):
                verdict = await verdict
            if verdict is False:  # meant to refuse, as a rule does
                raise InvalidResult("Watch.authorize returned False; it has to raise to refuse")
        if watch.publish == "server":
            self._mark(watch.topic)
        since: Position | None = None
        if (text := context.metadata.get(SINCE)) is not None:
            since = Position.parse(text)

        async def snapshot() -> bytes:
            state = watch.snapshot()
            if inspect.isawaitable(state):
                state = await state
            return cast("bytes", encode(state))

        return await self._follow(context, watch.topic, since, snapshot)

    async def _follow(
        self,
        context: CallContext,
        topic: str,
        since: Position | None,
        snapshot: Callable[[], Awaitable[bytes]],
        *,
        on_end: Callable[[], None] | None = None,
    ) -> Stream:
        """Subscribe to a topic; send a snapshot first, unless nothing was missed."""
        guest = self.guests.admit(context)
        sink = StreamSink()

        def announce(feed: Feed) -> None:
            guest.hold(sink)
            sink.announce(feed, _started(feed, recovered=feed.recovered is True))

        feed = await self._broker.subscribe(
            topic, sink, since=since, owner=guest, announce=announce
        )
        watched = self._watched.get(topic)
        if watched is not None:
            self._watched[topic] = watched + 1

        def ended() -> None:
            if watched is not None:
                self._watched[topic] -= 1
            if on_end is not None:
                on_end()

        sink.on_end = ended
        try:
            if feed.recovered is not True:
                sink.first.append(encode_snapshot(await snapshot()))
        except BaseException:
            sink.close()
            raise
        if context.rechecked or sink.revoked:  # the second while the snapshot was taken
            sink.revoke()
        return Stream(sink)

    def _mark(self, topic: str) -> None:
        """Keep a topic for the server, as long as we can remember it."""
        self._watched.setdefault(topic, 0)
        self._watched.move_to_end(topic)
        if len(self._watched) > self.limits.max_topics:
            oldest, watchers = next(iter(self._watched.items()))
            if watchers:
                self._watched.move_to_end(oldest)
            else:
                del self._watched[oldest]

    async def presence(self, context: CallContext, topic: str) -> Stream:
        """Follow who is on a topic; return the stream of its items."""
        check_topic(topic)
        if self._rule is not None:
            await self._ask(context, TopicAction.PRESENCE, topic)
        self.guests.watch(topic)

        async def snapshot() -> bytes:
            return self.guests.snapshot(topic)

        name = self.guests.topic_about(topic)
        unwatch = self.guests.unwatch
        try:
            return await self._follow(context, name, None, snapshot, on_end=lambda: unwatch(topic))
        except BaseException:
            unwatch(topic)
            raise

    # ---------------------------------------------------------------------- history

    async def history(
        self, context: CallContext, topic: str, options: HistoryOptions | None = None
    ) -> bytes:
        """Return a page of the history of a topic, encoded."""
        check_topic(topic)
        options = options or HistoryOptions(since="start")
        if self._rule is not None:
            await self._ask(context, TopicAction.HISTORY, topic)
        since = self._since(options)
        begin = since.positions.get(topic, "start") if isinstance(since, Bookmark) else since
        context.started = context.now()
        page = await self._broker.history(topic, cast("Since", begin))
        messages = page.messages[: options.limit]
        more = not page.complete or len(messages) < len(page.messages)
        kept = self._broker.policies.of(topic).history
        top = str(page.found.top) if kept else None
        return packb((page.found.recovered, top, [body_of(each) for each in messages], more))

    # ---------------------------------------------------------------- authorisation

    async def _ask(self, context: CallContext, action: TopicAction, topic: str) -> None:
        """Ask the rule.

        Raises:
            PermissionDenied: It does not allow it.
        """
        assert self._rule is not None
        verdict = self._rule(context.identity, action, topic)
        if inspect.isawaitable(verdict):
            verdict = await verdict
        if not verdict:
            self._refuse(context, action, topic)

    def _refuse(self, context: CallContext, action: TopicAction, topic: str) -> NoReturn:
        self.refused += 1
        _audit.warning(
            "refused: %r (%s) may not %s %r", context.identity, context.peer, action.value, topic
        )
        raise PermissionDenied(f"{action.value} {topic!r} is not allowed")


def _overflow(policy: str | None, *, recoverable: bool) -> Overflow:
    if policy is None:
        return Overflow.DISCONNECT if recoverable else Overflow.DROP_OLDEST
    if policy not in POLICIES:
        raise InvalidArgument(f"policy is one of {', '.join(POLICIES)}")
    return Overflow(policy)


def _started(feed: Feed, *, recovered: bool) -> Started:
    positions = {topic: str(position) for topic, position in feed.bases.items()}
    return Started(recovered, feed.epoch, positions, feed.complete, feed.exact)
