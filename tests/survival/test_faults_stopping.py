"""A server that is told to stop while it is busy (row 23), as processes and real sockets."""

from __future__ import annotations

import asyncio
import itertools
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import framerpc
from tests.services import soon

SERVE = """
import asyncio, random, sys
from collections.abc import AsyncIterator
import framerpc

server = framerpc.Server()
done = []

@server.method
async def add(n: int) -> int:
    await asyncio.sleep(random.random() * 0.01)
    done.append(n)
    return n

@server.method
async def sum_up(numbers: AsyncIterator[int]) -> int:
    return sum([n async for n in numbers])

@server.on_stop
def tell():
    print(len(done), len(set(done)), flush=True)

def ready(server):
    print(server.url, flush=True)

how, url = sys.argv[1:]
if how == "uvloop":
    server.run(url, ready=ready)
else:
    asyncio.run(server.serve(url, ready=ready))
"""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")


class Process:
    """A server in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.process = process
        self.url = url

    @classmethod
    async def start(cls, how: str, url: str = "tcp://127.0.0.1:0") -> Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", SERVE, how, url,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        assert process.stdout is not None
        return cls(process, (await process.stdout.readline()).decode().strip())

    async def stop(self) -> int:
        """Send SIGTERM, wait for the end, and return how many calls it executed."""
        self.process.send_signal(signal.SIGTERM)
        out, err = await self.process.communicate()
        assert (self.process.returncode, err) == (0, b"")
        executed, different = map(int, out.split())
        assert executed == different
        return executed


class Load:
    """Callers that never stop asking, for something that must happen once each."""

    def __init__(self, *clients: framerpc.Client) -> None:
        self.answered = 0
        self._numbers = itertools.count()
        self._enough = asyncio.Event()
        self._wanted = 0
        self._over = False
        self._tasks = [
            asyncio.create_task(self._ask(client)) for client in clients for _ in range(8)
        ]

    async def _ask(self, client: framerpc.Client) -> None:
        while not self._over:
            number = next(self._numbers)
            assert await client.call("add", number) == number
            self.answered += 1
            if self.answered >= self._wanted:
                self._enough.set()

    async def more(self, calls: int) -> None:
        """Wait for so many further answers, or for the first caller that gets none."""
        self._wanted = self.answered + calls
        self._enough.clear()
        enough = asyncio.create_task(self._enough.wait())
        done, _ = await asyncio.wait([enough, *self._tasks], return_when="FIRST_COMPLETED")
        enough.cancel()
        for task in done - {enough}:
            task.result()

    async def end(self) -> int:
        self._over = True
        await asyncio.gather(*self._tasks)
        return self.answered


@pytest.mark.timeout(60)  # three processes with an interpreter each
@pytest.mark.parametrize("how", ["asyncio", "uvloop"])
async def test_sigterm_under_load_loses_no_call(how: str) -> None:
    """Row 23: none fails, though none is idempotent; each is executed once, here or there."""
    first, second = await Process.start(how), await Process.start(how)
    urls = first.url, second.url
    async with (
        framerpc.connect(*urls) as one,
        framerpc.connect(*urls) as two,
        framerpc.connect(*urls) as three,
    ):
        load = Load(one, two, three)
        await load.more(500)
        executed = await first.stop()
        await load.more(500)
        answered = await load.end()
    assert executed > 0
    assert executed + await second.stop() == answered


@pytest.mark.timeout(60)  # two processes with an interpreter each
@pytest.mark.parametrize("how", ["asyncio", "uvloop"])
async def test_restart_at_the_same_port_loses_no_call(how: str) -> None:
    """Rows 22 and 23: callers wait for the successor, and see nothing but a pause."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    server = await Process.start(how, url)
    async with framerpc.connect(url) as one, framerpc.connect(url) as two:
        load = Load(one, two)
        executed = 0
        for _ in range(2):
            await load.more(300)
            executed += await server.stop()
            server = await Process.start(how, url)
        await load.more(300)
        answered = await load.end()
    assert executed + await server.stop() == answered


@pytest.mark.timeout(60)  # a process with an interpreter of its own
async def test_sigterm_in_the_middle_of_an_upload_waits_for_it() -> None:
    """Row 23: a stream that flows to the server is taken to its end, and its sum is answered."""
    server = await Process.start("asyncio")
    told = asyncio.Event()

    async def numbers() -> Any:
        yield 1
        await told.wait()
        for n in range(1000):
            yield n

    async with framerpc.connect(server.url) as client:
        await client.ready()
        call = asyncio.create_task(client.call("sum_up", numbers()))
        assert await client.call("add", 1) == 1
        stopping = asyncio.create_task(server.stop())
        await soon(lambda: client.state is not framerpc.State.READY)
        told.set()
        assert await call == sum(range(1000)) + 1
        await stopping
