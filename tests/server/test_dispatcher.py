"""The registry of methods: what can be called, by which name, and where it runs."""

from __future__ import annotations

import functools
import threading
from collections.abc import AsyncGenerator
from typing import Any

import pytest

import framerpc
from framerpc.testing import virtual_time
from tests.services import Work, pair


class Adder:
    """An object that can be called, and one of its methods."""

    async def __call__(self, number: int) -> int:
        return number + 1

    async def twice(self, number: int) -> int:
        return 2 * number


async def multiply(factor: int, number: int) -> int:
    return factor * number


@virtual_time
@pytest.mark.parametrize(
    ("function", "result"),
    [(Adder(), 8), (Adder().twice, 14), (functools.partial(multiply, 3), 21)],
    ids=["object", "bound method", "partial"],
)
async def test_anything_callable_may_be_a_method(function: Any, result: int) -> None:
    """An object with `async def __call__`, a bound method and a partial run like functions."""
    server = framerpc.Server()
    server.method(name="function")(function)
    async with pair(server) as client:
        assert await client.call("function", 7) == result


async def test_plain_function_runs_where_it_was_told_to() -> None:
    """A `def` runs in a worker thread, or on the loop with `run="loop"`."""
    server = framerpc.Server()

    @server.method
    def usual() -> int:
        return threading.get_ident()

    @server.method(run="loop")
    def on_loop() -> int:
        return threading.get_ident()

    async with pair(server) as client:
        assert await client.call("usual") != threading.get_ident()
        assert await client.call("on_loop") == threading.get_ident()


@virtual_time
@pytest.mark.parametrize(
    "name", ["Work/__init__", "Work/_watched", "Work/entered", "Work/", "Work", "", "x" * 300, "é"]
)
async def test_only_what_is_declared_can_be_called(name: str) -> None:
    """Whatever else a service has cannot be reached from outside, and surely did not run."""
    async with pair(framerpc.Server(Work())) as client:
        with pytest.raises(framerpc.MethodNotFound) as caught:
            await client.call(name)
        assert caught.value.executed == "no"


@framerpc.service(name="counting")
class Contract:
    """A contract without its implementation."""

    @framerpc.method
    async def add(self, a: int, b: int = 0) -> int:
        raise NotImplementedError

    @framerpc.method
    def count(self, upto: int) -> AsyncGenerator[int, None]:
        raise NotImplementedError

    @framerpc.method
    async def missing(self) -> None:
        raise NotImplementedError


class Counting(Contract):
    async def add(self, a: int, b: int = 0) -> int:
        return a + b

    async def count(self, upto: int) -> AsyncGenerator[int, None]:
        for n in range(upto):
            yield n

    async def secret(self) -> None:
        """Not in the contract."""


@virtual_time
async def test_contract_is_called_through_its_implementation() -> None:
    """A client needs the contract only; what is not implemented or not declared is not found."""
    async with pair(framerpc.Server(Counting())) as client:
        stub = client.stub(Contract)
        assert await stub.add(2, b=3) == 5
        assert [n async for n in stub.count(3)] == [0, 1, 2]
        for method in ("counting/missing", "counting/secret"):
            with pytest.raises(framerpc.MethodNotFound):
                await client.call(method)
