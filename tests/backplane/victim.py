"""A process that publishes until it is killed, and prints each receipt when it has it.

Run as `python -m tests.backplane.victim FILE`.
"""

from __future__ import annotations

import asyncio
import os
import sys

from framerpc.backplane.sqlite import SqliteStore
from framerpc.pubsub.store import Message
from framerpc.topic_config import TopicPolicy

__all__ = ["POLICY", "main"]

POLICY = TopicPolicy(">", history=1_000_000)


async def main(path: str) -> None:
    """Publish on three topics at once, in any order of commits that comes."""
    store = SqliteStore(path)
    await store.open(lambda _: 0, 0.0)

    async def publish(topic: str) -> None:
        number = 0
        while True:
            number += 1
            data = f"{os.getpid()}.{number}"
            message = Message(topic, data.encode(), POLICY, key=data)
            receipt = await store.append(message, asyncio.get_running_loop().time())
            # One write each, so that a kill cuts no line in the middle.
            os.write(1, f"{topic} {receipt.position} {data}\n".encode())

    await asyncio.gather(*[publish(topic) for topic in "abc" for _ in range(5)])


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
