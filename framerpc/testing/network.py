"""A network inside the process, which can be made to fail.

This module owns which connection suffers which fault: a `Network` takes in every connection to
a `memory://` address made while it is active, and changes live ones. The faults have their names
in `faults`, and what one does to the bytes of a connection is known to `faulty`.

Everything happens in loop time and with seeded randomness, so that on a virtual clock a test
runs the same way each time.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import random
from typing import TYPE_CHECKING, Final

from framerpc.connection import memory
from framerpc.testing.faults import BOTH, Direction, Faults
from framerpc.testing.faulty import Conditions, FaultyLink

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

__all__ = ["LiveLink", "NamedLink", "Network"]

_PERFECT: Final = Conditions()


class LiveLink(Faults):
    """One connection.

    Attributes:
        name: The name that was dialled.
        number: 1 for the first connection to that name, and so on.
        halves: The link of each direction.
    """

    def __init__(self, name: str, number: int, halves: dict[Direction, FaultyLink]) -> None:
        self.name = name
        self.number = number
        self.halves: Final = halves

    def __repr__(self) -> str:
        return f"<LiveLink memory://{self.name} {self.number}, {self.halves}>"

    @property
    def is_over(self) -> bool:
        """Whether nothing will pass here any more."""
        halves = self.halves.values()
        return any(half.broken for half in halves) or all(half.finished for half in halves)

    def cut(self) -> None:
        """Reset the connection: both ends get ConnectionResetError at once."""
        for half in self.halves.values():
            half.cut()

    def alter(
        self, directions: tuple[Direction, ...], change: Callable[[Conditions], Conditions]
    ) -> None:
        """Replace the conditions of these directions by what `change` makes of them."""
        for direction in directions:
            self.halves[direction].alter(change)


class NamedLink(Faults):
    """All connections to one `memory://` name, those that exist and those to come.

    Connecting takes one round trip. While a direction loses everything, it takes for ever.

    Attributes:
        name: What stands behind `memory://`.
    """

    def __init__(self, name: str, seed: int | str, conditions: dict[Direction, Conditions]) -> None:
        self.name = name
        self._seed = seed
        self._conditions = dict(conditions)
        self._rng = random.Random(f"{seed} {name}")  # noqa: S311 (no secret)
        self._refusing = False
        self._live: list[LiveLink] = []
        self._made = 0
        self._waiting: dict[asyncio.Future[None], None] = {}  # who came first is woken first

    def __repr__(self) -> str:
        return f"<NamedLink memory://{self.name}, {len(self.connections)} connections>"

    @property
    def connections(self) -> list[LiveLink]:
        """The connections that are not over, the oldest first."""
        self._live = [link for link in self._live if not link.is_over]
        return list(self._live)

    def cut(self) -> None:
        """Reset the connections that exist: both ends get ConnectionResetError at once."""
        for link in self.connections:
            link.cut()

    def down(self) -> None:
        """Do as a server that has died: `cut`, and refuse connections until `heal`."""
        self._refusing = True
        self.cut()
        self._wake()

    def heal(self) -> None:
        """Take every fault away; what was held back arrives, and who waits is connected."""
        self._refusing = False
        super().heal()
        self._wake()

    def alter(
        self, directions: tuple[Direction, ...], change: Callable[[Conditions], Conditions]
    ) -> None:
        """Replace the conditions of these directions by what `change` makes of them."""
        for direction in directions:
            self._conditions[direction] = change(self._conditions[direction])
        for link in self.connections:
            link.alter(directions, change)

    def _wake(self) -> None:
        for waiter in list(self._waiting):
            with contextlib.suppress(RuntimeError):  # its loop is closed
                waiter.get_loop().call_soon_threadsafe(_release, waiter)

    async def admit(self) -> None:
        """Let a new connection through when the conditions do."""
        while not self._refusing and any(half.blocked for half in self._conditions.values()):
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting[waiter] = None
            try:
                await waiter
            finally:
                del self._waiting[waiter]
        halves = self._conditions.values()
        round_trip = sum(half.delay + self._rng.uniform(0.0, half.jitter) for half in halves)
        if round_trip:
            await asyncio.sleep(round_trip)
        if self._refusing:
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"memory://{self.name} is down")

    def add(self, client: asyncio.AbstractEventLoop, server: asyncio.AbstractEventLoop) -> LiveLink:
        """Take a new connection in."""
        self._made += 1
        loops: dict[Direction, asyncio.AbstractEventLoop]
        loops = {"to_server": client, "to_client": server}
        halves: dict[Direction, FaultyLink] = {
            direction: FaultyLink(
                loop,
                self._conditions[direction],
                random.Random(f"{self._seed} {self.name} {self._made} {direction}"),  # noqa: S311
            )
            for direction, loop in loops.items()
        }
        link = LiveLink(self.name, self._made, halves)
        self._live = [*self.connections, link]
        return link


class Network(Faults):
    """All connections to `memory://` names made while it is active (`with network:`).

    Faults laid upon it hit every name; those laid upon `link(name)`, that name only.

    Args:
        seed: Where randomness starts; the same seed makes the same network.
    """

    def __init__(self, seed: int | str = 0) -> None:
        self.seed = seed
        self._conditions: dict[Direction, Conditions] = dict.fromkeys(BOTH, _PERFECT)
        self._links: dict[str, NamedLink] = {}
        self._active = contextlib.ExitStack()

    def __repr__(self) -> str:
        return f"<Network seed={self.seed!r}, {list(self._links.values())}>"

    def __enter__(self) -> Self:
        self._active.enter_context(memory.use(self))
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._active.close()

    def link(self, name: str) -> NamedLink:
        """Return the connections to `name`, which may be a whole `memory://` URL."""
        name = name.removeprefix("memory://")
        if name not in self._links:
            self._links[name] = NamedLink(name, self.seed, self._conditions)
        return self._links[name]

    def cut(self) -> None:
        """Reset the connections that exist: both ends get ConnectionResetError at once."""
        for link in self._links.values():
            link.cut()

    def heal(self) -> None:
        """Take every fault away, also those laid upon a single name."""
        self._conditions = dict.fromkeys(BOTH, _PERFECT)
        for link in self._links.values():
            link.heal()

    def alter(
        self, directions: tuple[Direction, ...], change: Callable[[Conditions], Conditions]
    ) -> None:
        """Replace the conditions of these directions by what `change` makes of them."""
        for direction in directions:
            self._conditions[direction] = change(self._conditions[direction])
        for link in self._links.values():
            link.alter(directions, change)

    async def admit(self, name: str) -> None:
        """Let a new connection through when the conditions do (`memory.Policy`)."""
        await self.link(name).admit()

    def links(
        self, name: str, client: asyncio.AbstractEventLoop, server: asyncio.AbstractEventLoop
    ) -> tuple[FaultyLink, FaultyLink]:
        """Return the links of a new connection (`memory.Policy`)."""
        halves = self.link(name).add(client, server).halves
        return halves["to_server"], halves["to_client"]


def _release(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
