"""Trying again: what is worth another attempt, and what goes straight through."""

from __future__ import annotations

import asyncio

import pytest
import tenacity

from framerpc import ConnectionFailed
from framerpc.client.retry import DEFAULT_RECONNECT, Pauses, until_connected
from framerpc.testing import virtual_time

WAIT = tenacity.wait_fixed(1)


class Attempts:
    """Fails as it is told to, then succeeds."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.failed: list[tuple[int, BaseException]] = []

    async def __call__(self) -> str:
        if self.errors:
            raise self.errors.pop(0)
        return "connected"

    def note(self, number: int, error: BaseException) -> None:
        self.failed.append((number, error))


@virtual_time
async def test_attempts_go_on_until_one_succeeds() -> None:
    """Each failure is told with its number, and followed by a pause."""
    first, second = ConnectionFailed("x", 1, "a"), ConnectionFailed("x", 1, "b")
    attempts = Attempts(first, second)
    result = await until_connected(attempts, pauses=Pauses(WAIT), failed=attempts.note)
    assert result == "connected"
    assert attempts.failed == [(1, first), (2, second)]
    assert asyncio.get_running_loop().time() == 2


@virtual_time
@pytest.mark.parametrize(
    "error",
    [ConnectionFailed("x", 1, "untrusted", final=True), KeyError("a bug"), KeyboardInterrupt()],
    ids=repr,
)
async def test_what_cannot_pass_is_not_tried_again(error: BaseException) -> None:
    """A final refusal, a bug and an interrupt come out as they are, at once."""
    attempts = Attempts(error)
    with pytest.raises(type(error)) as caught:
        await until_connected(attempts, pauses=Pauses(WAIT), failed=attempts.note)
    assert caught.value is error
    assert attempts.failed == []


@virtual_time
async def test_cancellation_passes_through_an_attempt() -> None:
    """Cancelling while an attempt runs ends it: CancelledError is no reason to try again."""
    runs = 0

    async def attempt() -> None:
        nonlocal runs
        runs += 1
        await asyncio.sleep(60)

    task = asyncio.create_task(
        until_connected(attempt, pauses=Pauses(WAIT), failed=lambda *_: None)
    )
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert runs == 1
    assert asyncio.get_running_loop().time() == 1


@virtual_time
async def test_cancellation_passes_through_a_pause() -> None:
    """Cancelling between two attempts ends the pause."""
    attempts = Attempts(*(ConnectionFailed("x", 1, "a") for _ in range(9)))
    task = asyncio.create_task(
        until_connected(attempts, pauses=Pauses(tenacity.wait_fixed(60)), failed=attempts.note)
    )
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(attempts.failed) == 1


def test_default_pause_is_bounded_and_random() -> None:
    """However often it failed, the pause is somewhere between 0 and 10 seconds."""
    state = tenacity.RetryCallState(tenacity.AsyncRetrying(), None, (), {})
    pauses: set[float] = set()
    for number in range(1, 60):
        state.attempt_number = number
        pauses.add(DEFAULT_RECONNECT(state))
    assert 0 <= min(pauses) <= max(pauses) <= 10
    assert len(pauses) > 10


@virtual_time
async def test_pauses_go_on_from_where_they_are() -> None:
    """Until they are reset, a later dial waits as long as the last one would have."""
    pauses = Pauses(tenacity.wait_exponential(multiplier=1, max=100))
    for failures, since in ((2, 1 + 2), (1, 4)):
        began = asyncio.get_running_loop().time()
        attempts = Attempts(*[ConnectionFailed("x", 1, "a")] * failures)
        await until_connected(attempts, pauses=pauses, failed=attempts.note)
        assert asyncio.get_running_loop().time() - began == since
    assert attempts.failed[-1][0] == 3
    pauses.reset()
    attempts = Attempts(ConnectionFailed("x", 1, "a"))
    began = asyncio.get_running_loop().time()
    await until_connected(attempts, pauses=pauses, failed=attempts.note)
    assert asyncio.get_running_loop().time() - began == 1
