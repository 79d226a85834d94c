"""Repeat calls and faults for a while, then look for leaks: `python -m tests.soak --seconds N`.

Each round starts a server, lets several clients call, stream, cancel, fail and lose their
connections, and stops everything. After the first rounds (imports, caches) neither tasks nor
file descriptors may be left, and memory may not keep growing. Exit status 1 if it does.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import resource
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import framerpc
from framerpc.adapters.uvloop import run

STATM = Path("/proc/self/statm")
WARM_UP = 20
"""Rounds before the first look."""
GROWTH = 8 * 1024 * 1024
"""Bytes of memory that may come on top after the warm-up: the allocator's own play."""


@framerpc.service
class Work:
    """A bit of everything."""

    @framerpc.method
    async def echo(self, payload: bytes) -> bytes:
        """Return what came."""
        return payload

    @framerpc.method
    async def hang(self) -> None:
        """Never answer."""
        await asyncio.Event().wait()

    @framerpc.method
    async def fail(self) -> None:
        """Raise something undeclared."""
        raise ValueError("on purpose")

    @framerpc.method
    async def count(self, upto: int) -> AsyncGenerator[int, None]:
        """Stream numbers."""
        for n in range(upto):
            yield n

    @framerpc.method
    async def total(self, numbers: AsyncIterator[int]) -> int:
        """Take a stream."""
        return sum([n async for n in numbers])

    @framerpc.method
    def block(self, payload: bytes) -> int:
        """Run in a thread."""
        return len(payload)


async def _one_client(url: str, luck: random.Random) -> int:  # noqa: C901 - one branch a deed
    """Do a few things, some of which go wrong; return how many were done."""
    done = 0
    async with framerpc.connect(url, timeout=5) as client:
        work = client.stub(Work)
        for _ in range(10):
            choice = luck.randrange(8)
            try:
                if choice == 0:
                    await work.echo(luck.randbytes(luck.choice((10, 10_000, 300_000))))
                elif choice == 1:
                    await client.with_options(timeout=0.005).stub(Work).hang()
                elif choice == 2:
                    await work.fail()
                elif choice == 3:
                    assert [n async for n in work.count(50)] == list(range(50))
                elif choice == 4:
                    numbers = work.count(10_000)
                    await anext(numbers)
                    await numbers.aclose()
                elif choice == 5:
                    assert await work.total(work.count(100)) == 4950
                elif choice == 6:
                    task = asyncio.create_task(work.hang())
                    await asyncio.sleep(0)
                    task.cancel()
                    await asyncio.wait([task])
                else:
                    await client.call(Work.block, b"x" * 1000)
            except (framerpc.CallError, framerpc.ConnectionLost):
                pass  # they are wanted here; anything else ends the run
            done += 1
            if luck.random() < 0.05:
                await client.drop_connections()
    return done


async def _round(luck: random.Random) -> int:
    """Start a server, let clients work on it, stop everything."""
    address = luck.choice(["tcp://127.0.0.1:0", "memory://soak"])
    async with framerpc.Server(Work()).listen(address, grace=1) as server:
        seeds = [luck.random() for _ in range(5)]
        return sum(
            await asyncio.gather(*(_one_client(server.url, random.Random(s)) for s in seeds))
        )


def _resident() -> int:
    return int(STATM.read_text(encoding="ascii").split()[1]) * resource.getpagesize()


def _look() -> tuple[int, int, int]:
    """Return the tasks, file descriptors and bytes of memory that are there now."""
    gc.collect()
    return len(asyncio.all_tasks()), len(list(Path("/proc/self/fd").iterdir())), _resident()


async def _soak(seconds: float, seed: int) -> int:
    luck = random.Random(seed)
    until = time.monotonic() + seconds
    rounds = calls = 0
    first: tuple[int, int, int] | None = None
    while time.monotonic() < until or first is None:
        calls += await _round(luck)
        rounds += 1
        if rounds == WARM_UP:
            first = _look()
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{rounds} rounds, {calls} calls, {until - time.monotonic():.0f} s ")
    last = _look()
    growth = (last[2] - first[2]) / 1024
    print(
        f"seed {seed}: {rounds} rounds, {calls} calls; tasks {first[0]} -> {last[0]}, "
        f"file descriptors {first[1]} -> {last[1]}, memory {growth:+.0f} KiB"
    )
    return int(last[0] > first[0] or last[1] > first[1] or last[2] > first[2] + GROWTH)


def main() -> int:
    """Run the soak test; return an exit status."""
    parser = argparse.ArgumentParser(prog="tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long (60)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    options = parser.parse_args()
    if not STATM.exists():
        print("skipped: this looks at /proc, which only Linux has")
        return 0
    return run(_soak(options.seconds, options.seed))


if __name__ == "__main__":
    sys.exit(main())
