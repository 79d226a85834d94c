"""Many subscribers at once: `python -m benchmarks.topic_scale`.

10,000 subscriptions on 1,000 topics: how long it takes until all are there, and until a message to
each topic has reached all of them. Then 5,000 subscribers lose their connections while messages
are published: how long until all of them have everything, in order and once.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

import framerpc
from framerpc import TopicLimits, TopicPolicy
from framerpc.adapters.uvloop import run

EACH = 125
"""Subscriptions of one connection."""

LIMITS = TopicLimits(subscribe_rate=10_000)


class Crowd:
    """Subscribers in this process, on connections that they share by `EACH`."""

    def __init__(self) -> None:
        self.clients: list[framerpc.Client] = []
        self.got: list[list[int]] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def gather(self, stack: AsyncExitStack, url: str, count: int, topics: int) -> None:
        """Subscribe so many times, on so many topics in turn."""

        async def subscribe(client: framerpc.Client, number: int) -> None:
            topic = f"load.{number % topics}"
            messages = client.subscribe(topic, type=int)
            await stack.enter_async_context(messages)
            got: list[int] = []
            self.got.append(got)
            self._tasks.append(asyncio.create_task(self._follow(messages, got)))

        for first in range(0, count, EACH):
            client = await stack.enter_async_context(framerpc.connect(url))
            self.clients.append(client)
            await asyncio.gather(*(subscribe(client, first + n) for n in range(EACH)))
        stack.callback(lambda: [task.cancel() for task in self._tasks])

    @staticmethod
    async def _follow(messages: framerpc.Subscription[int], got: list[int]) -> None:
        async for message in messages:
            got.append(message.data)  # noqa: PERF401 - others look at it meanwhile

    async def until(self, count: int) -> None:
        """Wait until everybody has got so many messages."""
        while min(map(len, self.got)) < count:  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0.005)


async def fan_out(subscriptions: int, topics: int) -> None:
    """Measure subscribing and one message to each topic."""
    server = framerpc.Server(topic_limits=LIMITS)
    async with server.listen("tcp://127.0.0.1:0", grace=0), AsyncExitStack() as stack:
        crowd = Crowd()
        started = time.perf_counter()
        await crowd.gather(stack, server.url, subscriptions, topics)
        there = time.perf_counter()
        for topic in range(topics):
            await server.publish(f"load.{topic}", 0)
        await crowd.until(1)
        done = time.perf_counter()
    print(
        f"{subscriptions:,} subscriptions on {topics:,} topics: {there - started:.2f} s to make "
        f"them, {done - there:.2f} s for a message on each topic"
    )


async def recovery(subscribers: int, topics: int, missed: int) -> None:
    """Measure how long everybody takes to come back and read what was missed."""
    policies = [TopicPolicy("load.>", history=missed)]
    server = framerpc.Server(topics=policies, topic_limits=LIMITS)
    async with server.listen("tcp://127.0.0.1:0", grace=0), AsyncExitStack() as stack:
        crowd = Crowd()
        await crowd.gather(stack, server.url, subscribers, topics)
        for client in crowd.clients:
            await client.drop_connections()
        started = time.perf_counter()
        for number in range(missed):
            for topic in range(topics):
                await server.publish(f"load.{topic}", number)
        await crowd.until(missed)
        took = time.perf_counter() - started
        whole = sum(got == list(range(missed)) for got in crowd.got)
    print(
        f"{subscribers:,} subscribers recover {missed} messages each at once: {took:.2f} s; "
        f"{whole:,} got all of them, in order and once"
    )


async def main() -> None:
    """Measure both."""
    await fan_out(10_000, 1000)
    await recovery(5000, 100, 20)


if __name__ == "__main__":
    run(main())
