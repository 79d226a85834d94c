"""Busy is not dead, on real processes and a real link: rows 1, 3 and 9.

Times here are real and short: what is tested is what the kernel says, and when.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

import framerpc
from framerpc import ConnectionLost, Keepalive, State

ROOT = Path(__file__).parents[2]
QUICK = Keepalive(interval=0.3, timeout=0.3, busy=60)

SERVE = """
import logging, sys, time, framerpc
logging.basicConfig(stream=sys.stderr, level="WARNING", format="%(message)s")
server = framerpc.Server(watchdog=framerpc.Watchdog(threshold=0.2, interval=0.05))
@server.method
async def echo(value: int) -> int:
    return value
@server.method
async def block(seconds: float) -> str:
    time.sleep(seconds)
    return "unblocked"
server.run(sys.argv[1], ready=lambda server: print(server.url, flush=True))
"""
SLEEPS = SERVE.splitlines().index("    time.sleep(seconds)") + 1

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs TCP_INFO")


@asynccontextmanager
async def served(
    url: str = "tcp://127.0.0.1:0", *prefix: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A server in a process of its own; it is killed at the end."""
    process = await asyncio.create_subprocess_exec(
        *prefix, sys.executable, "-c", SERVE, url,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        yield process, (await process.stdout.readline()).decode().strip()
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


class States:
    """What a client told, and what can be waited for."""

    def __init__(self) -> None:
        self.told: list[State] = []
        self._changed = asyncio.Event()

    def __call__(self, state: State) -> None:
        self.told.append(state)
        self._changed.set()

    async def until(self, state: State) -> None:
        while self.told[-1:] != [state]:
            self._changed.clear()
            await self._changed.wait()


@linux
async def test_stopped_server_is_degraded_and_then_ready_again() -> None:
    """Row 9: under SIGSTOP, for longer than interval and timeout, nothing is dropped."""
    states = States()
    async with served() as (process, url):
        async with framerpc.connect(url, timeout=25, keepalive=QUICK, on_state=states) as client:
            await client.ready()
            assert await client.call("echo", 1) == 1
            process.send_signal(signal.SIGSTOP)
            call = asyncio.create_task(client.call("echo", 2))
            await states.until(State.DEGRADED)
            await asyncio.sleep(2 * (QUICK.interval + QUICK.timeout))  # it would be dropped by now
            assert client.state.value == "degraded"
            process.send_signal(signal.SIGCONT)
            assert await call == 2
            await states.until(State.READY)
            assert State.CONNECTING not in states.told[1:]
            # How late it was stands in the PONG to the one PING that waited.
            assert client.statistics()["peer_lag_ms"] >= 500


@linux
async def test_blocking_handler_is_named_and_its_peers_stay() -> None:
    """Row 9: a handler that blocks the loop is in the log by file and line; nobody is dropped."""
    states = States()
    async with served() as (process, url):
        async with framerpc.connect(url, timeout=25, keepalive=QUICK, on_state=states) as client:
            await client.ready()
            blocks = asyncio.create_task(client.call("block", 1.5))
            await states.until(State.DEGRADED)
            assert await client.call("echo", 3) == 3
            assert await blocks == "unblocked"
            await states.until(State.READY)
            assert State.CONNECTING not in states.told[1:]
        process.send_signal(signal.SIGTERM)
        _, logged = await process.communicate()
    blamed = [line for line in logged.decode().splitlines() if "is blocked" in line]
    assert sum(f"by block, at <string>:{SLEEPS} in block" in line for line in blamed) == 1


@linux
async def test_killed_server_is_down_at_once() -> None:
    """Row 1: whatever patience there is for a busy server, a dead one needs none."""
    states = States()
    async with served() as (process, url):
        async with framerpc.connect(url, timeout=25, keepalive=QUICK, on_state=states) as client:
            await client.ready()
            process.send_signal(signal.SIGSTOP)
            call = asyncio.create_task(client.call("echo", 1))
            await states.until(State.DEGRADED)
            process.send_signal(signal.SIGKILL)
            with pytest.raises(ConnectionLost) as caught:
                await call
            assert caught.value.executed == "maybe"
            assert states.told[-1] is State.CONNECTING


def command(line: str) -> None:
    subprocess.run(line.split(), check=True, capture_output=True, timeout=10)


@contextmanager
def namespace() -> Iterator[tuple[str, str]]:
    """A network namespace with one cable to ours; yields its name and its end's address."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("needs Linux, root and ip(8)")
    number = os.getpid() % 16384 * 4  # a /30 of our own, in the range for such tests (RFC 2544)
    net = f"198.18.{number >> 8}" if number < 65536 else "198.19.0"
    near, far = f"{net}.{number % 256 + 1}", f"{net}.{number % 256 + 2}"
    name = f"frpc{os.getpid()}"
    try:
        command(f"ip netns add {name}")
    except subprocess.CalledProcessError as exc:
        pytest.skip(f"may not make a network namespace: {exc.stderr.decode().strip()}")
    try:
        command(f"ip link add {name} type veth peer name far netns {name}")
        command(f"ip addr add {near}/30 dev {name}")
        command(f"ip link set {name} up")
        command(f"ip -n {name} addr add {far}/30 dev far")
        command(f"ip -n {name} link set far up")
        yield name, far
    finally:
        subprocess.run(["ip", "link", "del", name], check=False, capture_output=True)
        command(f"ip netns del {name}")


@pytest.mark.parametrize("frozen", [False, True], ids=["alive", "frozen"])
async def test_black_hole_is_noticed_within_two_intervals(frozen: bool) -> None:
    """Row 3: when the link loses everything, nothing acknowledges, and the kernel says so.

    Also while the server is frozen and nothing of ours is under way: then the kernel's own
    keepalive notices, whose unit is the second.
    """
    states = States()
    keepalive = Keepalive(interval=2, timeout=1, busy=60)
    loop = asyncio.get_running_loop()
    with namespace() as (name, address):
        async with served(f"tcp://{address}:0", "ip", "netns", "exec", name) as (process, url):
            async with framerpc.connect(
                url, timeout=25, keepalive=keepalive, on_state=states
            ) as client:
                await client.ready()
                assert await client.call("echo", 1) == 1
                if frozen:
                    process.send_signal(signal.SIGSTOP)
                    await states.until(State.DEGRADED)
                    await asyncio.sleep(2 * keepalive.timeout)  # it is busy, not dead
                    assert client.state.value == "degraded"
                began = loop.time()
                command(f"ip -n {name} link set far down")
                await states.until(State.CONNECTING)
                spent = loop.time() - began
                assert spent <= 2 * keepalive.interval + 1  # and 1 s as in P4
                command(f"ip -n {name} link set far up")
                process.send_signal(signal.SIGCONT)
                assert await client.call("echo", 2) == 2
