"""Looking again and again: what a resolver needs whose source does not tell of changes.

Each watch looks at once, then every `interval`, sooner after a failure (first after `pause`,
doubled each time) and when somebody asks (`refresh`), but never twice within `pause`. A look
that takes longer than `timeout` is a problem and not the end: it goes on, and no second one is
begun beside it, so that a source which hangs costs one thread and not one a minute.
"""

from __future__ import annotations

import asyncio
import contextlib
from abc import abstractmethod
from typing import TYPE_CHECKING, Final

from framerpc.errors import ConfigurationError, ConnectionFailed, FrameRPCError
from framerpc.resolvers.resolver import Resolution, Resolver

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from framerpc.balancing.endpoint import Endpoint

__all__ = ["PollingResolver"]

_LONGEST_PAUSE: Final = 10.0
"""Seconds after a failure in which a source is looked at again: the cap of reconnecting."""


class PollingResolver(Resolver):
    """A resolver that looks again and again; a subclass says where, in `look`.

    Args:
        source: What is looked at, in words, for messages.
        interval: Seconds between two looks.
        timeout: Seconds after which a look that has not ended is a problem.
        pause: Seconds between two looks at least.

    Raises:
        ConfigurationError: One of the durations is not above 0.
    """

    def __init__(self, source: str, *, interval: float, timeout: float, pause: float) -> None:
        for name, value in (("interval", interval), ("timeout", timeout), ("pause", pause)):
            if not 0 < value < float("inf"):
                raise ConfigurationError(f"{name} must be finite and > 0 s, got {value!r}")
        self.source = source
        self._interval = interval
        self._timeout = timeout
        self._pause = min(pause, interval)
        self._refreshing: set[asyncio.Event] = set()  # one for each watch

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.source}, every {self._interval:.3g} s>"

    @abstractmethod
    async def look(self) -> tuple[Endpoint, ...]:
        """Return what the source says now; at least one.

        It is cancelled when the watch ends. Looks of several watches may overlap.

        Raises:
            FrameRPCError: It says nothing that can be used.
        """

    def refresh(self) -> None:
        """Ask for a look soon."""
        for asked in self._refreshing:
            asked.set()

    async def watch(self) -> AsyncGenerator[Resolution, None]:
        """Yield what is known now, and then each change."""
        asked = asyncio.Event()
        self._refreshing.add(asked)
        looking: asyncio.Task[tuple[Endpoint, ...]] | None = None
        known: Resolution | None = None
        failures = 0
        try:
            while True:
                asked.clear()
                if looking is None:
                    looking = asyncio.create_task(self.look())
                await asyncio.wait({looking}, timeout=self._timeout)
                found = self._result(looking, known.endpoints if known is not None else ())
                looking = None if looking.done() else looking
                failures = failures + 1 if found.problem is not None else 0
                if known is None or not _same(found, known):
                    known = found
                    yield found
                await self._rest(asked, failures)
        finally:
            self._refreshing.discard(asked)
            if looking is not None:
                looking.cancel()
                await asyncio.wait({looking})

    def _result(
        self, looking: asyncio.Task[tuple[Endpoint, ...]], last: tuple[Endpoint, ...]
    ) -> Resolution:
        """Return what a look has found, or what is wrong with it."""
        if not looking.done():
            cause = f"no answer within {self._timeout:.3g} s"
            return Resolution(last, ConnectionFailed(self.source, 1, cause))
        try:
            endpoints = looking.result()
        except FrameRPCError as error:
            return Resolution(last, error)
        if not endpoints:
            return Resolution(last, ConfigurationError(f"{self.source} names no endpoint"))
        return Resolution(endpoints)

    async def _rest(self, asked: asyncio.Event, failures: int) -> None:
        """Wait until it is time for another look."""
        await asyncio.sleep(self._pause)
        wait = self._interval
        if failures:
            doubled = self._pause * 2.0 ** min(failures - 1, 32)
            wait = min(wait, doubled, max(_LONGEST_PAUSE, self._pause))
        with contextlib.suppress(TimeoutError):  # nobody asked
            async with asyncio.timeout(wait - self._pause):
                await asked.wait()


def _same(one: Resolution, other: Resolution) -> bool:
    return one.endpoints == other.endpoints and str(one.problem) == str(other.problem)
