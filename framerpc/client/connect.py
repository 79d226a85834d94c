"""`connect`: from the words of a user to a client.

Every option has its check, and each is checked here, before anything is dialled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from framerpc.client.client import Client
from framerpc.client.core import Core
from framerpc.client.options import CallOptions, ChannelOptions, guarded, token_source
from framerpc.client.retry import DEFAULT_RECONNECT
from framerpc.config import BalancingPolicy, Keepalive, Limits, RetryPolicy
from framerpc.errors import ConfigurationError
from framerpc.given import check_each
from framerpc.resolvers.resolver import Resolver
from framerpc.resolvers.urls import resolver_of

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from framerpc.balancing.pickers import Picker
    from framerpc.call import Interceptor
    from framerpc.client.retry import RetryDetails, Wait
    from framerpc.client.state import State
    from framerpc.config import HedgePolicy
    from framerpc.protocol.frames import Outcome

__all__ = ["connect"]


def connect(
    *urls: str | Resolver,
    timeout: float | None = 30.0,
    metadata: Mapping[str, str] | None = None,
    token: str | Callable[[], str | Awaitable[str]] | None = None,
    tls: ssl.SSLContext | None = None,
    limits: Limits | None = None,
    keepalive: Keepalive | None = None,
    reconnect: Wait | None = None,
    interceptors: Sequence[Interceptor] = (),
    on_state: Callable[[State], None] | None = None,
    on_receipt: Callable[[str, Outcome], None] | None = None,
    retry: RetryPolicy | None = None,
    on_retry: Callable[[RetryDetails], None] | None = None,
    hedge: HedgePolicy | None = None,
    balance: str | Picker = "least_loaded",
    balancing: BalancingPolicy | None = None,
) -> Client:
    """Return a client of one or several servers. It dials in the background once it is entered.

    Use it as `async with framerpc.connect(url) as client:`. Leaving the block ends calls in
    flight and closes the connection.

    Args:
        urls: `tcp://host:port`, `tls://host:port`, `unix:///path` or `memory://name`, of servers
            that are all alike; with `?weight=3` for a larger share. Or one `Resolver`, which says
            where the servers are.
        timeout: Seconds for a single call, waiting for a connection included. None: no limit.
            Streams have no total limit, see `with_options`; `Limits.stream_idle` goes for them.
        metadata: String pairs that travel with each call.
        token: Proves who we are, or a callable that returns it (may be `async`), asked at each
            dial. Over `tcp://` it travels in the clear.
        tls: For `tls://`: which certificates to trust, and our own if the server wants one.
        limits: Bounds.
        keepalive: When to suspect a silent server.
        reconnect: How long to wait before dialling again: any of tenacity's `wait_*` objects.
            Dialling never gives up.
        interceptors: Around every call; the first is the outermost.
        on_state: Told each new `State`, from the event loop (protocol.md, "What can be observed").
        on_receipt: Told what became of each cancelled call: its method and an `Outcome`.
        retry: When a call that failed is sent again, where that is safe; on by default.
        on_retry: Told of each retry, before its pause.
        hedge: When an idempotent call goes to a second server as well; off by default.
        balance: How calls are spread over several servers: "round_robin", "random",
            "weighted_round_robin", "least_loaded", "latency", "consistent_hash" (of the
            `routing_key`), or a `Picker` of your own.
        balancing: When to stop trusting a server, and the other thresholds.

    Raises:
        ConfigurationError: An address or an option is impossible.
    """
    resolver = _resolver(urls)
    channel = ChannelOptions(
        limits=limits or Limits(),
        keepalive=keepalive or Keepalive(),
        reconnect=reconnect if reconnect is not None else DEFAULT_RECONNECT,
        tls=tls,
        token=token_source(token, str(resolver)),
        on_state=guarded(on_state),
        on_receipt=guarded(on_receipt),
        on_retry=guarded(on_retry),
        retry=retry or RetryPolicy(),
        balance=balance,
        balancing=balancing or BalancingPolicy(),
    )
    options = CallOptions(timeout=timeout, metadata=metadata or {}, hedge=hedge)
    check_each("interceptors", interceptors, object, "interceptors")
    core = Core(resolver, channel, tuple(interceptors))
    return Client(core, options)


def _resolver(places: tuple[str | Resolver, ...]) -> Resolver:
    urls = [place for place in places if not isinstance(place, Resolver)]
    if len(urls) == len(places):
        return resolver_of(*urls)
    if len(places) > 1:
        raise ConfigurationError("a resolver says where all servers are: pass it alone")
    return places[0]  # type: ignore[return-value] # it is no text
