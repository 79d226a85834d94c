"""A chat in this process for the tests: a server that can be started again, and members."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path

import framerpc
from examples.chat.api import Chat, Event, Message, RoomState
from examples.chat.client.session import Session
from examples.chat.server.serving import make_server
from framerpc.contract.watching import Update

__all__ = ["Town", "a_town", "texts", "until", "visiting", "when"]

_numbers = itertools.count()


class Town:
    """A server of the chat on the in-memory network.

    Args:
        data: Where its state is.
    """

    def __init__(self, data: Path) -> None:
        self.data = data
        self.url = f"memory://chat-{next(_numbers)}"
        self.other_url = f"{self.url}-other"  # of the same server, with faults of its own
        self.tokens: dict[str, str] = {}
        self._clients = contextlib.AsyncExitStack()
        self._server = contextlib.AsyncExitStack()

    async def start(self) -> None:
        """Start a server with what the one before has left."""
        server = make_server(self.data)
        await self._server.enter_async_context(server.listen(self.url, self.other_url, grace=1))

    async def stop(self) -> None:
        """Stop the server."""
        await self._server.aclose()

    async def client(self, name: str) -> framerpc.Client:
        """Return a connection of an account, which is made if there is none."""
        if name not in self.tokens:
            token = f"{name}-{next(_numbers):030}"
            async with framerpc.connect(self.url) as guest:
                await guest.stub(Chat).register(name, token)
            self.tokens[name] = token
        client = framerpc.connect(self.url, token=self.tokens[name], timeout=5)
        return await self._clients.enter_async_context(client)

    async def member(self, name: str) -> Chat:
        """Return a stub of an account."""
        return (await self.client(name)).stub(Chat)

    async def close(self) -> None:
        """End everything."""
        await self._clients.aclose()
        await self.stop()


@contextlib.asynccontextmanager
async def a_town(data: Path) -> AsyncGenerator[Town, None]:
    """Run a chat."""
    town = Town(data)
    await town.start()
    try:
        yield town
    finally:
        await town.close()


async def until(
    updates: AsyncIterator[Update[RoomState, Event]], told: Callable[[Event], bool]
) -> Event:
    """Wait for a certain event of a room and return it."""
    async for update in updates:
        if isinstance(update, framerpc.Change) and told(update.value):
            return update.value
    raise AssertionError("the watch has ended")


def texts(messages: list[Message]) -> list[str]:
    """Return what was said."""
    return [message.text for message in messages]


@contextlib.asynccontextmanager
async def visiting(town: Town, name: str) -> AsyncGenerator[Session]:
    """The session of an account that exists, once its rooms are known."""
    async with Session(town.url, token=town.tokens[name]) as session:
        await session.started()
        yield session


async def when(session: Session, true: Callable[[], object]) -> None:
    """Wait until something is true."""
    async with contextlib.aclosing(session.changes()) as changes:
        async for _ in changes:
            if true():
                return
