"""What a server's own code can do with topics: publish, and have rights asked about again.

This module owns the methods that users call; what they do is known to `topics`.

Spec: protocol.md, "Topics".
"""

from __future__ import annotations

import asyncio
import os
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from framerpc.errors import ConfigurationError
from framerpc.server.blocking import from_thread

if TYPE_CHECKING:
    from framerpc.contract.topic import Topic
    from framerpc.pubsub.events import Published
    from framerpc.server.peers import Peers
    from framerpc.server.topics import Topics

__all__ = ["ServerTopics"]

_T = TypeVar("_T")


class ServerTopics:
    """The topics part of a `Server`: a class of its own for the reader, not for use."""

    # What the rest of the server has.
    peers: Peers
    topics: Topics
    _loop: asyncio.AbstractEventLoop | None
    _pid: int

    async def publish(
        self, topic: str | Topic[_T], data: _T, *, key: str | None = None, conflate: str = ""
    ) -> Published:
        """Publish a message to whoever has subscribed, also where clients may not.

        Cancelling it changes nothing but that nobody learns where the message stands.

        Args:
            topic: Where.
            data: Anything that can be a result.
            key: Names this message: a second one with the same key is not published.
            conflate: What it is about: it replaces the one before where only the latest count.

        Returns:
            Where it stands, and how many subscribers it went to.

        Raises:
            InvalidArgument: The topic, a key or the data is impossible.
            ResourceExhausted: A limit on histories is reached.
            Unavailable: The store cannot take it.
        """
        return await self.topics.publish(topic, data, key=key, conflate=conflate)

    def publish_from_thread(
        self, topic: str | Topic[_T], data: _T, *, key: str | None = None, conflate: str = ""
    ) -> Published:
        """Do what `publish` does, and block until it is done: for `def` methods and other threads.

        Raises:
            ConfigurationError: This is the thread of the event loop; `await publish` there.
            Unavailable: The server does not run, or not in this process.
        """
        publish = partial(self.topics.publish, topic, data, key=key, conflate=conflate)
        return from_thread(self._loop if self._pid == os.getpid() else None, publish)

    def recheck(self, identity: Any) -> int:
        """Have those with this identity asked about again: a right was taken away.

        Ends all their subscriptions, watches and presence streams on this server. Their clients
        open them again by themselves and at once, and `authorize`, `authorize_topic`,
        `Watch.authorize` and the method are asked as at first. Who is still allowed goes on from
        where it was: with a history nothing is missed, without one a gap is told, or a watch
        begins with a new snapshot. Who is not gets the error. Others see both leave a presence,
        and the former come back. One that was being opened meanwhile is asked about again as well.

        Take the right away first. Nothing that is published after this reaches them before they
        are asked; a few messages of before may still be on their way. Calls in flight and streams
        that are no subscriptions go on: they were allowed when they began. Each opening counts
        towards `TopicLimits.subscribe_rate`.

        Call it in the event loop of the server, from an `async` method, say. It does not wait.

        Args:
            identity: What `authenticate` returned, compared with `==`; None for clients that have
                none.

        Returns:
            How many connections have this identity.

        Raises:
            ConfigurationError: This is another thread than that of the server's event loop.
        """
        if self._loop is not None and asyncio._get_running_loop() is not self._loop:  # noqa: SLF001 - as Server.run does
            raise ConfigurationError(
                "recheck belongs into the thread of the server's event loop, and so not into a "
                "`def` method; make that method async"
            )
        found = [peer for peer in self.peers.welcome if peer.identity == identity]
        for peer in found:
            for call in peer.calls.values():
                call.context.rechecked = True
            if peer.guest is not None:
                peer.guest.drain(peer.connection)
        return len(found)
