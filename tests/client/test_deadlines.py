"""Deadlines: finite, enforced on both sides, inherited, never extended, and explained."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any, Self

import pytest

import framerpc
from framerpc import DeadlineExceeded, Limits
from framerpc.call import Body, CallContext, Handler
from framerpc.testing import Network, ScriptedPeer, virtual_time
from tests.services import Work, pair

LATEST = 0.1
"""Seconds after its deadline by which every call has ended."""


def now() -> float:
    return asyncio.get_running_loop().time()


async def fails_in_time(awaitable: Any, timeout: float) -> DeadlineExceeded:
    started = now()
    with pytest.raises(DeadlineExceeded) as caught:
        await awaitable
    assert timeout <= now() - started <= timeout + LATEST
    return caught.value


@virtual_time
async def test_single_call_has_a_deadline_unless_told_otherwise() -> None:
    """A handler that never answers costs its caller 30 s by default."""
    async with pair(framerpc.Server(Work())) as client:
        await fails_in_time(client.call(Work.sleep, 3600), 30)


@virtual_time
async def test_handler_sees_the_remaining_time_and_is_stopped_by_it() -> None:
    """The handler knows what is left of the caller's time, and is cancelled when it is over."""
    work = Work()
    async with pair(framerpc.Server(work), timeout=2) as client:
        assert 1.9 <= (await client.call(Work.call))["remaining"] <= 2
        error = await fails_in_time(client.call(Work.sleep, 9), 2)
        assert work.cancelled == 1
        assert error.executed == "maybe"


@virtual_time
async def test_deadline_is_kept_when_the_server_has_fallen_silent() -> None:
    """A call ends in time although no byte comes back."""
    with Network() as network:
        async with pair(framerpc.Server(Work()), timeout=1) as client:
            network.drop()
            error = await fails_in_time(client.call("Work/echo", 1), 1)
            assert "no word from the server" in str(error)
            network.heal()


@virtual_time
async def test_deadline_is_kept_by_a_handler_that_cannot_be_stopped() -> None:
    """A handler that suppresses cancellation does not hold its caller."""
    async with pair(framerpc.Server(Work()), timeout=1) as client:
        await fails_in_time(client.call(Work.stubborn, 60), 1)


@virtual_time
async def test_deadline_is_kept_by_an_upload_that_stands_still() -> None:
    """A call whose own items do not come ends in time, and its iterator is closed."""
    closed = asyncio.Event()

    async def never() -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.sleep(3600)
        finally:
            closed.set()

    async with pair(framerpc.Server(Work()), timeout=1) as client:
        await fails_in_time(client.call(Work.total, never()), 1)
        await asyncio.wait_for(closed.wait(), 1)


@virtual_time
async def test_deadline_is_kept_by_interceptors() -> None:
    """An interceptor of the client that waits for ever does not hold the call."""

    async def stuck(context: CallContext, body: Body, proceed: Handler) -> Body:
        await asyncio.sleep(3600)
        return await proceed(context, body)

    async with pair(framerpc.Server(Work()), timeout=1, interceptors=[stuck]) as client:
        error = await fails_in_time(client.call("Work/echo", 1), 1)
        assert error.where[0][0] == "interceptors"


@virtual_time
async def test_deadline_is_kept_while_waiting_for_a_slot() -> None:
    """Waiting under the server's limit of calls counts, and surely did not run."""
    async with pair(framerpc.Server(Work(), limits=Limits(max_calls=1))) as client:
        running = asyncio.create_task(client.call(Work.sleep, 5))
        await asyncio.sleep(0.1)
        view = client.with_options(timeout=1)
        error = await fails_in_time(view.call("Work/echo", 1), 1)
        assert error.executed == "no"
        await running


@virtual_time
async def test_deadline_without_a_connection_says_what_was_tried() -> None:
    """Who waited for a connection in vain learns the endpoint, the attempts and the cause."""
    async with framerpc.connect("memory://nobody", timeout=1) as client:
        error = await fails_in_time(client.call("Work/echo", 1), 1)
        assert "memory://nobody" in str(error)
        assert "tried" in str(error)
        assert error.executed == "no"
        assert error.where[0][0] == "connection"


@virtual_time
async def test_call_whose_deadline_has_passed_is_not_started() -> None:
    """The server refuses a request with no time left, and no handler sees it."""
    work = Work()
    async with (
        framerpc.Server(work).listen("memory://work", grace=0),
        ScriptedPeer() as peer,
    ):
        await peer.connect("memory://work")
        peer.preamble()
        peer.hello()
        peer.send_frame([8, 1, 0, "Work/sleep", 0, None, b"\x91\x01"])
        await peer.expect([2, ...])
        await peer.expect([10, 1, 4, 0, ..., ...])
        assert work.started == 0


@framerpc.service
class Front:
    """Calls another server, and says what it got."""

    def __init__(self, client: framerpc.Client) -> None:
        self.client = client
        self.background: asyncio.Task[Any] | None = None
        self.inner: BaseException | None = None

    @framerpc.method
    async def relay(self, timeout: float | None = None) -> Any:
        client = self.client
        if timeout is not None:
            client = client.with_options(timeout=timeout)
        try:
            return await client.call(Work.sleep, 3600)
        except framerpc.FrameRPCError as exc:
            self.inner = exc
            raise

    @framerpc.method
    async def remaining(self) -> Any:
        return (await self.client.call(Work.call))["remaining"]

    @framerpc.method
    async def leave_behind(self) -> None:
        async def later() -> Any:
            await asyncio.sleep(5)
            return (await self.client.call(Work.call))["remaining"]

        self.background = asyncio.create_task(later())

    @framerpc.method
    async def permission(self) -> None:
        await self.client.call(Work.fail, "PermissionDenied")


class Hops:
    """A client, a front server and a back server."""

    async def __aenter__(self) -> Self:
        self.work = Work()
        self._back = framerpc.Server(self.work).listen("memory://back", grace=0)
        await self._back.__aenter__()
        self.inner = framerpc.connect("memory://back")
        await self.inner.__aenter__()
        await self.inner.ready()
        self.front = Front(self.inner)
        self._front = framerpc.Server(self.front).listen("memory://front", grace=0)
        await self._front.__aenter__()
        self.client = framerpc.connect("memory://front")
        await self.client.__aenter__()
        await self.client.ready()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.client.close()
        await self._front.__aexit__(None, None, None)
        await self.inner.close()
        await self._back.__aexit__(None, None, None)


@virtual_time
async def test_calls_of_a_handler_inherit_its_deadline() -> None:
    """A call that a handler makes has no more time than the handler itself."""
    async with Hops() as hops:
        remaining = await hops.client.with_options(timeout=3).call(Front.remaining)
        assert 2.9 <= remaining <= 3


@virtual_time
async def test_inherited_deadline_is_never_extended() -> None:
    """Asking for more time inside a handler gives none."""
    async with Hops() as hops:
        view = hops.client.with_options(timeout=1)
        await fails_in_time(view.call(Front.relay, timeout=600), 1)
        await asyncio.sleep(0.1)
        assert hops.work.cancelled == 1


@virtual_time
async def test_work_that_outlives_a_call_does_not_inherit_its_deadline() -> None:
    """A task left behind by a handler makes its calls with their own time."""
    async with Hops() as hops:
        await hops.client.with_options(timeout=1).call(Front.leave_behind)
        assert hops.front.background is not None
        assert 29 <= await hops.front.background <= 30


@virtual_time
async def test_deadline_says_where_the_time_went_hop_by_hop() -> None:
    """The error names the stations of the call, through the second server."""
    async with Hops() as hops:
        view = hops.client.with_options(timeout=1)
        error = await fails_in_time(view.call(Front.relay), 1)
        stations = [name for name, _ in error.where]
        assert stations[:4] == ["connection", "wire", "queue", "handler"]
        assert any("Work/sleep" in name for name in stations), stations
        spent = dict(error.where)
        assert 0.9 <= spent["handler"] <= 1.1
        assert "1 s" in str(error)


@virtual_time
async def test_inner_deadline_is_not_taken_for_the_outer_one() -> None:
    """A call of the handler's own that is late for itself is an error of the handler."""
    async with Hops() as hops:
        with pytest.raises(framerpc.RemoteError) as caught:
            await hops.client.call(Front.relay, timeout=1)
        assert caught.value.executed == "yes"
        assert isinstance(hops.front.inner, DeadlineExceeded)


@virtual_time
async def test_inner_refusal_is_not_taken_for_the_outer_one() -> None:
    """An error of the framework from a handler's own call crosses as RemoteError."""
    async with Hops() as hops:
        with pytest.raises(framerpc.RemoteError) as caught:
            await hops.client.call(Front.permission)
        assert caught.value.executed == "yes"
        assert caught.value.error_id


@virtual_time
async def test_inherited_deadline_is_told_as_what_it_was() -> None:
    """The error of an inner call speaks of the seconds it really had."""
    async with Hops() as hops:
        view = hops.client.with_options(timeout=1)
        await fails_in_time(view.call(Front.relay), 1)
        await asyncio.sleep(1)
        inner = hops.front.inner
        assert inner is None or getattr(inner, "timeout", None) == pytest.approx(1, abs=0.01)


@virtual_time
async def test_stream_has_no_deadline_by_default() -> None:
    """A stream that makes progress lives on for longer than a call may."""
    async with pair(framerpc.Server(Work())) as client:
        stream = client.stream(Work.ticks, 20)
        assert [await anext(stream) for _ in range(6)] == list(range(6))
        assert now() >= 100
        await stream.aclose()


@virtual_time
async def test_stream_that_stands_still_is_given_up() -> None:
    """A stream without an item for `Limits.stream_idle` ends with DeadlineExceeded."""
    work = Work()
    limits = Limits(stream_idle=5)
    async with pair(framerpc.Server(work), limits=limits) as client:
        stream = client.stream(Work.ticks, 60)
        assert await anext(stream) == 0
        started = now()
        with pytest.raises(DeadlineExceeded, match="stood still"):
            await anext(stream)
        assert now() - started == pytest.approx(5, abs=LATEST)
        await asyncio.wait_for(work.ended.wait(), 2)


@virtual_time
async def test_stream_that_is_not_read_is_given_up_by_its_server() -> None:
    """A producer whose reader takes nothing for `Limits.stream_idle` is stopped."""
    work = Work()
    limits = Limits(stream_idle=5)
    async with pair(framerpc.Server(work, limits=limits)) as client:
        stream = client.stream(Work.count, 1000, size=100_000)
        await anext(stream)
        await asyncio.sleep(20)
        assert work.ended.is_set()
        with pytest.raises(DeadlineExceeded):
            async for _ in stream:
                pass


@virtual_time
async def test_stream_may_have_a_total_limit() -> None:
    """`with_options(timeout=...)` limits a stream as a whole, however lively it is."""
    work = Work()
    async with pair(framerpc.Server(work)) as client:
        stream = client.with_options(timeout=3).stream(Work.ticks, 1)
        taken: list[int] = []

        async def read() -> None:
            async for item in stream:
                taken.append(item)  # noqa: PERF401 - what came before the error counts

        await fails_in_time(read(), 3)
        assert taken in ([0, 1, 2], [0, 1, 2, 3])
        await asyncio.sleep(0.2)
        assert work.cancelled == 1


@virtual_time
async def test_deadline_longer_than_the_server_allows_is_clamped() -> None:
    """`Limits.max_timeout` of the server ends a call whose client would wait longer."""
    limits = Limits(max_timeout=2)
    async with pair(framerpc.Server(Work(), limits=limits), timeout=60) as client:
        await fails_in_time(client.call(Work.sleep, 30), 2)


@virtual_time
async def test_call_without_a_deadline_still_has_the_servers() -> None:
    """A client that sets no limit is bound by `Limits.max_timeout` of the server."""
    limits = Limits(max_timeout=2)
    async with pair(framerpc.Server(Work(), limits=limits), timeout=None) as client:
        await fails_in_time(client.call(Work.sleep, 30), 2)


@pytest.mark.parametrize("last", [[14, 1], [12, 1, 1]], ids=["END", "RECEIPT"])
@virtual_time
async def test_stream_whose_end_crosses_its_deadline_is_not_complete(last: list[int]) -> None:
    """Items that come after the CANCEL are dropped, so what ends the call is no end of them."""
    async with ScriptedPeer() as peer:
        url = await peer.listen("memory://late")
        async with framerpc.connect(url) as client:
            stream = client.with_options(timeout=1).stream("numbers/count")
            item = asyncio.ensure_future(anext(stream))
            await peer.accept()
            await peer.expect([1, ...])
            peer.preamble()
            peer.welcome()
            await peer.expect([8, 1, 1, ..., ..., ..., ...])
            await peer.expect([11, 1, 1])
            peer.send_frame([13, 1, b"\x00"])
            peer.send_frame(last)
            with pytest.raises(DeadlineExceeded):
                await item
            assert 1 <= now() <= 1 + LATEST


@virtual_time
@pytest.mark.parametrize("timeout", [1e12, 1e300, sys.float_info.max])
async def test_a_timeout_of_ages_is_cut_to_what_can_be_said(timeout: float) -> None:
    """The server's own limit holds anyway."""
    async with pair(framerpc.Server(Work())) as client:
        assert await client.with_options(timeout=timeout).stub(Work).echo("x") == "x"
