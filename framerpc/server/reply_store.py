"""What a store of replies has to do, so that `once` survives the process of the server.

A store is a durable map from bytes to bytes, no more: it knows no sessions, calls or replies.
What is written into it, and when, is the business of `journal`. It holds what the server holds
in memory, so the bounds are the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = ["ReplyStore"]


class ReplyStore(Protocol):
    """A durable map, used by one server at a time.

    Calls come one after the other. Whatever a method raises, other than from `load`, is logged
    and counted, and the server goes on without the promise of durability for what it wrote.
    """

    async def load(self) -> Mapping[bytes, bytes]:
        """Open the store and return all there is. Called once, before the server listens.

        Raises:
            Exception: It cannot be used; the server then does not start.
        """
        ...

    async def write(self, puts: Mapping[bytes, bytes], deletes: Collection[bytes]) -> None:
        """Put and delete, all of it or nothing. It is durable when this returns.

        A key stands in one of the two only. Deleting one that is not there is no error.
        Cancelling it may leave open whether it was done.
        """
        ...

    async def close(self) -> None:
        """Close the store. Called once, last; also when `load` failed."""
        ...
