"""Watches in a contract: how they are declared, described and compared."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

import framerpc
from framerpc.contract.fingerprint import compare, describe, fingerprint
from framerpc.contract.service import function_spec, spec_of
from framerpc.errors import ConfigurationError


@framerpc.service
class Board:
    @framerpc.method
    def follow(self, board: str) -> framerpc.Watch[dict[str, int], tuple[str, int]]:
        """Follow a board."""
        raise NotImplementedError

    @framerpc.method
    async def later(self) -> framerpc.Watch[int, str]:
        raise NotImplementedError


class Boards(Board):
    def follow(self, board: str) -> Any:
        return framerpc.Watch(board, dict)

    async def later(self) -> framerpc.Watch[int, str]:
        return framerpc.Watch("t", int)


def untyped() -> framerpc.Watch:  # type: ignore[type-arg] # pyright: ignore[reportMissingTypeArgument, reportUnknownParameterType]
    return framerpc.Watch("t", dict)


def test_a_watch_is_a_stream_that_runs_on_the_loop() -> None:
    """Also a plain `def` runs on the loop, and the result is the tuple of state and change."""
    methods = spec_of(Board).methods
    for method in methods.values():
        assert (method.watch, method.streams_out, method.run) == (True, True, "loop")
    assert methods["follow"].result == tuple[dict[str, int], tuple[str, int]]
    spec = function_spec(untyped)
    assert (spec.watch, spec.result) == (True, tuple[Any, Any])


def test_an_implementation_says_that_it_is_a_watch() -> None:
    """A subclass that implements a watch, and does not declare one, is refused."""
    with pytest.raises(ConfigurationError, match="declares a stream"):
        framerpc.Server(Boards())


def test_a_watch_is_described_and_changes_the_fingerprint() -> None:
    """A description says so, and a stream of the same items is another contract."""

    async def stream() -> AsyncIterator[tuple[int, int]]:
        yield 1, 1

    def watch() -> framerpc.Watch[int, int]:
        raise NotImplementedError

    watches, streams = function_spec(watch, "m"), function_spec(stream, "m")
    assert describe([watches])["methods"][0]["watch"] is True
    assert "watch" not in describe([streams])["methods"][0]
    assert fingerprint([watches]) != fingerprint([streams])
    (change,) = compare(describe([watches]), describe([streams]))
    assert str(change) == "breaking: m: the result is no longer a watch"
    (change,) = compare(describe([streams]), describe([watches]))
    assert str(change) == "breaking: m: the result is now a watch"


def test_a_type_that_cannot_cross_is_refused() -> None:
    """State and change must be types that the wire can carry."""

    def wrong() -> framerpc.Watch[int, threading.Thread]:
        raise NotImplementedError

    with pytest.raises(ConfigurationError, match="the watch that wrong returns"):
        function_spec(wrong)
