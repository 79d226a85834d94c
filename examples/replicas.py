"""Three replicas of a service, one of which is killed under load: `python -m examples.replicas`.

Three servers, each a process of its own, and one client that spreads its calls over them. One
server is killed (SIGKILL: no goodbye) while twenty callers are at work, and started again. The
method is declared idempotent, so that a call which the dead server may have run is sent to
another one: no caller notices. Exit status 0 only if that is true.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path

import framerpc

ROOT = Path(__file__).resolve().parent.parent
CALLERS = 20


@framerpc.service
class Prices:
    """What every replica offers."""

    def __init__(self, name: str) -> None:
        self.name = name

    @framerpc.method(idempotent=True)
    async def price(self, item: str) -> tuple[int, str]:
        """Return the price of an item, and the replica that looked it up."""
        await asyncio.sleep(0.002)  # as if it asked a database
        return len(item), self.name


@dataclass
class Tally:
    """What the callers saw.

    Attributes:
        answers: By replica.
        failed: Calls that raised.
        slowest: Seconds of the slowest call.
    """

    answers: Counter[str] = field(default_factory=Counter[str])
    failed: list[Exception] = field(default_factory=list[Exception])
    slowest: float = 0.0


class Replica:
    """A server process that can be killed and started again at the same address."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.url = "tcp://127.0.0.1:0"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it and wait until it listens."""
        self._process = process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "examples.replicas",
            "--serve",
            self.name,
            self.url,
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        self.url = (await process.stdout.readline()).decode().strip()

    async def stop(self, number: signal.Signals) -> None:
        """Send it a signal and wait for its end."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)
            await self._process.wait()
            self._process = None


@contextlib.asynccontextmanager
async def replicas(*names: str) -> AsyncGenerator[list[Replica], None]:
    """Run one replica for each name while the block runs."""
    running = [Replica(name) for name in names]
    try:
        await asyncio.gather(*(replica.start() for replica in running))
        yield running
    finally:
        await asyncio.gather(*(replica.stop(signal.SIGTERM) for replica in running))


async def call(client: framerpc.Client, tally: Tally) -> None:
    """Ask for prices until cancelled."""
    prices = client.stub(Prices)
    while True:
        began = time.perf_counter()
        try:
            _, replica = await prices.price("tea")
        except framerpc.FrameRPCError as error:
            tally.failed.append(error)
            await asyncio.sleep(0.01)
        else:
            tally.answers[replica] += 1
        tally.slowest = max(tally.slowest, time.perf_counter() - began)


async def watch(title: str, tally: Tally, seconds: float) -> Counter[str]:
    """Wait, print who answered meanwhile, and return it."""
    before = tally.answers.copy()
    await asyncio.sleep(seconds)
    since = tally.answers - before
    shares = "  ".join(f"{name} {since[name]:5}" for name in "abc")
    print(f"{title:34} {shares}   failed {len(tally.failed)}", flush=True)
    return since


async def main(seconds: float) -> int:
    """Run the play; return the exit status."""
    tally = Tally()
    async with replicas("a", "b", "c") as running:
        urls = [replica.url for replica in running]
        print(f"three replicas: {', '.join(urls)}\n{CALLERS} callers\n")
        async with framerpc.connect(*urls, balance="least_loaded") as client:
            await client.ready(all=True)
            callers = [asyncio.create_task(call(client, tally)) for _ in range(CALLERS)]
            await watch("all is well", tally, seconds)
            await running[0].stop(signal.SIGKILL)
            without = await watch("a was killed", tally, seconds)
            await running[0].start()
            await client.ready(all=True)
            again = await watch("a is back, and warms up", tally, seconds)
            for task in callers:
                task.cancel()
            await asyncio.gather(*callers, return_exceptions=True)
            print()
            for row in client.endpoints():
                print(
                    f"{row.url}  {row.standing.value:8} calls {row.calls:6}  failed {row.failures}"
                )
    print(f"\n{tally.answers.total()} calls, the slowest took {tally.slowest * 1000:.0f} ms")
    for error in tally.failed[:3]:
        print(f"failed: {error}")
    good = not tally.failed and not without["a"] and again["a"] > 0
    print("no caller noticed" if good else "NOT as it should be")
    return not good


async def serve(name: str, url: str) -> None:
    """Serve one replica until SIGTERM."""
    server = framerpc.Server(Prices(name))
    await server.serve(url, ready=lambda server: print(server.url, flush=True))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of each act (2)")
    parser.add_argument("--serve", nargs=2, metavar=("NAME", "URL"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if os.name == "nt":
        sys.exit("this example needs Unix signals")
    if options.serve:
        asyncio.run(serve(*options.serve))
    else:
        sys.exit(asyncio.run(main(options.seconds)))
