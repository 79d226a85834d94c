"""Tests of `framerpc.contract.binding`."""

from __future__ import annotations

import inspect
import itertools
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framerpc.contract.binding import Binding
from framerpc.contract.signature import read_signature
from framerpc.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Callable


def one(seconds: float) -> None: ...
def none() -> None: ...
def mixed(a: int, /, b: int, c: int = 0, *, d: int, e: int = 0) -> None: ...
def optional(a: int = 0, b: int = 0) -> None: ...


FUNCTIONS: list[Callable[..., Any]] = [one, none, mixed, optional]


def binding(function: Callable[..., Any]) -> Binding:
    return Binding("S/m", read_signature(function, "m").parameters)


@pytest.mark.parametrize(
    ("function", "count", "names", "text"),
    [
        (one, 0, (), "missing argument `seconds`"),
        (one, 2, (), "takes 1 argument, got 2"),
        (one, 0, ("x",), "unexpected argument `x`"),
        (one, 1, ("seconds",), "argument `seconds` is given twice"),
        (none, 1, (), "takes 0 arguments, got 1"),
        (mixed, 2, (), "missing argument `d`"),
        (mixed, 1, ("d",), "missing argument `b`"),
        (mixed, 4, ("d",), "takes 3 arguments by position, got 4"),
        (mixed, 0, ("a", "b", "d"), "argument `a` can only be given by position"),
    ],
)
def test_complaints(function: Any, count: int, names: tuple[str, ...], text: str) -> None:
    """The error says which argument is missing, unexpected, given twice or too many."""
    with pytest.raises(InvalidArgument) as caught:
        binding(function).check(count, names)
    assert str(caught.value) == f"S/m: {text}"
    assert caught.value.executed == "no"


@given(
    st.sampled_from(FUNCTIONS),
    st.integers(0, 5),
    st.sets(st.sampled_from(["a", "b", "c", "d", "e", "x", "seconds"])),
)
def test_binds_as_python_does(function: Any, count: int, names: set[str]) -> None:
    """Exactly those ways pass that Python would accept, the first time and the second."""
    try:
        inspect.signature(function).bind(*range(count), **dict.fromkeys(names))
        binds = True
    except TypeError:
        binds = False
    bound = binding(function)
    for _ in range(2):
        try:
            bound.check(count, names)
        except InvalidArgument:
            assert not binds
        else:
            assert binds


def test_memory_of_good_ways_is_bounded() -> None:
    """A peer that names arguments in ever new ways does not fill the memory."""

    def seven(a: int = 0, b: int = 0, c: int = 0, d: int = 0, e: int = 0, f: int = 0) -> None: ...

    bound = binding(seven)
    for names in itertools.permutations("abcdef"):
        bound.check(0, names)
    assert len(bound._good_ways) == 64


def test_long_names_are_not_quoted_whole() -> None:
    """A name of a megabyte is cut in the complaint."""
    with pytest.raises(InvalidArgument) as caught:
        binding(one).check(0, ["x" * 1_000_000])
    assert len(str(caught.value)) < 1000


def test_shape_is_summarised() -> None:
    """What can be given by position needs no closer look between `fewest` and `most`."""
    assert (binding(one).fewest, binding(one).most) == (1, 1)
    assert (binding(optional).fewest, binding(optional).most) == (0, 2)
    required_by_name = binding(mixed)
    assert required_by_name.fewest > required_by_name.most
