"""What a server's own code can do with topics: publish, from its event loop or from a thread.

This module owns the methods that users call; what they do is known to `topics`.

Spec: protocol.md, "Topics".
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from framerpc.server.blocking import from_thread

if TYPE_CHECKING:
    import asyncio

    from framerpc.contract.topic import Topic
    from framerpc.pubsub.events import Published
    from framerpc.server.topics import Topics

__all__ = ["ServerTopics"]

_T = TypeVar("_T")


class ServerTopics:
    """The topics part of a `Server`: a class of its own for the reader, not for use."""

    # What the rest of the server has.
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
