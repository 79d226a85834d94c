"""PING and PONG: the part of a connection that notices whether its peer still lives.

It says what a PING and a PONG carry and who is told of a peer that is overdue. When to ask and
how long to wait is known to `keepalive`, what the system knows of the peer to `evidence`.

Spec: protocol.md, "Liveness".
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, NamedTuple

from framerpc.connection.ending import BEHIND_GOAWAY, Ending
from framerpc.connection.sockets import tune
from framerpc.errors import CloseCode
from framerpc.protocol.frames import Kind, Ping, Pong, encode

if TYPE_CHECKING:
    from framerpc.connection.evidence import Witness
    from framerpc.connection.keepalive import KeepaliveTimer
    from framerpc.protocol.handshake import Greeting, Reply

__all__ = ["SILENT_CLOSE", "Liveness", "Load"]

_logger: Final = logging.getLogger("framerpc.connection")


SILENT_CLOSE: Final = 0.5
"""Seconds for the last bytes to a peer that has been given up: it is not expected to read them,
and who waits must hear of it within a second."""


class Load(NamedTuple):
    """What a peer said of itself in its last PONG; None for what it did not say.

    Attributes:
        calls: Calls alive on the connection.
        lag: Seconds by which its event loop was late.
    """

    calls: int | None = None
    lag: float | None = None

    def statistics(self) -> dict[str, int]:
        """Return what was said, by name."""
        told = {
            "peer_calls": self.calls,
            "peer_lag_ms": None if self.lag is None else round(self.lag * 1000),
        }
        return {name: value for name, value in told.items() if value is not None}


class Liveness(Ending):
    """The part of a `Connection` that asks a silent peer, and answers one that asks."""

    __slots__ = ("load",)

    endpoint: str
    load: Load
    _keepalive: KeepaliveTimer
    _witness: Witness

    @property
    def overdue(self) -> bool:
        """Whether the peer has owed us an answer to a PING for a while."""
        return self._keepalive.overdue

    def _watch(self, words: Greeting | Reply) -> None:
        """Begin to watch over the silence of a peer that has greeted with these words."""
        keepalive = self._keepalive
        keepalive.start(words.ping_ms / 1000, words.lag_ms / 1000)
        if self._transport is not None:
            tune(self._transport, keepalive.interval, keepalive.timeout)

    def _on_ping(self, ping: Ping) -> None:
        if not self._keepalive.counted():
            self._give_up(CloseCode.FLOOD, "too many pings")
            return
        # Either may miss it: bytes that came later, or a timer that was not due meanwhile.
        lag = max(self._witness.waited(), self._keepalive.late)
        info = {"calls": len(self.wire.calls.alive), "lag_ms": round(lag * 1000)}
        self.outbox.send(encode(Kind.PONG.value, ping.nonce, info))

    def _on_pong(self, pong: Pong) -> None:
        if not self._keepalive.counted():
            self._give_up(CloseCode.FLOOD, "too many pongs")
            return
        info = pong.info or {}
        calls, lag_ms = _number(info.get("calls")), _number(info.get("lag_ms"))
        self.load = Load(
            None if calls is None else int(calls), None if lag_ms is None else lag_ms / 1000
        )
        if pong.nonce == BEHIND_GOAWAY:
            self._settle()

    def _ping(self) -> None:
        _logger.debug("%% %s: silent, ping", self.endpoint)
        self.outbox.send(encode(Kind.PING.value, 0, None))

    def _changed(self) -> None:
        if self._ended:
            return  # it was given up: what comes now comes too late
        _logger.debug("%% %s: %s", self.endpoint, "overdue" if self.overdue else "heard again")
        self._acceptor.overdue(self)

    def _silent(self, seconds: float) -> None:
        reason = f"no byte from the peer for {seconds:.3g} s"
        self._give_up(CloseCode.SILENT, reason, SILENT_CLOSE)


def _number(told: object) -> float | None:
    """Return what a peer said, if it is a number that can be meant."""
    if isinstance(told, bool) or not isinstance(told, (int, float)):
        return None
    return told if 0 <= told < float("inf") else None
