"""Warnings about clients: the first are logged, a flood is counted and summed up."""

from __future__ import annotations

import asyncio

import pytest

import framerpc
from framerpc.errors import CloseCode
from framerpc.server.complaints import INTERVAL, MOST, Complaints
from framerpc.server.counters import Counters
from framerpc.server.peers import Credentials
from framerpc.testing import ScriptedPeer, virtual_time
from tests.survival.siege import besieged, frame, raw, settled


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged as a warning or worse."""
    return [record.getMessage() for record in caplog.records if record.levelname != "INFO"]


@virtual_time
async def test_flood_is_summed_up_at_the_end_of_the_interval(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Ten lines, then one with the number of the others; the next interval begins anew."""
    counters = Counters()
    complaints = Complaints(counters)
    for n in range(100):
        complaints.say("noise", f"no. {n}")
    assert lines(caplog) == [f"! no. {n}" for n in range(MOST)]
    await asyncio.sleep(INTERVAL)
    assert lines(caplog)[MOST:] == ["! 90 more like these (noise), the last one: no. 99"]
    complaints.say("noise", "again")
    assert lines(caplog)[-1] == "! again"
    assert (counters.complaints, counters.unlogged_complaints) == (101, 90)
    complaints.close()


@virtual_time
async def test_kinds_do_not_hide_each_other(caplog: pytest.LogCaptureFixture) -> None:
    """A flood of one kind leaves the first lines of another in the log."""
    complaints = Complaints(Counters())
    for n in range(MOST + 1):
        complaints.say("noise", f"no. {n}")
    complaints.say("silence", "hush", ValueError("why"))
    assert lines(caplog)[-1] == "! hush"
    assert caplog.records[-1].levelname == "ERROR"
    assert "ValueError: why" in caplog.text
    complaints.close()


@virtual_time
async def test_end_of_the_server_is_the_end_of_the_interval(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What was only counted is logged when the server closes, and no timer is left."""
    complaints = Complaints(Counters())
    for n in range(MOST + 2):
        complaints.say("noise", f"no. {n}")
    complaints.close()
    assert lines(caplog)[-1] == "! 2 more like these (noise), the last one: no. 11"
    await asyncio.sleep(2 * INTERVAL)
    assert len(lines(caplog)) == MOST + 1


@virtual_time
async def test_few_complaints_need_no_summary(caplog: pytest.LogCaptureFixture) -> None:
    """An interval without a flood ends without a word."""
    complaints = Complaints(Counters())
    complaints.say("noise", "once")
    await asyncio.sleep(2 * INTERVAL)
    assert lines(caplog) == ["! once"]


@virtual_time
async def test_strangers_cannot_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """A thousand violations leave eleven lines and two numbers."""
    async with besieged() as siege:
        for _ in range(1000):
            attacker = await siege.stranger()
            attacker.send(b"GET / HTTP/1.1\r\n\r\n")
            await attacker.expect_end()
        counted = siege.server.statistics()
        assert (counted["violations"], counted["complaints"]) == (1000, 1000)
        assert counted["unlogged_complaints"] == 990
    assert len(lines(caplog)) == 11
    assert lines(caplog)[-1].startswith("! 990 more like these (connections), the last one: ")


@virtual_time
async def test_one_way_calls_cannot_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """A client that is let in may flood no more than a stranger."""
    async with besieged() as siege:
        guest = await siege.guest()
        guest.send(frame(16, 1, "no/such", None, b"\x90") * 1000)
        await settled(lambda: siege.server.statistics()["dropped_notifications"] == 1000)
        guest.send(raw(b"\xc1"))
        await guest.expect_close(CloseCode.PROTOCOL_ERROR)
    assert len(lines(caplog)) == 12
    assert "990 more like these (one-way calls)" in caplog.text


@virtual_time
async def test_wrong_credentials_cannot_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """A bug in `authenticate` is an error with its traceback, ten times at most."""

    def broken(credentials: Credentials) -> str:
        if credentials.token != "t":
            raise LookupError("of ours")
        return "me"

    async with besieged(authenticate=broken) as siege:
        for _ in range(50):
            attacker = await siege.stranger()
            attacker.preamble()
            attacker.hello(token="x")
            await attacker.expect_close(CloseCode.UNAUTHENTICATED)
    assert caplog.text.count("LookupError: of ours") == MOST
    assert "40 more like these (authenticate())" in caplog.text


@virtual_time
async def test_client_logs_what_its_server_did_wrong(caplog: pytest.LogCaptureFixture) -> None:
    """The other side of a broken rule is told as well."""
    async with ScriptedPeer() as peer:
        url = await peer.listen("memory://broken")
        async with framerpc.connect(url):
            await peer.accept()
            peer.send(b"HTTP/1.1 400 Bad Request")
            await settled(lambda: lines(caplog))
    assert "memory://broken" in lines(caplog)[0]


@virtual_time
async def test_refused_credentials_are_logged_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    """Who guesses tokens is seen: from where, and why it was refused; never with the token."""

    def nobody(credentials: Credentials) -> str:
        raise framerpc.Unauthenticated("unknown token")

    server = framerpc.Server(authenticate=nobody)
    async with server.listen("memory://fort"):
        for _ in range(MOST + 2):
            async with framerpc.connect("memory://fort", token="guess") as client:
                with pytest.raises(framerpc.Unauthenticated):
                    await client.ready()
        assert server.statistics()["refused_clients"] == MOST + 2
    assert lines(caplog)[0].endswith(": refused credentials: 'unknown token'")
    assert lines(caplog)[-1].startswith("! 2 more like these (refused credentials)")
    assert "guess" not in caplog.text
