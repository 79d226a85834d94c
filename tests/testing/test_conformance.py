"""The checks of conformance, against servers that break a rule each."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from framerpc.testing import ScriptedPeer, virtual_time
from framerpc.testing.conformance import Outcome, Result, checks, examine
from tests.protocol import spec


def test_checks_name_requirements_that_exist() -> None:
    """Each check is about a numbered requirement of protocol.md."""
    assert {each.requirement for each in checks()} <= set(spec.REQUIREMENTS)


def test_claims_are_told_apart() -> None:
    """No two checks claim the same."""
    claims = [each.claim for each in checks()]
    assert len(set(claims)) == len(claims) > 50


_NAMES = itertools.count()

Behaviour = Callable[[ScriptedPeer], Awaitable[None]]


@asynccontextmanager
async def played(behave: Behaviour) -> AsyncIterator[str]:
    """Serve by hand: every connection goes to `behave`, until it has enough."""
    listener = ScriptedPeer()
    url = await listener.listen(f"memory://played-{next(_NAMES)}")
    tasks: set[asyncio.Task[None]] = set()

    async def handle(peer: ScriptedPeer) -> None:
        try:
            await behave(peer)
        except (EOFError, OSError, AssertionError):
            pass
        finally:
            peer.abort()

    async def accept() -> None:
        while True:
            await listener.accept()
            peer = ScriptedPeer()
            peer._start(listener._reader, listener._transport)  # type: ignore[arg-type]
            tasks.add(asyncio.ensure_future(handle(peer)))

    accepting = asyncio.ensure_future(accept())
    try:
        yield url
    finally:
        listener.stop_listening()
        for task in (accepting, *tasks):
            task.cancel()
        await asyncio.gather(accepting, *tasks, return_exceptions=True)


async def welcoming(peer: ScriptedPeer) -> None:
    """Read a greeting and welcome whoever sent it, whatever it says."""
    await peer.receive_frame()
    peer.preamble()
    peer.welcome(limits={"frame": 65_600}, features=["x-of-my-own"])


async def careless(peer: ScriptedPeer) -> None:
    """Answer every PING and let everything else pass."""
    await welcoming(peer)
    while True:
        frame = await peer.receive_frame()
        if frame[0] == 5:
            peer.send_frame([6, frame[1], None])


async def results(behave: Behaviour) -> dict[str, list[Result]]:
    """Examine a server; return what was found by requirement."""
    found: dict[str, list[Result]] = {}
    async with played(behave) as url:
        async for result in examine(url):
            found.setdefault(result.check.requirement, []).append(result)
    return found


@virtual_time
async def test_a_server_that_refuses_nothing_fails() -> None:
    """Whatever has to be refused and is not is found, and what is done right is not blamed."""
    found = await results(careless)
    failed = {name for name, each in found.items() if Outcome.FAILS in {r.outcome for r in each}}
    wrong = {
        "R-FRAME-2",
        "R-FRAME-3",
        "R-HELLO-5",
        "R-HELLO-6",
        "R-ID-1",
        "R-DEADLINE-2",
        "R-LIVE-4",
    }
    assert wrong <= failed
    assert not {"R-LIVE-3", "R-TRANSPORT-1", "R-VIOLATION-2"} & failed


@virtual_time
async def test_a_server_without_methods_leaves_checks_open() -> None:
    """What needs framerpc/health cannot be checked where there is none; the rest can."""

    async def methodless(peer: ScriptedPeer) -> None:
        await welcoming(peer)
        while True:
            frame = await peer.receive_frame()
            if frame[0] == 8:
                peer.send_frame([10, frame[1], 3, 0, "no such method", None])

    found = await results(methodless)
    outcomes = {name: {each.outcome for each in group} for name, group in found.items()}
    assert outcomes["R-CALL-4"] == {Outcome.HOLDS}
    assert outcomes["R-ARGS-3"] == {Outcome.UNCHECKED}
    assert found["R-ARGS-3"][0].reason == "the server leaves out framerpc/health"


async def test_a_server_that_lets_nobody_in_cannot_be_examined() -> None:
    """Nothing is said about a server that does not welcome a good client."""

    async def refusing(peer: ScriptedPeer) -> None:
        await peer.receive_frame()
        peer.preamble()
        peer.send_frame([3, 3, "who are you?", None])
        await peer.receive_frame()

    async def first(url: str) -> Result:
        return await anext(aiter(examine(url)))

    async with played(refusing) as url:
        with pytest.raises(AssertionError, match=r"expected WELCOME.*who are you"):
            await first(url)
    with pytest.raises(ConnectionRefusedError):
        await first("tcp://127.0.0.1:1")


@virtual_time
async def test_reasons_say_what_was_expected_and_what_happened() -> None:
    """The text of a failure is for whoever writes the server."""
    found = await results(careless)
    assert [each.reason for each in found["R-DEADLINE-2"]] == ["nothing happened within 5 s"]
    (late,) = found["R-FRAME-7"]
    assert late.reason == "expected CLOSE PROTOCOL_ERROR, received [6, 1, None]"
    (features,) = found["R-HELLO-6"]
    assert features.reason == "nothing was offered, and ['x-of-my-own'] named"
