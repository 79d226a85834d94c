"""A subscription for code without an event loop: iterate, or take a message within a time.

Spec: protocol.md, "Subscribing".
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeVar, cast

from framerpc.errors import Unavailable

if TYPE_CHECKING:
    from types import TracebackType

    from framerpc.client.messages import Message
    from framerpc.client.subscription import Subscription
    from framerpc.pubsub.positions import Position
    from framerpc.sync.portal import Portal

__all__ = ["SyncSubscription"]

_T = TypeVar("_T")

_END: Final = object()


class SyncSubscription(Iterator["Message[_T]"], Generic[_T]):
    """The messages of a topic or a pattern, as a plain iterator; see `Subscription`.

    Use it as `with client.subscribe("news.*") as news:`. It may be shared between threads: each
    message goes to one of them.
    """

    def __init__(self, portal: Portal, subscription: Subscription[_T]) -> None:
        self._portal = portal
        self._subscription = subscription

    def __repr__(self) -> str:
        return f"<Sync{repr(self._subscription)[1:]}"

    @property
    def recovered(self) -> bool:
        """Whether nothing is missing; see `Subscription`."""
        return self._subscription.recovered

    @property
    def dropped(self) -> int:
        """Messages that the server left out because we were too slow."""
        return self._subscription.dropped

    @property
    def positions(self) -> dict[str, Position]:
        """Where the application stands in each topic with history."""
        return self._subscription.positions

    def __enter__(self) -> Self:
        self._portal.run(self._subscription.__aenter__())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Unsubscribe; who waits for a message is told that there are no more. Idempotent.

        In a forked child it does nothing, and nothing is left to do once the client is closed.
        """
        if self._portal.is_ours():
            self._portal.run(self._subscription.aclose())

    def __next__(self) -> Message[_T]:
        """Wait for the next message; raises what `Subscription.__anext__` does."""
        message = self._portal.run(self._next(None))
        if message is _END:
            raise StopIteration
        return cast("Message[_T]", message)

    def get(self, timeout: float | None = None) -> Message[_T]:
        """Wait for the next message, for a time.

        Args:
            timeout: Seconds; None: as long as it takes.

        Raises:
            TimeoutError: None came in time. None is lost by that.
            Unavailable: The subscription was closed.
        """
        message = self._portal.run(self._next(timeout))
        if message is _END:
            raise Unavailable("the subscription was closed")
        return cast("Message[_T]", message)

    async def _next(self, timeout: float | None) -> Any:
        # StopAsyncIteration cannot travel through a future.
        async with asyncio.timeout(timeout):
            return await anext(self._subscription, _END)
