"""A member that is a program: it hears a room and says each line of its standard input there.

What it hears is printed as JSON, one line each: messages, once and in order, and who comes and
goes. It survives lost connections and restarts of the server by what framerpc does anyway: watches
go on, and a call that may be sent again is. With `--blocking` it uses the blocking client: one
thread hears, another one talks.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import sys
import threading
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Final

import framerpc
import framerpc.sync
from examples.chat.api import Chat, Message, NameTaken, Room, RoomState, here
from examples.chat.client.wording import explain
from framerpc import Change, Snapshot

__all__ = ["main"]

_PAGE: Final = 200
"""Messages that are asked for at once; the contract allows no more."""


def _show(kind: str, who: str, text: str = "", number: int = 0) -> None:
    print(json.dumps({"kind": kind, "who": who, "text": text, "number": number}), flush=True)


def _messages(update: object) -> list[Message]:
    """Return the messages of an update: of a snapshot all of them, of a change that one."""
    match update:
        case Snapshot(RoomState() as state):
            return state.messages
        case Change(Message() as message):
            return [message]
        case _:
            return []


# -------------------------------------------------------------------------------- asynchronous


async def _talk(url: str, name: str, token: str | None, room_name: str) -> None:
    if token is None:
        token = secrets.token_urlsafe()
        async with framerpc.connect(url) as guest:
            await guest.stub(Chat).register(name, token)
    _show("token", name, token)
    async with framerpc.connect(url, token=token) as client:
        chat = client.stub(Chat)
        room = await _enter(chat, room_name)
        async with asyncio.TaskGroup() as tasks:
            hearing = [tasks.create_task(_hear(chat, room)), tasks.create_task(_see(client, room))]
            while text := await asyncio.to_thread(sys.stdin.readline):
                if text.strip():
                    await chat.say(room, text.rstrip("\n"), uuid.uuid4().hex)
            for task in hearing:
                task.cancel()


async def _enter(chat: Chat, name: str) -> int:
    """Join the room of this name; make it if there is none."""
    try:
        return (await chat.create(name)).room.id
    except NameTaken:
        return (await chat.join(_called(name, await chat.rooms()))).room.id


def _called(name: str, rooms: list[Room]) -> int:
    """Return the id of the room that has a name.

    Raises:
        LookupError: None has; or one that is private.
    """
    for room in rooms:
        if room.name.casefold() == name.casefold():
            return room.id
    raise LookupError(f"there is no public room {name}")


async def _hear(chat: Chat, room: int) -> None:
    async for message in _heard(chat, room):
        _show("said", message.who, message.text, message.number)


async def _heard(chat: Chat, room: int) -> AsyncIterator[Message]:
    """Yield each message of a room once and in order, whatever becomes of the connection."""
    last: int | None = None
    async for update in chat.room(room):
        for message in _messages(update):
            while last is not None and last + 1 < message.number:  # more than a snapshot holds
                before = min(last + 1 + _PAGE, message.number)
                for missed in await chat.history(room, after=last, before=before, limit=_PAGE):
                    yield missed
                last = before - 1
            if last is None or message.number > last:  # and no edit of an older one
                last = message.number
                yield message


async def _see(client: framerpc.Client, room: int) -> None:
    """Be present, and tell who else is."""
    async with client.subscribe(here(room)):
        present: set[str] = set()
        async for update in client.presence(here(room)):
            before = set(present)
            match update:
                case Snapshot(value):
                    present = {member.name for member in value.members}
                case Change(value) if value.left is None:
                    present.add(value.member.name)
                case Change(value):
                    present.discard(value.member.name)
            for who in sorted(present - before):
                _show("came", who)
            for who in sorted(before - present):
                _show("went", who)


# ------------------------------------------------------------------------------------ blocking


def _talk_blocking(url: str, name: str, token: str | None, room_name: str) -> None:
    if token is None:
        token = secrets.token_urlsafe()
        with framerpc.sync.connect(url) as guest:
            guest.call(Chat.register, name, token)
    _show("token", name, token)
    with framerpc.sync.connect(url, token=token) as client:
        room = client.call(Chat.join, _called(room_name, client.call(Chat.rooms))).room
        updates = client.stream(Chat.room, room.id)

        def hear() -> None:
            try:
                for message in _heard_blocking(client, room.id, updates):
                    _show("said", message.who, message.text, message.number)
            except framerpc.FrameRPCError as error:
                sys.stderr.write(f"{name}: {error}\n")

        hearing = threading.Thread(target=hear)
        hearing.start()
        for text in filter(str.strip, sys.stdin):
            client.call(Chat.say, room.id, text.rstrip("\n"), uuid.uuid4().hex)
        updates.close()
        hearing.join()


def _heard_blocking(
    client: framerpc.sync.SyncClient, room: int, updates: Iterator[object]
) -> Iterator[Message]:
    """Do what `_heard` does."""
    last: int | None = None
    for update in updates:
        for message in _messages(update):
            while last is not None and last + 1 < message.number:
                before = min(last + 1 + _PAGE, message.number)
                yield from client.call(Chat.history, room, after=last, before=before, limit=_PAGE)
                last = before - 1
            if last is None or message.number > last:
                last = message.number
                yield message


def main() -> int:
    """Run one member until its input ends; return an exit code."""
    parser = argparse.ArgumentParser(
        prog="examples.chat.bot",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("url", help="the server, for programs")
    parser.add_argument("name", help="who it is")
    parser.add_argument("--token", help="that proves it; without one it makes an account")
    parser.add_argument("--room", default="lobby", help="where it talks (%(default)s)")
    parser.add_argument("--blocking", action="store_true", help="use the blocking client")
    options = parser.parse_args()
    member = (options.url, options.name, options.token, options.room)
    code = 0
    try:
        if options.blocking:
            _talk_blocking(*member)
        else:
            asyncio.run(_talk(*member))
    except* (framerpc.FrameRPCError, LookupError) as failed:  # alone, or from the tasks that hear
        sys.stderr.write(f"{options.name}: {explain(failed.exceptions[0])}\n")
        code = 1
    return code


if __name__ == "__main__":
    sys.exit(main())
