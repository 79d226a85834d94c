"""Happy eyeballs: who is tried when, who wins, and what is left of the others."""

from __future__ import annotations

import asyncio
import errno
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framerpc.connection.eyeballs import connect_any, interleave, race
from framerpc.testing import virtual_time

if TYPE_CHECKING:
    from framerpc.connection.eyeballs import Place

SIX, FOUR = socket.AF_INET6, socket.AF_INET
NEVER: Final = 1e9


def now() -> float:
    return asyncio.get_running_loop().time()


class Net:
    """Places that answer after so many seconds, or fail; remembers who was tried when."""

    def __init__(self, **answers: float) -> None:
        self.answers = answers  # below 0: fails after so many seconds
        self.tried: list[tuple[str, float]] = []
        self.cancelled: list[str] = []
        self.discarded: list[str] = []

    async def connect(self, place: str) -> str:
        self.tried.append((place, now()))
        after = self.answers[place]
        try:
            await asyncio.sleep(abs(after))
        except asyncio.CancelledError:
            self.cancelled.append(place)
            raise
        if after < 0:
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"{place}: refused")
        return place

    async def race(self) -> str:
        return await race(list(self.answers), self.connect, 0.25, self.discarded.append)


@virtual_time
async def test_one_that_answers_in_time_is_the_only_one_tried() -> None:
    """Nobody else hears of it."""
    net = Net(a=0.2, b=0.1)
    assert await net.race() == "a"
    assert net.tried == [("a", 0.0)]
    assert now() == 0.2


@virtual_time
async def test_a_black_hole_costs_one_delay() -> None:
    """After 0.25 s the next is tried as well; the first that answers wins, the rest is ended."""
    net = Net(a=NEVER, b=0.1, c=0.0)
    assert await net.race() == "b"
    assert net.tried == [("a", 0.0), ("b", 0.25)]
    assert net.cancelled == ["a"]
    assert now() == 0.35


@virtual_time
async def test_a_refusal_costs_nothing() -> None:
    """The next is tried at once."""
    net = Net(a=-0.0625, b=0.125)
    assert await net.race() == "b"
    assert net.tried == [("a", 0.0), ("b", 0.0625)]
    assert now() == 0.1875


@virtual_time
async def test_an_earlier_one_may_still_win() -> None:
    """That another is tried ends nobody's attempt."""
    net = Net(a=0.375, b=1.0, c=NEVER)
    assert await net.race() == "a"
    assert net.tried == [("a", 0.0), ("b", 0.25)]
    assert net.cancelled == ["b"]
    assert now() == 0.375


@virtual_time
async def test_when_all_fail_the_error_tells_of_each() -> None:
    """It has the kind of the last, and a line that names all."""
    net = Net(a=-0.1, b=-0.1, c=-0.1)
    with pytest.raises(ConnectionRefusedError) as caught:
        await net.race()
    assert caught.value.strerror == "a: refused; b: refused; c: refused"
    assert now() == pytest.approx(0.3)


@virtual_time
async def test_two_that_answer_at_once() -> None:
    """One is kept, the other is discarded."""
    net = Net(a=0.5, b=0.25)
    won = await net.race()
    assert {won, *net.discarded, *net.cancelled} == {"a", "b"}
    assert won not in net.discarded


@virtual_time
async def test_what_comes_in_the_last_moment_is_discarded() -> None:
    """An attempt that succeeds while it is being cancelled leaves nothing open."""
    discarded: list[str] = []

    async def connect(place: str) -> str:
        if place == "b":
            return place
        try:
            await asyncio.sleep(NEVER)
        except asyncio.CancelledError:
            return place  # it was done already
        raise AssertionError

    assert await race(["a", "b"], connect, 0.25, discarded.append) == "b"
    assert discarded == ["a"]


@virtual_time
async def test_cancelling_ends_every_attempt() -> None:
    """And waits for their end."""
    net = Net(a=NEVER, b=NEVER)
    task = asyncio.create_task(net.race())
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(net.cancelled) == ["a", "b"]


@virtual_time
async def test_a_bug_comes_out() -> None:
    """Only an OSError is a failed attempt; what else is raised ends the race."""
    started = asyncio.Event()

    async def connect(place: str) -> str:
        if place == "a":
            started.set()
            await asyncio.sleep(NEVER)
        raise KeyError(place)

    with pytest.raises(KeyError):
        await race(["a", "b"], connect, 0.25, print)
    assert started.is_set()


def place(family: int, host: str, port: int = 1) -> Place:
    """Return a place as `getaddrinfo` would."""
    address = (host, port) if family == FOUR else (host, port, 0, 0)
    return (family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address)


def test_families_take_turns() -> None:
    """The first decides which begins; the order within a family stays."""
    six = [place(SIX, f"::{n}") for n in range(1, 4)]
    four = [place(FOUR, "127.0.0.1")]
    assert interleave([*six, *four]) == [six[0], four[0], six[1], six[2]]
    assert interleave([*four, *six]) == [four[0], *six]


@given(st.lists(st.sampled_from([SIX, FOUR]), max_size=9))
def test_no_place_is_lost(families: list[int]) -> None:
    """All are there, once, and neighbours differ in family while both are left."""
    places = [place(family, f"h{number}") for number, family in enumerate(families)]
    got = interleave(places)
    assert sorted(map(repr, got)) == sorted(map(repr, places))
    both = 2 * min(families.count(SIX), families.count(FOUR))
    assert all(got[n][0] != got[n + 1][0] for n in range(both - 1))


# ----------------------------------------------------------------- on real sockets


def black_hole(stack: ExitStack) -> int:
    """Return the port of a listener on 127.0.0.1 that answers nobody: its backlog is full."""
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
    for _ in range(2):  # the kernel grants one more than it is told
        sock = stack.enter_context(socket.socket())
        sock.setblocking(False)
        sock.connect_ex(listener.getsockname())
    return int(listener.getsockname()[1])


async def test_a_real_black_hole_is_passed_by() -> None:
    """A listener that never answers does not keep us from the next address."""
    with ExitStack() as stack:
        hole = black_hole(stack)
        good = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        places = [place(FOUR, "127.0.0.1", hole), place(FOUR, *good.getsockname())]
        with await connect_any(places, delay=0.01) as sock:
            assert sock.getpeername() == good.getsockname()


async def test_a_real_refusal_is_passed_by() -> None:
    """A port where nobody listens does not, either, with whatever delay."""
    with socket.create_server(("127.0.0.1", 0)) as good, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        places = [place(FOUR, *closed.getsockname()), place(FOUR, *good.getsockname())]
        with await connect_any(places, delay=1000) as sock:
            assert sock.getpeername() == good.getsockname()


async def test_all_refused() -> None:
    """The error names each address, and is the same on every loop."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        refused = place(FOUR, *closed.getsockname())
        for places in ([refused], [refused, refused]):
            with pytest.raises(ConnectionRefusedError) as caught:
                await connect_any(places)
            text = "; ".join(["127.0.0.1: Connection refused"] * len(places))
            assert caught.value.strerror == text


async def test_cancelling_closes_real_sockets() -> None:
    """An attempt at a black hole that is cancelled leaves no socket open."""
    with ExitStack() as stack:
        hole = place(FOUR, "127.0.0.1", black_hole(stack))
        task = asyncio.create_task(connect_any([hole, hole], delay=0))
        for _ in range(5):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
