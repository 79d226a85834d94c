"""What threads ask of a server: publishing from a `def` method, and when that is refused."""

from __future__ import annotations

import asyncio

import pytest

import framerpc
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


def test_a_loop_that_ends_frees_the_thread() -> None:
    """A publish that is cancelled with its loop is told as Unavailable, and blocks no thread."""

    async def main() -> None:
        begun = asyncio.Event()

        async def never() -> None:
            begun.set()
            await asyncio.Event().wait()

        loop = asyncio.get_running_loop()
        waiting = loop.run_in_executor(None, from_thread, loop, never)
        await begun.wait()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()  # as asyncio.run does when it ends
        with pytest.raises(framerpc.Unavailable, match="stopped"):
            await waiting

    asyncio.run(main())
