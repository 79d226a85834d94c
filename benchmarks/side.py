"""One process of a benchmark: `python -m benchmarks.side server SIDE`, or `… client …`."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeAlias

import framerpc
from benchmarks import yardstick
from framerpc.adapters.uvloop import run

Call: TypeAlias = Callable[[], Awaitable[object]]

PAYLOAD = b"x" * 32

_TURN: Final = 0.05
"""Seconds: some hundred calls, and far less than a busy neighbour on the machine stays."""


@framerpc.service
class Echo:
    """What the yardstick does, as a service."""

    @framerpc.method
    async def echo(self, payload: bytes) -> bytes:
        """Return what came."""
        return payload


async def _measure(call: Call, in_flight: int, seconds: float) -> tuple[int, float]:
    """Return how many calls ended in about so many seconds with so many in flight, and in how many."""
    done = 0

    async def caller(until: float) -> None:
        nonlocal done
        while time.perf_counter() < until:
            for _ in range(10):
                await call()
            done += 10

    started = time.perf_counter()
    await asyncio.gather(*(caller(started + seconds) for _ in range(in_flight)))
    return done, time.perf_counter() - started


async def _in_turn(one: Call, other: Call, in_flight: int, seconds: float) -> tuple[float, float]:
    """Return the calls per second of both, measured in short turns.

    A machine that changes its speed from one moment to the next then changes it for both.
    """
    for call in (one, other):  # warm up: connections, codecs, caches
        await _measure(call, in_flight, 0.2)
    turns = [
        (await _measure(one, in_flight, _TURN), await _measure(other, in_flight, _TURN))
        for _ in range(round(seconds / _TURN))
    ]
    ones, others = zip(*turns, strict=True)
    return _rate(ones), _rate(others)


def _rate(turns: Iterable[tuple[int, float]]) -> float:
    done, took = 0, 0.0
    for calls, seconds in turns:
        done += calls
        took += seconds
    return done / took


async def _echo_server() -> None:
    host, port = await yardstick.serve()
    print(f"{host}:{port}", flush=True)
    await asyncio.Event().wait()


async def _framerpc_server() -> None:
    async with framerpc.Server(Echo()).listen("tcp://127.0.0.1:0") as server:
        print(server.url, flush=True)
        await asyncio.Event().wait()


async def _client(echo: str, server: str, in_flight: str, seconds: str) -> tuple[float, float]:
    """Measure both servers; return the calls per second of the yardstick, and of framerpc."""
    host, port = echo.rsplit(":", 1)
    loop = asyncio.get_running_loop()
    transport, bare = await loop.create_connection(yardstick.EchoClient, host, int(port))
    try:
        async with framerpc.connect(server) as client:
            stub = client.stub(Echo)
            return await _in_turn(
                lambda: bare.call(PAYLOAD),
                lambda: stub.echo(PAYLOAD),
                int(in_flight),
                float(seconds),
            )
    finally:
        transport.close()


_SERVERS = {"yardstick": _echo_server, "framerpc": _framerpc_server}


def _take_core(role: str) -> None:
    """Run the server on the first core that we may use, and the client on the last.

    On a busy machine the system puts both on one, where they take turns: that is another
    measurement, of processor time alone, and which of the two it is must not be left to chance.
    """
    if hasattr(os, "sched_setaffinity"):  # Linux
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[0 if role == "server" else -1]})


if __name__ == "__main__":
    role, *arguments = sys.argv[1:]
    _take_core(role)
    if role == "server":
        run(_SERVERS[arguments[0]]())
    else:
        print(*run(_client(*arguments)))
