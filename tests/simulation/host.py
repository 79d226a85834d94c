"""One address, and the servers that stand there one after another.

It starts them, lets them drain, and kills them; when, is for the saboteur to say.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import framerpc
from framerpc import Keepalive, Limits, TopicPolicy
from framerpc.backplane.memory import MemoryStore
from framerpc.connection import memory
from tests.simulation.deeds import Node
from tests.simulation.history import Stop

if TYPE_CHECKING:
    from tests.simulation.history import History
    from tests.simulation.scenario import Scenario

__all__ = ["Host"]


class Host:
    """One address of a run.

    Args:
        number: Its number; its name is made of it.
        scenario: How its servers are set up.
        history: Where their executions and drains are written down.
    """

    def __init__(self, number: int, scenario: Scenario, history: History) -> None:
        self.name = f"s{number}"
        self.number = number
        self._life = 0
        self._store: MemoryStore | None = None
        self._scenario = scenario
        self._server: framerpc.Server | None = None
        self._draining: dict[asyncio.Task[None], tuple[framerpc.Server, Stop]] = {}
        self._history = history
        self._limits = Limits(
            max_calls=scenario.max_calls,
            stream_window=scenario.window,
            handshake_timeout=scenario.handshake,
        )
        self._keepalive = Keepalive(interval=scenario.interval, timeout=scenario.patience)

    async def start(self) -> None:
        """Let a server stand here, unless one does."""
        while self._server is None and self.name in memory._listeners:  # noqa: ASYNC110
            await asyncio.sleep(0)  # who was told to go gives it up in a moment; nobody tells
        if self._server is None:
            self._life += 1
            node = Node(self._history, self.number, self._life)
            if self._store is None or not self._scenario.durable:
                self._store = MemoryStore(instance=f"{self.name}x{self._life}")
            self._server = framerpc.Server(
                node, limits=self._limits, keepalive=self._keepalive, store=self._store,
                topics=[TopicPolicy("log.>", history=self._scenario.kept)],
            )  # fmt: skip
            await self._server.start(f"memory://{self.name}")

    async def publish(self, topic: str, data: object) -> framerpc.Published:
        """Publish for the server that stands here."""
        assert self._server is not None
        return await self._server.publish(topic, data)

    def drain(self, grace: float) -> asyncio.Task[None] | None:
        """Let the server drain, if one stands here; return what ends with it."""
        server, self._server = self._server, None
        if server is None:
            return None
        now = asyncio.get_running_loop().time()
        stop = Stop(server=self.number, life=self._life, began=now, grace=grace)
        self._history.stops.append(stop)
        task = asyncio.create_task(server.close(grace))
        self._draining[task] = server, stop
        task.add_done_callback(self._draining.pop)
        return task

    async def kill(self) -> None:
        """End the server that stands here, and those that drain."""
        ending = [] if self._server is None else [self._server]
        self._server = None
        for task, (server, stop) in self._draining.items():
            stop.cut = asyncio.get_running_loop().time()
            task.cancel()
            ending.append(server)  # it may not even have begun to close
        await asyncio.gather(*(server.close(grace=0) for server in ending))
