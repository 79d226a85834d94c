"""Limits of calls at once: who is refused, and what the caller learns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

import framerpc
from framerpc import AdaptiveConcurrency, ConfigurationError, ResourceExhausted
from framerpc.server.overload import Limiter
from framerpc.testing import virtual_time
from tests.services import Work, pair, soon


@framerpc.service
class Counter:
    """Two methods, of which one has a limit of its own."""

    def __init__(self) -> None:
        self.running = 0
        self.most = 0

    @framerpc.method(max_concurrency=2)
    async def slow(self, seconds: float) -> float:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(seconds)
        finally:
            self.running -= 1
        return seconds

    @framerpc.method
    async def free(self) -> str:
        return "free"


ONCE = framerpc.RetryPolicy(retry=lambda _: False)
"""Refusals are what these tests are about: no client hides them."""


async def refused(call: Any) -> ResourceExhausted:
    with pytest.raises(ResourceExhausted) as caught:
        await call
    return caught.value


@virtual_time
async def test_call_beyond_the_servers_limit_is_refused_at_once() -> None:
    """It surely did not run, may be sent elsewhere, and takes no time."""
    work = Work()
    server = framerpc.Server(work, max_concurrency=3)
    async with pair(server, retry=ONCE) as client:
        running = [asyncio.create_task(client.call("Work/sleep", 5.0)) for _ in range(3)]
        await soon(lambda: work.started == 3)
        before = asyncio.get_running_loop().time()
        error = await refused(client.call("Work/echo", 1))
        assert asyncio.get_running_loop().time() - before < 0.01
        assert (error.executed, error.retry, error.may_retry) == ("no", "yes", True)
        assert str(error) == (
            "Work/echo: 3 of 3 calls are in flight at the server (max_concurrency)"
        )
        assert await asyncio.gather(*running) == [5.0] * 3
        assert await client.call("Work/echo", 1) == 1


@virtual_time
async def test_limit_of_a_method_binds_that_method_only() -> None:
    """Other methods go on, and what is said with `@method` holds."""
    counter = Counter()
    async with pair(framerpc.Server(counter), retry=ONCE) as client:
        running = [asyncio.create_task(client.call("Counter/slow", 1.0)) for _ in range(2)]
        await soon(lambda: counter.running == 2)
        assert "Counter/slow" in str(await refused(client.call(Counter.slow, 1.0)))
        assert await client.call("Counter/free") == "free"
        await asyncio.gather(*running)
        assert counter.most == 2


@virtual_time
async def test_refusal_by_the_server_gives_the_methods_slot_back() -> None:
    """A call takes a slot of its method and of the server, or none."""
    counter = Counter()
    server = framerpc.Server(counter, max_concurrency=1)
    async with pair(server, retry=ONCE) as client:
        running = asyncio.create_task(client.call(Counter.slow, 1.0))
        await soon(lambda: counter.running == 1)
        for _ in range(5):
            assert "the server" in str(await refused(client.call(Counter.slow, 1.0)))
        await running
        assert server.concurrency() == {
            "": {"limit": 1, "calls_in_flight": 0, "refused_calls": 5},
            "Counter/slow": {"limit": 2, "calls_in_flight": 0, "refused_calls": 0},
        }


@virtual_time
async def test_limit_of_a_registered_function() -> None:
    """`@server.method(max_concurrency=...)` says it for a bare function."""
    server = framerpc.Server()
    gate = asyncio.Event()

    @server.method(max_concurrency=1)
    async def wait() -> None:
        await gate.wait()

    async with pair(server, retry=ONCE) as client:
        running = asyncio.create_task(client.call("wait"))
        await soon(lambda: server.concurrency()["wait"]["calls_in_flight"])
        await refused(client.call("wait"))
        gate.set()
        await running


@virtual_time
async def test_method_without_a_limit_is_its_bare_handler() -> None:
    """Where no limit is configured, none is asked: there is no layer around the handler."""
    free, bound = framerpc.Server(Counter()), framerpc.Server(Counter(), max_concurrency=9)
    handlers = {
        server: {
            each.handler.__qualname__.partition(".")[0]
            for each in server.dispatcher.methods.values()
            if not each.spec.name.startswith("framerpc/") and each.spec.name != "Counter/slow"
        }
        for server in (free, bound)
    }
    assert handlers == {free: {"_on_loop"}, bound: {"limited"}}


@virtual_time
async def test_health_is_answered_by_a_full_server() -> None:
    """The framework's own methods are never refused for a limit, and do not count."""
    work = Work()
    async with pair(framerpc.Server(work, max_concurrency=1), retry=ONCE) as client:
        running = asyncio.create_task(client.call("Work/sleep", 1.0))
        await work.entered.wait()
        await refused(client.call("Work/echo", 1))
        health = await client.call("framerpc/health")
        assert (health["shed_calls"], health["refused_calls"], health["failed_calls"]) == (1, 1, 0)
        await running


@virtual_time
async def test_stream_counts_until_it_ends() -> None:
    """A stream holds its slot while it is read, and gives it back however it ends."""
    work = Work()
    server = framerpc.Server(work, max_concurrency=1)
    async with pair(server, retry=ONCE) as client:
        for leave_early in (False, True):
            numbers = client.stream("Work/count", 5, size=100_000)
            assert len(await anext(numbers)) == 100_000
            await refused(client.call("Work/echo", 1))
            if leave_early:
                await numbers.aclose()
                await soon(lambda: not server.concurrency()[""]["calls_in_flight"])
            else:
                assert len([n async for n in numbers]) == 4
            assert await client.call("Work/echo", 1) == 1


@framerpc.service
class Board:
    """Something to watch."""

    @framerpc.method
    def follow(self) -> framerpc.Watch[int, int]:
        return framerpc.Watch("board", lambda: 7)


@virtual_time
async def test_subscription_is_no_call() -> None:
    """Nothing runs for a watch once it is made, so it holds no slot while it lasts."""
    server = framerpc.Server(Board(), Work(), max_concurrency=1)
    async with pair(server) as client:
        updates = aiter(client.stub(Board).follow())
        assert await anext(updates) == framerpc.Snapshot(7)
        assert await client.call("Work/echo", 1) == 1
        await server.publish("board", 8)
        assert await anext(updates) == framerpc.Change(8)
        assert server.concurrency()[""]["calls_in_flight"] == 0


@virtual_time
async def test_upload_counts_as_a_call() -> None:
    """A call that takes a stream counts while its method runs."""
    gate = asyncio.Event()

    async def numbers() -> AsyncIterator[int]:
        yield 1
        await gate.wait()
        yield 2

    async with pair(framerpc.Server(work := Work(), max_concurrency=1), retry=ONCE) as client:
        running = asyncio.create_task(client.call("Work/total", numbers()))
        await work.entered.wait()
        await refused(client.call("Work/echo", 1))
        gate.set()
        assert await running == 3
        assert await client.call("Work/echo", 1) == 1


@pytest.mark.parametrize("ending", ["raise", "cancel", "deadline", "lost"])
@virtual_time
async def test_slot_comes_back_however_a_call_ends(ending: str) -> None:
    """An error, a caller that gives up, a deadline and a lost connection free it alike."""
    work = Work()
    server = framerpc.Server(work, max_concurrency=1)
    async with pair(server, retry=ONCE) as client:
        if ending == "raise":
            with pytest.raises(framerpc.RemoteError):
                await client.call("Work/fail", "CallError")
        else:
            timeout = 0.5 if ending == "deadline" else None
            call = asyncio.create_task(
                client.with_options(timeout=timeout).call("Work/sleep", 60.0)
            )
            await work.entered.wait()
            if ending == "cancel":
                call.cancel()
            elif ending == "lost":
                await client.drop_connections()
            await asyncio.wait([call])
            assert call.cancelled() or call.exception() is not None
        await soon(lambda: not server.concurrency()[""]["calls_in_flight"])
        assert await client.call("Work/echo", 1) == 1


@virtual_time
async def test_refused_caller_learns_how_long_calls_take() -> None:
    """`retry_after` is the average duration of a call, unknown before one has ended."""
    work = Work()
    async with pair(framerpc.Server(work, max_concurrency=1), retry=ONCE) as client:
        for expected in (None, 0.25):
            call = asyncio.create_task(client.call("Work/sleep", 0.25))
            await soon(lambda: work.started - work.finished == 1)
            error = await refused(client.call("Work/echo", 1))
            assert error.retry_after == expected
            await call


@virtual_time
async def test_refused_call_is_sent_again_by_a_client() -> None:
    """A client that tries again sees nothing of a limit that binds for a moment."""
    work = Work()
    server = framerpc.Server(work, max_concurrency=1)
    async with pair(server, retry=framerpc.RetryPolicy(wait=lambda _: 0.1)) as client:
        running = asyncio.create_task(client.call("Work/sleep", 0.25))
        await work.entered.wait()
        assert await client.call("Work/echo", 1) == 1
        assert server.statistics()["shed_calls"] >= 1
        await running


def test_no_caller_is_asked_to_wait_for_long() -> None:
    """Calls that take a minute make a pause of a second: others may end sooner."""
    limiter = Limiter(1, "x")
    assert limiter.enter("a", 0.0)
    limiter.leave("a", 60.0, 60.0)
    assert limiter.refusal().retry_after == 1.0
    assert repr(limiter) == "<Limiter of x, 0 of 1 calls>"


@virtual_time
async def test_one_way_call_beyond_the_limit_is_dropped_and_counted() -> None:
    """Nobody can be told, so it is counted."""
    work = Work()
    server = framerpc.Server(work, max_concurrency=1)
    async with pair(server, retry=ONCE) as client:
        running = asyncio.create_task(client.call("Work/sleep", 1.0))
        await work.entered.wait()
        await client.notify("Work/echo", 1)
        await running
        assert server.statistics()["dropped_notifications"] == 1


@pytest.mark.parametrize("scheme", ["memory", "unix", "tcp"])
async def test_connections_are_clients_of_their_own(scheme: str, tmp_path: Any) -> None:
    """Without an identity, the connection is the unit of fairness at every kind of address."""
    url = {"tcp": "tcp://127.0.0.1:0", "unix": f"unix://{tmp_path}/s", "memory": "memory://m"}
    server = framerpc.Server(Work(), max_concurrency=10)
    async with server.listen(url[scheme], grace=0):
        async with (
            framerpc.connect(server.url, retry=ONCE) as one,
            framerpc.connect(server.url, retry=ONCE) as two,
        ):
            peers = {(await client.call("Work/call"))["peer"] for client in (one, two)}
            assert len(peers) == 2


@virtual_time
async def test_identity_is_the_unit_of_fairness() -> None:
    """Two connections of one identity have one share."""
    work = Work()

    def authenticate(credentials: framerpc.Credentials) -> str:
        return "eve" if credentials.token == "eve" else "bob"

    server = framerpc.Server(work, max_concurrency=4, authenticate=authenticate)
    async with (
        pair(server, token="a", retry=ONCE) as one,
        framerpc.connect("memory://work", token="b", retry=ONCE) as two,
        framerpc.connect("memory://work", token="eve", retry=ONCE) as eve,
    ):
        calls = [asyncio.create_task(one.call("Work/sleep", 0.5 + 60 * n)) for n in range(4)]
        await soon(lambda: work.started == 4)
        await refused(eve.call("Work/echo", 1))
        await calls[0]  # this slot is kept for eve now
        await refused(two.call("Work/echo", 1))
        assert await eve.call("Work/echo", 1) == 1
        assert await two.call("Work/echo", 1) == 1
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)


@virtual_time
async def test_identity_without_a_hash_leaves_the_connection() -> None:
    """Such an identity cannot be looked up, so its connections are clients of their own."""
    work = Work()
    server = framerpc.Server(work, max_concurrency=4, authenticate=lambda _: ["no hash"])
    async with (
        pair(server, retry=ONCE) as one,
        framerpc.connect("memory://work", retry=ONCE) as two,
        framerpc.connect("memory://work", retry=ONCE) as three,
    ):
        calls = [asyncio.create_task(one.call("Work/sleep", 0.5 + 60 * n)) for n in range(4)]
        await soon(lambda: work.started == 4)
        await refused(three.call("Work/echo", 1))
        await calls[0]
        await refused(one.call("Work/echo", 1))
        assert await two.call("Work/echo", 1) == 1
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)


@virtual_time
async def test_adaptive_limit_follows_the_durations_of_calls() -> None:
    """It grows while calls take as long as usual, and shrinks when they become slower."""
    work = Work()
    options = AdaptiveConcurrency(initial=20, minimum=5, maximum=50, window=0.1)
    server = framerpc.Server(work, max_concurrency=options)

    async def caller(client: framerpc.Client, seconds: float) -> None:
        until = asyncio.get_running_loop().time() + 5.0
        while asyncio.get_running_loop().time() < until:
            try:
                await client.call("Work/sleep", seconds)
            except ResourceExhausted:
                await asyncio.sleep(0.02)

    async with pair(server, retry=ONCE) as client:
        limits = []
        for seconds in (0.01, 0.05):
            await asyncio.gather(*(caller(client, seconds) for _ in range(60)))
            limits.append(server.concurrency()[""]["limit"])
        assert limits[0] == 50
        assert limits[1] < 20


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, "10"])
def test_impossible_limits_are_refused(limit: Any) -> None:
    """A limit is a positive integer or an AdaptiveConcurrency, wherever it is said."""

    async def work() -> None:
        """Nothing."""

    for declare in (
        lambda: framerpc.Server(max_concurrency=limit),
        lambda: framerpc.method(max_concurrency=limit),
        lambda: framerpc.Server().method(max_concurrency=limit)(work),
    ):
        with pytest.raises(ConfigurationError, match="max_concurrency must be"):
            declare()
