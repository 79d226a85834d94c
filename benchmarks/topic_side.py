"""The clients of the topics benchmark: `python -m benchmarks.topic_side framerpc|nats URL …`.

One publisher and many subscriber connections in one process. First as many messages as go
through, with a bound on how far the publisher may be ahead, so that nobody drops any; then a few
messages a second, for the time from publish to receipt.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import struct
import sys
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Protocol

import framerpc
from framerpc.adapters.uvloop import run

if TYPE_CHECKING:
    from collections.abc import Callable

SIZE = 128
AHEAD = 500
"""Messages that the publisher may be ahead of the slowest subscriber."""

_STAMP = struct.Struct("<q")


class Side(Protocol):
    """What is measured."""

    async def subscribe(self, stack: AsyncExitStack, got: Callable[[bytes], None]) -> None:
        """Open a connection of its own that calls `got` with each message."""

    async def connect(self, stack: AsyncExitStack) -> None:
        """Open the connection of the publisher."""

    async def publish(self, data: bytes) -> None:
        """Publish, without waiting for an answer."""


class FrameRPC:
    """framerpc."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def subscribe(self, stack: AsyncExitStack, got: Callable[[bytes], None]) -> None:
        """See `Side`."""
        client = await stack.enter_async_context(framerpc.connect(self._url))
        messages = await stack.enter_async_context(client.subscribe("bench", type=bytes))

        async def follow() -> None:
            async for message in messages:
                got(message.data)

        task = asyncio.create_task(follow())
        stack.callback(task.cancel)

    async def connect(self, stack: AsyncExitStack) -> None:
        """See `Side`."""
        self._client = await stack.enter_async_context(framerpc.connect(self._url))
        await self._client.ready()

    async def publish(self, data: bytes) -> None:
        """See `Side`."""
        await self._client.publish("bench", data, ack=False)


class Nats:
    """nats-py."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def subscribe(self, stack: AsyncExitStack, got: Callable[[bytes], None]) -> None:
        """See `Side`."""
        client = await _nats().connect(self._url)
        stack.push_async_callback(client.close)

        async def handle(message: Any) -> None:
            got(message.data)

        await client.subscribe("bench", cb=handle)
        await client.flush()

    async def connect(self, stack: AsyncExitStack) -> None:
        """See `Side`."""
        self._client = await _nats().connect(self._url)
        stack.push_async_callback(self._client.close)

    async def publish(self, data: bytes) -> None:
        """See `Side`."""
        await self._client.publish("bench", data)


def _nats() -> Any:
    """Return nats-py, an extra that only this benchmark knows."""
    return importlib.import_module("nats")


SIDES: dict[str, Callable[[str], Side]] = {"framerpc": FrameRPC, "nats": Nats}


class Counter:
    """What one subscriber has got."""

    def __init__(self, latencies: list[float]) -> None:
        self.count = 0
        self._latencies = latencies

    def got(self, data: bytes) -> None:
        """Count a message, and the time that it took if it says when it left."""
        self.count += 1
        (stamp,) = _STAMP.unpack_from(data)
        if stamp:
            self._latencies.append((time.perf_counter_ns() - stamp) / 1e3)


async def _all_got(counters: list[Counter], count: int) -> None:
    while min(counter.count for counter in counters) < count:  # noqa: ASYNC110 - both sides alike
        await asyncio.sleep(0.0002)


async def measure(side: Side, subscribers: int, seconds: float) -> dict[str, float]:
    """Return deliveries a second, and microseconds from publish to receipt."""
    latencies: list[float] = []
    counters = [Counter(latencies) for _ in range(subscribers)]
    async with AsyncExitStack() as stack:
        for counter in counters:
            await side.subscribe(stack, counter.got)
        await side.connect(stack)
        published = 0
        plain = bytes(SIZE)
        for duration in (0.3, seconds):  # the first one is to warm up
            begun, started = published, time.perf_counter()
            while time.perf_counter() < started + duration:
                for _ in range(50):
                    await side.publish(plain)
                published += 50
                await _all_got(counters, published - AHEAD)
            await _all_got(counters, published)
            rate = (published - begun) * subscribers / (time.perf_counter() - started)
        for _ in range(int(seconds * 200)):
            await asyncio.sleep(0.005)
            await side.publish(_STAMP.pack(time.perf_counter_ns()) + bytes(SIZE - _STAMP.size))
            published += 1
        await _all_got(counters, published)
    latencies.sort()
    return {
        "rate": rate,
        "median_us": latencies[len(latencies) // 2],
        "p99_us": latencies[len(latencies) * 99 // 100],
    }


async def _serve() -> None:
    async with framerpc.Server().listen("tcp://127.0.0.1:0") as server:
        print(server.url, flush=True)
        await asyncio.Event().wait()


def main(words: list[str]) -> None:
    """Serve, or measure one side and print what came out."""
    if words == ["serve"]:
        run(_serve())
        return
    name, url, subscribers, seconds = words
    print(json.dumps(run(measure(SIDES[name](url), int(subscribers), float(seconds)))))


if __name__ == "__main__":
    main(sys.argv[1:])
