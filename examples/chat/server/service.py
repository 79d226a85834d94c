"""The chat as a service: each call is one transaction, and what it changed is told after it.

Nothing is remembered here: state is in the database, who follows what is the server's business.
Who somebody is comes from the connection, not from an argument.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeVar

import framerpc
from examples.chat import api
from examples.chat.api import (
    CHUNK,
    GREATEST,
    LONGEST_FILE,
    Account,
    Event,
    File,
    Found,
    Message,
    Mine,
    Place,
    Room,
    RoomState,
    TooMany,
    Typing,
    here,
)
from examples.chat.server.state import accounts, files, messages, rooms
from framerpc import TopicAction, TopicPolicy, Watch

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

    from examples.chat.server.state.database import Database, Told, Transaction

__all__ = ["POLICIES", "Chat"]

_P = ParamSpec("_P")
_T = TypeVar("_T")

POLICIES: Final = [
    # What a lost connection may miss before it gets a new snapshot instead.
    TopicPolicy("chat.room.*", history=200, ttl=3600, publish="server", presence=False),
    TopicPolicy("chat.account.*", history=50, ttl=3600, publish="server", presence=False),
    TopicPolicy("chat.here.*", publish="server"),
]

_BATCH: Final = 16
"""Pieces of a file in one transaction: each waits for the disk."""


class Chat(api.Chat):
    """Rooms to talk in.

    Args:
        database: What is remembered.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._changes: set[asyncio.Task[Any]] = set()

    async def close(self) -> None:
        """Wait until all that was changed was told, then close the database."""
        if self._changes:
            await asyncio.wait(self._changes)
        await asyncio.to_thread(self._database.close)

    # ----------------------------------------------------------------------- who may connect

    async def authenticate(self, credentials: framerpc.Credentials) -> str | None:
        """Return the name that a token proves; None for those who have none yet."""
        token = credentials.token
        if token is None:
            return None
        name, _ = await self._database.run(accounts.find, token)
        if name is None:
            raise framerpc.Unauthenticated("nobody has this token; register, or log in again")
        return name

    @staticmethod
    def authorize(call: framerpc.CallContext) -> None:
        """Let those without an account make one, and nothing else."""
        ours = call.method.startswith("Chat/")
        if ours and call.identity is None and call.method != "Chat/register":
            raise framerpc.Unauthenticated("make an account first: call Chat/register")

    async def authorize_topic(self, identity: str | None, action: TopicAction, topic: str) -> bool:
        """Show who is in a room to its members; all else goes through the service."""
        prefix, _, room = topic.rpartition(".")
        if identity is None or prefix != "chat.here" or not room.isdecimal():
            return False
        if action not in {TopicAction.SUBSCRIBE, TopicAction.PRESENCE}:
            return False
        number = int(room)
        if number > GREATEST or topic != here(number).name:
            return False
        allowed, _ = await self._database.run(rooms.is_member, number, identity)
        return allowed

    # ------------------------------------------------------------------------------- accounts

    async def register(self, name: str, token: str) -> Account:
        account, _ = await self._database.run(accounts.register, name, token)
        return account

    def mine(self) -> Watch[Mine, Place]:
        return Watch(f"chat.account.{_caller()}", lambda: self._ask(rooms.mine))

    # ---------------------------------------------------------------------------------- rooms

    async def rooms(self) -> list[Room]:
        return await self._ask(rooms.public_rooms)

    async def create(self, name: str, about: str = "", *, private: bool = False) -> Place:
        return await self._change(rooms.create, name, about, private=private)

    async def direct(self, name: str) -> Place:
        return await self._change(rooms.direct, name)

    async def join(self, room: int) -> Place:
        return await self._change(rooms.join, room)

    async def leave(self, room: int) -> None:
        await self._change(rooms.leave, room)

    async def invite(self, room: int, name: str) -> None:
        await self._change(rooms.invite, room, name)

    async def describe(self, room: int, about: str) -> None:
        await self._change(rooms.describe, room, about)

    async def set_role(self, room: int, name: str, role: api.Role) -> None:
        await self._change(rooms.set_role, room, name, role)

    def room(self, room: int, last: int = 50) -> Watch[RoomState, Event]:
        async def authorize() -> None:  # also when it resumes, and no snapshot is taken
            await self._ask(rooms.role_of, room)

        return Watch(
            f"chat.room.{room}",
            lambda: self._ask(messages.room_state, room, last),
            authorize=authorize,
        )

    # ------------------------------------------------------------------------------- messages

    async def say(self, room: int, text: str, key: str, file: int | None = None) -> Message:
        if file is None and not text.strip():
            raise framerpc.InvalidArgument("text: say something, or send a file")
        return await self._change(messages.say, room, text, key=key, file=file)

    async def history(
        self, room: int, *, before: int | None = None, after: int = 0, limit: int = 50
    ) -> list[Message]:
        return await self._ask(messages.history, room, before=before, after=after, limit=limit)

    async def edit(self, room: int, number: int, text: str) -> Message:
        return await self._change(messages.edit, room, number, text)

    async def delete(self, room: int, number: int) -> Message:
        return await self._change(messages.delete, room, number)

    async def react(self, room: int, number: int, emoji: str, *, on: bool = True) -> Message:
        return await self._change(messages.react, room, number, emoji, on=on)

    async def read(self, room: int, number: int) -> None:
        await self._change(rooms.read, room, number)

    async def typing(self, room: int) -> None:
        await self._ask(rooms.role_of, room)
        await framerpc.current_call().server.publish(here(room), Typing(_caller()))

    async def search(
        self, text: str, *, room: int | None = None, before: int | None = None, limit: int = 20
    ) -> Found:
        return await self._ask(messages.search, text, room=room, before=before, limit=limit)

    # ---------------------------------------------------------------------------------- files

    async def upload(
        self,
        room: int,
        name: str,
        type: str,  # noqa: A002 - as in the contract
        parts: AsyncIterator[bytes],
    ) -> File:
        file = await self._ask(files.begin, room, name, type)
        try:
            digest, size, number = hashlib.sha256(), 0, 0
            async for chunks in _batches(parts):
                for chunk in chunks:
                    digest.update(chunk)
                    size += len(chunk)
                await self._database.run(files.add, file, number, chunks)
                number += len(chunks)
            taken, _ = await self._database.run(files.finish, file, size, digest.hexdigest())
        except BaseException:  # the caller went away, too: its stream has ended
            await asyncio.shield(self._database.run(files.drop, file))
            raise
        return taken

    async def discard(self, file: int) -> None:
        await self._ask(files.discard, file)

    async def download(self, file: int, *, skip: int = 0) -> AsyncGenerator[bytes, None]:
        # No file is longer; and a number may be greater than SQLite can count.
        for number in itertools.count(min(skip, LONGEST_FILE // CHUNK)):
            chunk = await self._ask(files.chunk, file, number)
            if chunk is None:
                return
            yield chunk

    # ---------------------------------------------------------------------------- inner parts

    async def _ask(
        self,
        question: Callable[Concatenate[Transaction, str, _P], _T],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _T:
        """Run a transaction of the caller's that nobody else needs to hear of."""
        answer, _ = await self._database.run(question, _caller(), *args, **kwargs)
        return answer

    async def _change(
        self,
        change: Callable[Concatenate[Transaction, str, _P], _T],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _T:
        """Run a transaction of the caller's, then tell what it changed.

        A caller who goes away in between stops neither.
        """
        task = asyncio.ensure_future(self._apply(change, *args, **kwargs))
        self._changes.add(task)
        task.add_done_callback(self._changes.discard)
        return await asyncio.shield(task)

    async def _apply(
        self,
        change: Callable[Concatenate[Transaction, str, _P], _T],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _T:
        result, told = await self._database.run(change, _caller(), *args, **kwargs)
        await _tell(framerpc.current_call().server, told)
        return result


async def _tell(server: framerpc.Server, told: Told) -> None:
    for room, event in told.rooms:
        await server.publish(f"chat.room.{room}", event)
    for name, place in told.accounts:
        await server.publish(f"chat.account.{name}", place)
    for name in told.removed:
        server.recheck(name)


def _caller() -> str:
    who: str = framerpc.current_call().identity
    return who


async def _batches(parts: AsyncIterator[bytes]) -> AsyncIterator[list[bytes]]:
    """Cut a stream of bytes into chunks, and hand them out several at a time.

    Raises:
        TooMany: It is longer than a file may be.
    """
    waiting, size = bytearray(), 0
    async for part in parts:
        size += len(part)
        if size > LONGEST_FILE:
            raise TooMany(what="bytes of a file", limit=LONGEST_FILE)
        waiting += part
        while len(waiting) >= _BATCH * CHUNK:
            yield _chunks(waiting[: _BATCH * CHUNK])
            del waiting[: _BATCH * CHUNK]
    if waiting:
        yield _chunks(waiting)


def _chunks(content: bytearray) -> list[bytes]:
    return [bytes(content[start : start + CHUNK]) for start in range(0, len(content), CHUNK)]
