"""Tests of `framerpc.contract.method`."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec
import pytest

from framerpc.contract.declaration import method
from framerpc.contract.method import MethodSpec, function_spec
from framerpc.errors import ConfigurationError, InvalidArgument, InvalidResult
from tests.contract.examples import Item, Things

pack = msgspec.msgpack.encode


async def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


def upper(text: str) -> str:
    return text.upper()


async def total(numbers: AsyncIterator[int]) -> AsyncIterator[float]:
    async for n in numbers:
        yield n / 2


def lines(text: str) -> Iterator[str]:
    yield from text.splitlines()


class Callables:
    def __call__(self, a: int) -> int:
        return a

    async def bound(self, a: int) -> int:
        return a


def test_spec_says_what_is_known() -> None:
    """A spec holds name, docstring, signature and options."""
    spec = function_spec(add, idempotent=True, once=True)
    assert (spec.name, spec.attribute, spec.doc) == ("add", "add", "Add two numbers.")
    assert spec.signature == "(a: int, b: int = 1) -> int"
    assert (spec.idempotent, spec.once, spec.run) == (True, True, "loop")
    assert (spec.streams_in, spec.streams_out) == (False, False)
    assert spec.service_doc is None
    assert repr(spec) == "<MethodSpec add(a: int, b: int = 1) -> int>"


def test_streams_are_told() -> None:
    """A spec says in which directions there is a stream."""
    spec = function_spec(total)
    assert (spec.streams_in, spec.streams_out) == (True, True)
    assert function_spec(lines).streams_out


def test_name_can_be_given() -> None:
    """The name on the wire need not be that of the function."""
    assert function_spec(upper, "text/upper").name == "text/upper"
    assert function_spec(upper, "text/upper").attribute == "upper"


def test_options_come_from_the_decorator_too() -> None:
    """What `@method` says holds unless it is said otherwise."""

    @method(name="declared", idempotent=True, run="process")
    def work() -> None: ...

    spec = function_spec(work)
    assert (spec.name, spec.idempotent, spec.run) == ("declared", True, "process")
    spec = function_spec(work, "other", run="thread", idempotent=False)
    assert (spec.name, spec.idempotent, spec.run) == ("other", False, "thread")


def test_unknown_options_are_refused() -> None:
    """A misspelt option is an error, not a silence."""
    with pytest.raises(TypeError, match="idempotnt"):
        function_spec(add, idempotnt=True)  # type: ignore[call-arg]


@pytest.mark.parametrize("name", ["framerpc/x", "a b"])
def test_names_are_checked(name: str) -> None:
    """A name that the wire does not allow is refused."""
    with pytest.raises(ConfigurationError):
        function_spec(add, name)


def test_framework_may_use_its_prefix() -> None:
    """The framework's own functions are marked as internal."""
    assert function_spec(add, "framerpc/add", internal=True).name == "framerpc/add"


def test_lambdas_need_a_name() -> None:
    """A function without a usable name must be given one."""
    with pytest.raises(ConfigurationError, match="<lambda>"):
        function_spec(lambda: None)
    assert function_spec(lambda: None, "nothing").name == "nothing"


def test_functions_of_a_class_are_refused() -> None:
    """A function that still wants `self` is refused, with advice."""
    with pytest.raises(ConfigurationError, match=r"Things\.greet belongs to a class"):
        function_spec(Things.greet)


def test_all_callables_can_be_registered() -> None:
    """Bound methods, partials and objects with `__call__` are functions too."""
    assert function_spec(Callables().bound).run == "loop"
    assert function_spec(Callables(), "call").run == "thread"
    partial = function_spec(functools.partial(add, b=2), "add2")
    assert (partial.run, partial.doc) == ("loop", "Add two numbers.")
    assert partial.decode_arguments(pack([1])) == ((1,), {})


@pytest.mark.parametrize(
    ("function", "wanted", "run"),
    [
        (add, None, "loop"),
        (add, "loop", "loop"),
        (total, None, "loop"),
        (upper, None, "thread"),
        (upper, "loop", "loop"),
        (upper, "process", "process"),
        (lines, None, "thread"),
    ],
)
def test_where_functions_run(function: Any, wanted: Any, run: str) -> None:
    """An `async def` runs on the loop, a `def` in a thread unless told otherwise."""
    assert function_spec(function, run=wanted).run == run


@pytest.mark.parametrize(
    ("function", "wanted", "text"),
    [
        (add, "thread", "asynchronous"),
        (add, "process", "asynchronous"),
        (lines, "process", "cannot cross into a process"),
        (lines, "loop", "block the event loop"),
        (upper, "elsewhere", "none of"),
    ],
)
def test_where_functions_cannot_run(function: Any, wanted: Any, text: str) -> None:
    """A place that does not suit the function is refused."""
    with pytest.raises(ConfigurationError, match=text):
        function_spec(function, run=wanted)


def test_lambdas_cannot_run_in_a_process() -> None:
    """A worker process has to import the function."""
    with pytest.raises(ConfigurationError, match="lambda"):
        function_spec(lambda: None, "x", run="process")


def test_arguments_round_trip() -> None:
    """What the caller wrote is what the handler gets; defaults are left to Python."""
    spec = function_spec(add)
    body, stream = spec.encode_arguments((1,), {})
    assert stream is None
    assert spec.decode_arguments(body) == ((1,), {})


def test_results_round_trip() -> None:
    """A result arrives as the type that is declared."""

    async def same(items: list[Item]) -> list[Item]:
        return items

    spec = function_spec(same)
    body = pack([{"id": "12345678123456781234567812345678", "price": "1.5"}])
    (item,) = spec.decode_result(body)
    assert isinstance(item, Item)
    assert spec.decode_result(spec.encode_result([item])) == [item]


def refused(spec: MethodSpec, body: bytes) -> str:
    with pytest.raises(InvalidResult) as caught:
        spec.decode_result(body)
    assert caught.value.executed == "yes"
    return str(caught.value)


def test_results_that_do_not_fit_are_refused() -> None:
    """The error names the method and says what was declared: the work was done."""
    assert refused(function_spec(add), pack("x")) == (
        "add: the result is not what the method declares: Expected `int`, got `str`"
    )
    assert refused(function_spec(total), pack("x")).startswith("total: the item is not what")
    assert "not valid msgpack" in refused(function_spec(add), b"\xc1")


def test_results_that_cannot_be_encoded_are_refused() -> None:
    """A handler that returns what cannot be sent has a bug, and its work was done."""
    with pytest.raises(InvalidResult, match=r"\Athe result cannot .*`complex`") as caught:
        function_spec(add).encode_result(1j)
    assert caught.value.executed == "yes"


def test_items_round_trip() -> None:
    """Items of the stream argument have their own type."""
    spec = function_spec(total)
    assert [spec.decode_item(spec.encode_item(n)) for n in (3, 4)] == [3, 4]
    assert spec.decode_result(spec.encode_result(1.5)) == 1.5


def test_items_that_do_not_fit_are_refused() -> None:
    """The error names the parameter."""
    spec = function_spec(total)
    with pytest.raises(InvalidArgument, match="total: an item of numbers: Expected `int`"):
        spec.decode_item(pack("x"))
    with pytest.raises(InvalidArgument, match=r"total: an item of numbers: .*`complex`"):
        spec.encode_item(1j)
