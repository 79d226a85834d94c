"""Streams that go on after a lost connection: each item once, in order, within bounds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import framerpc
from framerpc import ConnectionLost, DeadlineExceeded, Limits
from framerpc.testing import Network, virtual_time
from tests.services import soon

URL = "memory://rows"


@framerpc.service
class Rows:
    """A table that is read again from where a reader stopped."""

    def __init__(self) -> None:
        self.began: list[int] = []
        self.closed = 0

    @framerpc.method(resume="skip")
    async def read(self, upto: int, seconds: float = 0.0, *, skip: int = 0) -> AsyncIterator[int]:
        self.began.append(skip)
        try:
            for n in range(skip, upto):
                await asyncio.sleep(seconds)
                yield n
        finally:
            self.closed += 1

    @framerpc.method(resume="skip")
    async def broken(self, *, skip: int = 0) -> AsyncIterator[int]:
        self.began.append(skip)
        yield skip
        raise framerpc.Unavailable("the table is gone")

    @framerpc.method
    async def plain(self, upto: int, seconds: float) -> AsyncIterator[int]:
        for n in range(upto):
            await asyncio.sleep(seconds)
            yield n


def serving(rows: Rows) -> Any:
    return framerpc.Server(rows).listen(URL, grace=0)


@settings(max_examples=50)
@given(st.lists(st.floats(0.01, 12.0), max_size=5), st.integers(0, 3))
@virtual_time
async def test_each_item_once_and_in_order(cuts: list[float], first: int) -> None:
    """Wherever the connection is cut, also before the first item and again at once."""
    rows = Rows()
    with Network() as network:
        network.delay(0.3)
        async with serving(rows), framerpc.connect(URL) as client:
            loop = asyncio.get_running_loop()
            for cut in cuts:
                loop.call_at(loop.time() + cut, network.cut)
            stream = client.stub(Rows).read(12 + first, 1.0, skip=first)
            assert [n async for n in stream] == list(range(first, 12 + first))
            assert rows.began == sorted(rows.began)


@virtual_time
async def test_items_that_had_arrived_are_not_asked_for_again() -> None:
    """What was read ahead is taken first; the producer goes on behind it."""
    rows = Rows()
    with Network() as network:
        async with serving(rows), framerpc.connect(URL) as client:
            stream = client.stub(Rows).read(100)
            assert await anext(stream) == 0
            await asyncio.sleep(1)
            network.cut()
            assert [n async for n in stream] == list(range(1, 100))
            assert rows.began in ([0], [0, 100])


@virtual_time
async def test_server_that_stops_hands_its_streams_over() -> None:
    """A stream that a stopping server cuts goes on at the next one."""
    first, second = Rows(), Rows()
    async with framerpc.connect(URL) as client:
        async with serving(first):
            stream = client.stub(Rows).read(6, 1.0)
            assert [await anext(stream), await anext(stream)] == [0, 1]
        async with serving(second):
            assert [n async for n in stream] == [2, 3, 4, 5]
        assert (first.began, second.began) == ([0], [2])


@virtual_time
async def test_attempts_without_progress_are_bounded() -> None:
    """After `max_resumes` in a row the loss is told; an item in between starts the count anew."""
    rows = Rows()
    with Network() as network:
        async with (
            serving(rows),
            framerpc.connect(URL, limits=Limits(max_resumes=2)) as client,
        ):
            stream = client.stub(Rows).read(10, 5.0)
            runs = iter(range(1, 8))
            for expected in range(2):
                item = asyncio.ensure_future(anext(stream))
                for _ in range(2):
                    await cut_run(next(runs), network, rows)
                assert await item == expected
            item = asyncio.ensure_future(anext(stream))
            for _ in range(3):
                await cut_run(next(runs), network, rows)
            with pytest.raises(ConnectionLost):
                await item
            assert rows.began == [0, 0, 0, 1, 1, 2, 2]


async def cut_run(number: int, network: Network, rows: Rows) -> None:
    """Cut two seconds after so many runs have begun."""
    await soon(lambda: len(rows.began) >= number)
    await asyncio.sleep(2)
    network.cut()


@virtual_time
async def test_timeout_goes_for_the_whole_stream() -> None:
    """Going on does not begin the time anew."""
    rows = Rows()
    with Network() as network:
        async with serving(rows), framerpc.connect(URL) as client:
            stream = client.with_options(timeout=10).stub(Rows).read(100, 1.0)
            for n in range(5):
                assert await anext(stream) == n
            network.cut()
            with pytest.raises(DeadlineExceeded):
                async for _ in stream:
                    pass
            assert asyncio.get_running_loop().time() <= 10.1
            assert rows.began == [0, 5]


@virtual_time
async def test_what_the_handler_raises_is_its_answer() -> None:
    """An error of the method ends the stream, whatever its kind."""
    rows = Rows()
    async with serving(rows), framerpc.connect(URL) as client:
        stream = client.stub(Rows).broken()
        assert await anext(stream) == 0
        with pytest.raises(framerpc.Unavailable, match="the table is gone"):
            await anext(stream)
        assert rows.began == [0]


@virtual_time
async def test_stream_that_does_not_say_so_ends() -> None:
    """Without `resume` a lost connection is a clear error."""
    with Network() as network:
        async with serving(Rows()), framerpc.connect(URL) as client:
            stream = client.stub(Rows).plain(10, 1.0)
            assert await anext(stream) == 0
            network.cut()
            with pytest.raises(ConnectionLost) as caught:
                await anext(stream)
            assert caught.value.executed == "maybe"


@virtual_time
async def test_leaving_early_stops_the_producer() -> None:
    """Also after the stream has gone on once; cancelling a wait loses nothing."""
    rows = Rows()
    with Network() as network:
        async with serving(rows), framerpc.connect(URL) as client:
            async with client.stream(Rows.read, 100, 1.0) as stream:
                assert await anext(stream) == 0
                network.cut()
                assert await anext(stream) == 1
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(anext(stream), 0.5)
                assert await anext(stream) == 2
            await soon(lambda: rows.closed == 2)


@virtual_time
async def test_wrong_arguments_are_refused_as_ever() -> None:
    """What does not fit is InvalidArgument, once."""
    rows = Rows()
    async with serving(rows), framerpc.connect(URL) as client:
        with pytest.raises(framerpc.InvalidArgument, match="upto"):
            client.stub(Rows).read()  # type: ignore[call-arg]
        wrong: Any = "x"
        with pytest.raises(framerpc.InvalidArgument, match="skip"):
            await anext(client.stub(Rows).read(3, skip=wrong))
        assert rows.began == []


@virtual_time
async def test_error_speaks_for_all_connections() -> None:
    """When no connection comes any more, the work of the one that was lost is not denied."""
    rows = Rows()
    with Network() as network:
        async with serving(rows), framerpc.connect(URL) as client:
            stream = client.with_options(timeout=5).stub(Rows).read(10, 1.0)
            assert await anext(stream) == 0
            network.link(URL).down()
            with pytest.raises(DeadlineExceeded) as caught:
                await anext(stream)
            assert caught.value.executed == "maybe"
