"""Options: frozen, grouped by concern, validated when they are made, passed whole.

Durations are seconds, sizes are bytes. Every bound that protects a process stands in
`Limits`, with the reason for its default (protocol.md, "Limits").
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Final, Literal

from framerpc.errors import ConfigurationError

__all__ = ["KIB", "MIB", "Keepalive", "Limits", "TopicLimits", "TopicPolicy"]

KIB: Final = 1 << 10
MIB: Final = 1 << 20


def _check_positive(options: object) -> None:
    """Refuse numbers that are not finite and positive; None means "no limit" where allowed."""
    for option in dataclasses.fields(options):  # type: ignore[arg-type]
        value = getattr(options, option.name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ConfigurationError(f"{option.name} must be a number, got {value!r}")
        if not math.isfinite(value) or value <= 0:
            raise ConfigurationError(f"{option.name} must be finite and > 0, got {value!r}")


def _check_count(name: str, value: object, least: int) -> None:
    """Refuse what is not a whole number, or too small a one."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigurationError(f"{name} must be a whole number >= {least}, got {value!r}")


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


@dataclass(frozen=True, slots=True)
class TopicPolicy:
    """What a server keeps of some topics, and who may publish to them.

    The first policy whose pattern matches a topic holds for it; a topic that none matches has
    no history, and anyone may publish to it.

    Attributes:
        pattern: Topics that it is about: tokens separated by dots, `*` is any one token, `>` one
            or more at the end.
        history: Messages kept for each topic; 0 keeps none, and its messages have no positions.
        ttl: Seconds that a message is kept, in the time that the server runs; None keeps it
            until it makes room for others.
        history_bytes: Bytes kept for each topic, each message counted with 64 bytes on top.
        latest: Keep only the newest message of each conflation key (a topic whose publishers
            name none keeps one message). What such a history leaves out was replaced, not lost.
        publish: "server" reserves publishing for the server's own handlers.
        presence: Keep count of who subscribes to each topic.
    """

    pattern: str
    history: int = field(default=0, kw_only=True)
    ttl: float | None = field(default=None, kw_only=True)
    history_bytes: int = field(default=16 * MIB, kw_only=True)
    latest: bool = field(default=False, kw_only=True)
    publish: Literal["anyone", "server"] = field(default="anyone", kw_only=True)
    presence: bool = field(default=True, kw_only=True)

    def __post_init__(self) -> None:
        _check_count("history", self.history, 0)
        _check_count("history_bytes", self.history_bytes, 1)
        if self.ttl is not None and not 0 < self.ttl < math.inf:
            raise ConfigurationError(f"ttl must be finite and > 0 s, got {self.ttl!r}")
        if self.publish not in {"anyone", "server"}:
            raise ConfigurationError(f'publish must be "anyone" or "server": {self.publish!r}')
        if self.latest and not self.history:
            raise ConfigurationError("latest needs a history: say how many keys, history=1 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicLimits:
    """What a server grants to those who publish and subscribe, and what it keeps in all.

    Attributes:
        max_subscriptions: Subscriptions of one connection. 128 as in centrifuge.
        max_all_subscriptions: Subscriptions of one server.
        max_queue: Bytes that wait for one subscriber without credit, each message counted with
            64 bytes on top; beyond it its policy for slow consumers decides. 1 MiB as in
            centrifuge.
        max_topics: Topics with a history (or one that was not forgotten yet). Beyond it, a
            new one is refused when no topic without messages can be forgotten.
        max_history_messages: Messages kept in all; beyond it the topics that were silent for the
            longest lose their oldest ones.
        max_history_bytes: The same in bytes.
        max_keys: Idempotency keys remembered; beyond it the oldest is forgotten.
        key_ttl: Seconds that an idempotency key is remembered. 5 minutes as in centrifuge.
        max_positions: Topics in the position of a subscription to a pattern; one that matches
            more cannot resume.
        max_page: Messages read from a history at once, and in one answer about it.
        max_page_bytes: The same in bytes; one message may be larger.
        max_presence: Members of all topics together, a connection counted once for each topic.
        max_presence_page: Members in one answer about a topic.
        max_routes: Topics whose subscribers are remembered, so that they need not be looked up.
    """

    max_subscriptions: int = 128
    max_all_subscriptions: int = 100_000
    max_queue: int = MIB
    max_topics: int = 100_000
    max_history_messages: int = 1_000_000
    max_history_bytes: int = 256 * MIB
    max_keys: int = 100_000
    key_ttl: float = 300.0
    max_positions: int = 1000
    max_page: int = 300
    max_page_bytes: int = 256 * KIB
    max_presence: int = 100_000
    max_presence_page: int = 1000
    max_routes: int = 10_000

    def __post_init__(self) -> None:
        _check_positive(self)
