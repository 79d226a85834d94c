"""One direction of a bad network: brings what it is given late, in pieces, slowly or not at all.

This module owns what a fault does to the bytes of one connection. It does not know names,
nor which connections there are (see `network`).

A connection stays what TCP promises: what arrives, arrives in order and complete. What is lost
on the way is sent again once the network is healed, as TCP would.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import enum
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from framerpc.connection.memory_link import Link

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

__all__ = ["Conditions", "FaultyLink"]

_PIECES_PER_SECOND: Final = 10
"""How smoothly a slow reader reads: fine enough for timeouts of a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What is wrong with one direction; by default nothing.

    Attributes:
        blocked: Nothing arrives.
        frozen: Nothing gets further than the other host, which acknowledges it.
        delay: Seconds on the way.
        jitter: At most this many seconds more, at random.
        byte_by_byte: One byte arrives at a time, each in an iteration of the loop of its own.
        rate: Bytes that arrive in a second, or None for no limit.
    """

    blocked: bool = False
    frozen: bool = False
    delay: float = 0.0
    jitter: float = 0.0
    byte_by_byte: bool = False
    rate: float | None = None


class _Mark(enum.Enum):
    EOF = "eof"
    RESET = "reset"


class FaultyLink(Link):
    """A link under conditions that can change while it is in use.

    Args:
        loop: The loop of the sender. All methods but `alter` and `cut` are called on it.
        conditions: What is wrong with it at first.
        rng: Where jitter comes from.

    Attributes:
        conditions: What is wrong with it now.
        finished: It has brought an end of file or a reset.
        broken: It has brought a reset.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, conditions: Conditions, rng: random.Random
    ) -> None:
        self.conditions = conditions
        self.finished = False
        self.broken = False
        self._loop = loop
        self._rng = rng
        self._queue: collections.deque[tuple[float, bytes | memoryview | _Mark]] = (
            collections.deque()
        )
        self._last_due = 0.0
        self._busy_from = 0.0
        self._busy_bytes = 0
        self._timer: asyncio.Handle | None = None

    def __repr__(self) -> str:
        return f"<FaultyLink {self.conditions}, {self.waiting()} bytes waiting>"

    def waiting(self) -> int:
        """Return how many bytes have been sent and have not arrived."""
        return sum(len(item) for _, item in self._queue if not isinstance(item, _Mark))

    @property
    def blocked(self) -> bool:
        """Whether nothing that is sent now would arrive."""
        return self.conditions.blocked

    def unacknowledged(self) -> int:
        """Return how many bytes have not reached the other host; a frozen one has them all."""
        return 0 if self.conditions.frozen and not self.conditions.blocked else self.waiting()

    def send(self, data: bytes) -> None:
        """Bring bytes over, under the present conditions."""
        self._enqueue(data)

    def send_eof(self) -> None:
        """Bring an end of file over, behind the bytes."""
        self._enqueue(_Mark.EOF)

    def send_reset(self) -> None:
        """Bring a reset over; the bytes that have not arrived are lost."""
        self._queue.clear()
        self._enqueue(_Mark.RESET)

    def alter(self, change: Callable[[Conditions], Conditions]) -> None:
        """Change the conditions; from any thread."""
        self._on_loop(self._alter, change)

    def cut(self) -> None:
        """Reset the receiver now, whatever the conditions; from any thread."""
        self._on_loop(self._cut)

    def _on_loop(self, callback: Callable[..., None], *args: object) -> None:
        with contextlib.suppress(RuntimeError):  # no loop runs in this thread
            if asyncio.get_running_loop() is self._loop:
                callback(*args)
                return
        with contextlib.suppress(RuntimeError):  # the sender's loop is closed, as is the link
            self._loop.call_soon_threadsafe(callback, *args)

    def _alter(self, change: Callable[[Conditions], Conditions]) -> None:
        self.conditions = change(self.conditions)
        self._busy_from, self._busy_bytes = self._loop.time(), 0
        self._advance()

    def _cut(self) -> None:
        self._queue.clear()
        self._pass_on(_Mark.RESET)

    def _enqueue(self, item: bytes | _Mark) -> None:
        if not self._queue and self.conditions == Conditions():
            self._pass_on(item)
            return
        due = self._loop.time() + self.conditions.delay
        if self.conditions.jitter:
            due += self._rng.uniform(0.0, self.conditions.jitter)
        self._last_due = max(due, self._last_due)
        self._queue.append((self._last_due, item))
        if self._timer is None:
            self._advance()

    def _advance(self) -> None:
        """Pass on what is due, and come back when more is."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._queue and not self.conditions.blocked and not self.conditions.frozen:
            due, item = self._queue[0]
            size = 0 if isinstance(item, _Mark) else min(len(item), self._piece())
            arrival = self._arrival(due, size)
            if arrival > self._loop.time():
                self._timer = self._loop.call_at(arrival, self._advance)
                return
            self._queue.popleft()
            if not isinstance(item, _Mark):
                if size < len(item):
                    self._queue.appendleft((due, memoryview(item)[size:]))
                self._busy_bytes += size
                item = bytes(item[:size])
            self._pass_on(item)
            if self.conditions.byte_by_byte:
                self._timer = self._loop.call_soon(self._advance)
                return

    def _piece(self) -> int:
        """Return how many bytes may arrive together, at most."""
        if self.conditions.byte_by_byte:
            return 1
        if self.conditions.rate is None:
            return sys.maxsize
        return max(1, int(self.conditions.rate / _PIECES_PER_SECOND))

    def _arrival(self, due: float, size: int) -> float:
        """Return when the next `size` bytes arrive, if they would arrive at `due` without a rate.

        Counted from the moment when the reader had nothing to do, so that errors do not add up.
        """
        rate = self.conditions.rate
        if rate is None or not size:
            return due
        if due > self._busy_from + self._busy_bytes / rate:
            self._busy_from, self._busy_bytes = due, 0
        return self._busy_from + (self._busy_bytes + size) / rate

    def _pass_on(self, item: bytes | _Mark) -> None:
        if item is _Mark.EOF:
            self.finished = True
            super().send_eof()
        elif item is _Mark.RESET:
            self.finished = self.broken = True
            super().send_reset()
        else:
            super().send(item)
