"""The messages of a room in order, each once, for as long as anybody wants them.

The watch says that there is more; what was missed before it began again comes from the history.
Nothing is kept but the number of the next message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from examples.chat.api import Chat, Message
from examples.chat.client.insisting import insist
from examples.chat.client.view import PAGE
from framerpc import Client, Snapshot

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

__all__ = ["follow", "last_messages"]


async def last_messages(client: Client, room: int, count: int) -> list[Message]:
    """Return the last messages of a room, the oldest first; as many as asked for, if there are.

    Raises:
        FrameRPCError: It was refused.
    """
    chat, found, before = client.stub(Chat), list[Message](), None
    while len(found) < count:
        limit = min(PAGE, count - len(found))
        page = await insist(lambda: chat.history(room, before=before, limit=limit))  # noqa: B023 - awaited here
        if not page:
            break
        found, before = page + found, page[0].number
    return found


async def follow(client: Client, room: int, after: int) -> AsyncGenerator[Message, None]:
    """Yield each message with a greater number than `after`, in order, for ever.

    Raises:
        FrameRPCError: One is no member of the room any more.
    """
    follower = _Follower(client, room, after)
    while True:
        for message in await insist(follower.more):
            yield message


class _Follower:
    def __init__(self, client: Client, room: int, after: int) -> None:
        self._client = client
        self._chat = client.stub(Chat)
        self._room = room
        self._told = after  # all up to this number were handed out
        self._last = after  # there are messages up to this number
        self._updates = client.stream(Chat.room, room, 0)

    async def more(self) -> list[Message]:
        """Return the next messages as soon as there are some; cancelling it loses none."""
        while self._last <= self._told:
            try:
                update = await anext(self._updates)
            except BaseException:
                self._updates = self._client.stream(Chat.room, self._room, 0)
                raise
            if isinstance(update, Snapshot):
                self._last = max(self._last, update.value.room.last)
            elif isinstance(update.value, Message):
                self._last = max(self._last, update.value.number)
                if update.value.number == self._told + 1:
                    self._told += 1
                    return [update.value]
        before = min(self._told + PAGE, self._last) + 1
        page = await self._chat.history(self._room, before=before, after=self._told, limit=PAGE)
        self._told = page[-1].number if page else self._told
        return page
