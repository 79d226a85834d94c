"""A server and a client under attack, each with a witness of what they still do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import framerpc
from framerpc.codecs import packb
from framerpc.errors import CloseCode
from framerpc.protocol.framing import PREFIX
from framerpc.testing import ScriptedPeer
from tests.services import Work

__all__ = ["Siege", "Trap", "besieged", "frame", "raw", "request", "settled", "trapped"]

_NAMES = iter(range(1_000_000))


def raw(payload: bytes) -> bytes:
    """A frame around any bytes."""
    return PREFIX.pack(len(payload)) + payload


def frame(*fields: Any) -> bytes:
    """A frame around any fields."""
    return raw(packb(list(fields)))


def request(call_id: Any, method: Any = "Work/echo", *args: Any, **changes: Any) -> list[Any]:
    """A REQUEST; `changes` replace fields by name."""
    fields: dict[str, Any] = {
        "flags": 0,
        "method": method,
        "timeout_ms": 5000,
        "headers": None,
        "body": packb(list(args) or [1]),
    }
    fields.update(changes)
    return [8, call_id, *fields.values()]


async def settled(condition: Any) -> None:
    """Wait until something is true that nothing but the loop's own work keeps from being so."""
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it never came true")


@dataclass
class Siege:
    """A server under attack, and a client that wants to be served meanwhile."""

    server: framerpc.Server
    witness: framerpc.Client
    work: Work
    url: str
    attackers: list[ScriptedPeer] = field(default_factory=list[ScriptedPeer])

    async def stranger(self) -> ScriptedPeer:
        """Return an attacker that has connected and said nothing."""
        attacker = ScriptedPeer()
        self.attackers.append(attacker)
        await attacker.connect(self.url)
        return attacker

    async def guest(self, **hello: Any) -> ScriptedPeer:
        """Return an attacker that was welcomed."""
        attacker = await self.stranger()
        attacker.preamble()
        attacker.hello(**hello)
        assert (await attacker.receive_frame())[0] == 2
        return attacker

    async def answers(self) -> None:
        """See that the witness is served, and at once."""
        started = asyncio.get_running_loop().time()
        assert await self.witness.call("Work/echo", "still here") == "still here"
        assert asyncio.get_running_loop().time() - started < 1

    def is_calm(self) -> bool:
        """Whether only the witness is left."""
        now = self.server.statistics()
        return (now["clients"], now["strangers"], now["calls_in_flight"]) == (1, 0, 0)


@asynccontextmanager
async def besieged(*, url: str | None = None, **options: Any) -> AsyncIterator[Siege]:
    """Serve, and see at the end that the witness is answered and that nothing is left."""
    before = asyncio.all_tasks()
    work = Work()
    server = framerpc.Server(work, **options)
    place = url or f"memory://siege-{next(_NAMES)}"
    async with server.listen(place, grace=0), framerpc.connect(server.url, token="t") as witness:
        await witness.ready()
        siege = Siege(server, witness, work, server.url)
        try:
            yield siege
            await siege.answers()
        finally:
            for attacker in siege.attackers:
                attacker.abort()
        await settled(siege.is_calm)
        assert not server.peers._by_host
    await settled(lambda: asyncio.all_tasks() <= before)
    assert (server.peers.welcome, server.peers.strangers) == ({}, {})


@dataclass
class Trap:
    """A hostile server, and the client that fell into it."""

    server: ScriptedPeer
    client: framerpc.Client

    async def accept(self, **welcome: Any) -> None:
        """Let the client in, as an honest server would."""
        await self.server.accept()
        assert (await self.server.receive_frame())[0] == 1
        self.server.preamble()
        self.server.welcome(**welcome)

    async def call(self) -> asyncio.Task[Any]:
        """Return a call whose REQUEST, of id 1, the server has seen."""
        task = asyncio.create_task(self.client.call("Work/echo", 1, x=2))
        assert (await self.server.receive_frame())[0] == 8
        return task

    async def recovers(self) -> None:
        """See that the client dials again, and that its next call is answered."""
        await self.accept()
        task = asyncio.create_task(self.client.call("Work/echo", "again"))
        _, call_id, *_ = await self.server.receive_frame()
        self.server.send_frame([9, call_id, packb("again")])
        assert await task == "again"

    async def closes(self, code: CloseCode = CloseCode.PROTOCOL_ERROR) -> str:
        """See that the client says why it ends the connection."""
        return await self.server.expect_close(code)


@asynccontextmanager
async def trapped(*, welcome: bool = True, **options: Any) -> AsyncIterator[Trap]:
    """A real client at a server played by hand; nothing of it is left at the end."""
    before = asyncio.all_tasks()
    async with ScriptedPeer() as peer:
        url = await peer.listen(f"memory://trap-{next(_NAMES)}")
        async with framerpc.connect(url, timeout=5, **options) as client:
            trap = Trap(peer, client)
            if welcome:
                ready = asyncio.create_task(client.ready())
                await trap.accept()
                await ready
            yield trap
    await settled(lambda: asyncio.all_tasks() <= before)
