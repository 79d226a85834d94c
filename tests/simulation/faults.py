"""What goes wrong, and when: a schedule drawn by chance, and who carries it out.

The faults of the network keep their names from `framerpc.testing`; those of servers and clients
are named here. It does not know what is called meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from tests.simulation.history import Event, Trouble

if TYPE_CHECKING:
    import random

    from framerpc.testing import NamedLink, Network
    from tests.simulation.history import History

__all__ = ["LONGEST_DELAY", "NAMES", "Fault", "Saboteur", "Victims", "schedule"]

LONGEST_DELAY: Final = 0.5
"""Seconds that bytes are under way at most once the network is healed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        name: One of `NAMES`.
        at: Seconds from the start of the run.
        lasts: Seconds until it is over: the network is healed, the server stands again.
        server: Which server it hits, for all but "disconnect" and "leave".
        client: Which client it hits, for these two.
        strength: How bad it is, from 0 to 1.
    """

    name: str
    at: float
    lasts: float
    server: int
    client: int
    strength: float

    def __str__(self) -> str:
        whom = f"client {self.client}" if self.name in OF_CLIENTS else f"server {self.server}"
        return f"{self.name} ({self.strength:.2f}) of {whom} for {self.lasts:.3f} s"


class Victims(Protocol):
    """The servers and clients of a run, for whom they are no more than numbers."""

    async def stop(self, server: int, grace: float) -> None:
        """Let a server drain; return when it has gone. Ignored for one that does not stand."""

    async def overlap(self, server: int, grace: float) -> None:
        """Let a server drain while the next one takes its place; return when it has gone."""

    async def kill(self, server: int) -> None:
        """End a server at once; its connections are reset."""

    async def restart(self, server: int) -> None:
        """Let a server stand at its address again. Ignored for one that does."""

    async def disconnect(self, client: int) -> None:
        """Cut all connections of a client."""

    async def leave(self, client: int) -> None:
        """Close a client for good."""


_NETWORK: Final[dict[str, Callable[[NamedLink, float], None]]] = {
    "drop": lambda link, _: link.drop(),
    "half_open_up": lambda link, _: link.half_open("to_server"),
    "half_open_down": lambda link, _: link.half_open("to_client"),
    "freeze": lambda link, _: link.freeze(),
    "delay": lambda link, strength: link.delay(
        0.5 * LONGEST_DELAY * strength, jitter=0.5 * LONGEST_DELAY * strength
    ),
    "slow": lambda link, strength: link.slow_reader(20_000 * (1.01 - strength)),
    "byte_by_byte": lambda link, _: link.byte_by_byte(),
}
"""What each fault of the network does to the link of one server."""

_BLOCKING: Final = frozenset({"drop", "half_open_up", "half_open_down", "freeze", "vanish"})
"""While one of these is laid upon a link, nothing that it holds back may slip through."""


class Saboteur:
    """Carries a schedule out.

    Args:
        network: What the faults of the network are laid upon.
        victims: What the other faults hit.
        names: The address of each server, without `memory://`.
        history: Where each trouble is written down.
    """

    def __init__(
        self, network: Network, victims: Victims, names: list[str], history: History
    ) -> None:
        self._network = network
        self._victims = victims
        self._names = names
        self._history = history
        self._laid: dict[int, list[Fault]] = {number: [] for number in range(len(names))}

    async def carry_out(self, faults: tuple[Fault, ...]) -> None:
        """Carry out all faults, each at its time; return when the last one is over."""
        async with asyncio.TaskGroup() as group:
            for fault in faults:
                group.create_task(self._one(fault))

    async def _one(self, fault: Fault) -> None:
        await asyncio.sleep(fault.at)
        loop = asyncio.get_running_loop()
        of_client = fault.name in OF_CLIENTS
        trouble = Trouble(
            name=fault.name,
            server=None if of_client else fault.server,
            client=fault.client if of_client else None,
            began=loop.time(),
        )
        self._history.troubles.append(trouble)
        self._history.events.append(Event(at=loop.time(), text=f"! {fault}"))
        await _OTHERS.get(fault.name, Saboteur._disturb)(self, fault)
        trouble.ended = loop.time()
        self._history.events.append(Event(at=loop.time(), text=f"! over: {fault}"))

    async def _disturb(self, fault: Fault) -> None:
        self._laid[fault.server].append(fault)
        self._lay(fault.server)
        await asyncio.sleep(fault.lasts)
        self._laid[fault.server].remove(fault)
        self._lay(fault.server)

    def _lay(self, server: int) -> None:
        """Let the link suffer what is laid upon it now, and nothing else."""
        link = self._network.link(self._names[server])
        laid = self._laid[server]
        if not any(fault.name in _BLOCKING for fault in laid):
            link.heal()  # what was held back arrives
        for fault in laid:
            _NETWORK["drop" if fault.name == "vanish" else fault.name](link, fault.strength)

    async def _cut(self, fault: Fault) -> None:
        self._network.link(self._names[fault.server]).cut()

    async def _stop(self, fault: Fault) -> None:
        await self._victims.stop(fault.server, 3 * fault.strength)
        await asyncio.sleep(fault.lasts)
        await self._victims.restart(fault.server)

    async def _overlap(self, fault: Fault) -> None:
        await self._victims.overlap(fault.server, 3 * fault.strength)

    async def _kill(self, fault: Fault) -> None:
        await self._victims.kill(fault.server)
        await asyncio.sleep(fault.lasts)
        await self._victims.restart(fault.server)

    async def _vanish(self, fault: Fault) -> None:
        """Lose the host: nobody says goodbye, and nobody answers until it is there again."""
        self._laid[fault.server].append(fault)
        self._lay(fault.server)
        await self._victims.kill(fault.server)
        await asyncio.sleep(fault.lasts)
        await self._victims.restart(fault.server)
        self._laid[fault.server].remove(fault)
        self._lay(fault.server)

    async def _disconnect(self, fault: Fault) -> None:
        await self._victims.disconnect(fault.client)

    async def _leave(self, fault: Fault) -> None:
        await self._victims.leave(fault.client)


OF_CLIENTS: Final = frozenset({"disconnect", "leave"})
"""Faults that hit a client, not a server."""

_OTHERS: Final[dict[str, Callable[[Saboteur, Fault], Awaitable[None]]]] = {
    "cut": Saboteur._cut,
    "stop": Saboteur._stop,
    "overlap": Saboteur._overlap,
    "kill": Saboteur._kill,
    "vanish": Saboteur._vanish,
    "disconnect": Saboteur._disconnect,
    "leave": Saboteur._leave,
}

NAMES: Final = tuple(_NETWORK) + tuple(_OTHERS)
_WEIGHTS: Final = tuple({"leave": 1, "byte_by_byte": 1}.get(name, 4) for name in NAMES)


def schedule(
    chance: random.Random, servers: int, clients: int, span: float, busy: list[float]
) -> tuple[Fault, ...]:
    """Return up to eight faults, the earliest first.

    Args:
        chance: Where they come from.
        servers: How many there are.
        clients: How many there are.
        span: Seconds within which faults begin.
        busy: Moments at which calls should be under way: more faults begin there.
    """
    count = chance.choice((0, 1, 1, 2, 2, 3, 3, 4, 5, 8))
    faults = [
        Fault(
            name=chance.choices(NAMES, _WEIGHTS)[0],
            at=chance.choice(busy) if chance.random() < 0.6 else chance.uniform(0.0, span),
            lasts=chance.choice((0.05, 0.5, 2.0, 5.0)) * chance.random(),
            server=chance.randrange(servers),
            client=chance.randrange(clients),
            strength=chance.random(),
        )
        for _ in range(count)
    ]
    return tuple(sorted(faults, key=lambda fault: fault.at))
