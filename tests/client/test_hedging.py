"""A second try at another server while the first is slow."""

from __future__ import annotations

import asyncio
import gc
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

import framerpc
from framerpc import HedgePolicy
from framerpc.call import CallContext
from framerpc.client.hedging import Hedging
from framerpc.testing import Network, virtual_time
from tests.client.test_pool import Node

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

URLS = ("memory://slow", "memory://quick")


def now() -> float:
    return asyncio.get_running_loop().time()


@asynccontextmanager
async def two(slow: float = 10.0) -> AsyncIterator[tuple[Node, Node]]:
    """Serve a slow node and a quick one."""
    first, second = Node("slow", slow), Node("quick")
    async with AsyncExitStack() as stack:
        for node in (first, second):
            server = framerpc.Server(node)
            await stack.enter_async_context(server.listen(f"memory://{node.name}", grace=0))
        yield first, second


@virtual_time
async def test_slow_call_is_sent_to_a_second_endpoint() -> None:
    """The first answer counts, and the loser is cancelled."""
    async with two() as (slow, _quick):
        async with framerpc.connect(*URLS, hedge=HedgePolicy(delay=1, share=1)) as client:
            await client.ready(all=True)
            for _ in range(10):
                started = now()
                assert await client.stub(Node).who() == "quick"
                assert now() - started <= 1.1
            assert slow.calls > 0
            await asyncio.sleep(1)
            assert client.statistics()["cancelled_stopped"] == slow.calls


@virtual_time
async def test_call_that_may_not_be_repeated_is_never_hedged() -> None:
    """Two runs of it would be two."""
    async with two(slow=5) as (slow, quick):
        async with framerpc.connect(*URLS, hedge=HedgePolicy(delay=1, share=1)) as client:
            await client.ready(all=True)
            for number in range(1, 11):
                await client.stub(Node).once_only()
                assert slow.calls + quick.calls == number


@virtual_time
async def test_extra_load_is_bounded() -> None:
    """One call in ten may go twice, whatever the delay."""
    async with two(slow=2) as (slow, quick):
        quick.pause = 2
        async with framerpc.connect(*URLS, hedge=HedgePolicy(delay=1, share=0.1)) as client:
            await client.ready(all=True)
            for _ in range(50):
                await client.stub(Node).who()
            assert 50 < slow.calls + quick.calls <= 50 * 1.1 + 1


@virtual_time
async def test_usual_time_of_the_method_is_the_delay_if_none_is_given() -> None:
    """After twenty answers it is known what is slow."""
    async with two(slow=0.1) as (slow, quick):
        quick.pause = 0.1
        async with framerpc.connect(*URLS, hedge=HedgePolicy(share=1)) as client:
            await client.ready(all=True)
            for _ in range(30):
                await client.stub(Node).who()
            slow.pause = 10
            for _ in range(5):
                started = now()
                await client.stub(Node).who()
                assert now() - started < 0.5


@virtual_time
async def test_failure_of_one_does_not_end_the_other() -> None:
    """Only when nothing else is under way does a failure count."""
    with Network() as network:
        async with two(slow=3) as (slow, quick):
            quick.pause = 5
            async with framerpc.connect(*URLS, hedge=HedgePolicy(delay=1, share=1)) as client:
                await client.ready(all=True)
                call = asyncio.create_task(client.stub(Node).who())
                await asyncio.sleep(2)
                assert (slow.calls, quick.calls) == (1, 1)
                network.link("slow").cut()
                assert await call == "quick"
                assert (slow.calls, quick.calls) == (1, 1)


@virtual_time
async def test_cancelling_a_hedged_call_cancels_both() -> None:
    """No try is left behind."""
    async with two(slow=30) as (_slow, quick):
        quick.pause = 30
        async with framerpc.connect(
            *URLS, timeout=60, hedge=HedgePolicy(delay=1, share=1)
        ) as client:
            await client.ready(all=True)
            call = asyncio.create_task(client.stub(Node).who())
            await asyncio.sleep(2)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await asyncio.sleep(1)
            assert client.statistics()["cancelled_stopped"] == 2
            assert [report.in_flight for report in client.endpoints()] == [0, 0]


def hedged(*, share: float = 1.0) -> CallContext:
    """A call whose second try goes out after a second."""
    loop = asyncio.get_running_loop()
    return CallContext("a/b", loop.time, loop.time(), hedge=HedgePolicy(delay=1, share=share))


class Tries:
    """Attempts of which each ends when and as it is told to."""

    def __init__(self, *ends: tuple[float, bytes | Exception]) -> None:
        self.ends = list(ends)
        self.made = 0

    async def __call__(self, context: CallContext) -> bytes:
        seconds, end = self.ends[self.made]
        self.made += 1
        await asyncio.sleep(seconds)
        if isinstance(end, Exception):
            raise end
        return end


@virtual_time
async def test_answer_counts_though_the_other_fails_at_the_same_moment() -> None:
    """Which of the two the loop looks at first does not matter, and nothing is left unheard."""
    for _ in range(20):
        tries = Tries((2, framerpc.Unavailable("first")), (1, b"second"))
        assert await Hedging().run(hedged(), tries, 1) == b"second"
        tries = Tries((2, b"first"), (1, framerpc.Unavailable("second")))
        assert await Hedging().run(hedged(), tries, 1) == b"first"
    gc.collect()  # `virtual_time` fails for an exception that nobody has asked for


@virtual_time
async def test_loser_that_fails_while_it_is_cancelled_is_heard() -> None:
    """Its error is not worth a word in the log."""

    async def attempt(context: CallContext) -> bytes:
        if context.attempt == 1:
            await asyncio.sleep(2)
            return b"first"
        try:
            await asyncio.sleep(60)
        finally:
            raise framerpc.Unavailable("second")

    assert await Hedging().run(hedged(), attempt, 1) == b"first"
    gc.collect()  # as above


@pytest.mark.parametrize("claims", [("maybe", "no"), ("no", "maybe")])
@virtual_time
async def test_failure_of_both_claims_what_either_may_have_done(claims: Any) -> None:
    """A second try that was never sent does not unsay that the first one was."""
    first, second = (framerpc.ConnectionLost("memory://x", "cut", claim) for claim in claims)
    with pytest.raises(framerpc.ConnectionLost) as caught:
        await Hedging().run(hedged(), Tries((3, first), (4, second)), 1)
    assert caught.value.executed == "maybe"


@virtual_time
async def test_extra_load_is_bounded_also_for_calls_at_the_same_time() -> None:
    """Of twenty that are slow together, those go twice that may, and not all."""
    tries = Tries(*[(2.0, b"answer")] * 40)
    hedging = Hedging()
    calls = (hedging.run(hedged(share=0.1), tries, 20) for _ in range(20))
    assert await asyncio.gather(*calls) == [b"answer"] * 20
    assert tries.made == 20 + 20 * 0.1 + 1
