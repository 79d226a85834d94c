"""Several servers behind one client: who gets a call, and what happens when one goes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import tenacity

import framerpc
from framerpc import BalancingPolicy, State
from framerpc.balancing.candidate import Candidate, Choice
from framerpc.balancing.pickers import Picker
from framerpc.connection.liveness import Load
from framerpc.testing import Network, virtual_time

NAMES = ("a", "b", "c")
URLS = tuple(f"memory://{name}" for name in NAMES)
SOON = tenacity.wait_fixed(0.1)


@framerpc.service
class Node:
    """Knows its name, and how long it takes."""

    def __init__(self, name: str, pause: float = 0.0) -> None:
        self.name = name
        self.pause = pause
        self.failures = 0
        self.retry_after: float | None = None
        self.calls = 0

    @framerpc.method(idempotent=True)
    async def who(self) -> str:
        self.calls += 1
        if self.calls <= self.failures:
            raise framerpc.Unavailable("not now", retry_after=self.retry_after)
        await asyncio.sleep(self.pause)
        return self.name

    @framerpc.method
    async def once_only(self) -> str:
        self.calls += 1
        await asyncio.sleep(self.pause)
        return self.name

    @framerpc.method
    async def letters(self) -> AsyncIterator[str]:
        for _ in range(3):
            yield self.name


@asynccontextmanager
async def nodes(*names: str) -> AsyncIterator[dict[str, tuple[Node, framerpc.Server]]]:
    """Serve a node for each name."""
    async with AsyncExitStack() as stack:
        served = {}
        for name in names or NAMES:
            node = Node(name)
            server = framerpc.Server(node)
            await stack.enter_async_context(server.listen(f"memory://{name}", grace=1))
            served[name] = (node, server)
        yield served


async def spread(client: framerpc.Client, calls: int = 30) -> Counter[str]:
    stub = client.stub(Node)
    return Counter([await stub.who() for _ in range(calls)])


@virtual_time
async def test_all_endpoints_are_dialled() -> None:
    """`ready(all=True)` waits for each of them."""
    async with nodes() as served:
        async with framerpc.connect(*URLS) as client:
            await client.ready(all=True)
            assert all(server.statistics()["clients"] == 1 for _, server in served.values())
            assert {report.url for report in client.endpoints()} == set(URLS)


@virtual_time
async def test_one_ready_endpoint_is_enough() -> None:
    """Endpoints that cannot be reached hold nobody up."""
    async with nodes("b"):
        async with framerpc.connect(*URLS) as client:
            await client.ready()
            assert client.state is State.READY
            assert await spread(client) == {"b": 30}


@virtual_time
async def test_ready_all_says_which_endpoint_is_missing() -> None:
    """The error names what was tried."""
    async with nodes("a", "b"):
        async with framerpc.connect(*URLS, reconnect=SOON) as client:
            with pytest.raises(framerpc.DeadlineExceeded, match="memory://c"):
                await client.ready(timeout=2, all=True)


@virtual_time
async def test_round_robin_gives_each_its_turn() -> None:
    """Exactly a third each."""
    async with nodes():
        async with framerpc.connect(*URLS, balance="round_robin") as client:
            await client.ready(all=True)
            assert await spread(client) == {"a": 10, "b": 10, "c": 10}


@virtual_time
async def test_routing_key_sticks_to_its_endpoint() -> None:
    """One key meets one server, different keys meet several."""
    async with nodes():
        async with framerpc.connect(*URLS, balance="consistent_hash") as client:
            await client.ready(all=True)
            met = []
            for key in "stuvwxyz":
                (name,) = await spread(client.with_options(routing_key=key), 5)
                met.append(name)
            assert len(set(met)) > 1


@virtual_time
async def test_idempotent_calls_do_not_notice_that_a_server_dies() -> None:
    """What was in flight goes to another server, what follows never sees the dead one."""
    async with nodes() as served:
        for node, _ in served.values():
            node.pause = 1.0
        async with framerpc.connect(*URLS, balance="round_robin") as client:
            await client.ready(all=True)
            calls = [asyncio.create_task(client.stub(Node).who()) for _ in range(30)]
            await asyncio.sleep(0.5)
            await served["a"][1].close(grace=0)
            answers = Counter(await asyncio.gather(*calls))
            assert answers["a"] == 0
            assert answers.total() == 30


@virtual_time
async def test_lost_call_goes_to_another_endpoint() -> None:
    """A retry does not go back to the endpoint that has just failed."""
    async with nodes("a", "b") as served:
        for node, _ in served.values():
            node.pause = 1.0
        with Network() as network:
            async with framerpc.connect("memory://a", "memory://b") as client:
                await client.ready(all=True)
                call = asyncio.create_task(client.stub(Node).who())
                await asyncio.sleep(0.5)
                first = "a" if served["a"][0].calls else "b"
                network.link(first).cut()
                assert await call != first


class First(Picker):
    """Always the first, by address."""

    def pick(
        self, candidates: Sequence[Candidate], now: float, key: str | None, chance: object
    ) -> Choice:
        return Choice(min(candidates, key=lambda each: each.endpoint.url), "it is the first")


@virtual_time
async def test_retry_avoids_the_endpoint_that_failed() -> None:
    """Also if the picker would have it again."""
    async with nodes("a", "b") as served:
        served["a"][0].failures = 100
        async with framerpc.connect(*URLS[:2], balance=First()) as client:
            await client.ready(all=True)
            assert await client.stub(Node).who() == "b"
    assert served["a"][0].calls == 1


@virtual_time
async def test_retry_goes_back_if_there_is_no_other_endpoint() -> None:
    """One that failed is better than none."""
    async with nodes("a") as served:
        served["a"][0].failures = 2
        async with framerpc.connect(*URLS[:2], balance=First(), reconnect=SOON) as client:
            await client.ready()
            assert await client.stub(Node).who() == "a"


@virtual_time
async def test_hedge_goes_to_another_endpoint() -> None:
    """Also if the picker would have the slow one again."""
    async with nodes("a", "b") as served:
        served["a"][0].pause = 10
        hedge = framerpc.HedgePolicy(delay=1, share=1)
        async with framerpc.connect(*URLS[:2], balance=First(), hedge=hedge) as client:
            await client.ready(all=True)
            assert await client.stub(Node).who() == "b"


@virtual_time
async def test_calls_in_flight_are_counted_where_they_are() -> None:
    """The balancer knows the load."""
    async with nodes("a", "b") as served:
        served["a"][0].pause = 1
        async with framerpc.connect(*URLS[:2], balance=First()) as client:
            await client.ready(all=True)
            calls = [asyncio.create_task(client.stub(Node).who()) for _ in range(3)]
            await asyncio.sleep(0.5)
            assert [report.in_flight for report in client.endpoints()] == [3, 0]
            await asyncio.gather(*calls)


@virtual_time
async def test_endpoint_without_a_connection_is_not_picked() -> None:
    """What is not ready is not there."""
    async with nodes("a", "b") as served:
        async with framerpc.connect(*URLS[:2], balance=First(), reconnect=SOON) as client:
            await client.ready(all=True)
            await served["a"][1].close(grace=0)
            await asyncio.sleep(1)
            standing = {report.url: report.ready for report in client.endpoints()}
            assert standing == {"memory://a": False, "memory://b": True}
            assert await spread(client, 3) == {"b": 3}


@virtual_time
async def test_endpoint_that_comes_back_is_used_again() -> None:
    """Nobody has to be told."""
    policy = BalancingPolicy(slow_start=None)
    async with nodes("a"):
        async with framerpc.connect(*URLS[:2], reconnect=SOON, balancing=policy) as client:
            await client.ready()
            assert set(await spread(client)) == {"a"}
            async with nodes("b"):
                await client.ready(all=True)
                assert set(await spread(client)) == {"a", "b"}


@virtual_time
async def test_streams_are_balanced_too() -> None:
    """Each stream goes to one endpoint, whole."""
    async with nodes():
        async with framerpc.connect(*URLS, balance="round_robin") as client:
            await client.ready(all=True)
            seen = [
                "".join([letter async for letter in client.stub(Node).letters()]) for _ in range(3)
            ]
            assert sorted(seen) == ["aaa", "bbb", "ccc"]
            assert all(report.in_flight == 0 for report in client.endpoints())


@virtual_time
async def test_loads_return_to_zero_whatever_happens() -> None:
    """Cancelled, failed and finished calls are all given back."""
    async with nodes() as served:
        for node, _ in served.values():
            node.pause = 1.0
        async with framerpc.connect(*URLS) as client:
            await client.ready(all=True)
            calls = [asyncio.create_task(client.stub(Node).once_only()) for _ in range(9)]
            await asyncio.sleep(0.5)
            for call in calls[:3]:
                call.cancel()
            await served["a"][1].close(grace=0)
            await asyncio.gather(*calls, return_exceptions=True)
            assert [report.in_flight for report in client.endpoints()] == [0, 0, 0]


@virtual_time
async def test_all_refused_for_good_is_final() -> None:
    """With every endpoint final, waiting would be in vain."""

    async def refuse(_: framerpc.Credentials) -> None:
        raise framerpc.Unauthenticated("unknown token")

    async with AsyncExitStack() as stack:
        for url in URLS[:2]:
            server = framerpc.Server(authenticate=refuse)
            await stack.enter_async_context(server.listen(url))
        async with framerpc.connect(*URLS[:2], token="wrong") as client:
            with pytest.raises(framerpc.Unauthenticated):
                await client.call("Node/who")
            assert client.state is State.CLOSED


@virtual_time
async def test_states_are_those_of_the_whole() -> None:
    """Ready with the first endpoint, connecting when the last is gone."""
    seen: list[State] = []
    async with framerpc.connect(*URLS[:2], reconnect=SOON, on_state=seen.append) as client:
        async with nodes("a", "b"):
            await client.ready(all=True)
        await asyncio.sleep(1)
        assert seen == [State.READY, State.CONNECTING]
    assert seen[-1] is State.CLOSED


@virtual_time
async def test_context_tells_why_an_endpoint_was_chosen() -> None:
    """An interceptor can ask."""
    reasons: list[str] = []

    async def note(context: framerpc.CallContext, body: object, inner: object) -> object:
        answer = await inner(context, body)  # type: ignore[operator]
        reasons.append(context.choice.reason)
        return answer

    async with nodes():
        async with framerpc.connect(
            *URLS,
            balance="round_robin",
            interceptors=[note],  # type: ignore[list-item]
        ) as client:
            await client.ready(all=True)
            await client.stub(Node).who()
    assert reasons
    assert reasons[0]


@virtual_time
async def test_statistics_tell_the_worst_lag_and_all_calls() -> None:
    """What servers said of themselves is added up where a sum means something."""
    async with nodes(), framerpc.connect(*URLS) as client:
        await client.ready(all=True)
        pool = client._core.pool
        assert pool is not None
        told = [Load(1, 0.1), Load(2, 2.5), Load()]
        for channel, load in zip(pool._channels.values(), told, strict=True):
            assert channel.connection is not None
            channel.connection.load = load
        statistics = client.statistics()
        assert (statistics["peer_calls"], statistics["peer_lag_ms"]) == (3, 2500)


@virtual_time
async def test_call_goes_to_a_late_server_if_there_is_no_better_one() -> None:
    """All are degraded: waiting for a ready one would be waiting for what may never come."""
    quick = framerpc.Keepalive(interval=2, timeout=2, busy=60)
    with Network() as network:
        async with nodes("a", "b") as served:
            async with framerpc.connect(*URLS[:2], keepalive=quick, timeout=30) as client:
                await client.ready(all=True)
                network.freeze()
                await asyncio.sleep(10)
                assert client.state is State.DEGRADED
                call = asyncio.create_task(client.stub(Node).who())
                await asyncio.sleep(0.1)
                assert client.statistics()["calls_in_flight"] == 1
                network.heal()
                assert await call in served


@virtual_time
async def test_pause_that_one_server_asks_for_is_not_about_another() -> None:
    """With a second server ready, the call goes there at once; alone, the first gets its pause."""
    loop = asyncio.get_running_loop()
    for names, pause in ((("a", "b"), 0.0), (("a",), 60.0)):
        async with nodes(*names) as served:
            served["a"][0].failures, served["a"][0].retry_after = 1, 60.0
            async with framerpc.connect(*URLS[:2], balance=First(), timeout=100) as client:
                await client.ready(all=len(names) > 1)
                began = loop.time()
                await client.stub(Node).who()
                assert loop.time() - began == pytest.approx(pause, abs=0.1)


@pytest.mark.parametrize("balance", ["round_robin", "random", "least_loaded"])
@virtual_time
async def test_waiting_calls_take_whichever_place_is_free_first(balance: str) -> None:
    """Of two servers that take one call at a time, neither is idle while a call waits."""
    async with AsyncExitStack() as stack:
        for name in ("a", "b"):
            server = framerpc.Server(Node(name, pause=1.0), limits=framerpc.Limits(max_calls=1))
            await stack.enter_async_context(server.listen(f"memory://{name}", grace=0))
        client = framerpc.connect("memory://a", "memory://b", balance=balance, timeout=60)
        await stack.enter_async_context(client)
        await client.ready(all=True)
        loop = asyncio.get_running_loop()
        started = loop.time()
        answers = await asyncio.gather(*(client.stub(Node).once_only() for _ in range(10)))
        assert Counter(answers) == {"a": 5, "b": 5}
        assert loop.time() - started == 5


@virtual_time
async def test_waiting_calls_take_a_server_that_comes_back() -> None:
    """A call that waits for a full server goes to another one as soon as that is there."""
    only_one = framerpc.Limits(max_calls=1)
    async with framerpc.Server(Node("a", 9.0), limits=only_one).listen("memory://a", grace=0):
        async with framerpc.connect(*URLS[:2], reconnect=SOON) as client:
            await client.ready()
            first = asyncio.create_task(client.stub(Node).once_only())
            second = asyncio.create_task(client.stub(Node).once_only())
            await asyncio.sleep(1)
            async with framerpc.Server(Node("b")).listen("memory://b", grace=0):
                assert await asyncio.wait_for(second, 1) == "b"
            assert await first == "a"
