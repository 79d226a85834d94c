"""Promises about being called again, and the methods that cannot keep them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from framerpc import ConfigurationError, method, service
from framerpc.contract.method import function_spec
from framerpc.contract.service import spec_of


async def single(a: int, *, skip: int = 0) -> int:
    return a + skip


async def stream(a: int, *, skip: int = 0) -> AsyncIterator[int]:
    for n in range(skip, a):
        yield n


async def without(a: int) -> AsyncIterator[int]:
    yield a


async def by_place(a: int, skip: int = 0) -> AsyncIterator[int]:
    yield a + skip


async def needed(a: int, *, skip: int) -> AsyncIterator[int]:
    yield a + skip


async def from_one(a: int, *, skip: int = 1) -> AsyncIterator[int]:
    yield a + skip


async def text(a: int, *, skip: str = "") -> AsyncIterator[str]:
    yield skip * a


async def uploads(items: AsyncIterator[int], *, skip: int = 0) -> AsyncIterator[int]:
    async for item in items:
        yield item + skip


async def total(items: AsyncIterator[int]) -> int:
    return sum([item async for item in items])


def test_promise_that_can_be_kept() -> None:
    """It is part of the spec."""
    assert function_spec(stream, resume="skip").resume == "skip"
    assert function_spec(stream).resume is None
    assert function_spec(single, once=True).once


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (single, "has no stream to resume"),
        (uploads, "the stream that it takes cannot be sent again"),
        (without, r"`def without\(..., \*, skip: int = 0\)`"),
        (by_place, "needs a keyword parameter"),
        (needed, "needs a keyword parameter"),
        (from_one, "needs a keyword parameter"),
        (text, "needs a keyword parameter"),
    ],
)
def test_stream_that_cannot_be_resumed(function: Any, why: str) -> None:
    """The declaration is refused, with what to do."""
    with pytest.raises(ConfigurationError, match=why):
        function_spec(function, resume="skip")


@pytest.mark.parametrize("function", [stream, total])
def test_stream_cannot_be_once(function: Any) -> None:
    """There is no single answer to keep."""
    with pytest.raises(ConfigurationError, match="cannot be `once`"):
        function_spec(function, once=True)


def test_methods_of_services_are_checked_as_well() -> None:
    """The text names the method."""

    @service
    class Bad:
        @method(resume="skip")
        async def rows(self) -> AsyncIterator[int]:
            yield 1

    with pytest.raises(ConfigurationError, match="rows cannot be resumed"):
        spec_of(Bad)
