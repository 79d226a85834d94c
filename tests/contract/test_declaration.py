"""Tests of `framerpc.contract.declaration`."""

from __future__ import annotations

from typing import Any

import pytest

from framerpc.contract.declaration import MethodDeclaration, declaration_of, method
from framerpc.errors import ConfigurationError


async def work() -> None: ...


def test_function_comes_back_as_it_was() -> None:
    """`@method` returns the very function, with and without parentheses."""

    async def mine() -> None: ...

    assert method(mine) is mine
    assert method()(mine) is mine


def test_options_are_written_down() -> None:
    """What is said stays with the function, and reads the same from a bound method."""

    class Service:
        @method(name="x", idempotent=True, once=True, run="thread")
        def work(self) -> None: ...

    expected = MethodDeclaration("x", True, True, "thread")
    assert declaration_of(Service.work) == expected
    assert declaration_of(Service().work) == expected


def test_undecorated_functions_have_none() -> None:
    """A function without `@method` has no declaration, nor has anything else."""
    assert declaration_of(work) is None
    assert declaration_of("x") is None


@pytest.mark.parametrize(
    ("thing", "text"),
    [
        (staticmethod(work), "swap the two lines"),
        (classmethod(work), "swap the two lines"),  # type: ignore[arg-type]
        (property(work), "not on a property"),
        (int, "not on a type"),
        ("name", "keyword arguments"),
        (print, "wrap it"),
    ],
)
def test_other_things_are_refused(thing: Any, text: str) -> None:
    """Only a function can be decorated; the text says how to mend it."""
    with pytest.raises(ConfigurationError, match=text):
        method(thing)
