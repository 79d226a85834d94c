"""Streams as callers have them: back-pressure, early ends, errors of both sides."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import framerpc
from framerpc import ConfigurationError, Limits
from framerpc.testing import Network, ScriptedPeer, virtual_time
from tests.services import Work, pair, soon

WINDOW = 256 * 1024


async def upto(n: int) -> AsyncIterator[int]:
    for i in range(n):
        yield i


@virtual_time
async def test_slow_reader_holds_the_producer_back() -> None:
    """A producer runs ahead of its reader by one window of bytes, and no further."""
    work = Work()
    async with pair(framerpc.Server(work)) as client:
        stream = client.stream(Work.count, 1000, size=10_000)
        await anext(stream)
        await asyncio.sleep(5)
        assert WINDOW // 10_064 <= work.produced <= WINDOW // 10_064 + 4
        assert len([item async for item in stream]) == 999


@virtual_time
async def test_slow_handler_holds_the_uploading_caller_back() -> None:
    """A caller that sends a stream runs ahead of the handler by one window of bytes."""
    sent = 0

    async def items() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 1
            yield bytes(10_000)

    server = framerpc.Server()

    @server.method
    async def doze(items: AsyncIterator[bytes]) -> int:
        await asyncio.sleep(10)
        return sum([len(item) async for item in items])

    async with pair(server) as client:
        task = asyncio.create_task(client.call("doze", items()))
        await asyncio.sleep(5)
        assert WINDOW // 10_064 <= sent <= WINDOW // 10_064 + 4
        assert await task == 10_000_000


@virtual_time
async def test_closing_a_stream_stops_its_producer() -> None:
    """`aclose()` runs the `finally` of the handler, and the connection lives on."""
    work = Work()
    async with pair(framerpc.Server(work)) as client:
        stream = client.stream(Work.count, 1_000_000)
        assert await anext(stream) == 0
        await stream.aclose()
        await asyncio.wait_for(work.ended.wait(), 1)
        assert work.produced < 10_000
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        assert await client.call("Work/echo", 1) == 1


@virtual_time
async def test_leaving_the_block_around_a_stream_stops_its_producer() -> None:
    """`async with` around a stream closes it."""
    work = Work()
    async with pair(framerpc.Server(work)) as client:
        async with client.stream(Work.ticks, 60) as stream:
            await anext(stream)
        await asyncio.wait_for(work.ended.wait(), 1)


@virtual_time
async def test_dropping_the_last_reference_stops_the_producer() -> None:
    """A loop left with `break` stops the handler, though nobody closed the stream."""
    work = Work()
    async with pair(framerpc.Server(work)) as client:
        async for item in client.stream(Work.ticks, 60):
            assert item == 0
            break
        await asyncio.wait_for(work.ended.wait(), 1)
        await soon(lambda: not client.statistics()["calls_in_flight"])


@virtual_time
async def test_stream_dropped_behind_an_interceptor_stops_the_producer() -> None:
    """An interceptor that wraps the items does not keep a stream alive that nobody reads."""

    async def wrap(items: Any) -> AsyncIterator[Any]:
        async for item in items:
            yield item

    async def around(context: Any, body: Any, proceed: Any) -> Any:
        result = await proceed(context, body)
        return framerpc.Stream(wrap(result.items))

    work = Work()
    async with pair(framerpc.Server(work), interceptors=[around]) as client:
        async for _ in client.stream(Work.ticks, 60):
            break
        await asyncio.wait_for(work.ended.wait(), 1)


def test_stream_dropped_after_its_loop_was_closed_harms_nobody() -> None:
    """The garbage collector may find a stream when there is no loop any more."""
    kept: list[Any] = []

    @virtual_time
    async def run() -> None:
        async with pair(framerpc.Server(Work())) as client:
            stream = client.stream(Work.ticks, 60)
            await anext(stream)
            kept.append(stream)

    run()
    kept.clear()
    gc.collect()


@virtual_time
async def test_handler_that_takes_no_more_stops_the_uploading_caller() -> None:
    """The caller's generator is closed as soon as the handler has answered."""
    closed = asyncio.Event()

    async def endless() -> AsyncIterator[int]:
        try:
            while True:
                yield 7
                await asyncio.sleep(0)
        finally:
            closed.set()

    async with pair(framerpc.Server(Work())) as client:
        assert await client.call(Work.first, endless()) == 7
        await asyncio.wait_for(closed.wait(), 1)


@virtual_time
async def test_error_of_the_handler_follows_the_items_it_sent() -> None:
    """A stream that breaks gives its items first, then its error, then ends."""
    async with pair(framerpc.Server(Work())) as client:
        stream = client.stream(Work.fail_later, 3)
        assert [await anext(stream) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(framerpc.PermissionDenied, match="no further"):
            await anext(stream)
        with pytest.raises(StopAsyncIteration):
            await anext(stream)


@virtual_time
async def test_error_of_the_uploading_caller_reaches_the_handler() -> None:
    """The caller gets its own exception back, and the handler is told that the stream broke."""

    async def broken() -> AsyncIterator[int]:
        yield 1
        raise KeyError("mine")

    work = Work()
    async with pair(framerpc.Server(work)) as client:
        with pytest.raises(KeyError, match="mine"):
            await client.call(Work.total, broken())
        await asyncio.wait_for(work.ended.wait(), 1)
        assert isinstance(work.raised, framerpc.Cancelled)
        assert "KeyError" in str(work.raised)
        assert "mine" not in str(work.raised)


@virtual_time
async def test_error_of_the_caller_ends_a_call_with_two_streams() -> None:
    """In a call with streams both ways, the reader of the answer gets the upload's exception."""

    async def broken() -> AsyncIterator[int]:
        yield 3
        raise KeyError("mine")

    async with pair(framerpc.Server(Work())) as client:
        stream = client.stream(Work.squares, broken())
        with pytest.raises(KeyError, match="mine"):
            async for _ in stream:
                pass


@virtual_time
async def test_handler_that_swallows_the_error_of_the_upload_is_cancelled() -> None:
    """The caller has its exception at once; who goes on regardless is stopped after the grace."""
    loop = asyncio.get_running_loop()
    server = framerpc.Server()
    seen: list[float] = []

    @server.method
    async def regardless(numbers: AsyncIterator[int]) -> None:
        try:
            seen.append(await anext(numbers))
            await anext(numbers)
        except framerpc.Cancelled:
            seen.append(loop.time())
        try:
            await asyncio.sleep(3600)
        finally:
            seen.append(loop.time())

    async def broken() -> AsyncIterator[int]:
        yield 1
        raise KeyError("mine")

    async with pair(server, limits=Limits(cancel_grace=3), timeout=None) as client:
        started = loop.time()
        with pytest.raises(KeyError, match="mine"):
            await client.call("regardless", broken())
        assert loop.time() == started
        await asyncio.sleep(10)
        assert seen == [1, started, started + 3]
        assert client.statistics() == {"calls_in_flight": 0, "cancelled_stopped": 1}


@pytest.mark.parametrize("answers", [False, True])
@virtual_time
async def test_broken_upload_is_told_first_and_cancelled_only_if_need_be(answers: bool) -> None:
    """On the wire: ERROR about the upload at once, CANCEL after the grace unless the call ended."""

    async def broken() -> AsyncIterator[int]:
        yield 1
        raise KeyError("mine")

    async with ScriptedPeer() as peer:
        url = await peer.listen("memory://callee")
        async with framerpc.connect(url, limits=Limits(cancel_grace=3)) as client:
            call = asyncio.create_task(client.call(Work.total, broken()))
            await peer.accept()
            await peer.receive_frame()
            peer.preamble()
            peer.welcome()
            await peer.expect([8, 1, 2, "Work/total", ..., ..., ...])
            await peer.expect([13, 1, ...])
            await peer.expect([10, 1, 1, 0, "KeyError", None])
            started = asyncio.get_running_loop().time()
            with pytest.raises(KeyError):
                await call
            if answers:
                peer.send_frame([10, 1, 1, 1, "as you wish", None])
                await soon(lambda: not client.statistics()["calls_in_flight"])
                await asyncio.sleep(10)
                peer.send_frame([5, 7, None])
                await peer.expect([6, 7, ...])  # and nothing before it
            else:
                await peer.expect([11, 1, 0])
                assert asyncio.get_running_loop().time() == started + 3


@virtual_time
async def test_client_that_is_closed_waits_for_no_broken_upload() -> None:
    """The grace of a handler that goes on without its upload does not hold up the caller."""

    async def broken() -> AsyncIterator[int]:
        yield 1
        raise KeyError("mine")

    async with ScriptedPeer() as peer:
        url = await peer.listen("memory://callee")
        async with framerpc.connect(url, limits=Limits(cancel_grace=3)) as client:
            call = asyncio.create_task(client.call(Work.total, broken()))
            await peer.accept()
            await peer.receive_frame()
            peer.preamble()
            peer.welcome()
            with pytest.raises(KeyError):
                await call
            started = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() == started


@virtual_time
async def test_two_streams_of_a_call_interleave() -> None:
    """Each answer is had before the next question is asked."""
    questions: asyncio.Queue[int] = asyncio.Queue()

    async def ask() -> AsyncIterator[int]:
        while True:
            yield await questions.get()

    work = Work()
    async with pair(framerpc.Server(work)) as client:
        answers = client.stream(Work.squares, ask())
        for n in (3, 7, 11):
            questions.put_nowait(n)
            assert await anext(answers) == n * n
        await answers.aclose()
        await asyncio.wait_for(work.ended.wait(), 1)


async def test_items_may_be_longer_than_frame_and_window() -> None:
    """Items of 3 MiB cross a window of 256 KiB and frames of 1 MiB, with small calls between."""
    async with pair(framerpc.Server(Work())) as client:
        sizes = []
        async for item in client.stream(Work.count, 4, size=3 << 20):
            sizes.append(len(item))
            assert await client.call("Work/echo", 1) == 1
        assert sizes == [3 << 20] * 4


@virtual_time
async def test_item_over_the_limit_breaks_only_its_stream() -> None:
    """An item longer than the caller accepts ends the stream with MessageTooLarge."""
    limits = Limits(max_message=100_000)
    async with pair(framerpc.Server(Work()), limits=limits) as client:
        with pytest.raises(framerpc.MessageTooLarge, match="100000"):
            async for _ in client.stream(Work.count, 3, size=200_000):
                pass
        assert await client.call("Work/echo", 1) == 1


@virtual_time
async def test_uploaded_item_over_the_limit_breaks_only_its_call() -> None:
    """An item longer than the server accepts ends the call with MessageTooLarge."""

    async def big() -> AsyncIterator[bytes]:
        yield bytes(200_000)

    limits = Limits(max_message=100_000)
    async with pair(framerpc.Server(Work(), limits=limits)) as client:
        with pytest.raises(framerpc.MessageTooLarge, match=r"Work/first: .* 100000"):
            await client.call(Work.first, big())
        assert await client.call("Work/echo", 1) == 1


@virtual_time
async def test_many_streams_share_a_connection() -> None:
    """A stream that nobody reads does not hold up the others."""
    async with pair(framerpc.Server(Work())) as client:
        unread = client.stream(Work.count, 1000, size=10_000)
        await anext(unread)

        async def read() -> list[Any]:
            return [n async for n in client.stream(Work.count, 300)]

        results = await asyncio.gather(*(read() for _ in range(20)))
        assert results == [list(range(300))] * 20
        await unread.aclose()


@virtual_time
async def test_cancelled_wait_loses_no_item() -> None:
    """Waits for an item are cancelled again and again, and the sequence has no gap."""
    with Network() as network:
        async with pair(framerpc.Server(Work())) as client:
            network.delay(0.01, jitter=0.01)
            stream = client.stream(Work.ticks, 0.013)
            got: list[int] = []
            while len(got) < 50:
                try:
                    got.append(await asyncio.wait_for(anext(stream), 0.007))
                except TimeoutError:
                    continue
            assert got == list(range(50))
            await stream.aclose()


@virtual_time
async def test_connection_lost_in_the_middle_ends_the_stream() -> None:
    """The items that arrived are given out, then ConnectionLost is raised."""
    with Network() as network:
        async with pair(framerpc.Server(Work())) as client:
            stream = client.stream(Work.ticks, 60)
            assert await anext(stream) == 0
            network.cut()
            with pytest.raises(framerpc.ConnectionLost) as caught:
                await anext(stream)
            assert caught.value.executed == "maybe"


@virtual_time
async def test_plain_generator_may_be_uploaded() -> None:
    """A stream argument may be any iterable, for a method called by its declaration."""

    def numbers() -> Iterator[int]:
        yield from (1, 2, 3)

    async with pair(framerpc.Server(Work())) as client:
        assert await client.stub(Work).total(numbers()) == 6  # type: ignore[arg-type]


@virtual_time
async def test_values_cannot_be_sent_into_a_result() -> None:
    """A ResultStream is an async generator of one direction."""
    async with pair(framerpc.Server(Work())) as client:
        stream: Any = client.stream(Work.count, 3)
        assert await stream.asend(None) == 0
        with pytest.raises(ConfigurationError, match="takes no values"):
            await stream.asend(1)
        with pytest.raises(KeyError):
            await stream.athrow(KeyError)
        assert "closed" in repr(stream)


@virtual_time
async def test_calls_made_for_a_stream_do_not_pile_up_in_their_parent() -> None:
    """A handler that reads a thousand streams remembers none of them."""
    server = framerpc.Server(Work())
    left: list[Any] = []

    @server.method
    async def many() -> None:
        for n in range(100):
            stream = client.stream(Work.count, 3)
            if n % 2:
                await anext(stream)
                await stream.aclose()
            else:
                assert len([item async for item in stream]) == 3
        left.append(framerpc.current_call().children)

    async with pair(server) as client:
        await client.call("many")
        assert left == [[]]


@virtual_time
async def test_answer_of_a_cancelled_stream_is_not_kept() -> None:
    """After a stream was closed, neither side remembers it."""
    server = framerpc.Server(Work())
    async with pair(server) as client:
        for _ in range(20):
            stream = client.stream(Work.count, 1000)
            await anext(stream)
            await stream.aclose()
        await soon(lambda: not server.statistics()["calls_in_flight"])
        await soon(lambda: not client.statistics()["calls_in_flight"])
