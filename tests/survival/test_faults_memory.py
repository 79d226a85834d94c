"""Clients that ask for much and read nothing (row 11): what they cost stays within the limits."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

DROWN = """
import asyncio, gc, logging, resource, socket, sys
import framerpc
from framerpc.protocol.handshake import PREAMBLE
from tests.services import Work
from tests.survival.siege import frame, request
logging.disable()
CLIENTS, ASKED, SIZE = 40, 200, 60_000

def question(n):
    if sys.argv[1] == "answers":
        return frame(*request(2 * n + 1, "big", body=b"\\x90"))
    return frame(*request(2 * n + 1, "Work/count", 100_000, SIZE, flags=1, timeout_ms=None))

def resident():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # MiB, on Linux

async def main():
    loop = asyncio.get_running_loop()
    limits = framerpc.Limits(max_outbox=1 << 20, write_timeout=1.0)
    server = framerpc.Server(Work(), limits=limits)
    @server.method
    async def big() -> bytes:
        return bytes(SIZE)
    async with server.listen("tcp://127.0.0.1:0", grace=0), framerpc.connect(server.url) as witness:
        await witness.ready()
        greeting = frame(1, {"versions": [1], "limits": {"window": 2**31 - 1, "calls": 1000}})
        asked = ASKED if sys.argv[1] == "answers" else 3
        data = PREAMBLE + greeting + b"".join(map(question, range(asked)))
        port = int(server.url.rpartition(":")[2])
        before, slow, senders = resident(), [], []
        for _ in range(CLIENTS):
            sock = socket.socket()
            sock.setblocking(False)
            await loop.sock_connect(sock, ("127.0.0.1", port))
            slow.append(sock)
            senders.append(asyncio.create_task(loop.sock_sendall(sock, data)))
        longest, until = 0.0, loop.time() + 10
        while server.statistics()["clients"] > 1 and loop.time() < until:
            started = loop.time()
            assert await witness.call("Work/echo", 1) == 1
            longest = max(longest, loop.time() - started)
            await asyncio.sleep(0.01)
        for sender in senders:
            sender.cancel()
        await asyncio.wait(senders)
        for sock in slow:
            sock.close()
        print(int(resident() - before), int(longest * 1000), server.statistics()["clients"])
asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads what Linux says of memory")
@pytest.mark.parametrize("kind", ["answers", "streams"])
def test_clients_that_never_read_cost_no_more_than_their_limit(kind: str) -> None:
    """Row 11: forty ask for 480 MB and more; they cost a fraction, and are closed as slow."""
    done = subprocess.run(
        [sys.executable, "-c", DROWN, kind], check=False, capture_output=True, text=True,
        timeout=25, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    grown, longest, clients = map(int, done.stdout.split())
    assert done.stderr == ""
    assert grown < 150, "MiB"
    assert longest < 3000, "ms that the witness waited"
    assert clients == 1
