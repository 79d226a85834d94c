"""A slow network and a cut one, with the kernel's own TCP (rows 3, 12, 14, 21).

Each test is a program in a network namespace of its own, whose loopback is shaped with `tc`.
That needs root; without it, or without what the kernel must have for it, they are skipped. The
same faults run on the virtual clock in test_faults_network.py.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

SLOW: dict[str, str] = {
    # Its queue is short: what does not fit is lost, and sent again.
    "tbf": "tc qdisc add dev lo root tbf rate 400kbit burst 3k latency 300ms",
    "netem": "tc qdisc add dev lo root netem delay 50ms loss 2% rate 400kbit",
}


def run(shape: str, program: str) -> str:
    """Run a program where loopback is shaped; return what it printed."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("needs Linux and root")
    for tool in ("unshare", "ip", "tc"):
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}")
    prepare = f"ip link set lo up mtu 1500 && {shape}"
    tried = subprocess.run(
        ["unshare", "-n", "sh", "-c", prepare], check=False, capture_output=True, text=True
    )
    if tried.returncode:
        pytest.skip(f"not on this machine: {tried.stderr.strip()}")
    done = subprocess.run(
        ["unshare", "-n", "sh", "-c", f'{prepare} && exec "$0" -c "$1"', sys.executable,
         textwrap.dedent(PRELUDE) + textwrap.dedent(program)],
        check=False, capture_output=True, text=True, timeout=40, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout


PRELUDE = """
    import asyncio, os, framerpc
    from framerpc import ConnectionLost, DeadlineExceeded
    from tests.services import Work

    quick = framerpc.Keepalive(interval=0.5, timeout=1)

    def now():
        return asyncio.get_running_loop().time()
"""


@pytest.mark.parametrize("shape", SLOW.values(), ids=SLOW)
def test_slow_lossy_link_is_not_taken_for_a_dead_one(shape: str) -> None:
    """Row 21: a body that takes far longer than the keepalive waits arrives, on one connection."""
    printed = run(
        shape,
        """
        async def main():
            server = framerpc.Server(Work(), keepalive=quick)
            server.method(size)
            async with server.listen("tcp://127.0.0.1:0", grace=0):
                async with framerpc.connect(server.url, keepalive=quick) as client:
                    await client.ready()
                    large = asyncio.create_task(client.call("size", bytes(200_000)))
                    began = now()
                    try:
                        await client.with_options(timeout=1).call("Work/sleep", 60)
                    except DeadlineExceeded:
                        print("in time" if now() - began < 2 else now() - began)
                    print(await large, server.statistics()["connections"])

        async def size(data: bytes) -> int:
            return len(data)

        asyncio.run(main())
        """,
    )
    assert printed == "in time\n200000 1\n"


def test_cut_link_is_noticed_and_used_again() -> None:
    """Rows 3, 12 and 14: what the kernel can say nothing of ends by the keepalive, then heals."""
    printed = run(
        "true",
        """
        async def main():
            server = framerpc.Server(Work(), keepalive=quick)
            async with server.listen("tcp://127.0.0.1:0", grace=0):
                async with framerpc.connect(server.url, keepalive=quick, timeout=30) as client:
                    await client.ready()
                    call = asyncio.create_task(client.call("Work/sleep", 60))
                    assert await client.call("Work/echo", 1) == 1
                    os.system("ip link set lo down")
                    began = now()
                    try:
                        await call
                    except ConnectionLost as error:
                        print(error.executed, "soon" if now() - began < 4 else now() - began)
                    os.system("ip link set lo up")
                    print(await client.call("Work/echo", "again"))

        asyncio.run(main())
        """,
    )
    assert printed == "maybe soon\nagain\n"
