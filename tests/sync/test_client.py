"""The blocking client: the same answers, from any thread, and nothing left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import framerpc
import framerpc.sync
from framerpc.testing import Network

ADDRESS = "memory://sync"


@framerpc.service
class Desk:
    """What the tests call."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.cancelled = threading.Event()
        self.let_go = threading.Event()
        self.paid = 0
        self.client: framerpc.sync.SyncClient | None = None

    @framerpc.method
    async def double(self, n: int) -> int:
        return 2 * n

    @framerpc.method
    def half(self, n: int) -> int:
        return n // 2

    @framerpc.method
    async def wait(self) -> None:
        self.entered.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    @framerpc.method(once=True)
    def pay(self) -> int:
        self.entered.set()
        self.paid += 1
        self.let_go.wait(10)
        return self.paid

    @framerpc.method
    async def total(self, numbers: AsyncIterator[int]) -> int:
        return sum([n async for n in numbers])

    @framerpc.method
    async def doubled(self, numbers: AsyncIterator[int]) -> AsyncIterator[int]:
        async for n in numbers:
            yield 2 * n

    @framerpc.method
    async def forever(self) -> AsyncIterator[int]:
        try:
            n = 0
            while True:
                yield n
                n += 1
        finally:
            self.cancelled.set()

    @framerpc.method
    async def meta(self) -> dict[str, str]:
        return framerpc.current_call().metadata

    @framerpc.method
    async def itself(self) -> str:
        assert self.client is not None
        try:
            self.client.call(Desk.double, 1)
        except framerpc.ConfigurationError as error:
            return str(error)
        return "it did not notice"

    @framerpc.method
    def through(self) -> int:
        assert self.client is not None
        return self.client.call(Desk.double, 4)


@pytest.fixture
def desk() -> Desk:
    """The service behind the client."""
    return Desk()


@pytest.fixture
def client(desk: Desk) -> Iterator[framerpc.sync.SyncClient]:
    """A blocking client of a blocking server; nothing of them is left afterwards."""
    before = set(threading.enumerate())
    with (
        framerpc.sync.serve(framerpc.Server(desk), ADDRESS),
        framerpc.sync.connect(ADDRESS, timeout=10) as client,
    ):
        desk.client = client
        yield client
    assert set(threading.enumerate()) <= before


def test_call_returns_the_result(client: framerpc.sync.SyncClient) -> None:
    """A call blocks until its result is there, by function, by name and by stub."""
    stub = client.stub(Desk)
    assert (client.call(Desk.double, 2), client.call("Desk/double", 3), stub.double(n=4)) == (
        4,
        6,
        8,
    )


def test_threads_share_a_client(client: framerpc.sync.SyncClient) -> None:
    """Each of many threads gets the answers to its own calls."""
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: client.call(Desk.double, n), range(200)))
    assert answers == [2 * n for n in range(200)]


def test_errors_are_raised_where_the_call_is(client: framerpc.sync.SyncClient) -> None:
    """An error of the call is raised in the thread that made it."""
    with pytest.raises(framerpc.MethodNotFound, match="nothing"):
        client.call("Desk/nothing")


def test_timeout_ends_a_wait(client: framerpc.sync.SyncClient) -> None:
    """A view with a timeout gives its calls up after that, and leaves its base alone."""
    with pytest.raises(framerpc.DeadlineExceeded):
        client.with_options(timeout=0.02).call(Desk.wait)
    assert client.call(Desk.double, 1) == 2


def test_view_has_metadata_of_its_own(client: framerpc.sync.SyncClient) -> None:
    """Metadata of a view travels with its calls only."""
    view = client.with_options(metadata={"who": "ada"})
    assert (view.call(Desk.meta), client.call(Desk.meta)) == ({"who": "ada"}, {})


def test_view_does_not_close_its_base(client: framerpc.sync.SyncClient) -> None:
    """Closing a view closes nothing."""
    client.with_options(timeout=1).close()
    assert client.call(Desk.half, 4) == 2


def test_iterator_is_sent_as_a_stream(client: framerpc.sync.SyncClient) -> None:
    """A plain iterator among the arguments is consumed as a stream."""
    assert client.call("Desk/total", iter([1, 2, 3])) == 6


def test_streams_flow_both_ways(client: framerpc.sync.SyncClient) -> None:
    """A generator goes in, a plain iterator comes out."""
    assert list(client.stream("Desk/doubled", (n for n in range(4)))) == [0, 2, 4, 6]


def test_closing_a_stream_stops_its_producer(client: framerpc.sync.SyncClient, desk: Desk) -> None:
    """Leaving the block around a stream ends the generator on the server."""
    with client.stream(Desk.forever) as numbers:
        assert next(numbers) == 0
    assert desk.cancelled.wait(5)


def test_blocking_call_inside_another_loop(client: framerpc.sync.SyncClient) -> None:
    """A coroutine of another loop, as in a notebook, may block on a call."""

    async def cell() -> int:
        return client.call(Desk.double, 21)

    assert asyncio.run(cell()) == 42


def test_waiting_for_itself_is_refused(client: framerpc.sync.SyncClient) -> None:
    """A blocking call from an `async def` handler says that it would wait for itself."""
    assert "wait for itself" in client.call(Desk.itself)


def test_plain_handler_may_block(client: framerpc.sync.SyncClient) -> None:
    """A `def` handler runs in a thread, and may use the blocking client."""
    assert client.call("Desk/through") == 8


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs signals to threads")
def test_interrupt_cancels_the_call(client: framerpc.sync.SyncClient, desk: Desk) -> None:
    """KeyboardInterrupt during a wait is raised, and cancels the handler on the server."""
    main = threading.main_thread().ident
    assert main is not None

    def interrupt() -> None:
        assert desk.entered.wait(5)
        signal.pthread_kill(main, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        client.call(Desk.wait)
    thread.join()
    assert desk.cancelled.wait(5)


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="needs masks of signals")
def test_interrupt_that_another_thread_got_ends_the_wait(
    client: framerpc.sync.SyncClient, desk: Desk
) -> None:
    """The system may hand a signal to any thread, and does not wake the main one by it."""

    def interrupt() -> None:
        assert desk.entered.wait(5)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)

    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            client.with_options(timeout=None).call(Desk.wait)
        thread.join()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert desk.cancelled.wait(5)


def test_close_ends_calls_of_other_threads(desk: Desk) -> None:
    """A thread that waits when another one closes the client is told so."""
    with (
        framerpc.sync.serve(framerpc.Server(desk), ADDRESS, grace=0),
        framerpc.sync.connect(ADDRESS) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        waiting = pool.submit(client.call, Desk.wait)
        assert desk.entered.wait(5)
        client.close()
        with pytest.raises((framerpc.Unavailable, framerpc.ConnectionLost)):
            waiting.result(5)


def test_closed_client_says_so() -> None:
    """A client outside its block tells how to open one."""
    with pytest.raises(framerpc.ConfigurationError, match="not open"):
        framerpc.sync.connect(ADDRESS).call("anything")


def test_open_client_is_not_opened_again(client: framerpc.sync.SyncClient) -> None:
    """Entering a client twice is refused, so that its thread is let go exactly once."""
    with pytest.raises(framerpc.ConfigurationError, match="open already"):
        client.__enter__()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_child_leaves_the_connection_alone(client: framerpc.sync.SyncClient) -> None:
    """A child's call is refused and its close does nothing; the parent's calls go on."""
    child = os.fork()
    if not child:
        try:
            client.call(Desk.double, 1)
        except framerpc.ConfigurationError:
            client.close()
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert client.call(Desk.double, 5) == 10


def test_failed_start_leaves_no_thread() -> None:
    """A server that cannot listen lets the thread go again."""
    before = threading.active_count()
    with pytest.raises(framerpc.ConfigurationError), framerpc.sync.serve(framerpc.Server(), "bad"):
        pass
    assert threading.active_count() == before


def test_once_call_survives_its_connection(desk: Desk) -> None:
    """The stub of a blocking client sends it again; it has run once."""
    with (
        Network() as network,
        framerpc.sync.serve(framerpc.Server(desk), ADDRESS),
        framerpc.sync.connect(ADDRESS, timeout=10) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        waiting = pool.submit(client.stub(Desk).pay)
        assert desk.entered.wait(10)
        network.cut()
        desk.let_go.set()
        assert waiting.result(10) == 1
    assert desk.paid == 1


async def test_client_opens_and_closes_where_another_loop_runs() -> None:
    """As in Jupyter: the thread that uses it has a loop that runs, and keeps it."""
    before = threading.active_count()
    with framerpc.sync.serve(framerpc.Server(Desk()), "tcp://127.0.0.1:0") as server:
        with framerpc.sync.connect(server.url) as client:
            assert client.call(Desk.double, 4) == 8
    assert threading.active_count() == before
    await asyncio.sleep(0)
