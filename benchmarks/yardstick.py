"""The yardstick: a bare echo of length-prefixed frames on uvloop.

One `asyncio.Protocol` on each side, a future per call, one write per call and per answer, no
codec, no errors, no limits: what Python and uvloop can do when nothing is left to leave out.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from typing import cast

__all__ = ["EchoClient", "serve"]

_PREFIX = struct.Struct(">I")


def _split(buffer: bytearray) -> list[bytes]:
    """Cut the complete frames off the front of `buffer`."""
    frames: list[bytes] = []
    position = 0
    while len(buffer) - position >= _PREFIX.size:
        (size,) = _PREFIX.unpack_from(buffer, position)
        end = position + _PREFIX.size + size
        if end > len(buffer):
            break
        frames.append(bytes(buffer[position + _PREFIX.size : end]))
        position = end
    del buffer[:position]
    return frames


class _EchoServer(asyncio.Protocol):
    def __init__(self) -> None:
        self.buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        for frame in _split(self.buffer):
            self.transport.write(_PREFIX.pack(len(frame)) + frame)


class EchoClient(asyncio.Protocol):
    """Sends frames and hands their echoes out in order."""

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.waiting: deque[asyncio.Future[bytes]] = deque()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport = cast("asyncio.Transport", transport)
        self.loop = asyncio.get_running_loop()

    def data_received(self, data: bytes) -> None:
        """Hand out echoes."""
        self.buffer += data
        for frame in _split(self.buffer):
            self.waiting.popleft().set_result(frame)

    async def call(self, payload: bytes) -> bytes:
        """Send a frame and return its echo."""
        future: asyncio.Future[bytes] = self.loop.create_future()
        self.waiting.append(future)
        self.transport.write(_PREFIX.pack(len(payload)) + payload)
        return await future


async def serve() -> tuple[str, int]:
    """Start the echo server; return where it listens."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_EchoServer, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    return host, port
