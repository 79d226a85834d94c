"""What threads ask of a server: publishing from a `def` method, and when that is refused."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import signal
import threading
from collections.abc import Coroutine

import pytest

import framerpc
import framerpc.sync
from framerpc import TopicPolicy
from framerpc.server.blocking import from_thread
from tests.services import pair


@framerpc.service
class Press:
    """Publishes from where nothing can be awaited."""

    @framerpc.method
    def announce(self, text: str) -> int | None:
        """Publish from a worker thread; return the offset."""
        server: framerpc.Server = framerpc.current_call().server
        return server.publish_from_thread("news", text, key=text).offset


def _server() -> framerpc.Server:
    return framerpc.Server(Press(), topics=[TopicPolicy("news", history=10, publish="server")])


async def test_a_def_method_publishes() -> None:
    """What a worker thread publishes reaches subscribers, and the thread learns where it stands."""
    async with pair(_server()) as client, client.subscribe("news") as news:
        offsets = [await client.call(Press.announce, text) for text in ("a", "b", "a")]
        assert offsets == [1, 2, 1]  # the third has the key of the first
        assert [(await anext(news)).data for _ in range(2)] == ["a", "b"]


async def test_publishing_from_a_thread_raises_what_publishing_raises() -> None:
    """Data that cannot be carried is refused in the thread."""
    server = _server()
    async with server.listen("memory://press"):
        with pytest.raises(framerpc.InvalidArgument):
            await asyncio.to_thread(server.publish_from_thread, "news", object())


async def test_the_thread_of_the_loop_is_told_to_await() -> None:
    """On the loop it would wait for itself for ever: it is refused, and nothing is published."""
    server = _server()
    async with server.listen("memory://press"):
        with pytest.raises(framerpc.ConfigurationError, match="await"):
            server.publish_from_thread("news", "never")
        assert (await server.publish("news", "first")).offset == 1


async def test_a_server_that_does_not_run_publishes_nothing() -> None:
    """Before the start and after the end a thread is told that there is no server."""
    server = _server()
    with pytest.raises(framerpc.Unavailable, match="does not run"):
        await asyncio.to_thread(server.publish_from_thread, "news", 1)
    async with server.listen("memory://press"):
        pass
    with pytest.raises(framerpc.Unavailable, match="does not run"):
        await asyncio.to_thread(server.publish_from_thread, "news", 1)


def test_a_thread_publishes_beside_a_blocking_server() -> None:
    """With no loop in sight, whoever serves publishes to its subscribers."""
    with (
        framerpc.sync.serve(_server(), "memory://press") as server,
        framerpc.sync.connect("memory://press") as client,
        client.subscribe("news") as news,
    ):
        assert server.publish_from_thread("news", "here").subscribers == 1
        assert next(news).data == "here"


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_is_refused() -> None:
    """The loop stays with the parent: a child would wait for ever."""
    with framerpc.sync.serve(_server(), "memory://press") as server:
        child = os.fork()
        if not child:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)  # not pytest's: it would go on testing
            signal.alarm(5)
            try:
                server.publish_from_thread("news", 1)
            except framerpc.Unavailable:
                os._exit(7)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert server.publish_from_thread("news", 1).offset == 1


@pytest.mark.parametrize("orderly", [True, False])
def test_a_loop_that_ends_frees_the_thread(orderly: bool) -> None:
    """Whether what it waits for is cancelled with its loop or forgotten, the thread hears of it."""
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda _loop, _context: None)  # a forgotten task complains to it
    begun: asyncio.Future[None] = loop.create_future()
    tasks: list[asyncio.Task[None] | None] = []

    async def never() -> None:
        tasks.append(asyncio.current_task())
        begun.set_result(None)
        await loop.create_future()

    async def go() -> concurrent.futures.Future[None]:
        waiting = pool.submit(from_thread, loop, never)
        await begun
        return waiting

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = loop.run_until_complete(go())
        (task,) = tasks
        assert task is not None
        if orderly:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                loop.run_until_complete(task)
        loop.close()
        with pytest.raises(framerpc.Unavailable, match="stopped"):
            waiting.result(5)


def test_a_loop_that_ends_before_the_work_begins_frees_the_thread() -> None:
    """Between looking at the loop and handing over, it may have been closed."""
    loop = asyncio.new_event_loop()
    looked = loop.create_future()
    closed = threading.Event()

    async def never() -> None:
        raise AssertionError

    def make() -> Coroutine[None, None, None]:
        loop.call_soon_threadsafe(looked.set_result, None)
        closed.wait()
        return never()

    async def go() -> concurrent.futures.Future[None]:
        waiting = pool.submit(from_thread, loop, make)
        await looked
        return waiting

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = loop.run_until_complete(go())
        loop.close()
        closed.set()
        with pytest.raises(framerpc.Unavailable, match="stopped"):
            waiting.result(5)
