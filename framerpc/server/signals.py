"""Signals that stop a server, where the platform lets a loop handle them."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

__all__ = ["handle_signals"]


def handle_signals(
    loop: asyncio.AbstractEventLoop, handler: Callable[[], None]
) -> list[signal.Signals]:
    """Call `handler` for SIGTERM and SIGINT where the platform lets a loop do so; return which."""
    handled: list[signal.Signals] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, handler)
        except (NotImplementedError, ValueError, RuntimeError):
            continue  # Windows, or not the main thread: KeyboardInterrupt ends the loop there
        handled.append(number)
    return handled
