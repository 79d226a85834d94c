"""Faults of whole processes, of TLS and of file descriptors (rows 1, 3, 10, 24, 32; row 1 of TLS)."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import framerpc
from framerpc import ConnectionFailed, ConnectionLost, Keepalive, Limits
from tests.services import Work
from tests.survival.siege import besieged, settled

SERVE = """
import framerpc
from tests.services import Work
framerpc.Server(Work()).run("tcp://127.0.0.1:0", ready=lambda server: print(server.url, flush=True))
"""


@asynccontextmanager
async def served() -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A server in a process of its own; it is killed at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert process.stdout is not None
    try:
        yield process, (await process.stdout.readline()).decode().strip()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
async def test_killed_server_ends_calls_at_once() -> None:
    """Row 1: `kill -9` in the middle of a call is ConnectionLost, and it may have been executed."""
    async with served() as (process, url), framerpc.connect(url, timeout=20) as client:
        await client.ready()
        call = asyncio.create_task(client.call("Work/sleep", 60.0))
        assert await client.call("Work/echo", 1) == 1
        process.send_signal(signal.SIGKILL)
        with pytest.raises(ConnectionLost) as caught:
            await call
        assert caught.value.executed == "maybe"
        assert caught.value.retry == "idempotent"


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
async def test_stopped_server_is_noticed_by_keepalive() -> None:
    """Row 3: a server under SIGSTOP acknowledges and says nothing; patience with it ends, too."""
    quick = Keepalive(interval=0.2, timeout=0.2, busy=0.5)
    async with served() as (process, url):
        async with framerpc.connect(url, timeout=20, keepalive=quick) as client:
            await client.ready()
            process.send_signal(signal.SIGSTOP)
            with pytest.raises(ConnectionLost, match="no byte"):
                await client.call("Work/echo", 1)
            process.send_signal(signal.SIGCONT)
            assert await client.call("Work/echo", 2) == 2


EXHAUST = """
import asyncio, logging, os, resource, socket, sys, framerpc
from framerpc.adapters.uvloop import run
from tests.services import Work
logging.basicConfig(level="WARNING")
async def main():
    server = framerpc.Server(Work())
    async with server.listen("tcp://127.0.0.1:0", grace=0):
        async with framerpc.connect(server.url) as client:
            await client.ready()
            host, port = "127.0.0.1", int(server.url.rpartition(":")[2])
            pending = []
            for _ in range(12):
                sock = socket.socket(); sock.setblocking(False); pending.append(sock)
            used = []
            try:
                while True: used.append(os.open("/dev/null", os.O_RDONLY))
            except OSError: pass
            for sock in pending: sock.connect_ex((host, port))
            while not server.statistics()["accept_pauses"]:
                assert await client.call("Work/echo", 1) == 1
            for n in range(50):
                assert await client.call("Work/echo", n) == n
            assert server.statistics()["accept_pauses"] == 1
            for fd in used: os.close(fd)
            while server.statistics()["strangers"] < 12:
                await asyncio.sleep(0.02)
            for sock in pending: sock.close()
        async with framerpc.connect(server.url, timeout=5) as client:
            assert await client.call("Work/echo", "recovered") == "recovered"
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
(run if sys.argv[1] == "uvloop" else asyncio.run)(main())
print("survived")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs RLIMIT_NOFILE and /dev/null")
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_running_out_of_descriptors_stops_no_call(loop: str) -> None:
    """Row 10: calls go on, connections wait in the kernel, and the log gets one line."""
    done = subprocess.run(
        [sys.executable, "-c", EXHAUST, loop], check=False, capture_output=True, text=True,
        timeout=25, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.stdout == "survived\n", done.stderr
    (line,) = done.stderr.splitlines()
    assert "no connections can be accepted for now" in line


CANCELLED = """
import asyncio, framerpc
async def main():
    async with framerpc.connect("tcp://127.0.0.1:%d", timeout=None) as client:
        asyncio.get_running_loop().call_later(0.05, asyncio.current_task().cancel)
        await client.call("Work/echo", 1)
try:
    asyncio.run(main())
except asyncio.CancelledError:
    print("cancelled")
"""


@pytest.mark.parametrize("answers", [True, False])
def test_program_that_ends_while_connecting_makes_no_noise(answers: bool) -> None:
    """Row 32: neither a hang nor a word on standard error."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if answers:
            listener.listen()
        done = subprocess.run(
            [sys.executable, "-W", "always", "-c", CANCELLED % listener.getsockname()[1]],
            check=False, capture_output=True, text=True, timeout=20, cwd=Path(__file__).parents[2],
        )  # fmt: skip
    assert (done.stdout, done.stderr) == ("cancelled\n", "")


OFFER = """
from collections.abc import AsyncIterator
import asyncio, os, sys, framerpc, framerpc.sync
server = framerpc.Server()

@server.method
async def sleep(seconds: float) -> None:
    await asyncio.sleep(seconds)

@server.method
async def ticks() -> AsyncIterator[int]:
    for n in range(10**9):
        yield n
"""

ENDS: dict[str, tuple[int, str]] = {
    "exit in a block": (3, """
async def main():
    async with server.listen("tcp://127.0.0.1:0"), framerpc.connect(server.url) as client:
        assert await anext(client.stream("ticks")) == 0
        sys.exit(3)
asyncio.run(main())
"""),
    "cancelled in a call": (0, """
async def main():
    async with server.listen("tcp://127.0.0.1:0", grace=0), framerpc.connect(server.url) as client:
        await client.ready()
        asyncio.get_running_loop().call_later(0.05, asyncio.current_task().cancel)
        await client.call("sleep", 60.0)
try:
    asyncio.run(main())
except asyncio.CancelledError:
    pass
"""),
    "never closed": (0, """
async def main():
    global kept
    await server.start("tcp://127.0.0.1:0")
    client = framerpc.connect(server.url)
    stream = client.stream("ticks")
    await anext(stream)
    call = asyncio.create_task(client.call("sleep", 60.0))
    await asyncio.sleep(0)
    kept = client, stream, call
asyncio.run(main())
"""),
    "blocking, never closed": (0, """
with framerpc.sync.serve(server, "tcp://127.0.0.1:0") as serving:
    client = framerpc.sync.connect(serving.url, timeout=0.1)
    client.__enter__()
    try:
        client.call("sleep", 60.0)
    except framerpc.DeadlineExceeded:
        pass
"""),
}  # fmt: skip


@pytest.mark.parametrize("end", ENDS)
def test_program_that_ends_with_a_live_client_does_not_hang(end: str) -> None:
    """Row 32: however it ends, it ends, and says nothing about it."""
    code, program = ENDS[end]
    done = subprocess.run(
        [sys.executable, "-c", OFFER + program],
        check=False, capture_output=True, text=True, timeout=20, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")


FORKED = """
async def main():
    child = None
    try:
        async with server.listen("tcp://127.0.0.1:0", grace=0):
            async with framerpc.connect(server.url) as client:
                await client.ready()
                stream = client.stream("ticks")
                await anext(stream)
                child = os.fork()
                if not child:
                    return  # it leaves both blocks, and drops the stream
                os.waitpid(child, 0)
                assert await anext(stream) == 1
                await client.call("sleep", 0.0)
                print(server.statistics()["connections"], server.statistics()["violations"])
    finally:
        if child == 0:
            os._exit(0)
asyncio.run(main())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_child_that_leaves_the_blocks_closes_nothing() -> None:
    """What client and server do on leaving is for the process that they were opened in."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", OFFER + FORKED],
        check=False, capture_output=True, text=True, timeout=20, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("1 0\n", "")


def certificate(folder: Path, name: str) -> Path:
    """A certificate for localhost that signs itself, with its key in the same file."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    path = folder / name
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
        f"-subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout {path} -out {path}.pem"
    )
    subprocess.run(command.split(), check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + Path(f"{path}.pem").read_bytes())
    return path


def serving(path: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


async def test_rotated_certificate_leaves_open_links_alone(tmp_path: Path) -> None:
    """Row 24: new handshakes use the reloaded certificate, and who does not trust it is told."""
    old, new = certificate(tmp_path, "old"), certificate(tmp_path, "new")
    context = serving(old)
    trust_old, trust_new = (ssl.create_default_context(cafile=str(path)) for path in (old, new))
    async with framerpc.Server(Work()).listen("tls://localhost:0", tls=context, grace=0) as server:
        async with framerpc.connect(server.url, tls=trust_old) as client:
            assert await client.call("Work/echo", 1) == 1
            context.load_cert_chain(new)
            assert await client.call("Work/echo", 2) == 2
            async with framerpc.connect(server.url, tls=trust_new) as second:
                assert await second.call("Work/echo", 3) == 3
            async with framerpc.connect(server.url, tls=trust_old) as third:
                with pytest.raises(ConnectionFailed, match="certificate is not trusted") as caught:
                    await third.call("Work/echo", 4)
                assert caught.value.final


async def test_silent_stranger_at_a_tls_address_is_sent_away(tmp_path: Path) -> None:
    """Hostile row 1: the TLS handshake is bounded by the handshake timeout as well."""
    context = serving(certificate(tmp_path, "server"))
    server = framerpc.Server(Work(), limits=Limits(handshake_timeout=0.2))
    async with server.listen("tls://localhost:0", tls=context, grace=0):
        reader, writer = await asyncio.open_connection(
            "localhost", int(server.url.rpartition(":")[2])
        )
        assert await asyncio.wait_for(reader.read(), 3) == b""
        writer.close()


async def test_thousand_repetitions_leave_nothing() -> None:
    """P6: connect, call and drop a thousand times; descriptors, tasks and objects stay as many."""
    async with besieged(url="tcp://127.0.0.1:0", limits=Limits(cancel_grace=0.01)) as siege:

        async def once(n: int) -> None:
            async with framerpc.connect(siege.url) as client:
                assert await client.call("Work/echo", n) == n
                if n % 3 == 0:
                    await client.drop_connections()
                elif n % 3 == 1:
                    call = asyncio.create_task(client.call("Work/sleep", 60.0))
                    await asyncio.sleep(0)
                    call.cancel()

        async def repeat(times: int) -> tuple[int, int]:
            for n in range(times):
                await once(n)
            await settled(siege.is_calm)
            descriptors = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
            return descriptors, len(asyncio.all_tasks())

        def objects() -> int:
            gc.collect()
            return len(gc.get_objects())

        before, had = await repeat(50), objects()
        assert await repeat(1000) == before
        # What was cancelled last is held by its timers, until its grace is over.
        await settled(lambda: objects() < had + 500)
