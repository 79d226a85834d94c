"""Who may connect and who may call: tokens, certificates, `authenticate` and `authorize`."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest

import framerpc
from framerpc import CallContext, ConnectionFailed, Credentials, Unauthenticated
from framerpc.testing import Network, virtual_time
from tests.services import Work, pair, soon


async def by_token(credentials: Credentials) -> str:
    await asyncio.sleep(0)
    if credentials.token is None or not credentials.token.startswith("good"):
        raise Unauthenticated("unknown token")
    return credentials.token


@virtual_time
@pytest.mark.parametrize("token", ["bad", None, "schlüssel", ""])
async def test_refused_credentials_are_final_and_told_at_once(token: str | None) -> None:
    """A refusal ends `ready` and every call at once, with the reason, and is not tried again."""
    server = framerpc.Server(Work(), authenticate=by_token)
    async with (
        server.listen("memory://work"),
        framerpc.connect("memory://work", token=token, timeout=30) as client,
    ):
        for attempt in (client.ready(), client.call("Work/echo", 1), client.call("Work/echo", 2)):
            with pytest.raises(Unauthenticated, match="unknown token") as caught:
                await attempt
            assert caught.value.executed == "no"
        with pytest.raises(Unauthenticated):
            await anext(client.stream(Work.count, 3))
        assert asyncio.get_running_loop().time() < 1
        assert client.state is framerpc.State.CLOSED
        assert server.statistics()["connections"] == 1


@virtual_time
async def test_call_sent_before_the_refusal_gets_it_too() -> None:
    """A call that left together with the greeting is refused, and never started."""
    work = Work()
    server = framerpc.Server(work, authenticate=by_token)
    async with (
        server.listen("memory://work"),
        framerpc.connect("memory://work", token="bad") as client,
    ):
        with pytest.raises(Unauthenticated):
            await client.call(Work.sleep, 0)
        assert work.started == 0


@virtual_time
async def test_failing_authentication_gives_no_secret_away() -> None:
    """Whatever else `authenticate` raises is a refusal without a reason."""

    def broken(credentials: Credentials) -> None:
        raise KeyError("password of the database")

    server = framerpc.Server(Work(), authenticate=broken)
    async with (
        server.listen("memory://work"),
        framerpc.connect("memory://work") as client,
    ):
        with pytest.raises(Unauthenticated, match="refused") as caught:
            await client.ready()
        assert "password" not in str(caught.value)


@virtual_time
@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_token_is_asked_for_at_each_dial(kind: str) -> None:
    """A token that expires is renewed when the connection is."""
    tokens = iter(["good 1", "good 2"])

    async def later() -> str:
        await asyncio.sleep(0.1)
        return next(tokens)

    token: Any = later if kind == "async" else lambda: next(tokens)
    with Network() as network:
        server = framerpc.Server(Work(), authenticate=by_token)
        async with pair(server, token=token) as client:
            assert (await client.call(Work.call))["identity"] == "good 1"
            await asyncio.sleep(5)
            network.cut()
            await soon(lambda: server.statistics()["connections"] == 2)
            assert (await client.call(Work.call))["identity"] == "good 2"


@virtual_time
async def test_token_that_cannot_be_had_is_asked_for_again() -> None:
    """What a token callable raises is a failed attempt, shown in errors, and passes."""
    asked = 0

    async def token() -> str:
        nonlocal asked
        asked += 1
        if asked < 3:
            raise OSError("the vault is sealed")
        return "good"

    server = framerpc.Server(Work(), authenticate=by_token)
    async with pair(server, token=token) as client:
        assert (await client.call(Work.call))["identity"] == "good"
        assert asked == 3


@virtual_time
async def test_token_that_is_never_had_is_named_in_the_error() -> None:
    """A call that waited for a token in vain says so."""

    def token() -> str:
        raise OSError("the vault is sealed")

    async with framerpc.connect("memory://work", token=token, timeout=3) as client:
        with pytest.raises(framerpc.DeadlineExceeded, match="the vault is sealed"):
            await client.call("Work/echo", 1)


@virtual_time
async def test_token_of_the_wrong_type_is_final() -> None:
    """A callable that returns no string is a bug, told at once and without the value."""
    async with framerpc.connect("memory://work", token=lambda: b"s3cret") as client:  # type: ignore[arg-type,return-value]
        with pytest.raises(framerpc.ConfigurationError, match="must return a string") as caught:
            await client.ready()
        assert "s3cret" not in str(caught.value)


@virtual_time
async def test_authorize_runs_before_each_call() -> None:
    """What `authorize` raises refuses the call; it sees identity and method, streams included."""
    work = Work()
    asked: list[str] = []

    def authorize(call: CallContext) -> None:
        asked.append(call.method)
        if call.identity != "good ada":
            raise framerpc.PermissionDenied("only ada")

    server = framerpc.Server(work, authenticate=by_token, authorize=authorize)
    async with pair(server, token="good ada") as ada:
        assert await ada.call("Work/echo", 1) == 1
        async with framerpc.connect("memory://work", token="good eve") as eve:
            with pytest.raises(framerpc.PermissionDenied, match="only ada") as caught:
                await eve.call(Work.sleep, 1)
            assert caught.value.executed == "no"
            with pytest.raises(framerpc.PermissionDenied):
                await anext(eve.stream(Work.count, 1))
        assert work.started == 0
        assert asked == ["Work/echo", "Work/sleep", "Work/count"]


# ---------------------------------------------------------------------------------- TLS


def openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a self-signed certificate for this machine, and one for a client."""
    folder = tmp_path_factory.mktemp("tls")
    names = {
        "server": "subjectAltName=DNS:localhost,IP:127.0.0.1",
        "client": "basicConstraints=CA:TRUE",
    }
    for name, extension in names.items():
        openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem", "-days", "1"),
            *("-subj", f"/CN={name}", "-addext", extension),
        )
    return folder


def serving(certificates: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    return context


def trusting(certificates: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificates / "server.pem"))


async def test_calls_and_streams_work_over_tls(certificates: Path) -> None:
    """A client that trusts the certificate uses `tls://` like any other address."""
    server = framerpc.Server(Work())
    async with (
        server.listen("tls://127.0.0.1:0", tls=serving(certificates)),
        framerpc.connect(server.url, tls=trusting(certificates)) as client,
    ):
        assert await client.call("Work/echo", bytes(300_000)) == bytes(300_000)
        assert [n async for n in client.stream(Work.count, 500)] == list(range(500))


async def test_untrusted_certificate_is_final_and_told_at_once(certificates: Path) -> None:
    """A certificate that nobody vouches for is not tried again until the deadline."""
    server = framerpc.Server(Work())
    async with (
        server.listen("tls://127.0.0.1:0", tls=serving(certificates)),
        framerpc.connect(server.url, tls=ssl.create_default_context()) as client,
        asyncio.timeout(3),
    ):
        for attempt in (client.ready(), client.call("Work/echo", 1)):
            with pytest.raises(ConnectionFailed, match="certificate") as caught:
                await attempt
            assert caught.value.final
            assert caught.value.retry == "no"


async def test_mutual_tls_shows_the_certificate_to_authenticate(certificates: Path) -> None:
    """A server that asks for certificates lets in who has one, and knows whose it is."""

    def authenticate(credentials: Credentials) -> str:
        assert credentials.scheme == "tls"
        assert credentials.certificate is not None
        subject = dict(pair[0] for pair in credentials.certificate["subject"])
        return str(subject["commonName"])

    asking = serving(certificates)
    asking.verify_mode = ssl.CERT_REQUIRED
    asking.load_verify_locations(certificates / "client.pem")
    showing = trusting(certificates)
    showing.load_cert_chain(certificates / "client.pem", certificates / "client.key")
    server = framerpc.Server(Work(), authenticate=authenticate)
    async with server.listen("tls://127.0.0.1:0", tls=asking):
        async with framerpc.connect(server.url, tls=showing) as client:
            assert (await client.call(Work.call))["identity"] == "client"
        async with framerpc.connect(server.url, tls=trusting(certificates), timeout=1) as client:
            with pytest.raises(framerpc.FrameRPCError):
                await client.call("Work/echo", 1)
