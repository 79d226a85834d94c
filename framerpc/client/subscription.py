"""A subscription, as users have it: an async iterator of messages that outlives its connection.

This module owns what a subscriber is told: each message in order and once, where it stands, and
what is missing. After a lost connection the subscription is made again from where it was, and
either nothing is missing or `recovered` says so.

Spec: protocol.md, "Subscribing".
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final, Generic, Self, TypeVar

from framerpc.client.following import Follower, HoleFound
from framerpc.client.inbox import Inbox
from framerpc.client.messages import Gap, Message
from framerpc.client.options import guarded
from framerpc.errors import (
    ConfigurationError,
    DeadlineExceeded,
    FrameRPCError,
    InvalidResult,
)
from framerpc.protocol.topics import CheckItem, GapItem, MessageItem, Started, decode_item
from framerpc.pubsub.positions import Bookmark, Position, Step

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from framerpc.call import Buffer
    from framerpc.client.following import Attempts
    from framerpc.contract.topic import Topic
    from framerpc.protocol.topics import SubscribeOptions

__all__ = ["Subscription"]

_T = TypeVar("_T")

_logger: Final = logging.getLogger("framerpc.client")


class Subscription(AsyncIterator[Message[_T]], Generic[_T]):
    """The messages of a topic, or of all topics that a pattern matches.

    Use it as `async with client.subscribe("news.*") as news:` and iterate. Entering waits until
    the server has confirmed, so that whatever is published afterwards is seen. Cancelling a wait
    loses no message and leaves it usable; several tasks may wait at once, and each message goes
    to one of them. It survives lost connections.

    Attributes:
        recovered: Nothing is missing that it asked for. False after a gap that the history did
            not reach across; True again after one that it did.
        dropped: Messages that the server left out because we were too slow, and that did not come
            later.
        resumed: How often it was made again.

    Raises (on entering):
        PermissionDenied: The server does not allow it.
        InvalidArgument: The pattern or an option is impossible.
        ResourceExhausted: A limit of the server is reached.
        DeadlineExceeded: The server has not confirmed in time.
    """

    def __init__(
        self,
        topic: Topic[_T],
        options: SubscribeOptions,
        open_: Callable[[SubscribeOptions], Awaitable[AsyncIterator[Buffer]]],
        attempts: Attempts,
        *,
        timeout: float | None,
        on_message: Callable[[Message[_T]], Awaitable[None] | None] | None = None,
        on_resume: Callable[[Subscription[_T]], None] | None = None,
    ) -> None:
        self.recovered = True
        self.dropped = 0
        self.resumed = 0
        self._topic = topic
        self._options = options
        self._open = open_
        self._attempts = attempts
        self._timeout = timeout
        self._on_message = on_message
        self._on_resume = guarded(on_resume)
        self._loop = asyncio.get_running_loop()
        self._inbox: Inbox[tuple[MessageItem, Gap | None]] = Inbox(self._loop)
        self._started: asyncio.Future[None] = self._loop.create_future()
        self._follower: Follower | None = None
        self._calling: asyncio.Task[None] | None = None
        self._mark: Bookmark | None = None  # how far we have come
        self._lost = False  # nobody can say what we missed
        self._gap: Gap | None = None  # what is missing before the next message
        self._taken: dict[str, Position] = {}  # how far the application has come

    def __repr__(self) -> str:
        state = "closed" if self._inbox.ended else "open" if self._follower else "not entered"
        return f"<Subscription to {self._topic.name}, {state}>"

    @property
    def pattern(self) -> str:
        """What it is subscribed to."""
        return self._topic.name

    @property
    def positions(self) -> dict[str, Position]:
        """Where the application stands in each topic with history: what `since=` takes."""
        return dict(self._taken)

    # ------------------------------------------------------------------ life cycle

    async def __aenter__(self) -> Self:
        if self._follower is not None:
            raise ConfigurationError("a subscription can be entered once; make another one")
        follower = self._follower = Follower(self._begin, self._take, self._attempts, self._ended)
        follower.start()
        try:
            async with asyncio.timeout(self._timeout):
                await asyncio.shield(self._started)
        except TimeoutError:
            await self.aclose()
            detail = f"the server did not confirm the subscription to {self.pattern}"
            raise DeadlineExceeded(detail, self._timeout) from None
        except BaseException:
            await self.aclose()
            raise
        if self._on_message is not None:
            self._calling = self._loop.create_task(self._call(self._on_message))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Unsubscribe; who waits for a message gets StopAsyncIteration. Idempotent."""
        self._inbox.end(drop=True)
        calling, self._calling = self._calling, None
        if calling is not None and calling is not asyncio.current_task():
            calling.cancel()
            await asyncio.wait([calling])
        if self._follower is not None:
            await self._follower.close()

    # ------------------------------------------------------------------- messages

    def __aiter__(self) -> Subscription[_T]:
        return self

    async def __anext__(self) -> Message[_T]:
        """Return the next message. Cancelling it loses none.

        Raises:
            StopAsyncIteration: The subscription was closed.
            InvalidArgument: The message does not fit its type; the next one may.
            FrameRPCError: The subscription ended: it is no longer allowed, or the client was
                closed.
        """
        inbox = self._inbox
        if inbox.waiting:
            item, gap = inbox.take()
        elif self._follower is None:
            raise ConfigurationError(
                'the subscription is not open; use "async with client.subscribe(...) as it:"'
            )
        else:
            item, gap = await inbox.get()
        offset, epoch, topic = item.offset, item.epoch, item.topic
        if offset is not None and epoch is not None:
            self._taken[topic] = Position(epoch, offset)
        return Message(self._topic.decode(item.data), topic, offset, epoch, item.stamp_ms, gap)

    async def _call(self, on_message: Callable[[Message[_T]], Awaitable[None] | None]) -> None:
        """Hand each message to the callback, one at a time; what it raises is logged."""
        while True:
            try:
                message = await anext(self)
                waiting = on_message(message)
                if inspect.isawaitable(waiting):
                    await waiting
            except StopAsyncIteration:
                return
            except Exception:
                if self._inbox.ended:
                    return
                _logger.exception("! a message of %s could not be handled", self.pattern)

    # ------------------------------------------------- what the follower asks and tells

    async def _begin(self) -> AsyncIterator[Buffer]:
        """Subscribe, from where we are."""
        options, mark = self._options, self._mark
        self._lost = mark is not None and (options.group is not None or not mark.complete)
        if mark is not None:
            positions = {topic: str(position) for topic, position in mark.positions.items()}
            options = options.resumed(None if self._lost else positions, mark.mark)
        return await self._open(options)

    def _take(self, body: Buffer) -> Awaitable[None] | None:
        """Take an item; return what to wait for if the application is behind."""
        try:
            item = decode_item(body)
        except ValueError as exc:
            raise InvalidResult(f"the server sent what is no item: {exc}") from exc
        if type(item) is MessageItem:
            if item.offset is not None and not self._follows(item):
                return None
            gap, self._gap = self._gap, None
            self._inbox.put((item, gap))
            return self._inbox.room() if self._inbox.full else None
        if type(item) is Started:
            self._start(item)
        elif type(item) is GapItem:
            self._note_gap(item)
        elif type(item) is CheckItem:
            self._check({topic: Position.parse(text) for topic, text in item.positions.items()})
        return None

    def _start(self, item: Started) -> None:
        """Note where the subscription begins, and whether something is missing before that."""
        before = self._mark
        positions = {topic: Position.parse(text) for topic, text in item.positions.items()}
        self._mark = Bookmark(item.mark, positions, complete=item.complete, exact=item.exact)
        for topic, position in positions.items():
            self._taken.setdefault(topic, position)
        self.recovered = item.recovered and not self._lost
        self._attempts.succeeded()
        if before is not None:
            self.resumed += 1
            if not self.recovered:
                self._gap = Gap(None)
            elif before.exact:
                self._take_back(before.awaited())
            if self._on_resume is not None:
                self._on_resume(self)
        if not self._started.done():
            self._started.set_result(None)

    def _follows(self, item: MessageItem) -> bool:
        """Return whether a message is the next one; go back if some are missing before it."""
        mark = self._mark
        if mark is None or self._options.group is not None:
            return True
        before = mark.positions.get(item.topic)
        step = mark.see(item.topic, Position(item.epoch or "", item.offset or 0))
        if step is Step.HOLE or step is Step.EPOCH:
            self._back({item.topic: before})
        return step is Step.NEXT

    def _check(self, tops: dict[str, Position]) -> None:
        """Compare how far we have come with how far the server has."""
        mark = self._mark
        if mark is None or self._options.group is not None:
            return
        before = {topic: mark.positions.get(topic) for topic in tops}
        if mark.check(tops):
            self._back(before)

    def _back(self, before: dict[str, Position | None]) -> None:
        """Go on from before what is missing."""
        assert self._mark is not None
        for topic, position in before.items():
            if position is None:
                self._mark.positions.pop(topic, None)
            else:
                self._mark.positions[topic] = position
        raise HoleFound(f"messages of {', '.join(before)} are missing")

    def _note_gap(self, item: GapItem) -> None:
        count = sum(item.dropped.values())
        self.dropped += count
        if self._mark is not None:
            self._mark.gap(item.dropped)
        if self._gap is None or self._gap.dropped is None:
            self._gap = self._gap or Gap(count, item.dropped)
        else:
            topics = dict(self._gap.topics)
            for topic, dropped in item.dropped.items():
                topics[topic] = topics.get(topic, 0) + dropped
            self._gap = Gap(self._gap.dropped + count, topics)

    def _take_back(self, awaited: dict[str, int]) -> None:
        """Do not tell of dropped messages that come after all: we go on from before them."""
        gap = self._gap
        if gap is None or gap.dropped is None:
            return
        left = {topic: count - awaited.get(topic, 0) for topic, count in gap.topics.items()}
        left = {topic: count for topic, count in left.items() if count > 0}
        count = sum(left.values())
        self.dropped -= gap.dropped - count
        self._gap = Gap(count, left) if count else None

    def _ended(self, error: FrameRPCError | None) -> None:
        self._inbox.end(error)
        if not self._started.done():
            if error is None:
                self._started.cancel()
            else:
                self._started.set_exception(error)
                self._started.exception()  # it may be that nobody waits any more
