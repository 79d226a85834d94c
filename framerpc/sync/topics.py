"""Topics through the blocking client: the same calls, waited for in the caller's thread.

Spec: protocol.md, "Topics".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

from framerpc.sync.results import SyncResultStream
from framerpc.sync.subscription import SyncSubscription

if TYPE_CHECKING:
    from framerpc.client.client import Client
    from framerpc.client.messages import History, Presence, PresenceChange
    from framerpc.contract.topic import Topic
    from framerpc.contract.watching import Update
    from framerpc.pubsub.events import Published
    from framerpc.sync.portal import Portal

__all__ = ["SyncTopics"]

_T = TypeVar("_T")


class SyncTopics:
    """The topics part of a `SyncClient`: a class of its own for the reader, not for use."""

    _client: Client

    if TYPE_CHECKING:

        def _running(self) -> Portal: ...

    def publish(
        self,
        topic: str | Topic[_T],
        data: _T,
        *,
        key: str | None = None,
        conflate: str = "",
        ack: bool = True,
    ) -> Published | None:
        """Publish a message; see `Client.publish`."""
        publish: Any = self._client.publish
        published: Published | None = self._running().run(
            publish(topic, data, key=key, conflate=conflate, ack=ack)
        )
        return published

    @overload
    def subscribe(self, pattern: Topic[_T], **options: Any) -> SyncSubscription[_T]: ...
    @overload
    def subscribe(
        self, pattern: str, *, type: type[_T], **options: Any
    ) -> SyncSubscription[_T]: ...
    @overload
    def subscribe(self, pattern: str, **options: Any) -> SyncSubscription[Any]: ...
    def subscribe(self, pattern: str | Topic[Any], **options: Any) -> SyncSubscription[Any]:
        """Return a subscription: enter it with `with`, then iterate; see `Client.subscribe`.

        Callbacks run in the thread of `framerpc.sync`.
        """
        portal = self._running()
        subscribe: Any = self._client.subscribe

        async def make() -> Any:  # it belongs to the loop that it is made in
            return subscribe(pattern, **options)

        return SyncSubscription(portal, portal.run(make()))

    @overload
    def history(self, topic: Topic[_T], **options: Any) -> History[_T]: ...
    @overload
    def history(self, topic: str, *, type: type[_T], **options: Any) -> History[_T]: ...
    @overload
    def history(self, topic: str, **options: Any) -> History[Any]: ...
    def history(self, topic: str | Topic[Any], **options: Any) -> History[Any]:
        """Return a page of the messages that a topic has kept; see `Client.history`."""
        history: Any = self._client.history
        page: History[Any] = self._running().run(history(topic, **options))
        return page

    def presence(self, topic: str | Topic[Any]) -> Presence:
        """Return who is on a topic now."""

        async def once() -> Presence:
            return await self._client.presence(topic)

        return self._running().run(once())

    def watch_presence(
        self, topic: str | Topic[Any]
    ) -> SyncResultStream[Update[Presence, PresenceChange]]:
        """Follow who is on a topic: a `Snapshot`, then each `Change`."""
        return SyncResultStream(self._running(), self._client.presence(topic))
