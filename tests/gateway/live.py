"""The server that the JavaScript client is tried against: `framerpc serve tests.gateway.live:server`."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import framerpc

__all__ = ["server"]


@framerpc.error(name="live.OutOfStock")
@dataclass(eq=False)
class OutOfStock(framerpc.CallError):
    """There is no more of it."""

    item: str
    left: int = 0


@dataclass
class Point:
    """A place on a plane."""

    x: float
    y: float
    name: str | None = None


@framerpc.service(name="Live")
class Live:
    """Methods of every shape."""

    def __init__(self) -> None:
        self.cancelled = 0
        self.notes: list[str] = []
        self.attempts = 0
        self.points = 0
        self.banned = False
        self.closed = ""

    @framerpc.method
    async def echo(self, value: Any) -> Any:
        """Return what was given."""
        return value

    @framerpc.method(idempotent=True)
    async def add(self, a: int, b: int = 10) -> int:
        """Add two numbers."""
        return a + b

    @framerpc.method
    async def moved(self, point: Point, by: tuple[float, float]) -> Point:
        return Point(point.x + by[0], point.y + by[1], point.name)

    @framerpc.method
    async def tomorrow(self, when: dt.datetime) -> dt.datetime:
        return when + dt.timedelta(days=1)

    @framerpc.method
    async def count(self, upto: int, size: int = 0) -> AsyncIterator[Any]:
        try:
            for number in range(upto):
                yield bytes(size) if size else number
        finally:
            self.cancelled += 1

    @framerpc.method
    async def total(self, numbers: AsyncIterator[int]) -> int:
        return sum([number async for number in numbers])

    @framerpc.method
    async def sizes(self, chunks: AsyncIterator[bytes]) -> int:
        return sum([len(chunk) async for chunk in chunks])

    @framerpc.method
    async def first(self, numbers: AsyncIterator[int]) -> int:
        return await anext(numbers)

    @framerpc.method
    async def doubled(self, numbers: AsyncIterator[int]) -> AsyncIterator[int]:
        async for number in numbers:
            yield 2 * number

    @framerpc.method
    async def buy(self, item: str) -> None:
        raise OutOfStock(item, 3)

    @framerpc.method
    async def bug(self) -> None:
        raise RuntimeError("a secret")

    @framerpc.method
    async def sleep(self, seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    @framerpc.method
    async def note(self, text: str) -> None:
        self.notes.append(text)

    @framerpc.method
    async def seen(self) -> tuple[int, list[str]]:
        """Return how many handlers were cancelled, and the notes."""
        return self.cancelled, self.notes

    @framerpc.method
    async def metadata(self) -> dict[str, str]:
        return dict(framerpc.current_call().metadata)

    @framerpc.method
    async def flaky(self) -> int:
        """Lose the caller's connection at the first attempt."""
        self.attempts += 1
        if self.attempts % 2:
            await self.drop()
            await asyncio.sleep(3600)
        return self.attempts

    @framerpc.method
    async def drop(self) -> None:
        """Cut every connection."""
        for peer in list(server.peers.welcome):
            peer.connection.abort("dropped")

    @framerpc.method
    async def post(self, topic: str, count: int, lose: bool = False) -> None:
        """Publish numbers; when `lose`, after every connection was cut and before one is back."""
        if lose:
            await self.drop()
        for number in range(count):
            await server.publish(topic, number)

    @framerpc.method
    async def add_points(self, points: int) -> None:
        self.points += points
        for topic in ("points", "points.kept"):
            await server.publish(topic, points)

    @framerpc.method
    def follow(self, topic: str) -> framerpc.Watch[int, int]:
        return framerpc.Watch(topic, lambda: self.points)

    @framerpc.method
    def follow_if_allowed(self, topic: str) -> framerpc.Watch[int, int]:
        def authorize() -> None:
            if self.banned:
                raise OutOfStock("rights")

        return framerpc.Watch(topic, lambda: self.points, authorize=authorize)

    @framerpc.method
    async def ban(self, banned: bool) -> None:
        """Say whether watches are refused from now on."""
        self.banned = banned

    @framerpc.method
    async def recheck(self, closed: str = "") -> int:
        """Close a topic, and have the caller asked about again."""
        self.closed = closed
        return server.recheck(framerpc.current_call().identity)

    @framerpc.method
    async def send_away(self) -> None:
        """Ask every client for no new calls."""
        for peer in list(server.peers.welcome):
            peer.connection.goaway("try another connection", 5, 0.01, lambda: None)


def who(credentials: framerpc.Credentials) -> str:
    if credentials.token == "wrong":
        raise framerpc.Unauthenticated("no such token")
    return credentials.token or "anonymous"


def may(identity: str, action: framerpc.TopicAction, topic: str) -> bool:
    return topic != live.closed


live = Live()
server = framerpc.Server(
    live,
    authenticate=who,
    authorize_topic=may,
    limits=framerpc.Limits(max_calls=64),
    topics=[
        framerpc.TopicPolicy("log.>", history=100),
        framerpc.TopicPolicy("points.kept", history=10),
    ],
)
