"""Tests of `framerpc.contract.implementation`."""

from __future__ import annotations

import abc
import asyncio
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import pytest

from framerpc.contract.implementation import check_implementation, is_unimplemented
from framerpc.contract.service import bound_methods, method, service, spec_of
from framerpc.contract.signature import read_signature
from framerpc.errors import ConfigurationError


class Declared:
    """Functions that only declare."""

    def plain(self) -> int:
        raise NotImplementedError

    async def coroutine(self) -> int:
        """With a docstring."""
        raise NotImplementedError("later")

    async def generator(self) -> AsyncGenerator[int, None]:
        raise NotImplementedError
        yield 1  # type: ignore[unreachable]

    def iterator(self) -> Iterator[int]:
        raise NotImplementedError
        yield 1  # type: ignore[unreachable]

    @abc.abstractmethod
    def abstract(self) -> int:
        return 1


class Written:
    """Functions that do something."""

    def nothing(self) -> None:
        pass

    def value(self) -> int:
        return 1

    def condition(self, a: int) -> int:
        if a:
            raise NotImplementedError
        return a

    def only_for_some(self, a: int) -> int:
        if a:
            raise NotImplementedError
        raise NotImplementedError("b")

    def formatted(self, a: int) -> int:
        raise NotImplementedError(f"{a}")

    def returns_it(self) -> Any:
        return NotImplementedError

    def other_error(self) -> None:
        raise NotImplementedError(KeyError)

    async def after_work(self) -> None:
        await asyncio.sleep(0)
        raise NotImplementedError


@pytest.mark.parametrize("name", [name for name in vars(Declared) if name[0] != "_"])
def test_declarations_are_recognised(name: str) -> None:
    """A function that only raises NotImplementedError, or is abstract, is a declaration."""
    assert is_unimplemented(getattr(Declared, name))


@pytest.mark.parametrize("name", [name for name in vars(Written) if name[0] != "_"])
def test_work_is_recognised(name: str) -> None:
    """Anything that does more is an implementation."""
    assert not is_unimplemented(getattr(Written, name))


def test_builtins_are_implementations() -> None:
    """What has no Python code is never taken for a declaration."""
    assert not is_unimplemented(print)


@service
class Contract:
    @method
    async def value(self, a: int, b: int = 0, *, c: int = 0) -> int:
        raise NotImplementedError

    @method
    def stream(self, upto: int) -> AsyncGenerator[int, None]:
        raise NotImplementedError

    @method(run="process")
    def heavy(self, a: int) -> int:
        raise NotImplementedError


def implemented(**functions: Any) -> Any:
    return type("Implementation", (Contract,), functions)


# Functions that may or may not stand for those of the contract; `it` is what others call self.
async def narrower(it: Any, a: int, *, c: int = 0) -> int:
    return a


async def stricter(it: Any, a: int, b: int, *, c: int = 0) -> int:
    return a


async def renamed(it: Any, x: int, b: int = 0, *, c: int = 0) -> int:
    return x


async def wider(it: Any, a: int = 1, b: int = 2, z: int = 3, *, c: int = 0, d: int = 0) -> int:
    return a


async def anything(*args: Any, **kwargs: Any) -> int:
    return len(args)


async def untyped(it, a, b=0, *, c=0):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    return a


async def generator(it, upto):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    yield upto


async def not_a_stream(it: Any, upto: int) -> int:
    return upto


def iterator(it: Any, upto: int) -> Iterator[int]:
    yield upto


async def typed_generator(it: Any, upto: int) -> AsyncGenerator[int, None]:
    yield upto


def delegating(it: Any, upto: int) -> AsyncGenerator[int, None]:
    return typed_generator(it, upto)


async def coroutine(it: Any, a: int) -> int:
    return a


def values(it: Any, a: int, b: int = 0, *, c: int = 0) -> Iterator[int]:
    yield a


@pytest.mark.parametrize(
    ("attribute", "function", "run"),
    [
        ("value", wider, "loop"),
        ("value", anything, "loop"),
        ("value", untyped, "loop"),
        ("stream", generator, "loop"),
        ("stream", delegating, "loop"),
        ("stream", iterator, "thread"),
    ],
)
def test_fitting_implementations_pass(attribute: str, function: Any, run: str) -> None:
    """An implementation may take more and say less; what runs decides where."""
    assert spec_of(implemented(**{attribute: function})).methods[attribute].run == run


@pytest.mark.parametrize(
    ("attribute", "function", "text"),
    [
        ("value", narrower, "cannot be called as its contract .* promises"),
        ("value", stricter, "missing a required argument: 'b'"),
        ("value", renamed, "missing a required argument: 'x'"),
        ("value", values, "declares one value, and the implementation is a stream"),
        ("value", 3, "not a function"),
        ("stream", not_a_stream, "declares a stream, and the implementation is not"),
        ("heavy", coroutine, "run='process'"),
    ],
)
def test_misfits_are_refused(attribute: str, function: Any, text: str) -> None:
    """An implementation of another kind, or that takes less, is refused when it is registered."""
    with pytest.raises(ConfigurationError, match=rf"Implementation\.{attribute}.*{text}"):
        bound_methods(implemented(**{attribute: function})())


def test_decorated_implementations_run_where_the_contract_says() -> None:
    """`run` of the contract holds for a plain `def` below it."""

    def heavy(self: Any, a: int) -> int:
        return a

    assert spec_of(implemented(heavy=heavy)).methods["heavy"].run == "process"


def test_static_implementations_need_no_self() -> None:
    """A staticmethod may implement a method."""

    def value(a: int, b: int = 0, *, c: int = 0) -> int:
        return a + b + c

    found = spec_of(implemented(value=staticmethod(value))).methods["value"]
    assert found.run == "thread"


def test_implementations_may_be_set_aside() -> None:
    """An override that only raises NotImplementedError takes the method away again."""

    async def value(self: Any, a: int, b: int = 0, *, c: int = 0) -> int:
        raise NotImplementedError

    Full = implemented(value=untyped)  # noqa: N806
    assert len(bound_methods(Full())) == 1
    assert bound_methods(type("Less", (Full,), {"value": value})()) == []


def test_contract_of_another_kind_is_named() -> None:
    """The check works on any function and declaration."""
    contract = read_signature(Contract.value, "x", skip_first=True)
    assert check_implementation(untyped, "f", contract, None, skip_first=True) == "loop"
