"""What becomes of a call that fails: sent again where that is safe, and never elsewhere."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
import tenacity

import framerpc
from framerpc import ConnectionLost, RetryDetails, RetryPolicy, current_call
from framerpc.testing import Network, virtual_time

WAIT = tenacity.wait_fixed(1)


def now() -> float:
    return asyncio.get_running_loop().time()


@framerpc.service
class Shop:
    """Fails as often as it is told to."""

    def __init__(self, failures: int = 0, error: Exception | None = None) -> None:
        self.failures = failures
        self.error = error or framerpc.Unavailable("closed for a moment")
        self.entered = 0
        self.attempts: list[int] = []
        self.inside = asyncio.Event()

    def _enter(self) -> None:
        self.entered += 1
        self.attempts.append(current_call().attempt)
        self.inside.set()
        if self.entered <= self.failures:
            raise self.error

    @framerpc.method(idempotent=True)
    async def price(self, item: str) -> int:
        self._enter()
        return len(item)

    @framerpc.method
    async def charge(self, amount: int) -> int:
        self._enter()
        return amount

    @framerpc.method(idempotent=True)
    async def slow_price(self, item: str) -> int:
        self._enter()
        await asyncio.sleep(5)
        return len(item)

    @framerpc.method
    async def slow_charge(self, amount: int) -> int:
        self._enter()
        await asyncio.sleep(5)
        return amount


@virtual_time
async def test_idempotent_call_is_sent_again_after_it_failed() -> None:
    """The server ran it and could not do it now: only a method that may is tried again."""
    shop = Shop(failures=2)
    async with framerpc.Server(shop).listen("memory://shop"):
        async with framerpc.connect("memory://shop", retry=RetryPolicy(wait=WAIT)) as client:
            assert await client.stub(Shop).price("tea") == 3
    assert shop.entered == 3
    assert now() >= 2


@virtual_time
async def test_call_that_ran_is_not_sent_again_unless_idempotent() -> None:
    """The handler was entered, so a second run would be a second charge."""
    shop = Shop(failures=1)
    async with framerpc.Server(shop).listen("memory://shop"):
        async with framerpc.connect("memory://shop") as client:
            with pytest.raises(framerpc.Unavailable) as caught:
                await client.stub(Shop).charge(5)
    assert (shop.entered, caught.value.executed, caught.value.attempts) == (1, "yes", 1)


@virtual_time
async def test_call_that_was_refused_before_it_ran_is_sent_again() -> None:
    """A server that is full did nothing: any call may come back."""
    shop = Shop()
    full = 2

    async def refuse(context: framerpc.CallContext) -> None:
        nonlocal full
        if full:
            full -= 1
            raise framerpc.ResourceExhausted("full")

    async with framerpc.Server(shop, authorize=refuse).listen("memory://shop"):
        async with framerpc.connect("memory://shop", retry=RetryPolicy(wait=WAIT)) as client:
            assert await client.stub(Shop).charge(5) == 5
    assert (full, shop.entered) == (0, 1)


@pytest.mark.parametrize(("method", "runs"), [("Shop/slow_price", 2), ("Shop/slow_charge", 1)])
@virtual_time
async def test_only_idempotent_calls_are_sent_again_after_doubt(method: str, runs: int) -> None:
    """The connection died with the call in flight: nobody knows whether it ran."""
    shop = Shop()
    with Network() as network:
        async with framerpc.Server(shop).listen("memory://shop"):
            async with framerpc.connect("memory://shop") as client:
                # By the class, so that the client knows which of them is idempotent.
                name = method.partition("/")[2]
                call = asyncio.create_task(
                    getattr(client.stub(Shop), name)(7 if runs == 1 else "x")
                )
                await shop.inside.wait()
                network.cut()
                if runs == 1:
                    with pytest.raises(ConnectionLost) as caught:
                        await call
                    assert caught.value.executed == "maybe"
                else:
                    assert await call == 1
    assert shop.entered == runs


@virtual_time
async def test_call_by_name_may_be_declared_idempotent_by_its_caller() -> None:
    """Without the class at hand, the view says so."""
    shop = Shop(failures=1)
    async with framerpc.Server(shop).listen("memory://shop"):
        async with framerpc.connect("memory://shop") as client:
            assert await client.with_options(idempotent=True).call("Shop/charge", 5) == 5
    assert shop.entered == 2


@virtual_time
async def test_attempts_stop_where_the_policy_says() -> None:
    """Four attempts, then the last error, which says how many there were."""
    shop = Shop(failures=100)
    policy = RetryPolicy(stop=tenacity.stop_after_attempt(4), wait=WAIT)
    async with framerpc.Server(shop).listen("memory://shop"):
        async with framerpc.connect("memory://shop", retry=policy) as client:
            with pytest.raises(framerpc.Unavailable) as caught:
                await client.stub(Shop).price("tea")
    assert (shop.entered, caught.value.attempts) == (4, 4)


@virtual_time
async def test_attempts_stop_at_the_deadline_in_loop_time() -> None:
    """No pause is begun that ends behind the deadline of the call."""
    shop = Shop(failures=100)
    policy = RetryPolicy(stop=tenacity.stop_never, wait=WAIT)
    async with framerpc.Server(shop).listen("memory://shop"):
        async with framerpc.connect("memory://shop", timeout=3.5, retry=policy) as client:
            with pytest.raises(framerpc.Unavailable):
                await client.stub(Shop).price("tea")
            assert now() == pytest.approx(3, abs=0.1)
    assert shop.entered == 4


@virtual_time
async def test_retry_object_of_the_user_narrows_what_is_tried_again() -> None:
    """Safe is not enough if the user does not want it."""
    shop = Shop(failures=1)
    policy = RetryPolicy(retry=tenacity.retry_if_exception_type(ConnectionLost))
    async with framerpc.Server(shop).listen("memory://shop"):
        async with framerpc.connect("memory://shop", retry=policy) as client:
            with pytest.raises(framerpc.Unavailable):
                await client.stub(Shop).price("tea")
    assert shop.entered == 1


@virtual_time
async def test_retry_object_of_the_user_cannot_make_an_unsafe_call_go_twice() -> None:
    """A policy that would retry everything does not retry what may have run."""
    shop = Shop(failures=1)
    policy = RetryPolicy(retry=tenacity.retry_if_exception(lambda _: True))
    async with framerpc.Server(shop).listen("memory://shop"):
        async with framerpc.connect("memory://shop", retry=policy) as client:
            with pytest.raises(framerpc.Unavailable):
                await client.stub(Shop).charge(5)
    assert shop.entered == 1


@virtual_time
async def test_cancelling_passes_through_the_pause_and_the_attempt() -> None:
    """The predicates of tenacity would take a cancellation for a failure."""
    shop = Shop(failures=1)
    policy = RetryPolicy(
        wait=tenacity.wait_fixed(10), retry=tenacity.retry_if_not_exception_type(KeyError)
    )
    async with framerpc.Server(shop).listen("memory://shop"):
        async with framerpc.connect("memory://shop", timeout=60, retry=policy) as client:
            for pause in (1, 12):  # in the pause, and in the second attempt
                shop.entered = 0
                call = asyncio.create_task(client.stub(Shop).slow_price("tea"))
                await asyncio.sleep(pause)
                call.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await call
                assert client.statistics()["calls_in_flight"] <= 1  # its receipt is on its way
    assert shop.entered == 2


@virtual_time
async def test_budget_bounds_the_retries_of_all_calls_together() -> None:
    """A server that always fails gets the share more, not four times as much."""
    shop = Shop(failures=10**6)
    policy = RetryPolicy(wait=tenacity.wait_none(), share=0.1, floor=0)
    async with framerpc.Server(shop).listen("memory://shop"):
        async with framerpc.connect("memory://shop", retry=policy) as client:
            for _ in range(200):
                with pytest.raises(framerpc.Unavailable):
                    await client.stub(Shop).price("tea")
    assert shop.entered <= 200 * 1.1 + 1


@virtual_time
async def test_server_that_asks_for_a_pause_gets_it() -> None:
    """The longer of the two pauses counts."""
    error = framerpc.Unavailable("come back later")
    error.retry_after = 7
    shop = Shop(failures=1, error=error)
    async with framerpc.Server(shop).listen("memory://shop"):
        async with framerpc.connect("memory://shop", retry=RetryPolicy(wait=WAIT)) as client:
            await client.stub(Shop).price("tea")
            assert now() == pytest.approx(7, abs=0.1)


@virtual_time
async def test_each_retry_is_told_to_the_hook_and_to_the_server() -> None:
    """The hook hears of it before the pause, the handler sees which attempt it is."""
    shop = Shop(failures=2)
    told: list[RetryDetails] = []
    async with framerpc.Server(shop).listen("memory://shop"):
        async with framerpc.connect(
            "memory://shop", retry=RetryPolicy(wait=WAIT), on_retry=told.append
        ) as client:
            await client.stub(Shop).price("tea")
    assert [(each.method, each.attempt, each.wait) for each in told] == [
        ("Shop/price", 1, 1),
        ("Shop/price", 2, 1),
    ]
    assert all(isinstance(each.error, framerpc.Unavailable) for each in told)
    assert shop.attempts == [1, 2, 3]


@virtual_time
async def test_waiting_for_a_connection_is_no_attempt() -> None:
    """Nobody listens for a while: the call waits, and is then sent once."""
    shop = Shop()
    policy = RetryPolicy(stop=tenacity.stop_after_attempt(1))
    reconnect = tenacity.wait_fixed(0.5)
    async with framerpc.connect("memory://shop", retry=policy, reconnect=reconnect) as client:
        call = asyncio.create_task(client.stub(Shop).charge(5))
        await asyncio.sleep(10)
        async with framerpc.Server(shop).listen("memory://shop"):
            assert await call == 5
    assert shop.attempts == [1]


@virtual_time
async def test_closed_client_tries_nothing_again() -> None:
    """A call that failed while the client was closed ends at once."""
    shop = Shop(failures=100)
    policy = RetryPolicy(stop=tenacity.stop_never, wait=tenacity.wait_fixed(1))
    async with framerpc.Server(shop).listen("memory://shop"):
        async with framerpc.connect("memory://shop", retry=policy) as client:
            call = asyncio.create_task(client.stub(Shop).price("tea"))
            await asyncio.sleep(1.5)
    with pytest.raises((framerpc.Unavailable, ConnectionLost)):
        await call
    assert now() < 5


@virtual_time
async def test_interceptors_stand_outside_of_all_attempts() -> None:
    """One call is one call for them, however often it is sent."""
    seen: Counter[str] = Counter()

    async def count(context: framerpc.CallContext, body: Any, inner: framerpc.Handler) -> Any:
        seen[context.method] += 1
        return await inner(context, body)

    shop = Shop(failures=2)
    async with framerpc.Server(shop).listen("memory://shop"):
        async with framerpc.connect(
            "memory://shop", retry=RetryPolicy(wait=WAIT), interceptors=[count]
        ) as client:
            assert await client.stub(Shop).price("tea") == 3
    assert seen == {"Shop/price": 1}


@virtual_time
async def test_error_speaks_for_all_attempts() -> None:
    """The second attempt finds no server, and does not unsay that the first one was executed."""
    shop = Shop(failures=1)
    policy = RetryPolicy(wait=WAIT)
    async with framerpc.connect("memory://shop", retry=policy, timeout=5) as client:
        async with framerpc.Server(shop).listen("memory://shop", grace=0):
            call = asyncio.create_task(client.stub(Shop).price("tea"))
            await asyncio.wait_for(shop.inside.wait(), 1)
            await asyncio.sleep(0.1)
        with pytest.raises(framerpc.DeadlineExceeded) as caught:
            await call
    assert (caught.value.executed, caught.value.attempts) == ("yes", 2)


@virtual_time
async def test_the_time_of_a_call_that_is_sent_again_began_with_the_first_attempt() -> None:
    """Whatever the attempts cost: it was given seconds for all of them."""
    async with framerpc.Server(Shop()).listen("memory://shop"):
        retry = RetryPolicy(wait=tenacity.wait_fixed(0.5))
        async with framerpc.connect("memory://shop", timeout=4, retry=retry) as client:
            await client.ready()
            call = asyncio.create_task(client.stub(Shop).slow_price("tea"))
            began = now()
            await asyncio.sleep(3)
            await client.drop_connections()
            with pytest.raises(framerpc.DeadlineExceeded):
                await call
            assert now() - began == pytest.approx(4, abs=0.1)
