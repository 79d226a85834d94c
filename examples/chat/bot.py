"""A member of the chat that is driven through its standard input, for the demo and the tests.

It follows a room and prints each line as JSON; each line of its input is said in the room. With
`--blocking` it uses the blocking client: one thread follows, another one talks.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import sys
import threading

import framerpc
import framerpc.sync
from examples.chat.service import Chat, Line

__all__ = ["main"]


def _show(line: Line) -> None:
    print(json.dumps(dataclasses.asdict(line)), flush=True)


async def _talk(url: str, name: str, room: str) -> None:
    async with framerpc.connect(url, token=name) as client:
        chat = client.stub(Chat)

        async def follow() -> None:
            async for line in chat.follow(room):
                _show(line)

        following = asyncio.create_task(follow())
        try:
            while text := await asyncio.to_thread(sys.stdin.readline):
                await chat.say(room, text.rstrip("\n"))
        finally:
            following.cancel()
            await asyncio.wait([following])


def _talk_blocking(url: str, name: str, room: str) -> None:
    with framerpc.sync.connect(url, token=name) as client:
        lines = client.stream(Chat.follow, room)

        def follow() -> None:
            try:
                for line in lines:
                    _show(line)
            except framerpc.FrameRPCError:
                return  # the room, or we, are gone

        following = threading.Thread(target=follow)
        following.start()
        for text in sys.stdin:
            client.call(Chat.say, room, text.rstrip("\n"))
        lines.close()
        following.join()


def main() -> None:
    """Run one member until its input ends."""
    parser = argparse.ArgumentParser(prog="examples.chat.bot", description=__doc__)
    parser.add_argument("url")
    parser.add_argument("name")
    parser.add_argument("room")
    parser.add_argument("--blocking", action="store_true", help="use the blocking client")
    options = parser.parse_args()
    if options.blocking:
        _talk_blocking(options.url, options.name, options.room)
    else:
        asyncio.run(_talk(options.url, options.name, options.room))


if __name__ == "__main__":
    main()
