"""The service behind the dashboard: machines that report, and whoever wants to see them."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

import framerpc
from framerpc import Topic, TopicPolicy, Watch


@dataclass(frozen=True)
class Report:
    """What one machine says of itself.

    Attributes:
        machine: Its name.
        load: Share of its processors in use, 0 to 1.
        requests: Requests in the last second.
    """

    machine: str
    load: float
    requests: int


REPORTS = Topic[Report]("fleet.reports")
"""What the machines have reported; only the server publishes here, as behind every watch."""

POLICIES = [TopicPolicy("fleet.>", history=200)]


@framerpc.service
class Fleet:
    """Keeps the last report of each machine."""

    def __init__(self) -> None:
        self._last: dict[str, Report] = {}

    @framerpc.method
    async def report(self, report: Report) -> None:
        """Take a report and tell everybody who watches."""
        self._last[report.machine] = report
        await framerpc.current_call().server.publish(REPORTS, report)

    @framerpc.method
    def watch(self) -> Watch[dict[str, Report], Report]:
        """Follow the fleet: the last reports, then each new one."""
        return Watch(REPORTS, lambda: dict(self._last))


async def pretend(url: str, machine: str, pause: float) -> None:
    """Be a machine that reports every so many seconds, until cancelled."""
    load = random.random()
    async with framerpc.connect(url) as client:
        fleet = client.stub(Fleet)
        while True:
            load = min(1.0, max(0.0, load + random.uniform(-0.2, 0.2)))
            requests = int(load * 900 + random.uniform(0, 100))
            await fleet.report(Report(machine, round(load, 3), requests))
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))
