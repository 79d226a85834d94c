"""Options: frozen, grouped by concern, validated when they are made, passed whole.

Durations are seconds, sizes are bytes. Every bound that protects a process stands in
`Limits`, with the reason for its default (protocol.md, "Limits").
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from framerpc.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "KIB",
    "MIB",
    "BalancingPolicy",
    "HedgePolicy",
    "Keepalive",
    "Limits",
    "RetryPolicy",
    "Watchdog",
    "check_positive",
]

KIB: Final = 1 << 10
MIB: Final = 1 << 20


def check_positive(options: object, besides: str = "") -> None:
    """Refuse numbers that are not finite and positive; None means "no limit" where allowed.

    Args:
        options: What to look through.
        besides: The field that holds no number.
    """
    for option in dataclasses.fields(options):  # type: ignore[arg-type]
        value = getattr(options, option.name)
        if value is None or option.name == besides:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ConfigurationError(f"{option.name} must be a number, got {value!r}")
        if not math.isfinite(value) or value <= 0:
            raise ConfigurationError(f"{option.name} must be finite and > 0, got {value!r}")


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
        max_outbox: Bytes queued for a peer that does not read. Of bodies longer than 64 KiB: beyond
            it requests and items of streams wait, and an answer is replaced by
            `ResourceExhausted`; one body alone may always wait. Of all else, counted for itself:
            beyond it the connection is closed as slow.
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
            still running; and a handler whose caller's stream broke, before it is cancelled.
        max_threads: Threads for `def` methods of one server.
        max_waiting_threads: Calls of `def` methods that wait for a thread.
        max_processes: Worker processes for methods with `run="process"`.
        max_waiting_processes: Calls that wait for a worker process.
        max_sessions: Sessions of one server, those of connections included. Beyond it, the one
            that was left longest ago is dropped; if none was left, a new client has none.
        session_ttl: Seconds that a session is kept without a connection. 5 minutes, as
            Centrifuge keeps idempotent results.
        max_replies: Answers of `once` calls that one server keeps for who sends again. Beyond
            it, those go first of whom holds more than an equal share.
        max_reply_bytes: The same in bytes, each answer counted with 512 bytes on top.
        reply_ttl: Seconds that such an answer is kept.
        max_detached: `once` calls of one server that go on without a connection; beyond it they
            are stopped when their connection is lost.
        max_resumes: Times in a row that a stream is called again after a lost connection without
            an item having come.
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
    max_sessions: int = 10_000
    session_ttl: float = 300.0
    max_replies: int = 16_384
    max_reply_bytes: int = 64 * MIB
    reply_ttl: float = 300.0
    max_detached: int = 1024
    max_resumes: int = 5
    max_pings: int = 16

    def __post_init__(self) -> None:
        check_positive(self)
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
        timeout: Seconds to wait for any byte after that before the connection is closed. One
            longer than the interval counts as the interval, so that a link that died is noticed
            within two intervals.
        busy: Seconds that a peer may be silent while there are signs that its host lives: its
            kernel acknowledges what we send (see protocol.md, "Liveness"), or it announced a
            `lag`. A minute is longer than any handler ought to block its loop, and shorter than
            anybody waits for an answer. No more than `interval + timeout`: never be patient.
        lag: Seconds that our own loop may be blocked, which the peer is told: it does not give
            us up sooner, within its own `busy`. Only needed where its kernel cannot tell (see
            there). None announces nothing.
    """

    interval: float = 20.0
    timeout: float = 10.0
    busy: float = 60.0
    lag: float | None = None

    def __post_init__(self) -> None:
        check_positive(self)

    @property
    def ping_ms(self) -> int:
        """The interval as a greeting says it, in milliseconds."""
        return max(1, int(self.interval * 1000))

    @property
    def lag_ms(self) -> int:
        """The lag as a greeting says it, in milliseconds; 0 for none."""
        return 0 if self.lag is None else int(self.lag * 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When a call that failed is sent again.

    Whether that is *safe* is not for a policy to say: a call that surely did not reach the
    application is safe, one that may have is safe only if its method is declared idempotent
    (protocol.md, "Errors"). A policy says how often, how soon, and how much of it. Waiting for a
    connection is no attempt. The deadline of a call holds for all its attempts together.

    Attributes:
        stop: When to give up: any of tenacity's `stop_*` objects; None for 5 attempts (as gRPC
            at most allows).
        wait: How long to pause before each further attempt: any of tenacity's `wait_*` objects;
            None for full jitter up to 0.05, 0.1, 0.2, … 1 second. A server that asks for a
            longer pause gets it.
        retry: Narrows what is tried again: any of tenacity's `retry_*` objects that look at an
            exception; None for all that is safe.
        share: Retries allowed for each call in the last 10 seconds, so that they cannot multiply
            an outage; 0 to 1. The default is that of Finagle's RetryBudget.
        floor: Retries per second that are always allowed, for quiet clients; Finagle's again.
    """

    stop: Callable[[Any], bool] | None = None
    wait: Callable[[Any], float] | None = None
    retry: Callable[[Any], bool] | None = None
    share: float = 0.2
    floor: float = 10.0

    def __post_init__(self) -> None:
        for name in ("stop", "wait", "retry"):
            value = getattr(self, name)
            if value is not None and not callable(value):
                raise ConfigurationError(
                    f"{name} must be one of tenacity's {name}_* objects, got {value!r}"
                )
        _check_share("share", self.share)
        if not _is_number(self.floor) or self.floor < 0:
            raise ConfigurationError(f"floor must be retries per second >= 0, got {self.floor!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class HedgePolicy:
    """When an idempotent call that is slow is sent to a second server as well.

    The first answer counts, the other call is cancelled. Source: Dean and Barroso, "The Tail at
    Scale" (2013).

    Attributes:
        delay: Seconds to wait for the first server; None for the time within which 95 of 100
            recent calls of the method were answered.
        share: Second calls allowed for each call: the extra load that is accepted; 0 to 1.
    """

    delay: float | None = None
    share: float = 0.05

    def __post_init__(self) -> None:
        if self.delay is not None and (not _is_number(self.delay) or self.delay < 0):
            raise ConfigurationError(f"delay must be seconds >= 0, or None; got {self.delay!r}")
        _check_share("share", self.share)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _check_share(name: str, value: object) -> None:
    if not _is_number(value) or not 0 <= value <= 1:  # type: ignore[operator] # it is a number
        raise ConfigurationError(f"{name} must be a number from 0 to 1, got {value!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class BalancingPolicy:
    """How one client spreads its calls, and when it stops trusting an endpoint.

    Each field says where its default comes from; None switches the matter off where it is
    allowed (protocol.md, "Several servers").

    Attributes:
        failures: Calls that must fail in a row before an endpoint is taken out (ejected). 5 as
            in Finagle and Envoy. Too low, and one lost connection with a few calls takes a good
            endpoint out. None: never for this reason.
        failure_rate: Share of the calls of the last `window` that must have failed, above 0 and
            up to 1. 0.5 over 10 s and 20 calls are Hystrix'. None: never for this reason.
        window: Seconds of calls that count for `failure_rate`; at least the last half of it.
        min_calls: Calls in the window below which a rate says nothing.
        ejection: Seconds that the first ejection lasts, doubled by each further one. 5 as in
            Finagle. Each is shortened by a random part, up to half.
        max_ejection: Seconds that an ejection lasts at most. One call in 30 s is a cheap probe.
        forgive: Seconds in service after which earlier ejections no longer count.
        probe_timeout: Seconds after which another probe is sent, if the one call that was let
            through to an ejected endpoint has not ended.
        panic_threshold: Share of the endpoints that must look healthy, above 0 and up to 1. With
            fewer, all that are connected are used, ejected ones too: more likely it is not they
            that are ill, and the rest would not carry the load. 0.5 as in Envoy. None: only when
            none is left.
        slow_start: Seconds over which the share of an endpoint grows that is new or returns, so
            that cold caches are not drowned. Not for those that a client begins with. None: off.
        slow_start_share: Share of its calls that such an endpoint gets at first, above 0 and up
            to 1. 0.1 as in Envoy.
        latency_decay: Seconds over which an observed latency is forgotten (to a third). 10 as in
            Finagle.
        hash_bound: How many times the average load a "consistent_hash" endpoint may carry, above
            1. Near 1 balances well and moves many keys; 1.25 as in Mirrokni et al. and HAProxy's
            advice.
        hash_floor: Calls in flight up to which no endpoint counts as loaded: among few calls the
            average says nothing, and a key should stay where it is.
        max_endpoints: Endpoints that one client uses; a resolver's further ones are ignored, and
            counted.
        is_failure: Tells which errors speak against an endpoint, and which do not. None: lost
            connections, `Unavailable` and `DeadlineExceeded` do. Not asked about calls that
            were cancelled.
    """

    failures: int | None = 5
    failure_rate: float | None = 0.5
    window: float = 10.0
    min_calls: int = 20
    ejection: float = 5.0
    max_ejection: float = 30.0
    forgive: float = 60.0
    probe_timeout: float = 10.0
    panic_threshold: float | None = 0.5
    slow_start: float | None = 10.0
    slow_start_share: float = 0.1
    latency_decay: float = 10.0
    hash_bound: float = 1.25
    hash_floor: int = 8
    max_endpoints: int = 1000
    is_failure: Callable[[BaseException], bool] | None = None

    def __post_init__(self) -> None:
        check_positive(self, besides="is_failure")
        for name in _NEEDED:
            if getattr(self, name) is None:
                raise ConfigurationError(f"{name} must be a number, got None")
        for name in ("failure_rate", "panic_threshold", "slow_start_share"):
            share = getattr(self, name)
            if share is not None and share > 1:
                raise ConfigurationError(f"{name} is a share and at most 1, got {share!r}")
        if self.hash_bound <= 1:
            raise ConfigurationError(
                f"hash_bound must be above 1, or there is no room to move to; "
                f"got {self.hash_bound!r}"
            )
        if self.max_ejection < self.ejection:
            raise ConfigurationError(
                f"max_ejection ({self.max_ejection}) must be at least ejection ({self.ejection})"
            )
        if self.is_failure is not None and not callable(self.is_failure):
            raise ConfigurationError(f"is_failure must be a callable, got {self.is_failure!r}")


_NEEDED: Final = (
    "window", "min_calls", "ejection", "max_ejection", "forgive", "probe_timeout",
    "slow_start_share", "latency_decay", "hash_bound", "hash_floor", "max_endpoints",
)  # fmt: skip
"""The fields of `BalancingPolicy` that cannot be switched off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watchdog:
    """When to warn of code that blocks the event loop.

    Attributes:
        threshold: Seconds that the loop may be without a turn. Half a second is far more than
            any callback ought to take, and far less than what peers take for a dead host.
        interval: Seconds between the notes that the loop makes: how exactly the length of a
            block is known, and how often an idle loop wakes up.
    """

    threshold: float = 0.5
    interval: float = 0.25

    def __post_init__(self) -> None:
        check_positive(self)
