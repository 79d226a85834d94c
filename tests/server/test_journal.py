"""What is written down of numbered calls, in which order, and what a later process makes of it."""

from __future__ import annotations

import asyncio
import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

import framerpc
from framerpc import Limits
from framerpc.errors import Status
from framerpc.server.journal import Journal, owner_of
from framerpc.testing import virtual_time
from tests.server.numbered import Ledger, caller, serving
from tests.services import soon

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

ERROR = 10


class Shelf:
    """A store in memory that takes its time, can fail, and outlives its server."""

    def __init__(self, delay: float = 0.0) -> None:
        self.records: dict[bytes, bytes] = {}
        self.writes: list[tuple[int, int]] = []
        self.delay = delay
        self.broken = False
        self.open = False

    async def load(self) -> Mapping[bytes, bytes]:
        self.open = True
        return dict(self.records)

    async def write(self, puts: Mapping[bytes, bytes], deletes: Collection[bytes]) -> None:
        assert self.open
        await asyncio.sleep(self.delay)
        if self.broken:
            raise OSError("no space left on the shelf")
        assert not puts.keys() & set(deletes)
        self.writes.append((len(puts), len(deletes)))
        self.records.update(puts)
        for key in deletes:
            self.records.pop(key, None)

    async def close(self) -> None:
        self.open = False


@virtual_time
async def test_answer_survives_the_server() -> None:
    """Another server on the same store goes on with the session, results and errors alike."""
    shelf, first, second = Shelf(), Ledger(), Ledger()
    async with serving(first, replies=shelf):
        async with caller() as before:
            assert await before.result(1, 5) == 1
            failed = await before.result(2, -1)
    assert not shelf.open
    async with serving(second, replies=shelf) as server:
        assert server.statistics()["replies"] == 2
        async with caller(before.session) as after:
            assert after.session == before.session
            assert await after.result(1, 5) == 1
            assert await after.result(2, -1) == failed
            assert (await after.result(1, 6))[:3] == [ERROR, Status.INVALID_ARGUMENT, 0]
            assert await after.result(3, 7) == 1
    assert (first.entered, second.entered) == ([5, -1], [7])


@virtual_time
async def test_number_is_taken_before_the_run_and_stored_before_the_answer() -> None:
    """Each step waits for the disk."""
    shelf, ledger = Shelf(delay=1.0), Ledger()
    async with serving(ledger, replies=shelf), caller() as peer:
        call = peer.call(1, 5)
        await asyncio.sleep(0.9)
        assert (ledger.entered, shelf.records) == ([], {})
        await asyncio.sleep(0.2)
        assert (ledger.entered, len(shelf.records)) == ([5], 2)
        assert await peer.answer(call) == 1
        assert asyncio.get_running_loop().time() == 2.0


@virtual_time
async def test_run_cut_by_a_crash_may_have_been_executed() -> None:
    """Only its beginning was written down: it is answered with FORGOTTEN, and never run again."""
    shelf, ledger = Shelf(), Ledger()
    async with serving(ledger, replies=shelf) as server:
        ledger.gate.clear()
        async with caller() as before:
            before.call(1, 5)
            await soon(lambda: ledger.entered)
            crash = dict(shelf.records)
        await soon(lambda: server.statistics()["detached_runs"] == 1)
    shelf.records = crash
    async with serving(ledger, replies=shelf), caller(before.session) as after:
        assert after.session == before.session
        answer = await after.result(1, 5)
        assert answer[:3] == [ERROR, Status.FORGOTTEN, 1]
        assert "the server stopped" in answer[3]
        assert ledger.entered == [5]


@virtual_time
async def test_what_is_forgotten_stays_forgotten() -> None:
    """The floor is written down together with the answers that are dropped."""
    shelf, ledger = Shelf(), Ledger()
    async with serving(ledger, replies=shelf, limits=Limits(max_replies=1)), caller() as before:
        for number in (1, 2, 3):
            await before.result([number, 1], number)
    async with serving(ledger, replies=shelf), caller(before.session) as after:
        assert (await after.result(1, 1))[:3] == [ERROR, Status.FORGOTTEN, 1]
        assert await after.result(3, 3) == 3
    assert len(shelf.records) == 2


@virtual_time
async def test_refused_call_leaves_nothing_behind() -> None:
    """A number that never ran is free, in the store as well."""
    shelf = Shelf()
    async with serving(Ledger(), replies=shelf) as server, caller() as before:
        assert (await before.result(1, "five"))[:3] == [ERROR, Status.INVALID_ARGUMENT, 0]
        assert await before.result(1, 5) == 1
        before.send_frame([3, 0, "bye", None])
        await soon(lambda: server.statistics()["clients"] == 0)
    assert shelf.records == {}


@virtual_time
async def test_many_calls_wait_for_the_disk_once() -> None:
    """What comes while a write is under way goes with the next one."""
    shelf, ledger = Shelf(delay=1.0), Ledger()
    async with serving(ledger, replies=shelf), caller() as peer:
        calls = [peer.call(number, number) for number in range(1, 51)]
        for call in calls:
            assert isinstance(await peer.answer(call), int)
        assert asyncio.get_running_loop().time() <= 4.0
        assert len(shelf.writes) <= 4


@virtual_time
async def test_store_that_fails_starts_no_run() -> None:
    """Without the promise nothing begins; what had begun is answered."""
    shelf, ledger = Shelf(), Ledger()
    async with serving(ledger, replies=shelf) as server, caller() as peer:
        ledger.gate.clear()
        begun = peer.call(1, 5)
        await soon(lambda: ledger.entered)
        shelf.broken = True
        assert (await peer.result(2, 6))[:3] == [ERROR, Status.UNAVAILABLE, 0]
        ledger.gate.set()
        assert await peer.answer(begun) == 1
        assert await peer.result(1, 5) == 1
        assert server.statistics()["store_failures"] >= 2
        shelf.broken = False
        assert await peer.result(2, 6) == 2
        assert ledger.entered == [5, 6]


@virtual_time
async def test_store_that_cannot_be_opened_stops_the_start() -> None:
    """The server does not listen without it."""

    class Locked(Shelf):
        async def load(self) -> Mapping[bytes, bytes]:
            raise OSError("locked")

    server = framerpc.Server(Ledger(), replies=Locked())
    with pytest.raises(OSError, match="locked"):
        await server.start("memory://ledger")
    assert server.urls == []


@virtual_time
async def test_session_in_the_store_has_an_owner() -> None:
    """After a restart, too, another identity gets a session of its own."""
    shelf = Shelf()
    options: Any = {"replies": shelf, "authenticate": lambda credentials: credentials.token}
    async with serving(Ledger(), **options), caller(token="ada") as before:
        assert await before.result(1, 5) == 1
    async with serving(Ledger(), **options):
        async with caller(before.session, token="eve") as eve:
            assert eve.session != before.session
        async with caller(before.session, token="ada") as ada:
            assert ada.session == before.session
            async with caller(before.session, token="ada") as again:
                assert again.session == before.session
            async with caller(before.session, token="eve") as eve:
                assert eve.session != before.session


@virtual_time
async def test_identity_without_a_name_is_not_written_down() -> None:
    """Its session lives as long as the process."""
    shelf, who = Shelf(), object()
    async with serving(Ledger(), replies=shelf, authenticate=lambda _: who):
        async with caller() as before:
            await before.result(1, 5)
        async with caller(before.session) as after:
            assert await after.result(1, 5) == 1
    assert shelf.records == {}


@virtual_time
async def test_orphans_are_swept_out() -> None:
    """What a failed write has left behind is deleted by the next process."""
    shelf = Shelf()
    shelf.records = {bytes(24): b"\x91\xc4\x00", b"odd": b"\xc0"}
    async with serving(Ledger(), replies=shelf):
        await soon(lambda: shelf.records == {})


class Role(enum.Enum):
    ADMIN = "admin"


@dataclass
class User:
    name: str
    role: Role


def test_owners_are_told_apart_by_type_and_value() -> None:
    """Equal identities have equal names, and others have others."""
    assert owner_of(User("ada", Role.ADMIN)) == owner_of(User("ada", Role.ADMIN))
    named: list[Any] = [None, "ada", b"ada", User("ada", Role.ADMIN), User("eve", Role.ADMIN)]
    assert len({owner_of(each) for each in named}) == len(named)
    assert owner_of(object()) is None


@virtual_time
async def test_closing_writes_what_the_last_write_has_led_to() -> None:
    """Nothing is written behind it, where another server may have the store."""
    shelf = Shelf(0.1)
    journal = Journal(shelf)
    await journal.load()
    first = journal._put(b"first", b"1")
    first.add_done_callback(lambda _: journal._put(b"second", b"2"))
    await journal.close()
    assert shelf.records == {b"first": b"1", b"second": b"2"}
    assert not shelf.open
