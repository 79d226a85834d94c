"""Tests of `framerpc.contract.comparison`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import make_dataclass
from typing import Any

import pytest

from framerpc.contract.comparison import Change, compare
from framerpc.contract.fingerprint import describe
from framerpc.contract.method import function_spec
from framerpc.contract.service import spec_of
from tests.contract.examples import Numbers, Things


async def base(a: int, b: int = 0, *, c: str = "") -> int | None: ...
async def fewer(a: int, b: int = 0) -> int | None: ...
async def more(a: int, b: int = 0, d: int = 0, *, c: str = "", e: str = "") -> int | None: ...
async def needy(a: int, b: int = 0, *, c: str = "", e: str) -> int | None: ...
async def swapped(b: int = 0, a: int = 0, *, c: str = "") -> int | None: ...
async def inserted(a: int, z: int = 0, b: int = 0, *, c: str = "") -> int | None: ...
async def strict(a: int, b: int, *, c: str = "") -> int | None: ...
async def lenient(a: int = 0, b: int = 0, *, c: str = "") -> int | None: ...
async def either(a: int, b: int = 0, c: str = "") -> int | None: ...
async def by_name(a: int, *, b: int = 0, c: str = "") -> int | None: ...
async def by_position(a: int, /, b: int = 0, *, c: str = "") -> int | None: ...
async def wider(a: float, b: int = 0, *, c: str = "") -> int | None: ...
async def narrower(a: bool, b: int = 0, *, c: str = "") -> int | None: ...
async def sure(a: int, b: int = 0, *, c: str = "") -> int: ...  # type: ignore[empty-body]
async def unsure(a: int, b: int = 0, *, c: str = "") -> int | str | None: ...
async def streaming(a: int, b: int = 0, *, c: str = "") -> AsyncIterator[int | None]: ...  # type: ignore[empty-body]
async def resumed(a: int, *, skip: int = 0) -> AsyncIterator[int]: ...  # type: ignore[empty-body]
async def streamed(a: AsyncIterator[int], b: int = 0, *, c: str = "") -> int | None: ...


def changes(old: Any, new: Any) -> list[str]:
    before, after = (describe([function_spec(each, "m")]) for each in (old, new))
    return [str(each) for each in compare(before, after)]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (base, base, []),
        (base, fewer, ["breaking: m(c): removed"]),
        (
            base,
            more,
            ["compatible: m(d): added, with a default", "compatible: m(e): added, with a default"],
        ),
        (base, needy, ["breaking: m(e): added, and required"]),
        (
            base,
            swapped,
            [
                "compatible: m(a): no longer required",
                "breaking: m: the order of its parameters changed",
            ],
        ),
        (
            base,
            inserted,
            [
                "compatible: m(z): added, with a default",
                "breaking: m: the order of its parameters changed",
            ],
        ),
        (base, strict, ["breaking: m(b): now required"]),
        (base, lenient, ["compatible: m(a): no longer required"]),
        (base, either, ["compatible: m(c): now given both ways"]),
        (base, by_name, ["breaking: m(b): now given by name only"]),
        (base, by_position, ["breaking: m(a): now given by position only"]),
        (base, wider, ["compatible: m(a): its type changed"]),
        (base, narrower, ["breaking: m(a): its type changed"]),
        (base, sure, ["compatible: m: the type of the result changed"]),
        (base, unsure, ["breaking: m: the type of the result changed"]),
        (base, streaming, ["breaking: m: the result is now a stream"]),
        (streaming, base, ["breaking: m: the result is no longer a stream"]),
        (base, streamed, ["breaking: m(a): now a stream"]),
        (streamed, base, ["breaking: m(a): no longer a stream"]),
    ],
)
def test_changes_are_judged(old: Any, new: Any, expected: list[str]) -> None:
    """A change is breaking if a client with the old contract can fail."""
    assert changes(old, new) == expected


@pytest.mark.parametrize("option", ["idempotent", "once"])
def test_options_are_promises(option: str) -> None:
    """Clients send again because a method said so; taking that back breaks them."""
    plain = describe([function_spec(base, "m")])
    marked = describe([function_spec(base, "m", **{option: True})])  # type: ignore[arg-type]
    assert compare(plain, marked) == [Change("m", f"now {option}", breaking=False)]
    assert compare(marked, plain) == [Change("m", f"no longer {option}", breaking=True)]


def test_methods_come_and_go() -> None:
    """A method may be added, and not removed."""
    one = describe([function_spec(base, "one")])
    two = describe([function_spec(base, "one"), function_spec(base, "two")])
    assert compare(one, two) == [Change("two", "added", breaking=False)]
    assert compare(two, one) == [Change("two", "removed", breaking=True)]


def test_definitions_are_compared_and_not_their_names() -> None:
    """A change deep inside a type is found where it is used."""

    def make(kind: Any, name: str) -> Any:
        inner = make_dataclass(name, [("x", kind)])

        async def method(a: Any) -> None: ...

        method.__annotations__["a"] = list[inner]  # type: ignore[valid-type]
        return method

    assert changes(make(int, "A"), make(int, "A")) == []
    assert changes(make(int, "A"), make(str, "A")) == ["breaking: m(a): its type changed"]
    assert changes(make(int, "A"), make(float, "A")) == ["compatible: m(a): its type changed"]


def test_whole_services_can_be_compared() -> None:
    """Descriptions that crossed the wire are compared as well."""
    both = describe([spec_of(Numbers), spec_of(Things)])
    assert compare(both, both) == []
    assert {each.breaking for each in compare(both, describe([spec_of(Things)]))} == {True}


def test_promise_to_resume_is_part_of_the_contract() -> None:
    """Clients call such a method again; they rely on it, and on the parameter."""
    plain = describe([function_spec(resumed, "m")])
    promised = describe([function_spec(resumed, "m", resume="skip")])
    assert [str(each) for each in compare(plain, promised)] == [
        "compatible: m: now resumed by skip"
    ]
    assert [str(each) for each in compare(promised, plain)] == ["breaking: m: no longer resumed"]
