"""Where a subscription meets a connection: events of the broker in, items of a stream out.

A sink has no task. It writes an item as long as the stream has credit and tells the feed when
there is room again; what waits meanwhile is the feed's. Its first items say where the
subscription begins. An interceptor that wraps the stream iterates over it instead.

Spec: protocol.md, "Subscribing".
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

from framerpc.call import Buffer
from framerpc.protocol.topics import (
    Started,
    encode_check,
    encode_gap,
    encode_message,
    encode_started,
)
from framerpc.pubsub.events import Gap, Publication
from framerpc.pubsub.presence import Leave

if TYPE_CHECKING:
    from collections.abc import Callable

    from framerpc.connection.feeder import ItemFeeder
    from framerpc.errors import CallError
    from framerpc.pubsub.events import Event
    from framerpc.pubsub.feed import Feed

__all__ = ["StreamSink", "body_of"]

_HELD: Final = 16
"""Items made ahead for an interceptor that iterates."""


class StreamSink(AsyncIterator[Buffer]):
    """Takes the events of one subscription.

    Attributes:
        first: Items to send before the first event.
        feed: The subscription, once it is known where it begins.
        left: Why it ended, for who wants to know who is there.
        listed: Where it is to be taken out when it has ended.
        revoked: It was ended before all else, and has nothing to say.
        on_end: Called once when the broker, or we, have ended the subscription.
    """

    __slots__ = (
        "_ended",
        "_error",
        "_feeder",
        "_gone",
        "_held",
        "_waiter",
        "feed",
        "first",
        "left",
        "listed",
        "on_end",
        "revoked",
    )

    def __init__(self) -> None:
        self.first: deque[Buffer] = deque()
        self.feed: Feed | None = None
        self.left = Leave.CLOSED
        self.listed: set[StreamSink] | None = None
        self.revoked = False
        self.on_end: Callable[[], None] | None = None
        self._feeder: ItemFeeder | None = None
        self._gone: Callable[[CallError | None], None] | None = None
        self._ended = False
        self._error: CallError | None = None
        self._held: deque[Buffer] | None = None  # for an interceptor that iterates
        self._waiter: asyncio.Future[None] | None = None

    def announce(self, feed: Feed, started: Started) -> None:
        """Say where the subscription begins, before all else."""
        self.feed = feed
        self.first.append(encode_started(started))

    # -------------------------------------------------------- called by the feed

    def write(self, event: Event, /) -> bool:
        """Send an event if it can be sent now; see `Sink.write`."""
        feeder = self._feeder
        if feeder is None:
            return self._held is not None and self._hold(body_of(event))
        if self.first:
            return False
        body = event.wire if isinstance(event, Publication) else None
        if body is None:
            body = body_of(event)
        if len(body) > feeder.longest:
            # The client has said that it takes nothing of this size.
            body = encode_gap({event.topic: 1} if isinstance(event, Publication) else {"": 1})
        return feeder.try_send(body)

    def end(self, error: CallError | None, /) -> None:
        """Say that nothing more comes; see `Sink.end`."""
        self._ended, self._error = True, error
        if self.listed is not None:
            self.listed.discard(self)
        if self.on_end is not None:
            self.on_end()
        if self._gone is not None:
            self._gone(error)
        self._wake()

    # ------------------------------------------------------ called by the connection

    def attach(self, feeder: ItemFeeder, gone: Callable[[CallError | None], None]) -> None:
        """Write to a stream from now on.

        Args:
            feeder: The stream.
            gone: Called once when the subscription has ended on our side.
        """
        self._feeder = feeder
        self._gone = gone
        feeder.on_room = self._resume
        self._resume()
        if self._ended:
            gone(self._error)

    def _resume(self) -> None:
        assert self._feeder is not None
        while self.first:
            if not self._feeder.try_send(self.first[0]):
                return
            self.first.popleft()
        if self.feed is not None and not self._ended:
            self.feed.resume()

    def close(self, reason: Leave = Leave.CLOSED) -> None:
        """End the subscription: nobody reads it any more. Idempotent."""
        self.left = reason
        self._gone = self._feeder = None
        if self.feed is not None and not self._ended:
            self.feed.end()

    def revoke(self) -> None:
        """End the subscription, with what it would have said first."""
        self.revoked = True
        self.first.clear()
        self.close()

    # ------------------------------------------------- iterated by an interceptor

    def _hold(self, body: Buffer) -> bool:
        assert self._held is not None
        if len(self._held) >= _HELD:
            return False
        self._held.append(body)
        self._wake()
        return True

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def __anext__(self) -> Buffer:
        """Return the next item. Cancelling it loses none."""
        if self._held is None:
            self._held = deque()
        if self.first:
            return self.first.popleft()
        while not self._held:
            if self.feed is not None and not self._ended:
                self.feed.resume()
                if self._held:
                    break
            if self._ended:
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._held.popleft()

    async def aclose(self) -> None:
        """End the subscription."""
        self.close(Leave.LEFT)


def body_of(event: Any) -> bytes:
    """Return an event as it travels; that of a message is made once for all subscribers."""
    if event.__class__ is Publication:
        body: bytes | None = event.wire
        if body is None:
            body = event.wire = encode_message(
                event.topic,
                event.data,
                event.epoch or None,
                event.offset or None,
                int(event.stamp * 1000) or None,
            )
        return body
    if event.__class__ is Gap:
        return encode_gap(event.topics)
    return encode_check({topic: str(position) for topic, position in event.tops.items()})
