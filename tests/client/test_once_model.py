"""Whatever happens to connections and servers: a number runs at most once, and answers are its own."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

import framerpc
from framerpc import Limits
from framerpc.testing import Network, virtual_time
from tests.server.test_journal import Shelf

if TYPE_CHECKING:
    from collections.abc import Callable

URL = "memory://model"


@framerpc.service
class Counting:
    """Notes each run; what it returns says which run it was."""

    def __init__(self) -> None:
        self.runs: list[int] = []
        self.results: dict[int, int] = {}

    @framerpc.method(once=True)
    async def work(self, call: int, seconds: float) -> int:
        """Take a while."""
        self.runs.append(call)
        run = len(self.runs)
        await asyncio.sleep(seconds)
        self.results[call] = run
        return run


@dataclass
class World:
    """One server that may be restarted, two clients, and their calls."""

    network: Network
    limits: Limits
    shelf: Shelf | None
    service: Counting = field(default_factory=Counting)
    server: framerpc.Server | None = None
    calls: dict[int, asyncio.Task[int]] = field(default_factory=dict[int, "asyncio.Task[int]"])

    async def start(self) -> None:
        self.server = framerpc.Server(self.service, limits=self.limits, replies=self.shelf)
        await self.server.start(URL)

    async def restart(self, _seconds: float) -> None:
        """Stop the server as a crash would, and start another one."""
        assert self.server is not None
        self.network.cut()
        await self.server.close(grace=0)
        await self.start()

    async def cut(self, _seconds: float) -> None:
        self.network.cut()

    async def outage(self, seconds: float) -> None:
        self.network.link(URL).down()
        await asyncio.sleep(seconds)
        self.network.heal()
        self.network.delay(0.1, 0.1)

    async def swallow(self, seconds: float) -> None:
        """Lose the answers, then the connection."""
        for link in self.network.link(URL).connections:
            link.half_open("to_client")
        await asyncio.sleep(seconds)
        self.network.cut()

    async def cancel(self, _seconds: float) -> None:
        for task in [*self.calls.values()][-1:]:
            task.cancel()

    async def wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def call(self, client: framerpc.Client, seconds: float) -> None:
        number = len(self.calls) + 1
        self.calls[number] = asyncio.create_task(client.stub(Counting).work(number, seconds))

    async def judge(self) -> None:
        """Every call ends; what ran, ran once; who has a result has that run's."""
        ended = await asyncio.gather(*self.calls.values(), return_exceptions=True)
        for call, outcome in zip(self.calls, ended, strict=True):
            runs = self.service.runs.count(call)
            assert runs <= 1, (call, outcome)
            if isinstance(outcome, int):
                assert outcome == self.service.results[call]
            elif isinstance(outcome, framerpc.FrameRPCError):
                assert runs == 0 or outcome.executed != "no", (call, outcome)
            else:
                assert isinstance(outcome, asyncio.CancelledError), (call, outcome)


DURATIONS = st.sampled_from([0.0, 0.05, 0.15, 0.3, 1.0, 3.0])
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["call 0", "call 1", "cut", "outage", "swallow", "cancel", "restart"]),
        DURATIONS,
        DURATIONS,
    ),
    min_size=1,
    max_size=14,
)
BOUNDS: Any = st.sampled_from(
    [
        {},
        {"max_replies": 1},
        {"max_reply_bytes": 1200},
        {"reply_ttl": 0.5},
        {"session_ttl": 0.5},
        {"max_sessions": 1},
        {"max_detached": 1},
        {"max_calls": 2},
    ]
)


@settings(max_examples=150)
@example(  # a write of the first server came after the second had read the store
    steps=[
        ("call 0", 0.0, 0.3),
        ("call 0", 1.0, 0.15),
        ("restart", 0.0, 0.0),
        ("restart", 0.0, 0.0),
    ],
    bounds={"max_replies": 1},
    durable=True,
    seed=2,
)
@given(steps=STEPS, bounds=BOUNDS, durable=st.booleans(), seed=st.integers(0, 1000))
@virtual_time
async def test_a_number_runs_at_most_once(
    steps: list[tuple[str, float, float]], bounds: dict[str, Any], durable: bool, seed: int
) -> None:
    """Cuts, outages, lost answers, restarts, cancellations and full caches, in any order."""
    with Network(seed) as network:
        network.delay(0.1, 0.1)
        world = World(network, Limits(**bounds), Shelf(0.02) if durable else None)
        await world.start()
        async with contextlib.AsyncExitStack() as stack:
            clients = [
                await stack.enter_async_context(framerpc.connect(URL, timeout=20)) for _ in range(2)
            ]
            for name, pause, seconds in steps:
                action, _, which = name.partition(" ")
                if action == "call":
                    world.call(clients[int(which)], seconds)
                else:
                    act: Callable[[float], Any] = getattr(world, action)
                    await act(seconds)
                await world.wait(pause)
            await world.judge()
        assert world.server is not None
        await world.server.close(grace=0)
