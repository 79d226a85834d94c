"""The service that the tests of the calling and the serving rooms share, and how to serve it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import tenacity

import framerpc

__all__ = ["NEVER", "Work", "pair", "soon", "wrapped"]

NEVER = framerpc.RetryPolicy(stop=tenacity.stop_after_attempt(1))
"""For tests about the first answer: what is refused is not tried again."""


@framerpc.service
class Work:
    """Methods of every shape, which tell what became of them."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.ended = asyncio.Event()
        self.let_go = threading.Event()
        self.started = 0
        self.cancelled = 0
        self.finished = 0
        self.produced = 0
        self.taken: list[Any] = []
        self.raised: BaseException | None = None

    @asynccontextmanager
    async def _watched(self) -> AsyncIterator[None]:
        self.started += 1
        self.entered.set()
        try:
            yield
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled += 1
            raise
        except BaseException as exc:
            self.raised = exc
            raise
        else:
            self.finished += 1
        finally:
            self.ended.set()

    @framerpc.method
    async def echo(self, value: Any) -> Any:
        return value

    @framerpc.method
    async def sleep(self, seconds: float) -> float:
        async with self._watched():
            await asyncio.sleep(seconds)
        return seconds

    @framerpc.method
    async def stubborn(self, seconds: float) -> str:
        """Not stopped by a single cancellation."""
        async with self._watched():
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                await asyncio.sleep(seconds)
        return "finished anyway"

    @framerpc.method
    def block(self) -> str:
        """Blocks a thread until the test lets it go."""
        self.started += 1
        self.let_go.wait(10)
        return "let go"

    @framerpc.method
    async def count(self, upto: int, size: int = 0) -> AsyncGenerator[Any, None]:
        async with self._watched():
            for n in range(upto):
                self.produced = n + 1
                yield bytes(size) if size else n

    @framerpc.method
    async def ticks(self, seconds: float) -> AsyncGenerator[int, None]:
        """One item, then one each so many seconds."""
        async with self._watched():
            n = 0
            while True:
                yield n
                n += 1
                await asyncio.sleep(seconds)

    @framerpc.method
    def count_in_thread(self, upto: int) -> Iterator[int]:
        yield from range(upto)

    @framerpc.method
    async def total(self, numbers: AsyncIterator[int]) -> int:
        async with self._watched():
            return sum([n async for n in numbers])

    @framerpc.method
    async def first(self, numbers: AsyncIterator[Any]) -> Any:
        """Take one item, and no more."""
        async for n in numbers:
            return n
        return None

    @framerpc.method
    async def squares(self, numbers: AsyncIterator[int]) -> AsyncGenerator[int, None]:
        async with self._watched():
            async for n in numbers:
                self.taken.append(n)
                yield n * n

    @framerpc.method
    async def fail(self, kind: str) -> None:
        raise getattr(framerpc, kind)("as asked")

    @framerpc.method
    async def fail_later(self, after: int) -> AsyncGenerator[int, None]:
        for n in range(after):
            yield n
        raise framerpc.PermissionDenied("no further")

    @framerpc.method
    async def call(self) -> dict[str, Any]:
        call = framerpc.current_call()
        return {
            "method": call.method,
            "identity": call.identity,
            "metadata": call.metadata,
            "remaining": call.remaining(),
            "peer": call.peer,
            "server": call.server is not None,
        }

    @framerpc.method
    def call_in_thread(self) -> dict[str, Any]:
        call = framerpc.current_call()
        return {
            "method": call.method,
            "metadata": call.metadata,
            "remaining": call.remaining(),
            "server": call.server is not None,
        }


@asynccontextmanager
async def pair(
    server: framerpc.Server, *, ready: bool = True, **options: Any
) -> AsyncIterator[framerpc.Client]:
    """Serve at `memory://work` and yield a client, which is ready unless told otherwise."""
    async with (
        server.listen("memory://work", grace=0),
        framerpc.connect("memory://work", **options) as client,
    ):
        if ready:
            await client.ready()
        yield client


async def soon(condition: Any) -> None:
    """Let the loop run until the condition is true; the test's own time limit ends it."""
    while not condition():  # noqa: ASYNC110 - what it waits for announces nothing
        await asyncio.sleep(0.001)


async def wrapped(
    context: framerpc.CallContext, body: framerpc.Body, proceed: framerpc.Handler
) -> framerpc.Body:
    """An interceptor that iterates over each stream itself."""
    result = await proceed(context, body)
    if not isinstance(result, framerpc.Stream):
        return result

    async def items() -> AsyncIterator[Any]:
        async for item in result.items:
            yield item

    return framerpc.Stream(items())
