"""The DNS: every address is an endpoint, and a failing name server takes none away."""

from __future__ import annotations

import asyncio
import socket
from contextlib import aclosing

import pytest

from framerpc import ConfigurationError, ConnectionFailed
from framerpc.balancing import Endpoint
from framerpc.resolvers.dns import DnsResolver, addresses_of
from framerpc.testing import virtual_time
from tests.resolvers.kit import urls, watching


class Names:
    """A name service that says what it is told to."""

    def __init__(self, *says: str) -> None:
        self.says: list[str] | OSError = list(says)
        self.takes = 0.0
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append((host, port))
        await asyncio.sleep(self.takes)
        if isinstance(self.says, OSError):
            raise self.says
        return self.says


NXDOMAIN = socket.gaierror(socket.EAI_NONAME, "Name or service not known")


@virtual_time
async def test_every_address_is_an_endpoint() -> None:
    """Of both families, once, in a stable order, with port and weight of the address given."""
    names = Names("10.0.0.2", "fd00::1", "10.0.0.1", "10.0.0.2")
    async with watching(DnsResolver("tcp://service.test:7000?weight=2", lookup=names)) as watcher:
        await asyncio.sleep(1)
        assert names.asked == [("service.test", 7000)]
        assert urls(watcher.last) == [
            "tcp://10.0.0.1:7000?weight=2",
            "tcp://10.0.0.2:7000?weight=2",
            "tcp://[fd00::1]:7000?weight=2",
        ]


@virtual_time
async def test_another_order_is_no_change() -> None:
    """Name servers rotate their answers."""
    names = Names("10.0.0.1", "10.0.0.2")
    async with watching(DnsResolver("tcp://service.test:7000", lookup=names)) as watcher:
        await asyncio.sleep(1)
        names.says = ["10.0.0.2", "10.0.0.1"]
        await asyncio.sleep(60)
        assert watcher.times == [0.0]


@virtual_time
async def test_a_certificate_is_for_the_name() -> None:
    """The endpoint is an address, and knows whose."""
    resolver = DnsResolver("dns+tls://service.test:7000", lookup=Names("10.0.0.1"))
    async with watching(resolver) as watcher:
        await asyncio.sleep(1)
        attributes = {"server_name": "service.test"}
        assert watcher.last.endpoints == (Endpoint("tls://10.0.0.1:7000", 1, attributes),)


@virtual_time
async def test_a_change_is_found_after_the_interval() -> None:
    """Or when a lost connection asks for a look."""
    names = Names("10.0.0.1")
    resolver = DnsResolver("tcp://service.test:7000", interval=20, lookup=names)
    async with watching(resolver) as watcher:
        await asyncio.sleep(5)
        names.says = ["10.0.0.2"]
        await asyncio.sleep(20)
        assert watcher.times == [0.0, 20.0]
        names.says = ["10.0.0.3"]
        resolver.refresh()
        await asyncio.sleep(1)
        assert watcher.times == [0.0, 20.0, 25.0]
        assert urls(watcher.last) == ["tcp://10.0.0.3:7000"]


@virtual_time
@pytest.mark.parametrize("error", [NXDOMAIN, OSError("the network is down")], ids=repr)
async def test_a_failing_name_server_takes_nothing_away(error: OSError) -> None:
    """Row 7: the last good answer stays, with the reason, and the next good one is taken."""
    names = Names("10.0.0.1")
    async with watching(DnsResolver("tcp://service.test:7000", lookup=names)) as watcher:
        await asyncio.sleep(5)
        names.says = error
        await asyncio.sleep(100)
        assert urls(watcher.last) == ["tcp://10.0.0.1:7000"]
        problem = watcher.last.problem
        assert isinstance(problem, ConnectionFailed)
        assert problem.endpoint == "tcp://service.test:7000"
        assert problem.cause == f"the name does not resolve: {error.strerror or error}"
        assert problem.__cause__ is error
        names.says = ["10.0.0.2"]
        await asyncio.sleep(10)
        assert urls(watcher.last) == ["tcp://10.0.0.2:7000"]
        assert watcher.last.problem is None


@virtual_time
async def test_a_slow_name_server_takes_nothing_away() -> None:
    """Row 7: after its deadline the last good answer stays; the late one is taken."""
    names = Names("10.0.0.1")
    async with watching(DnsResolver("tcp://service.test:7000", lookup=names)) as watcher:
        await asyncio.sleep(5)
        names.says, names.takes = ["10.0.0.2"], 12.0
        await asyncio.sleep(36)
        assert watcher.times == [0.0, 40.0]
        assert urls(watcher.last) == ["tcp://10.0.0.1:7000"]
        assert watcher.last.problem is not None
        await asyncio.sleep(2)
        assert watcher.times == [0.0, 40.0, 42.0]
        assert urls(watcher.last) == ["tcp://10.0.0.2:7000"]


@virtual_time
async def test_an_empty_answer_takes_nothing_away() -> None:
    """A name without addresses is a failure."""
    names = Names("10.0.0.1")
    async with watching(DnsResolver("tcp://service.test:7000", lookup=names)) as watcher:
        await asyncio.sleep(5)
        names.says = []
        await asyncio.sleep(30)
        assert urls(watcher.last) == ["tcp://10.0.0.1:7000"]


@pytest.mark.parametrize(
    "url",
    [
        "service.test:1",
        "dns+unix:///a",
        "memory://a",
        "dns+tcp://a",
        "tcp://a:99999",
        "tcp://a:1?x=1",
    ],
)
def test_what_cannot_be_looked_up_is_refused(url: str) -> None:
    """When the resolver is made."""
    with pytest.raises(ConfigurationError):
        DnsResolver(url)


async def test_the_system_is_asked() -> None:
    """By the loop's own lookup, which uses a thread."""
    assert set(await addresses_of("127.0.0.1", 1)) == {"127.0.0.1"}


async def test_what_can_be_no_name_is_told() -> None:
    """A name with an empty part fails before anybody is asked."""
    async with aclosing(DnsResolver("tcp://a..test:1").watch()) as resolutions:
        resolution = await anext(resolutions)
    assert "the name does not resolve" in str(resolution.problem)
