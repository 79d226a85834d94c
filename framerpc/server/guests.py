"""The clients of a server as far as topics go: their subscriptions, and who is where.

A guest is made when a client subscribes for the first time, so that one that never does costs
nothing. It owns the sinks of its connection; the presence of its identity follows from them.

Spec: protocol.md, "Presence" and "Limits of topics".
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from framerpc.codecs import packb
from framerpc.errors import ResourceExhausted
from framerpc.protocol.frames import Outcome
from framerpc.pubsub.events import Publication
from framerpc.pubsub.presence import Leave, Presence
from framerpc.server.allowance import Allowance

if TYPE_CHECKING:
    from framerpc.call import CallContext
    from framerpc.connection.connection import Connection
    from framerpc.errors import CallError
    from framerpc.pubsub.broker import Broker
    from framerpc.pubsub.presence import PresenceChange
    from framerpc.server.sink import StreamSink
    from framerpc.topic_config import TopicLimits

__all__ = ["Guest", "Guests"]


class Guest:
    """One connection that subscribes.

    Args:
        name: What others call it.
        allowance: How often it may subscribe.

    Attributes:
        name: As given.
        sinks: Its subscriptions, by call.
        loose: Those that are no streams of their own: they begin, or an interceptor iterates.
    """

    __slots__ = ("allowance", "loose", "name", "sinks")

    def __init__(self, name: str, allowance: Allowance) -> None:
        self.name = name
        self.allowance = allowance
        self.sinks: dict[int, StreamSink] = {}
        self.loose: set[StreamSink] = set()

    def __repr__(self) -> str:
        return f"<Guest {self.name}, {len(self.sinks)} subscriptions>"

    def hold(self, sink: StreamSink) -> None:
        """Know of a subscription until it has ended."""
        self.loose.add(sink)
        sink.listed = self.loose

    def attach(self, connection: Connection, call_id: int, sink: StreamSink) -> None:
        """Let the items of a subscription leave as the stream of a call; it needs no task."""

        def gone(error: CallError | None) -> None:
            if self.sinks.pop(call_id, None) is None:
                return
            connection.streams.forget(call_id)
            if error is None:
                connection.end_stream(call_id)
            else:
                connection.fail(call_id, error.status, _YES, error.detail)

        self.loose.discard(sink)
        self.sinks[call_id] = sink
        sink.attach(connection.streams.feeder(call_id), gone)

    def cancel(self, connection: Connection, call_id: int) -> bool:
        """End a subscription that its client gave up; return whether there is one."""
        sink = self.sinks.pop(call_id, None)
        if sink is None:
            return False
        sink.close(Leave.LEFT)
        connection.streams.forget(call_id)
        connection.receipt(call_id, Outcome.STOPPED)
        return True

    def drain(self, connection: Connection) -> None:
        """End all subscriptions, so that the client takes them elsewhere, or asks for them again.

        What waits for credit is dropped; what the connection has taken already arrives, before
        the end.
        """
        for call_id, sink in list(self.sinks.items()):
            del self.sinks[call_id]
            sink.close(Leave.CLOSED)
            connection.streams.forget(call_id)
            connection.end_stream(call_id)
        for sink in list(self.loose):
            sink.revoke()

    def lost(self, reason: Leave) -> None:
        """End all subscriptions: the connection is gone."""
        sinks, self.sinks = self.sinks, {}
        for sink in sinks.values():
            sink.close(reason)


_YES: Final = 2
"""`executed` of a subscription that ends: it has been one."""


class Guests:
    """All guests of a server, and who is on which topic.

    Args:
        broker: Where changes of presence are published.
        limits: What guests are granted.
    """

    def __init__(self, broker: Broker, limits: TopicLimits) -> None:
        self._broker = broker
        self._limits = limits
        self._presence = Presence(limits.max_presence, limits.max_presence_page, self._changed)
        self._watchers: Counter[str] = Counter()

    def admit(self, context: CallContext) -> Guest:
        """Return the guest that makes a call, if it may subscribe now.

        Raises:
            ResourceExhausted: It subscribes too often.
        """
        now = context.now()
        guest: Guest | None = context.link.guest
        if guest is None:
            identity = context.identity
            name = f"anonymous-{secrets.token_hex(4)}" if identity is None else str(identity)
            rate, burst = self._limits.subscribe_rate, self._limits.max_subscriptions
            guest = Guest(name, Allowance(rate, 2 * burst + rate, now))
            context.link.guest = guest
        pause = guest.allowance.take(now)
        if pause:
            error = ResourceExhausted(
                f"more than {self._limits.subscribe_rate:g} subscriptions a second "
                "(TopicLimits.subscribe_rate)"
            )
            error.retry_after = pause
            raise error
        return guest

    # -------------------------------------------------------------------- presence

    def join(self, guest: Guest, topic: str, sink: StreamSink) -> None:
        """Let a guest be on a topic as long as its subscription lives.

        Raises:
            ResourceExhausted: Too many are somewhere.
        """
        now = asyncio.get_running_loop().time()
        try:
            self._presence.join(topic, guest.name, sink, now, stamp=time.time())
        except ResourceExhausted:
            sink.close(Leave.CLOSED)
            raise
        sink.on_end = lambda: self._presence.leave(topic, guest.name, sink, sink.left)

    @staticmethod
    def topic_about(topic: str) -> str:
        """Return the topic on which changes of the presence of a topic are published."""
        return f"$presence.{topic}"

    def watch(self, topic: str) -> None:
        """Note that somebody wants to know who comes and goes."""
        self._watchers[topic] += 1

    def unwatch(self, topic: str) -> None:
        """Note that somebody does no longer."""
        self._watchers[topic] -= 1
        if not self._watchers[topic]:
            del self._watchers[topic]

    def snapshot(self, topic: str) -> bytes:
        """Return who is on a topic, encoded."""
        _, members, total = self._presence.snapshot(topic)
        listed = [(member.identity, int(member.since * 1000)) for member in members]
        return packb({"members": listed, "total": total})

    def _changed(self, change: PresenceChange) -> None:
        """Tell those who watch."""
        if change.topic not in self._watchers:
            return
        member, left = change.member, change.left
        told = (member.identity, int(member.since * 1000), None if left is None else left.value)
        self._broker.deliver(Publication(self.topic_about(change.topic), packb(told)))
