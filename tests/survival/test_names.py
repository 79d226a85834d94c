"""Names of hosts: lookups that fail, change, last for ever, or lead to several addresses (row 7).

The loop looks names up in a thread, through `socket.getaddrinfo`; these tests answer it.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest
import tenacity

import framerpc
from framerpc import ConnectionFailed, DeadlineExceeded
from tests.services import Work
from tests.survival.siege import settled

AT_ONCE = tenacity.wait_fixed(0.001)
"""Dial again as soon as it failed: what is waited for here is never time."""


class Names:
    """What the system knows of `service.test`, and how often it was asked."""

    def __init__(self) -> None:
        self.addresses: list[tuple[str, int]] = []
        self.asked = 0
        self.gate = threading.Event()
        self.gate.set()
        self.threads: set[int] = set()

    def point_to(self, *urls: str) -> None:
        """Let the name stand for where these servers listen."""
        places = [url.rpartition("/")[2].rpartition(":") for url in urls]
        self.addresses = [(host, int(port)) for host, _, port in places]

    def getaddrinfo(self, host: Any, port: Any, *rest: Any, **more: Any) -> Any:
        if host != "service.test":
            return original(host, port, *rest, **more)
        self.asked += 1
        self.threads.add(threading.get_ident())
        self.gate.wait(20)
        if not self.addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        kind = socket.SOCK_STREAM
        return [(socket.AF_INET, kind, socket.IPPROTO_TCP, "", place) for place in self.addresses]


original = socket.getaddrinfo


def with_names(monkeypatch: pytest.MonkeyPatch, test: Callable[[Names], Any]) -> None:
    """Run on asyncio's own loop, whose lookups can be answered; uvloop asks libuv."""
    names = Names()
    monkeypatch.setattr(socket, "getaddrinfo", names.getaddrinfo)
    try:
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            runner.run(test(names))
            assert threading.get_ident() not in names.threads
    finally:
        names.gate.set()


def test_unknown_name_is_said_and_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that does not exist is no final failure: once it does, the call is answered."""

    async def run(names: Names) -> None:
        async with framerpc.connect("tcp://service.test:1", reconnect=AT_ONCE) as client:
            with pytest.raises(DeadlineExceeded, match="Name or service not known") as caught:
                await client.with_options(timeout=0.2).call("Work/echo", 1)
            assert caught.value.executed == "no"
            assert isinstance(caught.value.__cause__, ConnectionFailed)
            assert "service.test" in str(caught.value)
            async with framerpc.Server(Work()).listen("tcp://127.0.0.1:0", grace=0) as server:
                names.point_to(server.url)
                assert await client.call("Work/echo", "found") == "found"

    with_names(monkeypatch, run)


def test_name_is_looked_up_at_each_dial(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that moved to another address is found there, without a restart."""

    async def run(names: Names) -> None:
        async with framerpc.connect("tcp://service.test:1", reconnect=AT_ONCE) as client:
            for place in ("here", "there"):
                async with framerpc.Server(Work()).listen("tcp://127.0.0.1:0", grace=0) as server:
                    names.point_to(server.url)
                    assert await client.call("Work/echo", place) == place
                    assert server.statistics()["connections"] == 1
        assert names.asked >= 2

    with_names(monkeypatch, run)


def test_name_keeps_its_other_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several addresses behind a name, one that refuses stands in nobody's way."""

    async def run(names: Names) -> None:
        async with framerpc.Server(Work()).listen("tcp://127.0.0.1:0", grace=0) as server:
            with socket.socket() as closed:
                closed.bind(("127.0.0.1", 0))
                names.point_to(f"tcp://127.0.0.1:{closed.getsockname()[1]}", server.url)
                async with framerpc.connect("tcp://service.test:1") as client:
                    assert await client.call("Work/echo", 1) == 1
        assert names.asked == 1

    with_names(monkeypatch, run)


def test_lookup_for_ever_blocks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """The call ends by its deadline, the loop goes on, and a late answer is taken."""

    async def run(names: Names) -> None:
        names.gate.clear()
        async with (
            framerpc.Server(Work()).listen("tcp://127.0.0.1:0", grace=0) as server,
            framerpc.connect(server.url) as other,
            framerpc.connect("tcp://service.test:1", reconnect=AT_ONCE) as client,
        ):
            await settled(lambda: names.asked)
            call = asyncio.create_task(client.with_options(timeout=0.2).call("Work/echo", 1))
            while not call.done():
                assert await other.call("Work/echo", "meanwhile") == "meanwhile"
            with pytest.raises(DeadlineExceeded) as caught:
                await call
            assert caught.value.executed == "no"
            names.point_to(server.url)
            names.gate.set()
            assert await client.call("Work/echo", "late") == "late"

    with_names(monkeypatch, run)


def test_lookup_ends_with_the_handshake_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking up, connecting and TLS share one timeout; beyond it the client dials anew."""

    async def run(names: Names) -> None:
        names.gate.clear()
        limits = framerpc.Limits(handshake_timeout=0.05)
        async with framerpc.connect(
            "tcp://service.test:1", reconnect=AT_ONCE, limits=limits
        ) as client:
            await settled(lambda: names.asked >= 2)
            with pytest.raises(DeadlineExceeded, match=r"no answer within 0\.05 s"):
                await client.with_options(timeout=0.2).call("Work/echo", 1)
        names.gate.set()

    with_names(monkeypatch, run)
