"""Busy is not dead, and dead is noticed: rows 3, 9, 14, 21, 27 and 29, in memory.

Promise P4: no state is silent, and each is true within one interval, its timeout and 1 s.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import framerpc
from framerpc import ConnectionLost, Keepalive, State
from framerpc.codecs import packb
from framerpc.testing import Network, VirtualClockLoop, run, virtual_time
from tests.services import Work
from tests.survival.siege import besieged, trapped

QUICK = Keepalive(interval=2, timeout=1, busy=30)


def now() -> float:
    return asyncio.get_running_loop().time()


class States:
    """The states of a client, each with the time at which it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[State, float]] = []

    def __call__(self, state: State) -> None:
        self.told.append((state, now()))

    def since(self, start: float) -> list[tuple[State, float]]:
        """Return the states told after `start`, with the seconds since then."""
        return [(state, round(at - start, 3)) for state, at in self.told if at > start]


@virtual_time
async def test_frozen_server_is_degraded_and_answers_when_it_goes_on() -> None:
    """Row 9: while its host acknowledges, a silent server keeps its connections and calls."""
    states = States()
    with Network() as network:
        async with besieged(keepalive=QUICK) as siege:
            async with framerpc.connect(
                siege.url, keepalive=QUICK, timeout=60, on_state=states
            ) as client:
                await client.ready()
                start = now()
                network.freeze()
                call = asyncio.create_task(client.call("Work/echo", "late"))
                await asyncio.sleep(20)
                assert client.state is State.DEGRADED
                network.heal()
                assert await call == "late"
                assert states.since(start) == [(State.DEGRADED, 2.5), (State.READY, 20)]
                assert siege.server.statistics()["connections"] == 2  # the witness and this one


@virtual_time
async def test_frozen_server_is_given_up_in_the_end() -> None:
    """Patience has a limit of its own, and calls learn what they may hope for."""
    states = States()
    with Network() as network:
        async with besieged(keepalive=QUICK) as siege:
            async with framerpc.connect(
                siege.url, keepalive=QUICK, timeout=100, on_state=states
            ) as client:
                await client.ready()
                start = now()
                network.freeze()
                with pytest.raises(
                    ConnectionLost, match="no byte from the peer for 30 s"
                ) as caught:
                    await client.call("Work/echo", 1)
                assert caught.value.executed == "maybe"
                assert states.since(start) == [(State.DEGRADED, 2.5), (State.CONNECTING, 30)]
                network.heal()


@virtual_time
async def test_link_that_dies_under_a_frozen_server_is_noticed() -> None:
    """Row 3: evidence is asked for again and again."""
    with Network() as network:
        async with besieged(keepalive=QUICK) as siege:
            async with framerpc.connect(siege.url, keepalive=QUICK, timeout=100) as client:
                await client.ready()
                network.freeze()
                call = asyncio.create_task(client.call("Work/echo", 1))
                await asyncio.sleep(10.5)
                start = now()
                network.drop()
                with pytest.raises(ConnectionLost):
                    await call
                assert now() - start <= 2 * QUICK.interval
                network.heal()


@given(
    interval=st.floats(0.2, 60),
    part=st.floats(0.05, 3),
    died=st.floats(0, 100),
    direction=st.sampled_from(["to_server", "to_client", None]),
    calls=st.lists(st.floats(0, 100), max_size=5),
)
def test_half_open_link_is_noticed_within_two_intervals(
    interval: float, part: float, died: float, direction: Any, calls: list[float]
) -> None:
    """Rows 3 and 14: by both sides, whenever it dies, whatever happened before, with any options."""
    keepalive = Keepalive(interval=interval, timeout=interval * part, busy=1000)

    async def go() -> None:
        states = States()
        with Network() as network:
            server = framerpc.Server(Work(), keepalive=keepalive)
            async with server.listen("memory://half-open", grace=0):
                async with framerpc.connect(
                    server.url, keepalive=keepalive, timeout=None, on_state=states
                ) as client:
                    await client.ready()
                    started = now()
                    async with asyncio.TaskGroup() as group:
                        for at in calls:
                            if at < died:
                                loop = asyncio.get_running_loop()
                                loop.call_at(
                                    started + at,
                                    lambda: group.create_task(client.call("Work/echo", 1)),
                                )
                        await asyncio.sleep(died)
                    dead = now()
                    if direction is None:
                        network.drop()
                    else:
                        network.half_open(direction)
                    await asyncio.sleep(2 * interval + 1e-6)
                    assert client.state is State.CONNECTING
                    assert states.since(dead)[-1][0] is State.CONNECTING
                    assert not server.peers.welcome
                    network.heal()

    run(go())


@virtual_time
async def test_every_state_is_true_in_time() -> None:
    """P4: degraded and down are true within one interval, its timeout and 1 s, and are told."""
    states = States()
    keepalive = Keepalive()
    with Network() as network:
        async with besieged() as siege, framerpc.connect(siege.url, on_state=states) as client:
            assert client.state.value == "connecting"
            await client.ready()
            start = now()
            network.drop()
            bound = keepalive.interval + keepalive.timeout + 1
            await asyncio.sleep(bound)
            assert states.since(start) == [(State.DEGRADED, 25), (State.CONNECTING, 30)]
            network.heal()
            await client.ready()
            assert client.state is State.READY
            assert now() - start - bound < 20  # twice the cap of the backoff: P5


@virtual_time
async def test_down_is_told_although_bytes_are_stuck() -> None:
    """P4: what can no longer be sent to a dead peer does not delay the news."""
    states = States()
    with Network() as network:
        async with besieged(keepalive=QUICK) as siege:
            async with framerpc.connect(siege.url, keepalive=QUICK, on_state=states) as client:
                await client.ready()
                start = now()
                network.drop()
                with pytest.raises(ConnectionLost):
                    await client.call("Work/echo", b"x" * 1_000_000)
                assert states.since(start) == [(State.DEGRADED, 2.5), (State.CONNECTING, 3.5)]
                network.heal()


@virtual_time
async def test_slow_link_is_degraded_at_worst() -> None:
    """Row 21: at 1 KB/s with 300 ms a PING stands behind a long call, and nobody is dropped."""
    with Network() as network:
        async with besieged(keepalive=QUICK) as siege:
            async with framerpc.connect(siege.url, keepalive=QUICK, timeout=300) as client:
                await client.ready()
                network.slow_reader(1000)
                network.delay(0.3)
                assert await client.call("Work/echo", b"x" * 100_000) == b"x" * 100_000
                assert siege.server.statistics()["connections"] == 2
                network.heal()


@virtual_time
async def test_starved_peers_are_not_down() -> None:
    """Row 27: loops that get a turn every now and then answer late, and stay connected."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualClockLoop)
    states = States()
    async with besieged(keepalive=QUICK) as siege:
        async with framerpc.connect(siege.url, keepalive=QUICK, on_state=states) as client:
            await client.ready()
            start = now()
            for n in range(50):
                loop._virtual_time += 0.9
                await asyncio.sleep(0.1)
                if n % 10 == 0:
                    assert await client.call("Work/echo", n) == n
            assert State.CONNECTING not in dict(states.since(start))
            assert siege.server.statistics()["connections"] == 2


@virtual_time
async def test_announced_lag_is_honoured_where_nothing_else_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server that said that it may lag is given that long, within the client's own limit."""
    monkeypatch.delattr("framerpc.connection.memory_transport.MemoryTransport.acknowledged")
    lost: list[float] = []
    for lag in (None, 5.0, 1000.0):
        server = framerpc.Server(Work(), keepalive=Keepalive(interval=2, lag=lag))
        with Network() as network:
            async with server.listen("memory://lags", grace=0):
                async with framerpc.connect(server.url, keepalive=QUICK, timeout=99) as client:
                    await client.ready()
                    start = now()
                    network.freeze()
                    with pytest.raises(ConnectionLost):
                        await client.call("Work/echo", 1)
                    lost.append(now() - start)
                    network.heal()
    assert lost == pytest.approx([3, 8, 30])


@contextmanager
def in_a_thread(server: framerpc.Server) -> Iterator[None]:
    """Serve on a loop of its own, so that ours may be blocked meanwhile."""
    begun = threading.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        await server.start("tcp://127.0.0.1:0")
        begun.set()
        await server.serve_forever()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert begun.wait(20)
    try:
        yield
    finally:
        asyncio.run_coroutine_threadsafe(server.close(0), loops[0])
        thread.join()


@pytest.mark.parametrize("interceptors", [False, True])
async def test_answer_that_waits_in_the_socket_is_in_time(interceptors: bool) -> None:
    """Row 9: after our own loop was blocked past the deadline, what had come is read first."""

    async def pass_on(context: Any, body: Any, proceed: Any) -> Any:
        return await proceed(context, body)

    entered, blocked = threading.Event(), threading.Event()
    server = framerpc.Server(watchdog=None)

    @server.method
    async def answer() -> str:
        entered.set()
        blocked.wait(20)
        return "in time"

    around = [pass_on] if interceptors else []
    with in_a_thread(server):
        async with framerpc.connect(server.url, interceptors=around) as client:
            await client.ready()
            call = asyncio.create_task(client.with_options(timeout=0.1).call("answer"))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            entered.wait(20)
            blocked.set()
            threading.Event().wait(0.3)  # what is tested: a loop that is blocked for so long
            assert await call == "in time"


@virtual_time
async def test_last_word_of_the_server_is_read_after_a_block() -> None:
    """Row 9: a loop that is blocked while it waits for where the time went reads before it ends."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualClockLoop)
    async with trapped(keepalive=Keepalive(interval=1000)) as trap:
        call = await trap.call()  # its deadline is at 5 s
        await trap.server.expect([11, 1, 1])
        loop._virtual_time += 3
        loop.call_later(0.01, trap.server.send_frame, [9, 1, packb("crossed")])
        assert await call == "crossed"
        assert now() == pytest.approx(8.01)


@virtual_time
async def test_calls_go_to_a_server_that_answers() -> None:
    """Of two servers one is frozen: the client stays ready, and asks the other one."""
    states = States()
    with Network() as network:
        one, two = Work(), Work()
        async with (
            framerpc.Server(one, keepalive=QUICK).listen("memory://one", grace=0),
            framerpc.Server(two, keepalive=QUICK).listen("memory://two", grace=0),
            framerpc.connect(
                "memory://one", "memory://two", keepalive=QUICK, timeout=60, on_state=states
            ) as client,
        ):
            await client.ready(all=True)
            start = now()
            network.link("one").freeze()
            await asyncio.sleep(3)
            for _ in range(20):
                await client.call(Work.sleep, 0.1)
            assert (one.started, two.started) == (0, 20)
            assert states.since(start) == []
            network.link("two").freeze()
            await asyncio.sleep(3)
            assert client.state is State.DEGRADED
            await client.ready(all=True)  # connected they are
            waits = asyncio.create_task(client.call(Work.sleep, 0.1))
            await asyncio.sleep(1)
            network.link("one").heal()
            await waits
            assert (one.started, two.started) == (1, 20)
            assert states.since(start)[-1][0] is State.READY
            network.heal()
