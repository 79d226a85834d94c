"""Methods in worker processes, through a real server and client.

A worker that a test watches dials the test: the end of that connection is the end of the worker.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import threading
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import framerpc
from framerpc.config import KIB, Limits
from framerpc.errors import (
    ConfigurationError,
    DeadlineExceeded,
    InvalidArgument,
    InvalidResult,
    RemoteError,
    ResourceExhausted,
    Unavailable,
)
from framerpc.protocol.frames import Outcome
from tests.server.process_service import Needy, Streams, Uploads, Waits, Work, WorkFailed, double

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from framerpc.client.client import Client
    from framerpc.server.server import Server

ROOT = Path(__file__).parent.parent.parent

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="looks at signals and /proc")


@asynccontextmanager
async def serving(
    *services: object, limits: Limits | None = None, **options: Any
) -> AsyncGenerator[tuple[Server, Client]]:
    """Serve `Work`, unless told otherwise, and connect to it."""
    server = framerpc.Server(*(services or (Work("server"),)), limits=limits)
    async with (
        server.listen("memory://processes", grace=0),
        framerpc.connect("memory://processes", **options) as client,
    ):
        yield server, client


class Worker:
    """One worker that dialled."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.pid = 0

    async def dialled(self) -> None:
        self.pid = int(await self._reader.readline())

    def say(self, text: bytes) -> None:
        self._writer.write(text)

    async def ended(self) -> None:
        """Wait until it is gone."""
        with suppress(ConnectionResetError):
            assert await self._reader.read() == b""


class Watch:
    """Where watched workers dial.

    Attributes:
        port: Its port.
    """

    port = 0

    def __init__(self) -> None:
        self._dialled: asyncio.Queue[Worker] = asyncio.Queue()

    async def seen(self) -> Worker:
        return await self._dialled.get()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        worker = Worker(reader, writer)
        await worker.dialled()
        self._dialled.put_nowait(worker)


@asynccontextmanager
async def watching() -> AsyncGenerator[Watch]:
    watch = Watch()
    writers: list[asyncio.StreamWriter] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await watch.accept(reader, writer)

    listener = await asyncio.start_server(accept, "127.0.0.1", 0)
    watch.port = listener.sockets[0].getsockname()[1]
    try:
        yield watch
    finally:
        listener.close()
        for writer in writers:
            writer.close()
        await listener.wait_closed()


def errors(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(record.getMessage() for record in caplog.records)


# ------------------------------------------------------------------------------------ calls


async def test_a_worker_is_another_process_and_works_again() -> None:
    """Two calls, one after the other, meet the same worker, which is not this process."""
    async with serving() as (_, client):
        first, second = await client.call(Work.pid), await client.call(Work.pid)
    assert first == second != os.getpid()


async def test_calls_at_once_run_in_several_workers() -> None:
    """Two calls that wait for each other's end would otherwise never meet."""
    async with watching() as watch, serving(limits=Limits(max_processes=2)) as (_, client):
        calls = [asyncio.create_task(client.call(Work.wait, watch.port)) for _ in range(2)]
        workers = [await watch.seen(), await watch.seen()]
        for worker in workers:
            worker.say(b"%d" % worker.pid)
        assert {int(await call) for call in calls} == {worker.pid for worker in workers}


async def test_for_worker_makes_the_workers_instance() -> None:
    """What the server was given stays there; the worker asks the class."""
    async with serving(Work("server")) as (_, client):
        assert await client.call(Work.maker) == "for_worker"


async def test_a_class_that_needs_arguments_needs_for_worker(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The log of the server says what to add to the class."""
    async with serving(Needy("x")) as (_, client):
        with pytest.raises(RemoteError):
            await client.call(Needy.get)
    assert "give it a class method `for_worker()`" in errors(caplog)


async def test_arguments_may_be_named_or_left_out() -> None:
    """A worker binds them as Python does."""
    async with serving() as (_, client):
        assert await client.call(Work.add, 1) == 2
        assert await client.call(Work.add, b=3, a=4) == 7


async def test_a_bare_function_can_run_in_a_process() -> None:
    """It is imported by its name."""
    server = framerpc.Server()
    server.method(run="process")(double)
    async with (
        server.listen("memory://bare"),
        framerpc.connect("memory://bare") as client,
    ):
        assert await client.call("double", 4) == 8


async def test_a_long_value_passes_the_pipes() -> None:
    """Values are not bounded by what a pipe holds."""
    async with serving() as (_, client):
        assert await client.call(Work.size, b"ab" * 256 * KIB) == b"ab" * 512 * KIB


async def test_input_and_output_are_no_pipe_of_ours(capfd: pytest.CaptureFixture[str]) -> None:
    """A method that prints and reads disturbs nothing; what it prints goes to stderr."""
    async with serving() as (_, client):
        assert await client.call(Work.talk) == ""
    assert "what a method prints" in capfd.readouterr().err


async def test_the_call_is_known_in_the_worker() -> None:
    """It has the method, the metadata and the deadline, and a clock that fits them."""
    async with serving(metadata={"who": "me"}, timeout=20) as (_, client):
        method, metadata, remaining, waited, has_no_server = await client.call(Work.known)
    assert (method, metadata, has_no_server) == ("Work/known", {"who": "me"}, True)
    assert remaining is not None
    assert 0 < remaining <= 20
    assert 0 <= waited < 20


# ----------------------------------------------------------------------------------- errors


async def test_a_declared_error_crosses_twice() -> None:
    """From the worker to the server, and on to the client, with its fields."""
    async with serving() as (_, client):
        with pytest.raises(WorkFailed) as caught:
            await client.call(Work.declared, 7)
    assert (caught.value.code, caught.value.executed) == (7, "yes")


async def test_an_undeclared_error_is_logged_by_the_server(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The client gets an id, and no more; beside it the traceback stands in the server's log."""
    async with serving() as (_, client):
        with pytest.raises(RemoteError) as caught:
            await client.call(Work.undeclared)
    assert caught.value.remote_traceback is None
    assert caught.value.error_id in errors(caplog)
    assert "in undeclared" in errors(caplog)
    assert "ZeroDivisionError" in errors(caplog)


async def test_a_bad_argument_is_refused_before_the_method_runs() -> None:
    """The error names the argument, and says that nothing was executed."""
    async with serving() as (_, client):
        with pytest.raises(InvalidArgument, match="a") as caught:
            await client.call("Work/add", "one")
    assert caught.value.executed == "no"


async def test_a_bad_result_is_the_services_fault() -> None:
    """What the wire cannot carry fails the call, after it was executed."""
    async with serving() as (_, client):
        with pytest.raises(InvalidResult) as caught:
            await client.call(Work.wrong)
    assert caught.value.executed == "yes"


async def test_sys_exit_ends_the_call_and_not_the_worker() -> None:
    """The worker goes on as if the method had raised anything else."""
    async with serving() as (_, client):
        before = await client.call(Work.pid)
        with pytest.raises(RemoteError):
            await client.call(Work.leave)
        assert await client.call(Work.pid) == before


# ------------------------------------------------------------------------------- the end


async def test_a_deadline_kills_an_endless_loop() -> None:
    """The process is gone, and the next call runs in a new one."""
    async with watching() as watch, serving(limits=Limits(max_processes=1)) as (_, client):
        first = await client.call(Work.pid)
        with pytest.raises(DeadlineExceeded):
            await client.with_options(timeout=0.5).call(Work.spin, watch.port)
        worker = await watch.seen()
        await worker.ended()
        assert worker.pid == first
        assert await client.call(Work.pid) != first


async def test_cancelling_kills_an_endless_loop() -> None:
    """The receipt says that it was stopped, which is true: the process is gone."""
    receipts: asyncio.Queue[tuple[str, Outcome]] = asyncio.Queue()

    def on_receipt(method: str, outcome: Outcome) -> None:
        receipts.put_nowait((method, outcome))

    async with watching() as watch, serving(on_receipt=on_receipt) as (_, client):
        call = asyncio.create_task(client.call(Work.spin, watch.port))
        worker = await watch.seen()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert await receipts.get() == ("Work/spin", Outcome.STOPPED)
        await worker.ended()


async def test_a_worker_that_dies_may_have_done_its_work() -> None:
    """Its call fails as unavailable, executed "maybe"; the next one runs in a new worker."""
    async with serving() as (_, client):
        with pytest.raises(Unavailable, match="exit code 3") as caught:
            await client.call(Work.die, 3)
        assert (caught.value.executed, caught.value.retry) == ("maybe", "idempotent")
        assert await client.call(Work.add, 1) == 2


async def test_a_worker_that_is_killed_while_idle_is_replaced() -> None:
    """The call after it does not notice."""
    async with serving() as (_, client):
        before = await client.call(Work.pid)
        os.kill(before, signal.SIGKILL)
        # Look, and leave the zombie to its owner.
        await asyncio.to_thread(os.waitid, os.P_PID, before, os.WEXITED | os.WNOWAIT)
        assert await client.call(Work.pid) != before


async def test_no_worker_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call for which no worker can be started was not executed."""
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    async with serving() as (_, client):
        with pytest.raises(Unavailable, match="no worker process could be started") as caught:
            await client.with_options(timeout=5).call(Work.pid)
    assert caught.value.executed == "no"


async def test_a_worker_that_does_not_come_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call whose worker ends before it takes requests was not executed."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    async with serving() as (_, client):
        with pytest.raises(Unavailable, match="exit code 1") as caught:
            await client.with_options(timeout=5).call(Work.pid)
    assert caught.value.executed == "no"


async def test_a_call_too_many_is_refused_at_once() -> None:
    """One runs and one waits; the third is told which limit it met."""
    limits = Limits(max_processes=1, max_waiting_processes=1)
    async with watching() as watch, serving(limits=limits) as (_, client):
        runs = asyncio.create_task(client.call(Work.wait, watch.port))
        worker = await watch.seen()
        waits, refused = await one_of_two(client)
        assert isinstance(refused, ResourceExhausted)
        assert "Limits.max_waiting_processes" in str(refused)
        assert refused.executed == "no"
        worker.say(b"done")
        assert (await runs, await waits) == ("done", 2)


async def test_a_call_that_waits_for_a_worker_is_dropped() -> None:
    """Its cancellation makes room for another at once, and harms nobody's worker."""
    receipts: asyncio.Queue[Outcome] = asyncio.Queue()

    def on_receipt(method: str, outcome: Outcome) -> None:
        receipts.put_nowait(outcome)

    limits = Limits(max_processes=1, max_waiting_processes=1)
    async with (
        watching() as watch,
        serving(limits=limits, on_receipt=on_receipt) as (_, client),
    ):
        runs = asyncio.create_task(client.call(Work.wait, watch.port))
        worker = await watch.seen()
        waits, _ = await one_of_two(client)
        waits.cancel()
        assert await receipts.get() == Outcome.STOPPED
        waits, _ = await one_of_two(client)
        worker.say(b"done")
        assert (await runs, await waits) == ("done", 2)


async def one_of_two(client: Client) -> tuple[asyncio.Task[int], BaseException | None]:
    """Make two calls; return the one that waits, and the error of the one that is refused."""
    calls = {asyncio.create_task(client.call(Work.add, 1)) for _ in range(2)}
    (refused,), (waits,) = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    return waits, refused.exception()


async def passes() -> None:
    """Let the loop close what it was told to close."""
    for _ in range(100):
        await asyncio.sleep(0)


def open_files() -> list[str]:
    kinds: list[str] = []
    for each in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the directory itself
            kinds.append(str(each.readlink()).split(":")[0])
    return sorted(kinds)


def children() -> list[str]:
    tasks = Path("/proc/self/task").glob("*/children")
    return [pid for task in tasks for pid in task.read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="Linux tells what is open")
async def test_closing_leaves_nothing_behind() -> None:
    """After idle, busy and killed workers there is no child, zombie, thread or file left."""
    async with watching() as watch:  # uvloop opens something for itself with the first stream
        _, writer = await asyncio.open_connection("127.0.0.1", watch.port)
        writer.write(b"0\n")
        await watch.seen()
        writer.close()
    await passes()
    before = open_files(), children(), threading.active_count()
    async with watching() as watch:
        async with serving(limits=Limits(max_processes=3)) as (server, client):
            killed = asyncio.create_task(client.call(Work.spin, watch.port))
            await watch.seen()
            killed.cancel()
            await asyncio.wait([killed])
            await asyncio.gather(client.call(Work.pid), client.call(Work.pid))
            busy = asyncio.create_task(client.call(Work.wait, watch.port))
            await watch.seen()
            assert len(children()) >= 2
            await server.close(grace=0)
            with pytest.raises(framerpc.FrameRPCError):
                await busy
        del busy, killed, client, server
        assert children() == before[1]
        assert threading.active_count() == before[2]
    await passes()
    assert open_files() == before[0]


async def test_closing_kills_what_runs() -> None:
    """A call that is cut may have been executed, and its worker is gone."""
    async with watching() as watch, serving() as (server, client):
        call = asyncio.create_task(client.call(Work.spin, watch.port))
        worker = await watch.seen()
        await server.close(grace=0)
        await worker.ended()
        with pytest.raises(framerpc.FrameRPCError) as caught:
            await call
        assert caught.value.executed == "maybe"


# ---------------------------------------------------------------------------- registration


def test_a_local_class_is_refused() -> None:
    """A worker could not import it; the error says where to put it."""

    @framerpc.service
    class Local:
        @framerpc.method(run="process")
        def get(self) -> int:
            return 1

    with pytest.raises(ConfigurationError, match="top level of its module"):
        framerpc.Server(Local())


def test_a_lambda_is_refused() -> None:
    """It has no name."""
    function: Any = lambda: 1  # noqa: E731
    function.__annotations__ = {"return": int}
    with pytest.raises(ConfigurationError, match="lambda"):
        framerpc.Server().method(run="process", name="one")(function)


@pytest.mark.parametrize("service", [Streams, Uploads])
def test_streams_are_refused(service: type) -> None:
    """Neither results nor arguments that are streams reach a worker process."""
    with pytest.raises(ConfigurationError, match="stream"):
        framerpc.Server(service())


def test_coroutines_are_refused() -> None:
    """A worker has no loop."""
    with pytest.raises(ConfigurationError, match="cannot run in a process"):
        framerpc.Server(Waits())


# -------------------------------------------------------------------------------- programs


@pytest.fixture(autouse=True)
def _can_import_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the programs below import what this process can."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def test_a_server_without_workers_imports_nothing_for_them() -> None:
    """What starts processes is loaded by the first call that needs one."""
    program = "import framerpc.server.server, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    loaded = set(done.stdout.decode().split())
    assert not loaded & {"multiprocessing", "framerpc.server.worker_process", "runpy"}


MAIN = """
import asyncio, os
import framerpc
{extra}

@framerpc.service
class Local:
    @framerpc.method(run="process")
    def pid(self) -> int:
        return os.getpid()

async def main() -> None:
    async with (
        framerpc.Server(Local()).listen("memory://main"),
        framerpc.connect("memory://main") as client,
    ):
        print("another" if await client.call(Local.pid) != os.getpid() else "the same")

if __name__ == "__main__":
    asyncio.run(main())
"""


def test_a_class_of_a_script(tmp_path: Path) -> None:
    """A worker can run methods of the main module of a script, whatever the script is called."""
    script = tmp_path / "script"
    script.write_text(MAIN.format(extra=""))
    done = subprocess.run([sys.executable, str(script)], capture_output=True, check=False)
    assert (done.stdout, done.stderr) == (b"another\n", b"")


def test_a_class_of_a_main_module_in_a_package(tmp_path: Path) -> None:
    """With `python -m package`, its relative imports work in the worker too."""
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "other.py").write_text("value = 1")
    (package / "__main__.py").write_text(MAIN.format(extra="from .other import value"))
    done = subprocess.run(
        [sys.executable, "-m", "package"], capture_output=True, check=False, cwd=tmp_path
    )
    assert (done.stdout, done.stderr) == (b"another\n", b"")


SERVER = """
    import framerpc
    from tests.server.process_service import Work

    framerpc.Server(Work("server")).run(
        "tcp://127.0.0.1:0", grace=10, ready=lambda server: print(server.url, flush=True)
    )
"""


@pytest.fixture
def server() -> Generator[subprocess.Popen[str]]:
    """A server that is a process group of its own."""
    command = [sys.executable, "-c", textwrap.dedent(SERVER)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        yield process
        process.kill()


def url(server: subprocess.Popen[str]) -> str:
    assert server.stdout is not None
    return server.stdout.readline().strip()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_to_the_group_spares_the_workers(
    server: subprocess.Popen[str], number: signal.Signals
) -> None:
    """The server drains: a call in a worker ends as it would have, though its worker was hit."""
    async with watching() as watch, framerpc.connect(url(server)) as client:
        call = asyncio.create_task(client.call(Work.wait, watch.port))
        worker = await watch.seen()
        os.killpg(server.pid, number)
        worker.say(b"done")
        assert await call == "done"
        await worker.ended()
    assert await asyncio.to_thread(server.wait, 10) == 0


async def test_workers_do_not_outlive_a_server_that_was_killed(
    server: subprocess.Popen[str],
) -> None:
    """Neither an idle one nor one in an endless loop."""
    async with watching() as watch, framerpc.connect(url(server)) as client:
        await client.call(Work.hold, watch.port)
        idle = await watch.seen()
        waiting = asyncio.create_task(client.call(Work.wait, watch.port))
        first = await watch.seen()
        spinning = asyncio.create_task(client.call(Work.spin, watch.port))
        second = await watch.seen()
        assert first.pid == idle.pid != second.pid
        first.say(b"idle again")
        await waiting
        server.kill()
        await idle.ended()
        await second.ended()
        spinning.cancel()
        await asyncio.wait([spinning])
