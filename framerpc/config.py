"""Options: frozen, grouped by concern, validated when they are made, passed whole.

Durations are seconds, sizes are bytes. Every bound that protects a process stands in
`Limits`, with the reason for its default (protocol.md, "Limits").
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Final

from framerpc.errors import ConfigurationError

__all__ = ["KIB", "MIB", "Keepalive", "Limits"]

KIB: Final = 1 << 10
MIB: Final = 1 << 20


def _check_positive(options: object) -> None:
    """Refuse numbers that are not finite and positive; None means "no limit" where allowed."""
    for field in dataclasses.fields(options):  # type: ignore[arg-type]
        value = getattr(options, field.name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ConfigurationError(f"{field.name} must be a number, got {value!r}")
        if not math.isfinite(value) or value <= 0:
            raise ConfigurationError(f"{field.name} must be finite and > 0, got {value!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one process grants to its peers. Both sides have limits; those marked * are announced.

    Attributes:
        max_frame: * Longest frame received, in bytes, prefix not counted. At least 64 KiB + 64.
            1 MiB is what NATS and websockets start from.
        max_message: * Longest body received or sent (arguments, result, item), in bytes. Longer
            than a frame: such a body travels in parts.
        max_receiving: Sum of the announced sizes of the bodies that one connection is
            receiving in parts, in bytes. At least `max_message`.
        max_calls: * Calls in flight on one connection. Beyond it: `ResourceExhausted`.
        stream_window: * Bytes of items (each counted with 64 bytes on top) that a peer may send
            on one stream before we have consumed them.
        max_outbox: Bytes queued for a peer that does not read; beyond it the connection is closed
            as slow.
        write_timeout: Seconds a peer may leave our writes stuck before it is closed as slow.
        max_metadata: Bytes of metadata of one call, keys and values together.
        max_method_name: Bytes of a method's name. 255 as in gRPC's and NATS' name limits.
        max_greeting: Bytes of the HELLO frame, the only thing read from a stranger at first.
        max_early: Bytes that a client may send behind its greeting before it is welcomed.
        handshake_timeout: Seconds from the first byte possible to a finished handshake; absolute.
        max_connections: Connections of one server.
        max_unauthenticated: Connections of one server that are not yet welcomed.
        max_unauthenticated_per_address: The same from one address.
        max_timeout: Longest deadline that a server honours, in seconds; a longer one is clamped.
        stream_idle: Seconds a stream may make no progress (no item taken, no item sent).
        cancel_grace: Seconds a cancelled handler is given before its caller is told that it is
            still running.
        max_threads: Threads for `def` methods of one server.
        max_waiting_threads: Calls of `def` methods that wait for a thread.
        max_processes: Worker processes for methods with `run="process"`.
        max_waiting_processes: Calls that wait for a worker process.
        max_pings: PINGs and PONGs accepted within one keepalive interval; beyond it: closed. An
            honest peer sends one or two.
    """

    max_frame: int = MIB
    max_message: int = 16 * MIB
    max_receiving: int | None = None
    max_calls: int = 1024
    stream_window: int = 256 * KIB
    max_outbox: int = 64 * MIB
    write_timeout: float = 30.0
    max_metadata: int = 8 * KIB
    max_method_name: int = 255
    max_greeting: int = 16 * KIB
    max_early: int = 64 * KIB
    handshake_timeout: float = 10.0
    max_connections: int = 10_000
    max_unauthenticated: int = 1000
    max_unauthenticated_per_address: int = 200
    max_timeout: float = 3600.0
    stream_idle: float | None = 300.0
    cancel_grace: float = 1.0
    max_threads: int = 16
    max_waiting_threads: int = 256
    max_processes: int = 2
    max_waiting_processes: int = 64
    max_pings: int = 16

    def __post_init__(self) -> None:
        _check_positive(self)
        smallest = 64 * KIB + 64
        if self.max_frame < smallest:
            raise ConfigurationError(
                f"max_frame must be at least {smallest} bytes, so that a part of a body fits in "
                f"one frame; got {self.max_frame}"
            )
        if self.max_receiving is None:
            # Two of the largest at once, or enough for many middling ones.
            object.__setattr__(self, "max_receiving", max(2 * self.max_message, 64 * MIB))
        elif self.max_receiving < self.max_message:
            raise ConfigurationError(
                f"max_receiving ({self.max_receiving}) must be at least max_message "
                f"({self.max_message})"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Keepalive:
    """When to suspect a silent peer, and when to give it up.

    Attributes:
        interval: Seconds without a received byte before we send a PING. 20 s stays below the
            60 s after which nginx and many NATs drop an idle flow. The smaller interval of the
            two sides is used by both.
        timeout: Seconds to wait for any byte after that before the connection is closed.
    """

    interval: float = 20.0
    timeout: float = 10.0

    def __post_init__(self) -> None:
        _check_positive(self)
