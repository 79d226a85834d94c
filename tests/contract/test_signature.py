"""Tests of `framerpc.contract.signature`."""

from __future__ import annotations

import functools
import re
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Sequence,
)
from typing import Annotated, Any, Never

import pytest
from typing_extensions import TypeAliasType

from framerpc.contract.signature import is_asynchronous, is_stream, read_signature
from framerpc.errors import ConfigurationError
from tests.contract.examples import Item, Things

Numbers = TypeAliasType("Numbers", AsyncIterator[int])


async def everything(
    a: int, /, b: str, c: Sequence[int] = (), *, d: bool, e: int | None = None
) -> None:
    """Take all kinds."""


def refused(function: Callable[..., Any]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read_signature(function, "Service.name")
    assert "Service.name" in str(caught.value)
    return str(caught.value)


def test_kinds_and_defaults_are_read() -> None:
    """Each parameter says how it may be given, and whether it must be."""
    read = read_signature(everything, "everything").parameters
    assert [(each.name, each.kind, each.required) for each in read] == [
        ("a", "positional", True),
        ("b", "either", True),
        ("c", "either", False),
        ("d", "named", True),
        ("e", "named", False),
    ]


def test_text_is_for_people() -> None:
    """The text shows short type names, markers, defaults and the result."""
    assert read_signature(everything, "everything").text == (
        "(a: int, /, b: str, c: Sequence[int] = (), *, d: bool, e: int | None = None) -> None"
    )
    cheapest = read_signature(Things.cheapest, "x", skip_first=True)
    assert cheapest.text == "(items: list[Item], *, limit: Decimal | None = None) -> Item | None"


def test_text_without_annotations_is_bare() -> None:
    """Without annotations there are names and defaults only."""
    assert read_signature(lambda a, b=1: a, "f").text == "(a, b=1)"
    namespace: dict[str, Any] = {}
    exec("def f(a, /): ...", namespace)
    assert read_signature(namespace["f"], "f").text == "(a, /)"


def test_docstring_is_read() -> None:
    """The docstring is taken along, also from inside a partial."""
    assert read_signature(everything, "x").doc == "Take all kinds."
    assert read_signature(functools.partial(everything, 1), "x").doc == "Take all kinds."


def test_no_annotation_means_anything() -> None:
    """A parameter and a result without annotation carry any value."""
    read = read_signature(lambda a: a, "f")
    assert read.parameters[0].annotation is Any
    assert read.result is Any


@pytest.mark.parametrize("kind", [AsyncIterator, AsyncIterable, AsyncGenerator])
def test_asynchronous_streams_of_an_async_def(kind: Any) -> None:
    """An `async def` takes and gives asynchronous streams; the item type is the argument."""

    async def method(items: Any) -> Any:
        return items

    method.__annotations__ = {"items": kind[int], "return": kind[str]}
    read = read_signature(method, "f")
    assert read.stream is not None
    assert (read.stream.name, read.stream.annotation) == ("items", int)
    assert read.streams_out
    assert read.result is str


@pytest.mark.parametrize("kind", [Iterator, Generator])
def test_blocking_streams_of_a_def(kind: Any) -> None:
    """A plain `def` takes and gives iterators."""

    def method(items: Any) -> Any:
        return items

    method.__annotations__ = {"items": kind[int], "return": kind[str]}
    read = read_signature(method, "f")
    assert read.stream is not None
    assert read.streams_out
    assert not read.asynchronous


def test_annotated_streams_are_streams() -> None:
    """`Annotated` around a stream changes nothing, nor does metadata that cannot be hashed."""

    async def method(
        items: Annotated[AsyncIterator[int], "doc"], other: Annotated[int, {"a": []}]
    ) -> Annotated[AsyncGenerator[str, None], "doc"]:
        yield f"{items}{other}"

    read = read_signature(method, "f")
    assert read.stream is not None
    assert read.stream.annotation is int
    assert (read.streams_out, read.result) == (True, str)


def test_aliases_of_streams_are_streams() -> None:
    """A `type` alias is looked through."""

    async def method(items: Any) -> None: ...

    method.__annotations__["items"] = Numbers
    read = read_signature(method, "f")
    assert read.stream is not None
    assert read.stream.annotation is int


def test_iterable_is_a_list() -> None:
    """An Iterable is no stream: it arrives as a list."""

    def method(items: Iterable[int]) -> Iterable[str]:
        return map(str, items)

    read = read_signature(method, "f")
    assert read.stream is None
    assert not read.streams_out
    assert (read.parameters[0].annotation, read.result) == (list[int], list[str])


def test_plain_def_may_declare_an_asynchronous_stream() -> None:
    """The annotation decides: such a `def` is called on the event loop."""

    def method(items: AsyncIterator[int]) -> AsyncGenerator[str, None]:
        raise NotImplementedError

    read = read_signature(method, "f")
    assert read.streams_out
    assert read.asynchronous


def test_generators_without_annotation_are_streams() -> None:
    """A generator function is a stream of anything, if it says no more."""

    async def asynchronous():  # type: ignore[no-untyped-def]  # noqa: ANN202
        yield 1

    def blocking():  # type: ignore[no-untyped-def]  # noqa: ANN202
        yield 1

    for each in (asynchronous, blocking):
        assert read_signature(each, "f").streams_out
        assert read_signature(each, "f").result is Any


class Unreadable:
    __signature__ = 3

    def __call__(self) -> None: ...


class Unhashable:
    """An annotation that is no type at all."""

    __hash__ = None  # type: ignore[assignment]

    def __call__(self) -> None: ...


async def no_type(a: Unhashable()) -> None: ...  # type: ignore[valid-type]


async def star(*args: int) -> None: ...
async def two_stars(**kwargs: int) -> None: ...
async def two_streams(a: AsyncIterator[int], b: AsyncIterator[int]) -> None: ...
async def default_stream(a: AsyncIterator[int] = ...) -> None: ...
async def optional_stream(a: AsyncIterator[int] | None) -> None: ...
async def nested_stream(a: list[AsyncIterator[int]]) -> None: ...
async def blocking_stream(a: Iterator[int]) -> None: ...
def async_in_def(a: AsyncIterator[int]) -> None: ...
async def blocking_result() -> Iterator[int]: ...  # type: ignore[empty-body]
def awaitable() -> Awaitable[int]: ...  # type: ignore[empty-body]
def wrong_generator() -> Any:
    yield 1


wrong_generator.__annotations__["return"] = list[int]


async def complex_number(a: complex) -> None: ...
async def complex_items(a: AsyncIterator[complex]) -> None: ...
async def complex_result() -> complex: ...  # type: ignore[empty-body]
async def unresolved(a: Missing) -> None: ...  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (star, r"\*args, which has no fixed shape"),
        (two_stars, r"\*\*kwargs, which has no fixed shape"),
        (two_streams, "two streams"),
        (default_stream, "`a` .*cannot have a default"),
        (optional_stream, "`a` .*AsyncIterator"),
        (nested_stream, "`AsyncIterator` cannot be sent"),
        (blocking_stream, r"`a` .*annotate AsyncIterator\[T\]"),
        (async_in_def, r"`a` .*annotate Iterator\[T\]"),
        (blocking_result, "block the event loop"),
        (awaitable, "Awaitable"),
        (wrong_generator, "is a generator"),
        (complex_number, "`a` .*`complex` cannot be sent"),
        (complex_items, "items of parameter `a` .*`complex`"),
        (complex_result, "the result of .*`complex`"),
        (unresolved, "Missing.* reachable"),
        (print, r"\*args"),
        (Unreadable(), "no signature that can be read"),
        (no_type, "not supported"),
    ],
)
def test_what_the_wire_cannot_carry_is_refused(function: Any, reason: str) -> None:
    """The error names the method, the parameter and the reason."""
    text = refused(function)
    assert re.search(reason, text), text


def test_names_of_a_namespace_resolve() -> None:
    """Annotations may use names of the class around a method."""

    def method(a: Inner) -> None:  # type: ignore[name-defined]  # noqa: F821
        pass

    read = read_signature(method, "f", namespace={"Inner": Item, "int": str})
    assert read.parameters[0].annotation is Item


def test_a_namespace_does_not_hide_builtins() -> None:
    """A method named `list` is not taken for the type in the annotations of the others."""

    def method(a: list[int]) -> None:
        pass

    read = read_signature(method, "f", namespace={"list": lambda: None})
    assert read.parameters[0].annotation == list[int]


def test_self_can_be_left_out() -> None:
    """The first parameter is skipped on demand, and must be there."""
    assert len(read_signature(Things.greet, "x", skip_first=True).parameters) == 2
    with pytest.raises(ConfigurationError, match="takes no `self`"):
        read_signature(lambda: None, "x", skip_first=True)


def test_never_is_nil() -> None:
    """A method that never returns declares nil."""

    async def method() -> Never:
        raise NotImplementedError

    assert read_signature(method, "f").result is type(None)


class Callables:
    async def __call__(self, a: int) -> int:
        return a


def test_all_callables_can_be_read() -> None:
    """Bound methods, partials and objects with `__call__` are read like functions."""
    for each in (Callables(), functools.partial(everything, 1), Things().greet):
        assert is_asynchronous(each)
        assert read_signature(each, "f").asynchronous
    (parameter,) = read_signature(Callables(), "f").parameters
    assert parameter.annotation is int


def test_streams_are_told_even_if_types_are_missing() -> None:
    """An annotation that does not resolve is judged by its text."""

    def stream() -> AsyncGenerator[Missing, None]:  # type: ignore[name-defined]  # noqa: F821
        raise NotImplementedError

    def value() -> Missing:  # type: ignore[name-defined]  # noqa: F821
        raise NotImplementedError

    assert is_stream(stream, "f")
    assert not is_stream(value, "f")
