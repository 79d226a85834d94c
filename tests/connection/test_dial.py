"""Dialling a name: every address that it has is tried, within one timeout."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import ssl
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

import framerpc
from framerpc import ConnectionFailed
from framerpc.connection.addresses import parse_address
from framerpc.connection.dial import dial
from framerpc.testing import virtual_time
from tests.services import Work

if TYPE_CHECKING:
    from pathlib import Path

    from framerpc.connection.addresses import Address
    from framerpc.connection.eyeballs import Place


class Link(asyncio.Protocol):
    """Stands for a connection: keeps its transport, and tells when it is over."""

    transport: Any  # uvloop's are no asyncio.Transport

    def __init__(self) -> None:
        self.over = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.over.set_result(exc)


async def connect(address: Address, *, tls: ssl.SSLContext | None = None) -> Link:
    """Dial, with a timeout of 5 s."""
    made: Any = await dial(
        address,
        Link,  # type: ignore[arg-type]
        tls=tls,
        timeout=5.0,
    )
    assert isinstance(made, Link)
    return made


def place(host: str, port: int) -> Place:
    """Return a place as `getaddrinfo` would."""
    six = ":" in host
    address = (host, port, 0, 0) if six else (host, port)
    family = socket.AF_INET6 if six else socket.AF_INET
    return (family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address)


def name_stands_for(monkeypatch: pytest.MonkeyPatch, *places: Place) -> list[object]:
    """Let every name that ends in .test stand for these places; return what is looked up."""
    asked: list[object] = []
    loop = asyncio.get_running_loop()
    original = loop.getaddrinfo

    async def getaddrinfo(host: str, port: int, **options: Any) -> Any:
        asked.append((host, port))
        if host.endswith(".test"):
            return list(places)
        return await original(host, port, **options)  # uvloop asks about addresses, too

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo, raising=False)
    return asked


async def test_a_call_by_name_passes_a_refused_ipv6_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """IPv6 comes first and is refused, or there is none here; IPv4 works, and calls do."""
    async with framerpc.Server(Work()).listen("tcp://127.0.0.1:0") as server:
        port = parse_address(server.url).port
        asked = name_stands_for(monkeypatch, place("::1", port), place("127.0.0.1", port))
        async with framerpc.connect(f"tcp://service.test:{port}") as client:
            assert await client.call("Work/echo", 1) == 1
        assert asked[0] == ("service.test", port)


async def test_an_address_is_not_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """An IP address needs no name service, and no attempt beside the first."""
    async with framerpc.Server(Work()).listen("tcp://127.0.0.1:0") as server:
        asked = name_stands_for(monkeypatch)
        async with framerpc.connect(server.url) as client:
            assert await client.call("Work/echo", 1) == 1
        assert asked == []


async def test_a_dialled_name_has_the_options_of_its_socket(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Small frames leave at once, as on a socket that asyncio made itself."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        name_stands_for(monkeypatch, place("127.0.0.1", port))
        link = await connect(parse_address(f"tcp://service.test:{port}"))
        sock = link.transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        link.transport.abort()
        await link.over


async def test_when_all_addresses_refuse_the_error_names_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One ConnectionFailed for the name, which may be tried again."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        name_stands_for(monkeypatch, place("127.0.0.1", port), place("127.0.0.1", port))
        with pytest.raises(ConnectionFailed) as caught:
            await connect(parse_address(f"tcp://service.test:{port}"))
    each = "127.0.0.1: Connection refused"
    assert caught.value.cause == f"{each}; {each}; nothing listens there"
    assert caught.value.endpoint == f"tcp://service.test:{port}"
    assert not caught.value.final


@virtual_time
async def test_the_timeout_is_for_all_addresses_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Twenty black holes take as long as one."""
    tried: list[float] = []
    loop = asyncio.get_running_loop()

    async def sock_connect(*_: Any) -> None:
        tried.append(loop.time())
        await asyncio.Event().wait()

    name_stands_for(monkeypatch, *[place("127.0.0.1", 1)] * 20)
    monkeypatch.setattr(loop, "sock_connect", sock_connect)
    with pytest.raises(ConnectionFailed, match="no answer within 5 s"):
        await connect(parse_address("tcp://service.test:1"))
    assert loop.time() == 5.0
    assert tried == [0.25 * number for number in range(20)]


@virtual_time
async def test_the_timeout_is_for_the_name_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name service that does not answer is no reason to wait for longer."""

    async def getaddrinfo(*_: Any, **__: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    with pytest.raises(ConnectionFailed, match="no answer within 5 s"):
        await connect(parse_address("tcp://service.test:1"))
    assert asyncio.get_running_loop().time() == 5.0


async def test_an_unknown_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what the name service says."""

    async def getaddrinfo(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo, raising=False)
    with pytest.raises(ConnectionFailed, match="Name or service not known"):
        await connect(parse_address("tcp://service.test:1"))


@pytest.mark.parametrize("name", ["a..test", f"{'x' * 64}.test"])
async def test_what_can_be_no_name_is_final(name: str) -> None:
    """With an empty or an overlong part, trying again is pointless."""
    with pytest.raises(ConnectionFailed, match="can be no name") as caught:
        await connect(parse_address(f"tcp://{name}:1"))
    assert caught.value.final


# ----------------------------------------------------------------- TLS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate for the name service.test, and for no address."""
    made = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1"
    names = "-subj /CN=service.test -addext subjectAltName=DNS:service.test"
    files = f"-keyout {made}/key.pem -out {made}/chain.pem"
    subprocess.run(f"{command} {names} {files}".split(), check=True, capture_output=True)
    return made


def serving(folder: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "chain.pem", folder / "key.pem")
    return context


def trusting(folder: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(folder / "chain.pem"))


async def test_the_certificate_must_be_for_the_name(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    """Which address of it was reached does not matter."""
    server = framerpc.Server(Work())
    async with server.listen("tls://127.0.0.1:0", tls=serving(folder)):
        port = parse_address(server.url).port
        name_stands_for(monkeypatch, place("127.0.0.1", port))
        with pytest.raises(ConnectionFailed, match="certificate") as caught:
            await connect(parse_address(f"tls://other.test:{port}"), tls=trusting(folder))
        assert caught.value.final
        url = f"tls://service.test:{port}"
        async with framerpc.connect(url, tls=trusting(folder)) as client:
            assert await client.call("Work/echo", 1) == 1


async def test_an_address_may_have_the_certificate_of_a_name(folder: Path) -> None:
    """A resolver that turned a name into addresses says which name to expect."""
    server = framerpc.Server(Work())
    async with server.listen("tls://127.0.0.1:0", tls=serving(folder)):
        address = parse_address(server.url)
        with pytest.raises(ConnectionFailed, match="certificate"):
            await connect(address, tls=trusting(folder))
        named = dataclasses.replace(address, server_name="service.test")
        link = await connect(named, tls=trusting(folder))
        link.transport.close()
        await link.over
