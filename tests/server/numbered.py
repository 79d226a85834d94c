"""A service of `once` methods that counts its runs, and a caller that writes its own numbers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import framerpc
from framerpc.codecs import packb, unpackb
from framerpc.testing import ScriptedPeer

__all__ = ["Caller", "Ledger", "caller", "serving"]


@framerpc.error
class Overdrawn(framerpc.CallError):
    """Declared, so that it is an answer like any other."""


@framerpc.service
class Ledger:
    """Every run is noted when it is entered and when it ends."""

    def __init__(self) -> None:
        self.entered: list[int] = []
        self.ended: list[int] = []
        self.stopped: list[int] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.let_go = threading.Event()

    @framerpc.method(once=True)
    async def transfer(self, amount: int, size: int = 0) -> Any:
        """Wait for the gate, and return the number of transfers so far."""
        self.entered.append(amount)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.stopped.append(amount)
            raise
        if amount < 0:
            raise Overdrawn
        self.ended.append(amount)
        return bytes(size) if size else len(self.ended)

    @framerpc.method(once=True)
    async def stubborn(self, seconds: float) -> str:
        """Not stopped by a single cancellation."""
        self.entered.append(0)
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            await asyncio.sleep(seconds)
        return "finished anyway"

    @framerpc.method(once=True)
    def block(self, amount: int) -> int:
        """Hold a thread until the test lets it go."""
        self.entered.append(amount)
        self.let_go.wait(10)
        return amount

    @framerpc.method
    async def count(self, upto: int) -> AsyncIterator[int]:
        """A stream, which has no number."""
        for n in range(upto):
            yield n


class Caller(ScriptedPeer):
    """One connection of a caller whose session, ids and numbers the test chooses."""

    session: bytes | None = None
    _last = -1

    async def greet(self, url: str, session: bytes | None = None, **options: Any) -> Any:
        """Connect, and return the options of the WELCOME."""
        await self.connect(url)
        self.preamble()
        self.hello(features=["sessions"], session=session, **options)
        kind, welcome = await self.receive_frame()
        assert kind == 2
        self.session = welcome.get("session")
        return welcome

    def call(self, once: Any, *args: Any, method: str = "Ledger/transfer", **more: Any) -> int:
        """Send a REQUEST with a number (and, in a list, `below`); return its id."""
        self._last += 2
        header = [once, 1] if isinstance(once, int) else once
        headers = {"once": header, **more.get("headers", {})}
        timeout_ms = more.get("timeout_ms", 60_000)
        flags = more.get("flags", 0)
        self.send_frame([8, self._last, flags, method, timeout_ms, headers, packb(list(args))])
        return self._last

    async def answer(self, call_id: int) -> Any:
        """Return what ends a call: its result, or [kind, ...] without the id."""
        kind, got, *fields = await self.receive_frame()
        assert got == call_id
        return unpackb(fields[0]) if kind == 9 else [kind, *fields]

    async def result(self, once: Any, *args: Any, **more: Any) -> Any:
        """Call, and return what ends the call."""
        return await self.answer(self.call(once, *args, **more))


@asynccontextmanager
async def serving(ledger: Ledger, **options: Any) -> AsyncIterator[framerpc.Server]:
    """Serve a ledger at memory://ledger."""
    async with framerpc.Server(ledger, **options).listen("memory://ledger", grace=0) as server:
        yield server


@asynccontextmanager
async def caller(session: bytes | None = None, **options: Any) -> AsyncIterator[Caller]:
    """A caller that is welcome at memory://ledger; its connection is cut at the end."""
    async with Caller() as peer:
        await peer.greet("memory://ledger", session, **options)
        yield peer
