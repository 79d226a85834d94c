"""Sessions at the server: who may go on with which, how long each is kept, and how they end."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

import framerpc
from framerpc import Limits
from framerpc.errors import Status
from framerpc.testing import virtual_time
from tests.server.numbered import Caller, Ledger, caller, serving
from tests.services import soon

ERROR = 10


@dataclass
class Tenant:
    """An identity that compares by its name."""

    name: str


class Nobody:
    """An identity that is not even equal to itself."""

    def __eq__(self, other: object) -> bool:
        raise TypeError(other)

    __hash__ = None  # type: ignore[assignment]


def by_token(credentials: framerpc.Credentials) -> Tenant:
    return Tenant(credentials.token or "")


@virtual_time
async def test_server_names_new_sessions() -> None:
    """Each has a name of its own, of 16 bytes, and the feature is named beside it."""
    async with serving(Ledger()) as server, Caller() as one, Caller() as two:
        welcome = await one.greet("memory://ledger")
        await two.greet("memory://ledger", b"unknown")
        assert welcome["features"] == ["sessions"]
        assert one.session is not None
        assert two.session is not None
        assert len({one.session, two.session, b"unknown"}) == 3
        assert len(one.session) == len(two.session) == 16
        assert server.statistics()["sessions"] == 2


@virtual_time
async def test_nothing_is_kept_for_who_did_not_ask() -> None:
    """Without the feature there is no session, whatever else is in the greeting."""
    async with serving(Ledger()) as server, Caller() as peer:
        await peer.connect("memory://ledger")
        peer.preamble()
        peer.hello(session=bytes(16))
        welcome = (await peer.receive_frame())[1]
        assert (welcome["features"], welcome.get("session")) == ([], None)
        assert server.statistics()["sessions"] == 0


@virtual_time
async def test_another_identity_cannot_go_on_with_a_session() -> None:
    """It gets a new one, and the old one stays where it is."""
    ledger = Ledger()
    async with serving(ledger, authenticate=by_token):
        async with caller(token="ada") as ada:
            assert await ada.result(1, 5) == 1
        async with caller(ada.session, token="eve") as eve:
            assert eve.session != ada.session
            assert await eve.result(1, 5) == 2
        async with caller(ada.session, token="ada") as again:
            assert again.session == ada.session
            assert await again.result(1, 5) == 1


@virtual_time
async def test_identity_that_cannot_be_compared_owns_nothing() -> None:
    """What its comparison raises means "not the same"."""
    async with serving(Ledger(), authenticate=lambda _: Nobody()):
        async with caller() as first:
            pass
        async with caller(first.session) as second:
            assert second.session != first.session


@virtual_time
async def test_newest_connection_has_the_session() -> None:
    """An older one starts no number any more; what waits there is still answered there."""
    ledger = Ledger()
    async with serving(ledger) as server, caller() as old:
        ledger.gate.clear()
        waiting = old.call(1, 5)
        await soon(lambda: ledger.entered)
        async with caller(old.session) as new:
            assert new.session == old.session
            refused = await old.result(2, 6)
            assert refused[:3] == [ERROR, Status.UNAVAILABLE, 0]
            known = await old.result(1, 5)
            assert known[:3] == [ERROR, Status.UNAVAILABLE, 1]
            again = new.call(1, 5)
            await soon(lambda: server.statistics()["answered_again"] == 1)
            ledger.gate.set()
            assert await old.answer(waiting) == 1
            assert await new.answer(again) == 1
            old.close()
            await soon(lambda: server.statistics()["clients"] == 1)
            assert await new.result(2, 6) == 2
        assert ledger.entered == [5, 6]


@virtual_time
async def test_session_expires_without_a_connection() -> None:
    """After `session_ttl` it is gone, and so are its answers and its runs."""
    ledger = Ledger()
    async with serving(ledger, limits=Limits(session_ttl=10)) as server:
        async with caller() as first:
            await asyncio.sleep(15)  # a connection keeps it
            assert await first.result(1, 5) == 1
            ledger.gate.clear()
            first.call(2, 6)
            await soon(lambda: len(ledger.entered) == 2)
        await asyncio.sleep(9)
        assert server.statistics()["sessions"] == 1
        await asyncio.sleep(2)
        counted = server.statistics()
        assert (counted["sessions"], counted["replies"], counted["reply_bytes"]) == (0, 0, 0)
        assert ledger.stopped == [6]
        async with caller(first.session) as second:
            assert second.session != first.session


@virtual_time
async def test_session_is_kept_anew_after_each_connection() -> None:
    """Its time begins when its last connection is lost."""
    async with serving(Ledger(), limits=Limits(session_ttl=10)):
        token = None
        for _ in range(3):
            async with caller(token) as peer:
                assert peer.session == (token or peer.session)
                token = peer.session
            await asyncio.sleep(9)


@virtual_time
async def test_session_that_was_left_longest_ago_makes_room() -> None:
    """Beyond `max_sessions` it goes; one that has a connection never does."""
    async with serving(Ledger(), limits=Limits(max_sessions=2)) as server:
        async with caller() as oldest:
            pass
        await soon(lambda: server.statistics()["clients"] == 0)
        async with caller() as second:
            pass
        await soon(lambda: server.statistics()["clients"] == 0)
        async with caller() as third:
            assert server.statistics()["evicted_sessions"] == 1
            async with caller(oldest.session) as late:
                assert late.session != oldest.session
                async with caller(second.session) as too_many:
                    assert too_many.session is None
                    assert await too_many.result(1, 5) == 1  # at most once, as without
            assert third.session is not None
        assert server.statistics()["sessions"] == 2


@virtual_time
async def test_client_that_says_goodbye_leaves_no_session() -> None:
    """CLOSE with NORMAL drops the session, and stops its calls."""
    ledger = Ledger()
    async with serving(ledger) as server:
        async with caller() as peer:
            await peer.result(1, 5)
            ledger.gate.clear()
            peer.call(2, 6)
            await soon(lambda: len(ledger.entered) == 2)
            peer.send_frame([3, 0, "bye", None])
            await peer.expect_end()
        await soon(lambda: ledger.stopped == [6])
        counted = server.statistics()
        assert (counted["sessions"], counted["replies"], counted["detached_runs"]) == (0, 0, 0)


@pytest.mark.parametrize("code", [1, 8, 10])
@virtual_time
async def test_other_ends_keep_the_session(code: int) -> None:
    """A client that closes because something is wrong comes back."""
    async with serving(Ledger()):
        async with caller() as peer:
            await peer.result(1, 5)
            peer.send_frame([3, code, "silence", None])
            await peer.expect_end()
        async with caller(peer.session) as again:
            assert again.session == peer.session


@virtual_time
async def test_old_connection_that_says_goodbye_ends_nothing() -> None:
    """The session is with the newer connection."""
    async with serving(Ledger()), caller() as old, caller(old.session) as new:
        await new.result(1, 5)
        old.send_frame([3, 0, "bye", None])
        await old.expect_end()
        assert await new.result(1, 5) == 1


@virtual_time
async def test_server_forgets_when_it_is_closed() -> None:
    """Without a store nothing is left, and nothing runs."""
    ledger = Ledger()
    server = framerpc.Server(ledger)
    async with server.listen("memory://ledger", grace=0):
        async with caller() as first:
            await first.result(1, 5)
    assert {name: server.statistics()[name] for name in ("sessions", "replies")} == {
        "sessions": 0,
        "replies": 0,
    }
    async with server.listen("memory://ledger", grace=0), caller(first.session) as second:
        assert second.session != first.session


@virtual_time
async def test_repr_shows_no_name() -> None:
    """The name of a session is a secret."""
    async with serving(Ledger()) as server, caller() as peer:
        await peer.result(1, 5)
        shown: list[Any] = [server.sessions, *server.sessions._by_token.values()]
        shown += [run for session in shown[1:] for run in session.runs.values()]
        assert [repr(each) for each in shown] == [
            "<Sessions: 1, 0 of them detached>",
            "<Session at memory://ledger#1, 1 runs>",
            "<Run 1, stored>",
        ]
