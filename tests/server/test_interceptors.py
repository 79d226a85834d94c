"""Interceptors and the current call: one shape on both sides, for calls and for streams."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

import framerpc
from framerpc import CallContext, Stream, current_call
from framerpc.call import Body, Buffer, Handler, NoCurrentCall
from framerpc.testing import virtual_time
from tests.services import Work, pair


async def counted(items: AsyncIterator[Buffer], log: list[str], name: str) -> AsyncIterator[Buffer]:
    try:
        async for item in items:
            log.append(f"{name} item")
            yield item
    finally:
        log.append(f"{name} closed")


class Logging:
    """An interceptor that notes what passes, and does not know which side it is on."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.name = name
        self.log = log

    async def __call__(self, context: CallContext, body: Body, proceed: Handler) -> Body:
        self.log.append(f"{self.name} in")
        if isinstance(body, Stream):
            body = Stream(counted(body.items, self.log, f"{self.name} upload"), body.head)
        result = await proceed(context, body)
        self.log.append(f"{self.name} out")
        if isinstance(result, Stream):
            return Stream(counted(result.items, self.log, f"{self.name} result"))
        return result


@virtual_time
async def test_interceptors_nest_on_both_sides_and_the_first_is_the_outermost() -> None:
    """A call passes the client's interceptors, then the server's, and back."""
    log: list[str] = []
    server = framerpc.Server(Work(), interceptors=[Logging("c", log), Logging("d", log)])
    async with pair(server, interceptors=[Logging("a", log), Logging("b", log)]) as client:
        assert await client.call("Work/echo", 5) == 5
    assert log == [f"{n} in" for n in "abcd"] + [f"{n} out" for n in "dcba"]


@virtual_time
async def test_interceptors_wrap_streams_both_ways() -> None:
    """The same interceptor sees each item of an upload and of a result, on both sides."""

    async def two() -> AsyncIterator[int]:
        yield 1
        yield 2

    log: list[str] = []
    server = framerpc.Server(Work(), interceptors=[Logging("server", log)])
    async with pair(server, interceptors=[Logging("client", log)]) as client:
        assert [n async for n in client.stream(Work.squares, two())] == [1, 4]
        await asyncio.sleep(1)
    for side in ("client", "server"):
        for stream in ("upload", "result"):
            assert log.count(f"{side} {stream} item") == 2
            assert log.count(f"{side} {stream} closed") == 1


@virtual_time
async def test_closing_early_passes_interceptors() -> None:
    """A stream left early closes what the interceptors of both sides put around it."""
    log: list[str] = []
    work = Work()
    server = framerpc.Server(work, interceptors=[Logging("server", log)])
    async with pair(server, interceptors=[Logging("client", log)]) as client:
        async with client.stream(Work.ticks, 60) as stream:
            await anext(stream)
        await asyncio.wait_for(work.ended.wait(), 1)
        await asyncio.sleep(1)
    assert "client result closed" in log
    assert "server result closed" in log


@virtual_time
async def test_interceptor_may_answer_by_itself() -> None:
    """A body that an interceptor returns is the result; the call goes no further."""

    async def cache(context: CallContext, body: Body, proceed: Handler) -> Body:
        return b"\x2a"

    async with pair(framerpc.Server(Work()), interceptors=[cache]) as client:
        assert await client.call("nobody/knows") == 42


@virtual_time
async def test_interceptor_of_the_wrong_shape_is_told() -> None:
    """A stream for a single value, or the reverse, is a mistake that names the method."""

    async def single(context: CallContext, body: Body, proceed: Handler) -> Body:
        return b"\xc0"

    async def stream(context: CallContext, body: Body, proceed: Handler) -> Body:
        return Stream(counted(nothing(), [], ""))

    async def nothing() -> AsyncIterator[Buffer]:
        yield b""

    async with pair(framerpc.Server(Work()), interceptors=[single]) as client:
        with pytest.raises(framerpc.ConfigurationError, match="Work/count"):
            await anext(client.stream(Work.count, 1))
    async with pair(framerpc.Server(Work()), interceptors=[stream]) as client:
        with pytest.raises(framerpc.ConfigurationError, match="Work/echo"):
            await client.call("Work/echo", 1)


@virtual_time
async def test_interceptor_sees_errors_as_the_caller_would() -> None:
    """An interceptor of the client may turn an error into a result."""

    async def calm(context: CallContext, body: Body, proceed: Handler) -> Body:
        try:
            return await proceed(context, body)
        except framerpc.PermissionDenied as exc:
            named.append(exc.method)
            return b"\xc0"

    named: list[str] = []

    async with pair(framerpc.Server(Work()), interceptors=[calm]) as client:
        assert await client.call("Work/fail", "PermissionDenied") is None
    assert named == ["Work/fail"]


@virtual_time
async def test_current_call_knows_everything_about_it() -> None:
    """A handler sees method, peer, identity, metadata, remaining time and server."""
    server = framerpc.Server(Work(), authenticate=lambda credentials: credentials.token)
    async with pair(server, token="ada", metadata={"trace": "7"}, timeout=9) as client:
        seen = await client.call(Work.call)
    assert seen["method"] == "Work/call"
    assert seen["identity"] == "ada"
    assert seen["metadata"] == {"trace": "7"}
    assert 8 < seen["remaining"] <= 9
    assert seen["peer"].startswith("memory://")
    assert seen["server"] is True


async def test_current_call_works_in_threads() -> None:
    """A plain function sees its call from its worker thread."""
    async with pair(framerpc.Server(Work()), metadata={"a": "b"}) as client:
        seen = await client.call("Work/call_in_thread")
    assert seen["method"] == "Work/call_in_thread"
    assert seen["metadata"] == {"a": "b"}
    assert 29 < seen["remaining"] <= 30
    assert seen["server"] is True


@virtual_time
async def test_current_call_is_that_of_the_handler_in_tasks_and_interceptors() -> None:
    """Tasks of a handler see its call, interceptors of the server too; calls do not mix."""
    server = framerpc.Server(interceptors=[_check_current])

    @server.method
    async def inner(n: int) -> int:
        await asyncio.sleep(0.01 * (5 - n))

        async def ask() -> Any:
            return current_call().metadata["n"]

        return int(await asyncio.create_task(ask()))

    async with pair(server) as client:
        views = [client.with_options(metadata={"n": str(n)}) for n in range(5)]
        calls = (view.call("inner", n) for n, view in enumerate(views))
        assert await asyncio.gather(*calls) == list(range(5))


async def _check_current(context: CallContext, body: Body, proceed: Handler) -> Body:
    assert current_call() is context
    return await proceed(context, body)


def test_there_is_no_current_call_outside_a_handler() -> None:
    """`current_call()` elsewhere raises a LookupError that says where it works."""
    with pytest.raises(NoCurrentCall, match="inside methods"):
        current_call()
    assert threading.current_thread() is threading.main_thread()


@virtual_time
async def test_call_of_a_client_in_the_same_process_is_not_the_current_one() -> None:
    """A caller's own context is untouched by the handlers that run beside it."""
    async with pair(framerpc.Server(Work())) as client:
        await client.call(Work.call)
        with pytest.raises(NoCurrentCall):
            current_call()
