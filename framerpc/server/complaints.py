"""Warnings about clients, of which a flood must not fill the log.

Of each kind the first few are logged as they come; the rest of an interval is counted, and its
number logged at the end of it, with the last one as an example. Counters know of all of them.
One timer for each kind that was complained about lately, none otherwise.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from framerpc.server.counters import Counters

__all__ = ["INTERVAL", "MOST", "Complaints"]

_logger: Final = logging.getLogger("framerpc.server")

MOST: Final = 10
"""Complaints of one kind that are logged one by one in an interval: enough to see what is wrong."""

INTERVAL: Final = 10.0
"""Seconds: under attack two lines a second and kind at most, and news within ten seconds."""


@dataclass(slots=True)
class _Kind:
    """The complaints of one kind in this interval."""

    timer: asyncio.TimerHandle
    logged: int = 0
    withheld: int = 0
    last: str = ""


class Complaints:
    """The complaints of one server.

    Args:
        counters: Where all of them are counted.
    """

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._kinds: dict[str, _Kind] = {}

    def say(self, kind: str, complaint: str, cause: BaseException | None = None) -> None:
        """Log a warning, or count it. Called from the event loop.

        Args:
            kind: What flood it would be part of; for the summary.
            complaint: About whom, and what.
            cause: A failure of our own program, logged with its traceback as an error.
        """
        self._counters.complaints += 1
        state = self._kinds.get(kind)
        if state is None:
            timer = asyncio.get_running_loop().call_later(INTERVAL, self._sum_up, kind)
            state = self._kinds[kind] = _Kind(timer)
        if state.logged < MOST:
            state.logged += 1
            level = logging.WARNING if cause is None else logging.ERROR
            _logger.log(level, "! %s", complaint, exc_info=cause)
        else:
            state.withheld += 1
            state.last = complaint
            self._counters.unlogged_complaints += 1

    def _sum_up(self, kind: str) -> None:
        """End an interval."""
        state = self._kinds.pop(kind)
        state.timer.cancel()
        if state.withheld:
            count, last = state.withheld, state.last
            _logger.warning("! %d more like these (%s), the last one: %s", count, kind, last)

    def close(self) -> None:
        """Log what is only counted so far, and leave no timer."""
        for kind in list(self._kinds):
            self._sum_up(kind)
