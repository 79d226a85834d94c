"""What framerpc costs before it does anything: import time, memory per idle connection."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

__all__ = ["idle_connection_kib", "import_ratio"]

_BASE = "import asyncio, msgpack, msgspec, tenacity"


def _import_seconds(statement: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return time.perf_counter() - started


def import_ratio(rounds: int = 15) -> float:
    """Return the time of `import framerpc` by that of its dependencies, whole processes each."""
    pairs = [(_import_seconds("import framerpc"), _import_seconds(_BASE)) for _ in range(rounds)]
    empty = statistics.median(_import_seconds("pass") for _ in range(rounds))
    return statistics.median((ours - empty) / (base - empty) for ours, base in pairs)


_IDLE = """
import asyncio, resource, socket, sys
import framerpc
from framerpc.protocol.wire import Wire, announce
from framerpc.protocol.states import Role
from framerpc.protocol.handshake import Greeting

def resident():
    with open('/proc/self/statm') as f:
        return int(f.read().split()[1]) * resource.getpagesize()

async def main():
    limits = framerpc.Limits(max_unauthenticated=5000, max_unauthenticated_per_address=5000)
    async with framerpc.Server(limits=limits).listen('tcp://127.0.0.1:0') as server:
        host, port = server.url[6:].rsplit(':', 1)
        hello = Wire(Role.CLIENT, limits).hello(Greeting(versions=[1], limits=announce(limits)))
        async def many(count):
            socks = []
            for _ in range(count):
                sock = socket.create_connection((host, int(port)))
                sock.sendall(hello)
                socks.append(sock)
                while len(server.peers.welcome) < len(everything) + len(socks):
                    await asyncio.sleep(0)
            everything.extend(socks)
        everything = []
        await many(100)
        before = resident()
        await many(%d)
        print((resident() - before) / %d / 1024)
        for sock in everything:
            sock.close()
asyncio.run(main())
"""


def idle_connection_kib(count: int = 400) -> float:
    """Return KiB of a server's resident memory for each connection that is welcomed and idle.

    Linux only. The sockets' own buffers are the kernel's and not counted.
    """
    done = subprocess.run(
        [sys.executable, "-c", _IDLE % (count, count)],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return float(done.stdout)
