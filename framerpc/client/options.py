"""What a client was told: how to dial, and what goes for each call.

Two frozen values, passed whole. A view of a client (`with_options`) has call options of its
own and shares everything else, so that options never leak into other calls.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from framerpc.errors import ConfigurationError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable

    from framerpc.client.channel import State
    from framerpc.client.retry import Wait
    from framerpc.config import Keepalive, Limits
    from framerpc.protocol.frames import Outcome

__all__ = ["CallOptions", "ChannelOptions"]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOptions:
    """What goes for each call.

    Attributes:
        timeout: Seconds for a single call, waiting for a connection included; None for none.
        stream_timeout: Seconds for a whole stream; None for none, the default.
        metadata: String pairs that travel with each call.
    """

    timeout: float | None = 30.0
    stream_timeout: float | None = None
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        for name in ("timeout", "stream_timeout"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ConfigurationError(
                    f"{name} must be a number of seconds > 0, or None; got {value!r}"
                )
        for key, value in self.metadata.items():
            if not isinstance(key, str) or not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance] - users err
                raise ConfigurationError(
                    f"metadata must be pairs of strings, got {key!r}: {value!r}"
                )
