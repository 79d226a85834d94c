"""Connections that become too old: their clients are asked to make new ones.

Behind a balancer of connections, or after servers were added, clients stay where they once went.
With a maximum age they spread anew, a few at a time: each connection has an age of its own. A
timer a connection, and none where no age is configured.

Spec: protocol.md, "Drain".
"""

from __future__ import annotations

import asyncio
import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from framerpc.errors import CloseCode, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from framerpc.server.peer import Peer

__all__ = ["Ageing", "ConnectionAge"]

_REASON: Final = "the connection has reached its maximum age"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionAge:
    """How old a connection may become.

    Attributes:
        maximum: Seconds after which a client is asked to use another connection.
        jitter: Part by which that varies up or down at random, from 0 to 1, so that connections
            made at the same time do not end at the same time. 0.1 as in gRPC.
        grace: Seconds that calls in flight get then, streams included.
    """

    maximum: float
    jitter: float = 0.1
    grace: float = 30.0

    def __post_init__(self) -> None:
        for name in ("maximum", "grace"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ConfigurationError(f"{name} must be finite and > 0 s, got {value!r}")
        if not 0 <= self.jitter <= 1:
            raise ConfigurationError(f"jitter must be from 0 to 1, got {self.jitter!r}")


class Ageing:
    """The ages of the connections of one server.

    Args:
        option: How old they may become.
        cancel_grace: Seconds that a handler gets to stop when it is cut.

    Attributes:
        retired: Connections that were asked to go.
    """

    def __init__(self, option: ConnectionAge, cancel_grace: float) -> None:
        self.retired = 0
        self._option = option
        self._cancel_grace = cancel_grace
        self._timers: dict[Peer, asyncio.TimerHandle] = {}

    @classmethod
    def of(cls, option: ConnectionAge | None, cancel_grace: float) -> Self | None:
        """Return the ages of a server, or None if its connections may become as old as they like."""
        return None if option is None else cls(option, cancel_grace)

    def __repr__(self) -> str:
        return f"<Ageing of {len(self._timers)} connections, {self.retired} retired>"

    def watch(self, peer: Peer) -> None:
        """Begin to count for a client that was welcomed."""
        option = self._option
        part = random.uniform(1 - option.jitter, 1 + option.jitter)  # noqa: S311 - no secret
        self._set(peer, option.maximum * part, self._retire)

    def forget(self, peer: Peer) -> None:
        """Stop counting: the client is gone, or the server stops."""
        timer = self._timers.pop(peer, None)
        if timer is not None:
            timer.cancel()

    def _set(self, peer: Peer, seconds: float, then: Callable[[Peer], None]) -> None:
        self._timers[peer] = asyncio.get_running_loop().call_later(seconds, then, peer)

    def _retire(self, peer: Peer) -> None:
        self.retired += 1
        self._set(peer, self._option.grace, self._cut)
        peer.leave(CloseCode.NORMAL, _REASON, self._option.grace)

    def _cut(self, peer: Peer) -> None:
        peer.cut()
        self._set(peer, self._cancel_grace, _end)


def _end(peer: Peer) -> None:
    peer.connection.close(CloseCode.NORMAL, _REASON)
