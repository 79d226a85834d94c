"""Signals that stop a server, where the platform lets a loop handle them."""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from framerpc.server.server import Server

__all__ = ["until_signalled"]

_logger: Final = logging.getLogger("framerpc.server")


async def until_signalled(
    server: Server, grace: float, ready: Callable[[Server], None] | None
) -> None:
    """Wait until a server that listens is closed, or told to stop by a signal.

    A second signal cuts what still runs. Cancelling it cuts, and closes, as well.

    Args:
        server: The server.
        grace: Seconds that calls in flight get after a signal.
        ready: Called once signals are handled.
    """
    loop = asyncio.get_running_loop()
    closing: list[asyncio.Task[None]] = []

    def on_signal() -> None:
        if closing:
            _logger.warning("= second signal: calls in flight are cut")
            closing[0].cancel()
            # It may not even have begun, if both came while the loop was blocked.
            closing.append(loop.create_task(server.close(0)))
        else:
            closing.append(loop.create_task(server.close(grace)))

    handled = _handle_signals(loop, on_signal)
    try:
        if ready is not None:
            ready(server)
        await server.serve_forever()
    finally:
        for number in handled:
            loop.remove_signal_handler(number)
        for task in closing:
            task.cancel()  # nothing, if it has ended
        await asyncio.gather(server.close(0), *closing, return_exceptions=True)
    for task in closing:
        if not task.cancelled():
            task.result()


def _handle_signals(
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
