"""Somebody in a room without a browser: says the lines of stdin, prints each message as JSON once.

    python -m tests.browser.member URL NAME ROOM

Connections and servers may be lost meanwhile. It stands on the contract alone.
"""

from __future__ import annotations

import asyncio
import json
import sys
import uuid

import framerpc
from examples.chat.api import Chat, Message
from framerpc import Change, Client, Snapshot


async def main(url: str, name: str, room_name: str) -> None:
    """Make an account, join the room, talk until the end of input."""
    async with framerpc.connect(url) as stranger:
        token = (await stranger.stub(Chat).register(name)).token
    async with framerpc.connect(url, token=token) as client:
        chat = client.stub(Chat)
        (room,) = [room.id for room in await chat.rooms() if room.name == room_name]
        await chat.join(room)
        listening = asyncio.create_task(_listen(client, room))
        while line := await asyncio.to_thread(sys.stdin.readline):
            await _say(client, room, line.rstrip("\n"))
        listening.cancel()


async def _say(client: Client, room: int, text: str) -> None:
    """Say it until the server has it; the key makes it one message."""
    key = uuid.uuid4().hex
    while True:
        try:
            await client.stub(Chat).say(room, text, key)
        except (framerpc.ConnectionLost, framerpc.DeadlineExceeded, framerpc.Unavailable):
            await asyncio.sleep(0.1)
        else:
            return


async def _listen(client: Client, room: int) -> None:
    """Print messages in the order of their numbers, each once."""
    told = 0
    async for update in client.stub(Chat).room(room):
        match update:
            case Snapshot(state):
                found = state.messages
            case Change(Message() as message):
                found = [message]
            case _:
                continue
        if found and found[0].number > told + 1:
            found = [*await _missing(client, room, told, found[0].number), *found]
        for message in found:
            if message.number == told + 1:
                told = message.number
                sys.stdout.write(json.dumps([message.number, message.who, message.text]) + "\n")
                sys.stdout.flush()


async def _missing(client: Client, room: int, after: int, before: int) -> list[Message]:
    found: list[Message] = []
    while before > after + 1:
        page = await client.stub(Chat).history(room, before=before, after=after, limit=200)
        if not page:
            break
        found = [*page, *found]
        before = page[0].number
    return found


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
