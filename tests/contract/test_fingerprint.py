"""Tests of `framerpc.contract.fingerprint`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import make_dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from framerpc.contract.fingerprint import describe, fingerprint
from framerpc.contract.method import function_spec
from framerpc.contract.service import bound_methods, method, service, spec_of
from tests.contract.examples import Numbers, Things

ALL = [spec_of(Numbers), spec_of(Things)]


async def base(a: int, *, b: str = "") -> int:
    """Have a docstring."""
    return a


async def other_words(a: int, *, b: str = "other") -> int:
    return a


def elsewhere(a: int, *, b: str = "") -> int:
    return a


async def other_name(x: int, *, b: str = "") -> int:
    return x


async def other_type(a: str, *, b: str = "") -> int:
    return int(a)


async def other_result(a: int, *, b: str = "") -> str:
    return b * a


async def stream(a: int, *, skip: int = 0, start: int = 0) -> AsyncIterator[int]:
    for n in range(a):
        yield n


async def required(a: int, *, b: str) -> int:
    return a


def of(function: Any, name: str = "m", **options: Any) -> bytes:
    return fingerprint([function_spec(function, name, **options)])


def test_description_is_plain_data() -> None:
    """A description survives msgpack without any type."""
    described = describe(ALL)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(described)) == described


def test_description_lists_services_and_methods() -> None:
    """Services and methods are sorted by name, with docs and signatures."""
    described = describe(ALL)
    assert described["services"] == [
        {"name": "Things", "doc": "All kinds of parameters."},
        {"name": "numbers", "doc": "Streams, in all directions."},
    ]
    names = [each["name"] for each in described["methods"]]
    assert names == sorted(names)
    (greet,) = (each for each in described["methods"] if each["name"] == "Things/greet")
    assert greet == {
        "name": "Things/greet",
        "doc": "Return a greeting for `name`.",
        "signature": "(name: str, *, excited: bool = False) -> str",
        "idempotent": False,
        "once": False,
        "resume": None,
        "run": "loop",
        "streams_in": False,
        "streams_out": False,
        "parameters": [
            {
                "name": "name",
                "kind": "either",
                "required": True,
                "stream": False,
                "type": {"type": "str"},
            },
            {
                "name": "excited",
                "kind": "named",
                "required": False,
                "stream": False,
                "type": {"type": "bool"},
            },
        ],
        "result": {"type": "str"},
    }
    assert {"Item", "Order", "Household", "Person", "Address"} <= described["types"].keys()


def test_description_of_single_methods_knows_their_services() -> None:
    """A server that holds methods describes the same as one that holds services."""
    methods = [spec for spec, _ in bound_methods(Things())]
    assert describe(methods) == describe([spec_of(Things)])


def test_functions_belong_to_no_service() -> None:
    """A bare function is listed without a service."""
    assert describe([function_spec(base)])["services"] == []


def test_fingerprint_has_16_bytes_and_stands_in_the_description() -> None:
    """A description carries its own fingerprint, in hexadecimal."""
    assert len(fingerprint(ALL)) == 16
    assert describe(ALL)["fingerprint"] == fingerprint(ALL).hex()


def test_fingerprint_ignores_what_callers_cannot_see() -> None:
    """Order, docstrings, values of defaults and where a method runs do not matter."""
    assert fingerprint(ALL) == fingerprint(reversed(ALL))
    assert of(base) == of(other_words) == of(elsewhere)


def test_fingerprint_sees_what_callers_rely_on() -> None:
    """Names, types, defaults and options matter."""
    prints = [of(each) for each in (base, other_name, other_type, other_result, required)]
    prints += [of(base, "n"), of(base, idempotent=True), of(base, once=True)]
    prints += [of(stream), of(stream, resume="skip"), of(stream, resume="start")]
    assert len(set(prints)) == len(prints)


def test_fingerprint_ignores_names_of_classes() -> None:
    """A class may be renamed: its name is not on the wire. Its fields are."""

    def taking(name: str, field: str) -> bytes:
        async def function(a: Any) -> None: ...

        function.__annotations__["a"] = dict[str, make_dataclass(name, [(field, int)])]  # type: ignore[misc]
        return of(function)

    assert taking("A", "x") == taking("B", "x")
    assert taking("A", "x") != taking("A", "y")


def test_fingerprint_ignores_the_frameworks_own_methods() -> None:
    """A newer framework with more built-in methods serves the same contract."""
    own = function_spec(base, "framerpc/health", internal=True)
    assert fingerprint([*ALL, own]) == fingerprint(ALL)


def test_fingerprint_is_the_same_in_every_process() -> None:
    """Nothing depends on the seed of hashing, or on addresses in memory."""
    program = (
        "from framerpc.contract.fingerprint import fingerprint\n"
        "from framerpc.contract.service import spec_of\n"
        "from tests.contract.examples import Numbers, Things\n"
        "print(fingerprint([spec_of(Numbers), spec_of(Things)]).hex())"
    )
    root = Path(__file__).parents[2]
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            cwd=root,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
        )
        assert done.stdout.strip() == fingerprint(ALL).hex()


def test_fingerprint_tells_types_of_literals_apart() -> None:
    """`1` and `"1"` are different values."""

    @service(name="s")
    class Numbers:
        @method
        async def m(self, a: Literal[1]) -> None: ...

    @service(name="s")
    class Texts:
        @method
        async def m(self, a: Literal["1"]) -> None: ...

    assert fingerprint([spec_of(Numbers)]) != fingerprint([spec_of(Texts)])
