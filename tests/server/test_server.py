"""The server: where it listens, how it starts and stops, what it counts."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import framerpc
from framerpc import ConfigurationError, Limits, State
from framerpc.testing import virtual_time
from tests.services import NEVER, Work, pair, soon


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a name that is short enough for a socket."""
    return tmp_path_factory.mktemp("s")


# ---------------------------------------------------------------------------- addresses


async def test_server_listens_at_several_addresses_at_once(folder: Path) -> None:
    """TCP over IPv4 and IPv6, Unix and memory all lead to the same methods."""
    urls = ["tcp://127.0.0.1:0", "tcp://[::1]:0", f"unix://{folder}/s", "memory://several"]
    async with framerpc.Server(Work()).listen(*urls) as server:
        assert len(server.urls) == 4
        assert server.url == server.urls[0]
        assert ":0" not in server.urls[0]
        for url in server.urls:
            async with framerpc.connect(url) as client:
                assert await client.call("Work/echo", url) == url
        assert repr(server).startswith("<Server tcp://127.0.0.1:")
    assert repr(server) == "<Server not listening, 0 clients>"


@pytest.mark.parametrize("kind", ["tcp", "unix", "memory"])
async def test_second_server_at_an_address_is_refused(kind: str, folder: Path) -> None:
    """An address in use is a clean OSError that names it, and the first server lives on."""
    url = {"tcp": "tcp://127.0.0.1:0", "unix": f"unix://{folder}/s", "memory": "memory://x"}[kind]
    async with framerpc.Server(Work()).listen(url) as first:
        second = framerpc.Server(Work())
        with pytest.raises(OSError, match=first.url.partition("://")[2].rpartition(":")[2]):
            await second.start(first.url)
        assert second.urls == []
        async with framerpc.connect(first.url) as client:
            assert await client.call("Work/echo", 1) == 1
        async with second.listen("memory://other"):
            assert second.urls == ["memory://other"]


@pytest.mark.skipif(sys.platform == "win32", reason="there are no Unix sockets")
async def test_stale_unix_socket_is_replaced_and_a_fresh_one_removed(folder: Path) -> None:
    """What a dead server left does not stand in the way; what we made goes with us."""
    path = folder / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert path.exists()
    async with (
        framerpc.Server(Work()).listen(f"unix://{path}") as server,
        framerpc.connect(server.url) as client,
    ):
        assert await client.call("Work/echo", 1) == 1
    assert not path.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no Unix sockets")
async def test_file_in_the_place_of_a_socket_is_not_touched(folder: Path) -> None:
    """A Unix address whose path is an ordinary file is refused, and the file stays."""
    path = folder / "notes"
    path.write_text("precious")
    with pytest.raises(ConfigurationError, match="not a socket"):
        await framerpc.Server(Work()).start(f"unix://{path}")
    assert path.read_text() == "precious"


async def test_one_address_that_fails_closes_the_others() -> None:
    """A server listens everywhere it was told to, or nowhere."""
    server = framerpc.Server(Work())
    with pytest.raises(ConfigurationError, match="certificate"):
        await server.start("memory://one", "tls://127.0.0.1:0")
    assert server.urls == []
    async with framerpc.Server(Work()).listen("memory://one"):
        pass


@pytest.mark.parametrize(
    ("use", "advice"),
    [
        (lambda: framerpc.Server(5), "int is not a service"),
        (lambda: framerpc.Server(Work), "Work"),
        (lambda: framerpc.Server(Work(), Work()), "two methods are named"),
        (lambda: framerpc.Server(interceptors=["x"]), "interceptors"),  # type: ignore[list-item]
        (lambda: framerpc.Server().url, "listen"),
        (lambda: framerpc.connect("memory://x").stub(int), "service"),
        (lambda: framerpc.connect("memory://x").stub(Work()), "service class"),  # type: ignore[arg-type]
    ],
)
def test_impossible_use_is_refused_with_advice(use: Any, advice: str) -> None:
    """What cannot work fails at once, with a text that says how to mend it."""
    with pytest.raises(ConfigurationError, match=advice):
        use()


async def test_listening_twice_or_nowhere_is_refused() -> None:
    """All addresses are passed at once; none at all is a mistake."""
    server = framerpc.Server(Work())
    with pytest.raises(ConfigurationError, match="pass one"):
        await server.start()
    with pytest.raises(ConfigurationError, match="listen"):
        await server.serve_forever()
    async with server.listen("memory://x"):
        with pytest.raises(ConfigurationError, match="all addresses at once"):
            await server.start("memory://y")


# -------------------------------------------------------------------------------- drain


@dataclass
class InFlight:
    """A server with a call that sleeps, and who waits for it."""

    server: framerpc.Server
    work: Work
    client: framerpc.Client
    call: asyncio.Task[float]


@asynccontextmanager
async def in_flight(seconds: float) -> AsyncIterator[InFlight]:
    """Serve at `memory://work`, and call a method that has begun to sleep so long."""
    work = Work()
    server = framerpc.Server(work)
    await server.start("memory://work")
    async with framerpc.connect("memory://work") as client:
        call = asyncio.create_task(client.call(Work.sleep, seconds))
        await work.entered.wait()
        yield InFlight(server, work, client, call)


@virtual_time
async def test_call_in_flight_finishes_when_the_server_stops() -> None:
    """Leaving the block waits for the calls that run, and takes no new ones."""
    async with in_flight(3) as now:
        closing = asyncio.create_task(now.server.close(grace=10))
        await asyncio.sleep(1)
        assert now.client.state is State.CONNECTING
        assert not now.call.done()
        assert await now.call == 3
        await closing
        assert asyncio.get_running_loop().time() == pytest.approx(3, abs=0.1)


@virtual_time
async def test_new_calls_of_a_draining_server_go_to_its_successor() -> None:
    """While the old server finishes a call, new calls use a new connection."""
    successor = framerpc.Server(Work())
    async with in_flight(5) as now:
        closing = asyncio.create_task(now.server.close(grace=10))
        await asyncio.sleep(0.1)
        await successor.start("memory://work")
        assert await now.client.call("Work/echo", "new") == "new"
        assert successor.statistics()["calls"] == 1
        assert await now.call == 5
        await closing
    await successor.close()


@virtual_time
async def test_call_still_running_after_the_grace_is_cut() -> None:
    """After `grace` seconds the handler is cancelled, and its caller is told Unavailable."""
    async with in_flight(20) as now:
        await now.server.close(grace=2)
        with pytest.raises(framerpc.Unavailable) as caught:
            await now.call
        assert caught.value.executed == "maybe"
        assert now.work.cancelled == 1
        assert 2 <= asyncio.get_running_loop().time() <= 3.1


@virtual_time
async def test_no_grace_cancels_at_once() -> None:
    """`grace=0` cancels the calls in flight without waiting."""
    async with in_flight(20) as now:
        await now.server.close(grace=0)
        with pytest.raises(framerpc.FrameRPCError):
            await now.call
        assert asyncio.get_running_loop().time() < 0.5


@virtual_time
async def test_cancelled_close_cuts_and_closes_all_the_same() -> None:
    """Cancelling `close` ends the waiting, not the closing."""
    async with in_flight(60) as now:
        closing = asyncio.create_task(now.server.close(grace=30))
        await asyncio.sleep(1)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        with pytest.raises(framerpc.FrameRPCError):
            await now.call
        assert now.server.urls == []
        await now.server.close()


@virtual_time
async def test_server_can_listen_again_after_it_stopped() -> None:
    """Stopping leaves a server that can be started once more."""
    server = framerpc.Server(Work())
    for _ in range(3):
        async with pair(server) as client:
            assert await client.call("Work/echo", 1) == 1
            health = await client.call("framerpc/health")
            assert health["status"] == "serving"


# -------------------------------------------------------------------------------- hooks


@virtual_time
async def test_hooks_run_before_listening_and_after_the_last_call() -> None:
    """`on_start` runs before the first client, `on_stop` after the last call; both may be async."""
    server = framerpc.Server()
    events: list[str] = []

    @server.on_start
    async def prepare() -> None:
        events.append("start")
        assert server.urls == []

    @server.on_stop
    def clean() -> None:
        events.append("stop")

    @server.method
    async def work() -> None:
        await asyncio.sleep(1)
        events.append("call")

    async with framerpc.connect("memory://work") as client:
        async with server.listen("memory://work"):
            call = asyncio.create_task(client.call("work"))
            await soon(lambda: server.statistics()["calls_in_flight"])
        await call
    assert events == ["start", "call", "stop"]


@virtual_time
async def test_start_hook_that_fails_keeps_the_server_from_listening() -> None:
    """What `on_start` raises comes out of `listen`, and the stop hooks run."""
    server = framerpc.Server()
    stopped: list[int] = []
    server.on_stop(lambda: stopped.append(1))

    @server.on_start
    def fail() -> None:
        raise KeyError("no database")

    with pytest.raises(KeyError, match="no database"):
        await server.start("memory://work")
    assert stopped == [1]
    assert server.urls == []


@virtual_time
async def test_stop_hook_that_fails_leaves_nothing_open() -> None:
    """What `on_stop` raises comes out of `close`, after all else was closed and all hooks ran."""
    server = framerpc.Server(Work())
    ran: list[int] = []

    @server.on_stop
    def fail() -> None:
        raise KeyError("disk full")

    server.on_stop(lambda: ran.append(1))
    await server.start("memory://work")
    waiting = asyncio.create_task(server.serve_forever())
    await asyncio.sleep(0)
    with pytest.raises(KeyError, match="disk full"):
        await server.close()
    await waiting
    assert ran == [1]
    assert server.urls == []


# ------------------------------------------------------------------- health, statistics


async def test_health_tells_status_and_counts() -> None:
    """`framerpc/health` can be asked of any server."""
    async with pair(framerpc.Server()) as client:
        health = await client.call("framerpc/health")
        assert health["status"] == "serving"
        assert health["clients"] == 1
        assert health["agent"].startswith("framerpc")


async def test_statistics_count_what_happened() -> None:
    """Calls that ended, failed and were refused are counted apart."""
    server = framerpc.Server(Work())
    async with pair(server) as client:
        await client.call("Work/echo", 1)
        for method, argument in (("Work/fail", "PermissionDenied"), ("Work/nope", "x")):
            with pytest.raises(framerpc.CallError):
                await client.call(method, argument)
        counted = server.statistics()
        names = ("connections", "calls", "failed_calls", "refused_calls", "calls_in_flight")
        assert [counted[name] for name in names] == [1, 2, 1, 1, 0]
        assert repr(server) == "<Server memory://work, 1 clients>"


# ------------------------------------------------------------------------------ overload


@virtual_time
async def test_waiting_for_threads_is_bounded() -> None:
    """Calls beyond the threads and their queue are refused at once, and surely did not run."""
    work = Work()
    limits = Limits(max_threads=1, max_waiting_threads=1)
    # No deadline: on a busy machine, virtual time passes before a thread has begun.
    async with pair(framerpc.Server(work, limits=limits), timeout=None, retry=NEVER) as client:
        calls = [asyncio.create_task(client.call("Work/block")) for _ in range(3)]
        with pytest.raises(framerpc.ResourceExhausted, match="max_waiting_threads") as caught:
            await calls[2]
        assert caught.value.executed == "no"
        work.let_go.set()
        assert await asyncio.gather(*calls[:2]) == ["let go"] * 2


# ------------------------------------------------------------------------------- signals

SERVE = """
    import asyncio, sys
    import framerpc

    server = framerpc.Server()

    @server.method
    async def sleep(seconds: float) -> str:
        print("entered", flush=True)
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            print("cancelled", flush=True)
            raise
        return "slept"

    @server.on_stop
    async def stop():
        print("stopped", flush=True)

    def ready(server):
        print(server.url, flush=True)

    if sys.argv[1] == "run":
        server.run("tcp://127.0.0.1:0", ready=ready)
    else:
        asyncio.run(server.serve("tcp://127.0.0.1:0", ready=ready))
"""


class Serving:
    """A server in a process of its own."""

    def __init__(self, how: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(SERVE), how],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.url = self.line()

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self) -> tuple[int, str, str]:
        with self.process as process:
            assert process.stdout is not None
            assert process.stderr is not None
            out, err = process.stdout.read(), process.stderr.read()
        return process.returncode, out, err


@pytest.mark.skipif(sys.platform == "win32", reason="there are no POSIX signals")
@pytest.mark.parametrize("how", ["run", "serve"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
async def test_signal_lets_calls_finish_and_ends_the_process(how: str, number: int) -> None:
    """SIGTERM and SIGINT drain: the call in flight is answered, and the process exits with 0."""
    serving = await asyncio.to_thread(Serving, how)
    async with framerpc.connect(serving.url) as client:
        call = asyncio.create_task(client.call("sleep", 0.2))
        assert await asyncio.to_thread(serving.line) == "entered"
        os.kill(serving.process.pid, number)
        assert await call == "slept"
    assert await asyncio.to_thread(serving.end) == (0, "stopped\n", "")


@pytest.mark.skipif(sys.platform == "win32", reason="there are no POSIX signals")
async def test_second_signal_cancels_what_still_runs() -> None:
    """Who does not want to wait for the grace sends a second signal."""
    serving = await asyncio.to_thread(Serving, "serve")
    async with framerpc.connect(serving.url) as client:
        await client.ready()
        call = asyncio.create_task(client.call("sleep", 20))
        assert await asyncio.to_thread(serving.line) == "entered"
        os.kill(serving.process.pid, signal.SIGTERM)
        await soon(lambda: client.state is State.CONNECTING)
        os.kill(serving.process.pid, signal.SIGTERM)
        with pytest.raises(framerpc.FrameRPCError):
            await call
        assert await asyncio.to_thread(serving.line) == "cancelled"
    assert await asyncio.to_thread(serving.end) == (0, "stopped\n", "")


@pytest.mark.skipif(sys.platform == "win32", reason="there are no POSIX signals")
async def test_two_signals_at_once_end_the_server() -> None:
    """A loop that was blocked hears both in one turn, before it has begun to stop."""

    def twice(_: framerpc.Server) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            os.kill(os.getpid(), number)

    await asyncio.wait_for(framerpc.Server(Work()).serve("memory://work", ready=twice), 5)


async def test_listening_touches_no_signal_handlers() -> None:
    """Only `serve` and `run` handle signals."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    async with framerpc.Server(Work()).listen("memory://quiet"):
        now = {number: signal.getsignal(number) for number in before}
        assert now == before


async def test_serving_ends_when_the_server_is_closed_or_the_task_cancelled() -> None:
    """`serve` returns after `close`, and closes when it is cancelled."""
    server = framerpc.Server(Work())
    task = asyncio.create_task(server.serve("memory://work"))
    await soon(lambda: server.urls)
    await server.close()
    await task
    task = asyncio.create_task(server.serve("memory://work"))
    await soon(lambda: server.urls)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert server.urls == []
