"""What leaves about calls that the peer began: long answers, and what does not fit."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

import framerpc
from framerpc import Limits, RemoteError
from framerpc.testing import Network, virtual_time
from tests.services import Work, soon

SMALLEST = Limits(max_frame=65_600)


@framerpc.error
@dataclass(eq=False)
class Wordy(framerpc.CallError):
    """An error with a lot to say."""

    text: str


@framerpc.service
class Talker:
    @framerpc.method
    async def talk(self, size: int) -> None:
        raise Wordy(text="x" * size)


@virtual_time
async def test_a_long_answer_leaves_whole_before_a_stopping_server_closes() -> None:
    """A call is in flight until the last part of its answer has left."""
    body = b"x" * 2_000_000
    with Network() as network:
        server = framerpc.Server(Work())
        await server.start("memory://work")
        async with framerpc.connect("memory://work", timeout=60) as client:
            await client.ready()
            network.slow_reader(500_000)
            call = asyncio.create_task(client.call("Work/echo", body))
            await soon(lambda: server.statistics()["calls_in_flight"])
            await asyncio.sleep(1)  # the handler has answered, the answer is on its way
            await server.close(grace=30)
            assert await call == body


@virtual_time
async def test_metadata_that_makes_a_frame_too_long_moves_the_body_into_parts() -> None:
    """A body that would just fit is sent in parts if the metadata beside it is long."""
    async with framerpc.Server(Work(), limits=SMALLEST).listen("memory://work"):
        async with framerpc.connect("memory://work", metadata={"key": "x" * 8000}) as client:
            await client.ready()
            body = b"y" * 65_000
            assert await client.call("Work/echo", body) == body


@virtual_time
async def test_an_error_too_long_for_a_frame_keeps_its_name_and_the_connection() -> None:
    """What does not fit in an ERROR is left out, and the text says so."""
    async with framerpc.Server(Talker()).listen("memory://talker"):
        async with framerpc.connect("memory://talker", limits=SMALLEST) as client:
            await client.ready()
            with pytest.raises(RemoteError, match="Wordy") as caught:
                await client.call("Talker/talk", 100_000)
            assert caught.value.executed == "yes"
            assert client.state is framerpc.State.READY
