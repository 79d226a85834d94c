"""Looking again and again: when, and what becomes of failures, on the virtual clock."""

from __future__ import annotations

import asyncio

import pytest

from framerpc import ConfigurationError, ConnectionFailed
from framerpc.balancing import Endpoint
from framerpc.resolvers.polling import PollingResolver
from framerpc.testing import virtual_time
from tests.resolvers.kit import now, urls, watching

A, B = Endpoint("memory://a"), Endpoint("memory://b")


class Source(PollingResolver):
    """A source that says what it is told to."""

    def __init__(
        self, *, interval: float = 30.0, timeout: float = 10.0, pause: float = 1.0
    ) -> None:
        super().__init__("a source", interval=interval, timeout=timeout, pause=pause)
        self.says: tuple[Endpoint, ...] | Exception = (A,)
        self.takes = 0.0
        self.looked: list[float] = []
        self.looking = 0

    async def look(self) -> tuple[Endpoint, ...]:
        self.looked.append(now())
        self.looking += 1
        try:
            await asyncio.sleep(self.takes)
        finally:
            self.looking -= 1
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


@virtual_time
async def test_changes_are_told_and_nothing_else() -> None:
    """It looks at once and every 30 s, and speaks only of what is new."""
    source = Source()
    async with watching(source) as watcher:
        await asyncio.sleep(65)
        assert source.looked == [0.0, 30.0, 60.0]
        source.says = (A, B)
        await asyncio.sleep(60)
        assert watcher.times == [0.0, 90.0]
        assert urls(watcher.last) == ["memory://a", "memory://b"]


@virtual_time
async def test_another_weight_is_a_change() -> None:
    """It must reach the balancer."""
    source = Source()
    async with watching(source) as watcher:
        await asyncio.sleep(1)
        source.says = (Endpoint("memory://a", 2),)
        await asyncio.sleep(30)
        assert urls(watcher.last) == ["memory://a?weight=2"]


@virtual_time
async def test_a_failure_keeps_the_last_good_set() -> None:
    """And says what is wrong, once; when it is over, that is told as well."""
    source = Source()
    async with watching(source) as watcher:
        await asyncio.sleep(1)
        source.says = ConnectionFailed("a source", 1, "nobody there")
        await asyncio.sleep(100)
        assert watcher.times == [0.0, 30.0]
        assert urls(watcher.last) == ["memory://a"]
        assert "nobody there" in str(watcher.last.problem)
        source.says = (A,)
        await asyncio.sleep(30)
        assert len(watcher.heard) == 3
        assert watcher.last.problem is None


@virtual_time
async def test_a_failure_at_first_is_told() -> None:
    """There is no good set yet, and whoever waits should know why."""
    source = Source()
    source.says = ConnectionFailed("a source", 1, "nobody there")
    async with watching(source) as watcher:
        await asyncio.sleep(0.5)
        assert watcher.last.endpoints == ()
        assert watcher.last.problem is source.says


@virtual_time
async def test_nothing_is_a_failure() -> None:
    """A source that names no endpoint does not take those there are."""
    source = Source()
    async with watching(source) as watcher:
        await asyncio.sleep(1)
        source.says = ()
        await asyncio.sleep(30)
        assert urls(watcher.last) == ["memory://a"]
        assert "a source names no endpoint" in str(watcher.last.problem)


@virtual_time
async def test_after_a_failure_it_looks_sooner() -> None:
    """After 1, 2, 4, 8 and then every 10 seconds: service returns within twice that."""
    source = Source()
    source.says = ConnectionFailed("a source", 1, "nobody there")
    async with watching(source):
        await asyncio.sleep(40)
        assert source.looked == [0.0, 1.0, 3.0, 7.0, 15.0, 25.0, 35.0]


@virtual_time
async def test_after_a_failure_it_never_looks_later_than_otherwise() -> None:
    """A short interval stays what it is."""
    source = Source(interval=2.0)
    source.says = ConnectionFailed("a source", 1, "nobody there")
    async with watching(source):
        await asyncio.sleep(8)
        assert source.looked == [0.0, 1.0, 3.0, 5.0, 7.0]


@virtual_time
async def test_a_refresh_is_a_look_at_once() -> None:
    """Unless the last one is less than `pause` ago: then it waits for that, once."""
    source = Source()
    async with watching(source) as watcher:
        await asyncio.sleep(5)
        source.says = (B,)
        source.refresh()
        await asyncio.sleep(0)
        await asyncio.sleep(0.25)
        assert watcher.times == [0.0, 5.0]
        for _ in range(100):
            source.refresh()
        await asyncio.sleep(10)
        assert source.looked == [0.0, 5.0, 6.0]


@virtual_time
async def test_a_refresh_during_a_look_is_another_look() -> None:
    """What is under way may have begun before the change."""
    source = Source()
    source.takes = 5.0
    async with watching(source):
        await asyncio.sleep(2)
        source.refresh()
        await asyncio.sleep(5)
        assert source.looked == [0.0, 6.0]


@virtual_time
async def test_a_slow_look_is_a_problem_and_not_the_end() -> None:
    """After 10 s it is told; what it finds later counts, and no second one ran beside it."""
    source = Source()
    source.takes = 14.0
    async with watching(source) as watcher:
        await asyncio.sleep(13)
        assert watcher.times == [10.0]
        assert "no answer within 10 s" in str(watcher.last.problem)
        assert source.looking == 1
        await asyncio.sleep(2)
        assert watcher.times == [10.0, 14.0]
        assert watcher.last.problem is None
        assert source.looked == [0.0]


@virtual_time
async def test_a_look_that_hangs_is_one() -> None:
    """In an hour of a hanging source, one look is under way."""
    source = Source()
    source.takes = 1e9
    async with watching(source) as watcher:
        await asyncio.sleep(3600)
        assert source.looked == [0.0]
        assert len(watcher.heard) == 1
    assert source.looking == 0


@virtual_time
async def test_two_may_watch() -> None:
    """Each hears everything, and a refresh is for both."""
    source = Source()
    async with watching(source) as one, watching(source) as other:
        await asyncio.sleep(5)
        source.says = (B,)
        source.refresh()
        await asyncio.sleep(1)
        assert one.heard == other.heard
        assert urls(one.last) == ["memory://b"]


@virtual_time
@pytest.mark.parametrize("takes", [0.0, 5.0, 1e9])
async def test_cancelling_leaves_nothing(takes: float) -> None:
    """Neither a look nor a watcher, wherever it was."""
    source = Source()
    source.takes = takes
    async with watching(source):
        await asyncio.sleep(20)
    assert source.looking == 0
    assert not source._refreshing
    source.refresh()
    assert len(asyncio.all_tasks()) == 1


@virtual_time
async def test_a_bug_comes_out() -> None:
    """Only what is a FrameRPCError is a problem of the source."""
    source = Source()
    source.says = KeyError("a bug")
    with pytest.raises(KeyError):
        await anext(source.watch())


@pytest.mark.parametrize("name", ["interval", "timeout", "pause"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("inf"), float("nan")])
def test_impossible_durations_are_refused(name: str, value: float) -> None:
    """The error names the option."""
    with pytest.raises(ConfigurationError, match=name):
        Source(**{name: value})


def test_its_text_says_what_it_looks_at() -> None:
    """For logs."""
    assert repr(Source()) == "<Source a source, every 30 s>"
