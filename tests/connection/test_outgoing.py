"""The short way of a call: what may leave at once, and what has to go the long way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from framerpc.config import Limits
from framerpc.connection.outbox import Outbox
from framerpc.connection.outgoing import OutgoingCalls
from framerpc.connection.streams import StreamEnds
from framerpc.protocol.frames import Request, decode
from framerpc.protocol.handshake import Announced
from framerpc.protocol.states import ConnectionState, Role
from framerpc.testing import virtual_time
from tests.protocol.vectors import ready


class Paper(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0


class Side:
    """The calls of a client, its wire and what has left."""

    def __init__(self) -> None:
        loop, limits = asyncio.get_running_loop(), Limits()
        self.wire = ready(Role.CLIENT, limits)
        self.outbox = Outbox(loop, limits.max_outbox, lambda: None, lambda: None)
        self.transport = Paper()
        self.outbox.open(self.transport)
        streams = StreamEnds(loop, self.wire, self.outbox, limits)
        self.calls = OutgoingCalls(loop, self.wire, self.outbox, streams, "memory://there")

    def fill(self) -> None:
        """Begin as many calls as the peer takes."""
        for _ in range(self.wire.peer.calls):
            assert self.calls.start_now("A/b", b"", None, None) is not None


@virtual_time
async def test_a_call_that_is_alone_leaves_at_once() -> None:
    """With what it was given to live, which begins now."""
    side = Side()
    call = side.calls.start_now("A/b", b"\x90", 2.0, 2000)
    assert call is not None
    assert decode(side.transport.written[4:]) == Request(1, 0, "A/b", 2000, None, b"\x90")
    assert call.deadline == asyncio.get_running_loop().time() + 2


def drain(side: Side) -> None:
    side.wire.state = ConnectionState.DRAINING


@virtual_time
@pytest.mark.parametrize("trouble", [Side.fill, drain, lambda side: side.outbox.pause()])
async def test_a_call_that_cannot_leave_is_not_begun(trouble: Callable[[Side], None]) -> None:
    """The peer takes no more, goes, or does not read."""
    side = Side()
    trouble(side)
    before = len(side.transport.written), len(side.calls.alive), len(side.wire.calls.alive)
    assert side.calls.start_now("A/b", b"", 2.0, 2000) is None
    assert before == (
        len(side.transport.written),
        len(side.calls.alive),
        len(side.wire.calls.alive),
    )


@virtual_time
async def test_what_leaves_at_once_fits_the_shortest_frame_with_the_longest_name() -> None:
    """A body that is longer goes the long way."""
    side = Side()
    name, most = "n" * 255, side.wire.short
    assert side.calls.start_now(name, b"x" * (most + 1), 2.0, 2**53 - 1) is None
    assert side.calls.start_now(name, b"x" * most, 2.0, 2**53 - 1) is not None
    assert len(side.transport.written) - 4 <= 65_600


def test_what_is_short_is_bounded_by_both_sides() -> None:
    """Whoever takes less than a frame decides."""
    assert ready(Role.CLIENT, Limits(max_message=1000)).short == 1000
    assert ready(Role.CLIENT, peer=Announced(message=500)).short == 500
