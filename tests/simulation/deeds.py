"""What clients do, and the service that they do it with: each writes down what it saw.

A deed is one call of one kind. A further kind is a method of the service, a function here, and a
row of `DEEDS`; those about topics are in `topical`, and need no method.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import framerpc
from tests.simulation.history import Execution
from tests.simulation.topical import publish, publish_with_key

if TYPE_CHECKING:
    from tests.simulation.history import Call, History
    from tests.simulation.scenario import CallPlan

__all__ = ["DEEDS", "Deed", "Node"]


@framerpc.service
class Node:
    """Methods of every shape; each is told the number of its call, and answers with its own.

    Args:
        history: Where executions are written down.
        server: The number of the address.
        life: Which of the servers that stood there one after another.
    """

    def __init__(self, history: History, server: int, life: int) -> None:
        self._history = history
        self._server = server
        self._life = life

    @contextmanager
    def _recorded(self, call: int) -> Iterator[Execution]:
        loop = asyncio.get_running_loop()
        one = Execution(
            id=len(self._history.executions),
            call=call,
            server=self._server,
            life=self._life,
            attempt=framerpc.current_call().attempt,
            began=loop.time(),
        )
        self._history.executions.append(one)
        try:
            yield one
        except (asyncio.CancelledError, GeneratorExit):
            one.how = "cancelled"
            raise
        except BaseException:
            one.how = "raised"
            raise
        else:
            one.how = "returned"
        finally:
            one.ended = loop.time()

    async def _work(self, call: int, seconds: float, failures: int, payload: bytes) -> list[int]:
        with self._recorded(call) as one:
            if seconds:
                await asyncio.sleep(seconds)
            if sum(each.call == call for each in self._history.executions) <= failures:
                raise framerpc.Unavailable("not in the mood")
        return [one.id, len(payload)]

    @framerpc.method
    async def write(self, call: int, seconds: float, failures: int, payload: bytes) -> list[int]:
        return await self._work(call, seconds, failures, payload)

    @framerpc.method(idempotent=True)
    async def read(self, call: int, seconds: float, failures: int, payload: bytes) -> list[int]:
        return await self._work(call, seconds, failures, payload)

    @framerpc.method(once=True)
    async def once(self, call: int, seconds: float, failures: int, payload: bytes) -> list[int]:
        return await self._work(call, seconds, failures, payload)

    @framerpc.method
    async def down(
        self, call: int, seconds: float, items: int, size: int
    ) -> AsyncGenerator[tuple[int, int, bytes], None]:
        with self._recorded(call) as one:
            for n in range(items):
                yield one.id, n, bytes(size)
                if seconds:
                    await asyncio.sleep(seconds)

    @framerpc.method(resume="skip")
    async def resume(
        self, call: int, seconds: float, items: int, size: int, *, skip: int = 0
    ) -> AsyncGenerator[tuple[int, int, bytes], None]:
        with self._recorded(call) as one:
            for n in range(skip, items):
                yield one.id, n, bytes(size)
                if seconds:
                    await asyncio.sleep(seconds)

    @framerpc.method
    async def up(self, call: int, numbers: AsyncIterator[int]) -> int:
        with self._recorded(call) as one:
            async for n in numbers:
                one.items.append(n)
            one.whole = True
        return one.id

    @framerpc.method
    async def both(
        self, call: int, numbers: AsyncIterator[int]
    ) -> AsyncGenerator[tuple[int, int, bytes], None]:
        with self._recorded(call) as one:
            async for n in numbers:
                one.items.append(n)
                yield one.id, n, b""
            one.whole = True


async def _simple(method: Callable[..., Awaitable[list[int]]], call: Call, plan: CallPlan) -> None:
    answer = await method(call.id, plan.seconds, plan.failures, bytes(plan.size))
    call.receipt, size = answer
    assert size == plan.size, f"{plan.size} bytes were sent, {size} arrived"
    call.whole = True


async def _write(client: framerpc.Client, call: Call, plan: CallPlan) -> None:
    await _simple(client.stub(Node).write, call, plan)


async def _read(client: framerpc.Client, call: Call, plan: CallPlan) -> None:
    await _simple(client.stub(Node).read, call, plan)


async def _once(client: framerpc.Client, call: Call, plan: CallPlan) -> None:
    await _simple(client.stub(Node).once, call, plan)


async def _down(client: framerpc.Client, call: Call, plan: CallPlan) -> None:
    await _take(client.stub(Node).down(call.id, plan.seconds, plan.items, plan.size), call, plan)


async def _resume(client: framerpc.Client, call: Call, plan: CallPlan) -> None:
    stream = client.stub(Node).resume(call.id, plan.seconds, plan.items, plan.size)
    await _take(stream, call, plan, several=True)


async def _up(client: framerpc.Client, call: Call, plan: CallPlan) -> None:
    call.receipt = await client.stub(Node).up(call.id, _numbers(call, plan))
    call.whole = True


async def _both(client: framerpc.Client, call: Call, plan: CallPlan) -> None:
    await _take(client.stub(Node).both(call.id, _numbers(call, plan)), call, plan)


async def _take(
    stream: AsyncGenerator[tuple[int, int, bytes], None],
    call: Call,
    plan: CallPlan,
    *,
    several: bool = False,
) -> None:
    async with aclosing(stream):
        async for execution, n, _ in stream:
            assert several or call.receipt in {None, execution}, "one stream of two executions"
            call.receipt = execution
            call.items.append(n)
            if len(call.items) == plan.leave:
                return
        call.whole = True


async def _numbers(call: Call, plan: CallPlan) -> AsyncGenerator[int, None]:
    for n in range(plan.items):
        call.sent.append(n)
        yield n
        if plan.seconds:
            await asyncio.sleep(plan.seconds)


@dataclass(frozen=True, slots=True)
class Deed:
    """One kind of call.

    Attributes:
        run: Does it, and writes down in the call what it saw.
        idempotent: Its method may be executed again.
    """

    run: Callable[[framerpc.Client, Call, CallPlan], Coroutine[Any, Any, None]]
    idempotent: bool = False


DEEDS: Final = {
    "write": Deed(_write),
    "read": Deed(_read, idempotent=True),
    "once": Deed(_once),
    "down": Deed(_down),
    "resume": Deed(_resume, idempotent=True),
    "up": Deed(_up),
    "both": Deed(_both),
    "publish": Deed(publish),
    "publish_with_key": Deed(publish_with_key, idempotent=True),
}
"""What a client can do."""
