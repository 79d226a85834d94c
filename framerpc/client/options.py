"""What a client was told: how to dial, and what goes for each call.

Two frozen values, passed whole. A view of a client (`with_options`) has call options of its
own and shares everything else, so that options never leak into other calls. What the user's
own callables raise stops here: a callback cannot break the connection that it is told about.
"""

from __future__ import annotations

import enum
import inspect
import logging
import math
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, ParamSpec, cast

from framerpc.balancing.pickers import Picker, picker_named
from framerpc.config import BalancingPolicy, HedgePolicy, Keepalive, Limits, RetryPolicy
from framerpc.deadline import to_wire
from framerpc.errors import ConfigurationError, ConnectionFailed, FrameRPCError
from framerpc.given import check, check_callable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from framerpc.client.retry import RetryDetails, Wait
    from framerpc.client.state import State
    from framerpc.protocol.frames import Outcome

__all__ = ["UNCHANGED", "CallOptions", "ChannelOptions", "Unchanged", "guarded", "token_source"]

_P = ParamSpec("_P")

_logger: Final = logging.getLogger("framerpc.client")


class Unchanged(enum.Enum):
    """The type of `UNCHANGED`."""

    UNCHANGED = "unchanged"


UNCHANGED: Final = Unchanged.UNCHANGED
"""An option that stays as it is; None says something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelOptions:
    """How to dial, and whom to tell. The fields are those of `framerpc.connect`."""

    limits: Limits
    keepalive: Keepalive
    reconnect: Wait
    tls: ssl.SSLContext | None
    token: str | Callable[[], str | Awaitable[str]] | None = field(repr=False)
    on_state: Callable[[State], None] | None
    on_receipt: Callable[[str, Outcome], None] | None
    on_retry: Callable[[RetryDetails], None] | None
    retry: RetryPolicy
    balance: str | Picker
    balancing: BalancingPolicy

    def __post_init__(self) -> None:
        check("limits", self.limits, Limits, "a framerpc.Limits")
        check("keepalive", self.keepalive, Keepalive, "a framerpc.Keepalive")
        check("retry", self.retry, RetryPolicy, "a framerpc.RetryPolicy")
        check("balance", self.balance, (str, Picker), "the name of a picker, or a framerpc.Picker")
        if isinstance(self.balance, str):
            picker_named(self.balance, self.balancing)  # or says which there are
        check("balancing", self.balancing, BalancingPolicy, "a framerpc.BalancingPolicy")
        check("tls", self.tls, (ssl.SSLContext, type(None)), "an ssl.SSLContext")
        if not isinstance(self.token, str):
            check_callable("token", self.token, "a string, or a callable that returns one")
        if not callable(self.reconnect):
            raise ConfigurationError(
                f"reconnect must be one of tenacity's wait_* objects, got {self.reconnect!r}"
            )
        check_callable("on_state", self.on_state, "a callable")
        check_callable("on_receipt", self.on_receipt, "a callable")
        check_callable("on_retry", self.on_retry, "a callable")


def guarded(callback: Callable[_P, None] | None) -> Callable[_P, None] | None:
    """Return a callback that logs what the user's own raises, instead of raising it."""
    if callback is None or not callable(callback):
        return callback  # the options refuse what is no callable

    def tell(*args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            callback(*args, **kwargs)
        except Exception:
            _logger.exception("! the callback %r failed", callback)

    return tell


def token_source(
    token: str | Callable[[], str | Awaitable[str]] | None, endpoint: str
) -> str | Callable[[], Awaitable[str]] | None:
    """Return `token` so that asking for it fails as dialling does: it is asked for again.

    An error of framerpc's, `Unauthenticated` above all, is final.
    """
    if token is None or not callable(token):
        return token

    async def ask() -> str:
        try:
            asked: Any = token()
            value: object = await asked if inspect.isawaitable(asked) else asked
        except FrameRPCError:
            raise
        except Exception as exc:
            cause = f"token() failed: {type(exc).__name__}: {exc}"
            raise ConnectionFailed(endpoint, 1, cause) from exc
        if not isinstance(value, str):
            raise ConfigurationError(f"token() must return a string, not a {type(value).__name__}")
        return value

    return ask


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOptions:
    """What goes for each call.

    Attributes:
        timeout: Seconds for a single call, waiting for a connection included; None for none.
        stream_timeout: Seconds for a whole stream; None for none, the default.
        metadata: String pairs that travel with each call.
        routing_key: What decides where calls go, if the balancing is sticky.
        idempotent: Calls by name may be sent again; methods say so themselves.
        hedge: When idempotent calls go to a second server as well; None for never.
        timeout_ms: The timeout as it is said on the wire.
        simple: There is no more to a call than its timeout.
    """

    timeout: float | None = 30.0
    stream_timeout: float | None = None
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    routing_key: str | None = None
    idempotent: bool = False
    hedge: HedgePolicy | None = None
    timeout_ms: int | None = field(init=False)
    simple: bool = field(init=False)

    def __post_init__(self) -> None:
        for name in ("timeout", "stream_timeout"):
            value = getattr(self, name)
            if value is not None and not _is_duration(value):
                raise ConfigurationError(
                    f"{name} must be a number of seconds > 0, or None; got {value!r}"
                )
        check("idempotent", self.idempotent, bool, "True or False")
        check("routing_key", self.routing_key, (str, type(None)), "a string, or None")
        check("hedge", self.hedge, (HedgePolicy, type(None)), "a framerpc.HedgePolicy, or None")
        metadata = cast("object", self.metadata)  # users err
        if not isinstance(metadata, Mapping):
            raise ConfigurationError(f"metadata must be a mapping, got {metadata!r}")
        for key, value in cast("Mapping[Any, Any]", self.metadata).items():
            if not isinstance(key, str) or not isinstance(value, str):
                raise ConfigurationError(
                    f"metadata must be pairs of strings, got {key!r}: {value!r}"
                )
        object.__setattr__(self, "metadata", dict(self.metadata))  # ours: the user's may change
        object.__setattr__(self, "timeout_ms", to_wire(self.timeout, 0.0))
        special = self.metadata or self.routing_key or self.idempotent or self.hedge
        object.__setattr__(self, "simple", not special)


def _is_duration(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return math.isfinite(value) and value > 0
