"""One process of a benchmark: `python -m benchmarks.side SIDE server|client …`."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable

import framerpc
from benchmarks import yardstick
from framerpc.adapters.uvloop import run

PAYLOAD = b"x" * 32


@framerpc.service
class Echo:
    """What the yardstick does, as a service."""

    @framerpc.method
    async def echo(self, payload: bytes) -> bytes:
        """Return what came."""
        return payload


async def _measure(call: Callable[[], Awaitable[object]], in_flight: int, seconds: float) -> float:
    """Return calls per second with so many in flight."""
    done = 0

    async def caller(until: float) -> None:
        nonlocal done
        while time.perf_counter() < until:
            for _ in range(10):
                await call()
            done += 10

    # Warm up: connections, codecs, caches.
    await asyncio.gather(*(caller(time.perf_counter() + 0.2) for _ in range(in_flight)))
    done = 0
    started = time.perf_counter()
    await asyncio.gather(*(caller(started + seconds) for _ in range(in_flight)))
    return done / (time.perf_counter() - started)


async def _echo_server() -> None:
    host, port = await yardstick.serve()
    print(f"{host}:{port}", flush=True)
    await asyncio.Event().wait()


async def _echo_client(where: str, in_flight: str, seconds: str) -> float:
    host, port = where.rsplit(":", 1)
    loop = asyncio.get_running_loop()
    transport, client = await loop.create_connection(yardstick.EchoClient, host, int(port))
    try:
        return await _measure(lambda: client.call(PAYLOAD), int(in_flight), float(seconds))
    finally:
        transport.close()


async def _framerpc_server() -> None:
    async with framerpc.Server(Echo()).listen("tcp://127.0.0.1:0") as server:
        print(server.url, flush=True)
        await asyncio.Event().wait()


async def _framerpc_client(where: str, in_flight: str, seconds: str) -> float:
    async with framerpc.connect(where) as client:
        stub = client.stub(Echo)
        return await _measure(lambda: stub.echo(PAYLOAD), int(in_flight), float(seconds))


_SERVERS = {"yardstick": _echo_server, "framerpc": _framerpc_server}
_CLIENTS = {"yardstick": _echo_client, "framerpc": _framerpc_client}


def _take_core(role: str) -> None:
    """Run the server on the first core that we may use, and the client on the last.

    On a busy machine the system puts both on one, where they take turns: that is another
    measurement, of processor time alone, and which of the two it is must not be left to chance.
    """
    if hasattr(os, "sched_setaffinity"):  # Linux
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[0 if role == "server" else -1]})


if __name__ == "__main__":
    side, role, *arguments = sys.argv[1:]
    _take_core(role)
    if role == "server":
        run(_SERVERS[side]())
    else:
        print(run(_CLIENTS[side](*arguments)))
