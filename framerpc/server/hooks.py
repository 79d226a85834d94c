"""What an application wants done when its server starts and after it has stopped.

Spec: none; this is between a server and its application.
"""

from __future__ import annotations

import inspect
import logging
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Hook", "Hooks"]

_logger: Final = logging.getLogger("framerpc.server")

Hook: TypeAlias = "Callable[[], Awaitable[None] | None]"


class Hooks:
    """The hooks of one server.

    Attributes:
        start: Called before it listens.
        stop: Called after the last call has ended.
    """

    def __init__(self) -> None:
        self.start: list[Hook] = []
        self.stop: list[Hook] = []

    def __repr__(self) -> str:
        return f"<Hooks {len(self.start)} at the start, {len(self.stop)} at the end>"

    async def started(self) -> None:
        """Call those of the start; the first that fails ends it."""
        for hook in self.start:
            await _call(hook)

    async def stopped(self) -> list[Exception]:
        """Call those of the end, all of them, and return what failed."""
        failures: list[Exception] = []
        for hook in self.stop:
            try:
                await _call(hook)
            except Exception as exc:
                _logger.exception("! an on_stop hook failed")
                failures.append(exc)
        return failures


async def _call(hook: Hook) -> None:
    result = hook()
    if inspect.isawaitable(result):
        await result
