"""Flow control of an in-memory transport: counts bytes, and asks the protocol to pause.

The rules are asyncio's: `pause_writing` above the high water mark, `resume_writing` at or
below the low one, each once. This module does not know where the bytes go.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["FlowControl"]

_HIGH_WATER: Final = 64 * 1024  # asyncio's own default


class FlowControl(asyncio.Transport):
    """The part of a transport that knows how many bytes are not yet consumed."""

    _protocol: asyncio.BaseProtocol

    def __init__(self, loop: asyncio.AbstractEventLoop, extra: Mapping[str, Any]) -> None:
        super().__init__(extra)
        self._loop = loop
        self._buffered = 0
        self._high, self._low = _HIGH_WATER, _HIGH_WATER // 4
        self._writing_paused = False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Give what arrives from now on to `protocol`."""
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol that is given what arrives."""
        return self._protocol

    def get_write_buffer_size(self) -> int:
        """Return how many bytes the other end's protocol has not got yet."""
        return self._buffered

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return the low and the high water mark, in bytes."""
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the water marks, in bytes; by default 64 KiB, and a quarter of `high`.

        Raises:
            ValueError: They are not `high >= low >= 0`.
        """
        if high is None:
            high = _HIGH_WATER if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
        self._high, self._low = high, low
        self._pause_if_full()

    def _pause_if_full(self) -> None:
        if self._buffered > self._high and not self._writing_paused:
            self._writing_paused = True
            self._tell(self._protocol.pause_writing)

    def _resume_if_drained(self) -> None:
        if self._buffered <= self._low and self._writing_paused:
            self._writing_paused = False
            self._tell(self._protocol.resume_writing)

    def _tell(self, callback: Callable[[], None]) -> None:
        try:
            callback()
        except Exception as exc:  # noqa: BLE001 (asyncio reports it like this too)
            self._report("the protocol's flow control failed", exc)

    def _report(self, message: str, exc: Exception) -> None:
        self._loop.call_exception_handler({"message": message, "exception": exc, "transport": self})
