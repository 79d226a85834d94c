"""A server for the command line to talk to, and the command line in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

import framerpc
import framerpc.sync


@framerpc.service
class Demo:
    """A service for the command line."""

    @framerpc.method
    async def add(self, a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    @framerpc.method
    async def count(self, n: int) -> AsyncIterator[int]:
        for i in range(n):
            yield i

    @framerpc.method
    async def total(self, numbers: AsyncIterator[int]) -> int:
        return sum([n async for n in numbers])

    @framerpc.method
    async def echo(self, value: str) -> str:
        return value


def check(credentials: framerpc.Credentials) -> str:
    if credentials.token not in {None, "right"}:
        raise framerpc.Unauthenticated("unknown token")
    return "somebody"


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where a server listens that takes the token "right", or none."""
    monkeypatch.delenv("FRAMERPC_TOKEN", raising=False)
    server = framerpc.Server(Demo(), authenticate=check)
    with framerpc.sync.serve(server, "tcp://127.0.0.1:0", grace=0):
        yield server.url
