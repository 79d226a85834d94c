"""The fastest event loop there is here: uvloop's where it is installed, asyncio's elsewhere.

The only importer of uvloop. The environment variable FRAMERPC_LOOP ("uvloop" or "asyncio")
decides where both would do.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any, TypeVar

from framerpc.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

__all__ = ["new_event_loop", "run"]

_T = TypeVar("_T")


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Return a new event loop.

    Raises:
        ConfigurationError: FRAMERPC_LOOP asks for something that is not here.
    """
    return _factory()()


def run(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine on a new loop, as `asyncio.run` does."""
    with asyncio.Runner(loop_factory=_factory()) as runner:
        return runner.run(coroutine)


def _factory() -> Callable[[], asyncio.AbstractEventLoop]:
    wanted = os.environ.get("FRAMERPC_LOOP", "")
    if wanted not in {"", "asyncio", "uvloop"}:
        raise ConfigurationError(f"FRAMERPC_LOOP is {wanted!r}; set it to uvloop or asyncio")
    if wanted == "asyncio":
        return asyncio.new_event_loop
    try:
        import uvloop  # noqa: PLC0415 - it may not be there
    except ImportError:
        if wanted == "uvloop":
            raise ConfigurationError(
                "FRAMERPC_LOOP asks for uvloop, which is not installed"
            ) from None
        return asyncio.new_event_loop
    return uvloop.new_event_loop
