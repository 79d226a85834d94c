"""Tests of `framerpc.contract.declaration`."""

from __future__ import annotations

from typing import Any

import pytest

from framerpc.contract.declaration import MethodDeclaration, declaration_of, method, service
from framerpc.errors import ConfigurationError


async def work() -> None: ...


class Empty: ...


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
        (property(lambda _: 1), "not on a property"),
        (int, "not on a type"),
        ("name", "keyword arguments"),
        (print, "wrap it"),
    ],
)
def test_other_things_are_refused(thing: Any, text: str) -> None:
    """Only a function can be decorated; the text says how to mend it."""
    with pytest.raises(ConfigurationError, match=text):
        method(thing)


def test_class_comes_back_as_it_was() -> None:
    """`@service` returns the very class, with and without parentheses."""

    class Mine:
        pass

    assert service(Mine) is Mine
    assert service(name="x")(Mine) is Mine


def test_service_belongs_on_a_class() -> None:
    """A function cannot be a service."""
    with pytest.raises(ConfigurationError, match=r"@server\.method"):
        service(print)  # type: ignore[call-overload]


@pytest.mark.parametrize("name", ["a/b", "a b", "x" * 300])
def test_names_of_services_are_checked(name: str) -> None:
    """A name that the wire does not allow is refused when it is written."""
    with pytest.raises(ConfigurationError):
        service(name=name)(Empty)
