"""Which event loop is chosen."""

from __future__ import annotations

import asyncio

import pytest

from framerpc.adapters import uvloop
from framerpc.errors import ConfigurationError


def test_environment_chooses_asyncio(monkeypatch: pytest.MonkeyPatch) -> None:
    """FRAMERPC_LOOP=asyncio gives asyncio's own loop."""
    monkeypatch.setenv("FRAMERPC_LOOP", "asyncio")
    loop = uvloop.new_event_loop()
    loop.close()
    assert isinstance(loop, asyncio.BaseEventLoop)


def test_unknown_loop_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another value of FRAMERPC_LOOP is told with those that there are."""
    monkeypatch.setenv("FRAMERPC_LOOP", "trio")
    with pytest.raises(ConfigurationError, match="uvloop or asyncio"):
        uvloop.new_event_loop()


def test_run_returns_the_result() -> None:
    """`run` returns what the coroutine does."""

    async def main() -> int:
        return 3

    assert uvloop.run(main()) == 3
