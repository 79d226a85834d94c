"""The blocking client: the asynchronous one, driven through the portal.

Safe to share between threads: each call waits in the thread that made it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeGuard, TypeVar, overload

from framerpc.client.connect import connect as connect_async
from framerpc.client.options import UNCHANGED
from framerpc.contract.service import spec_of
from framerpc.errors import ConfigurationError
from framerpc.sync.portal import Portal, hold
from framerpc.sync.results import SyncResultStream, ThreadedIterator
from framerpc.sync.topics import SyncTopics

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
    from types import TracebackType

    from framerpc.balancing.candidate import Report
    from framerpc.balancing.pickers import Picker
    from framerpc.call import Interceptor
    from framerpc.client.client import Client
    from framerpc.client.options import Unchanged
    from framerpc.client.retry import RetryDetails, Wait
    from framerpc.client.state import State
    from framerpc.config import BalancingPolicy, HedgePolicy, Keepalive, Limits, RetryPolicy
    from framerpc.contract.service import MethodSpec
    from framerpc.contract.watching import Update, Watch
    from framerpc.protocol.frames import Outcome
    from framerpc.resolvers.resolver import Resolver

__all__ = ["SyncClient", "connect"]

_P = ParamSpec("_P")
_R = TypeVar("_R")
_S = TypeVar("_S")
_C = TypeVar("_C")


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
) -> SyncClient:
    """Return a blocking client of one or several servers; use it in a `with` block.

    Options as for `framerpc.connect`. Callbacks and interceptors run in the thread of
    `framerpc.sync`, not in the caller's.

    Raises:
        ConfigurationError: An address or an option is impossible.
    """
    client = connect_async(
        *urls,
        timeout=timeout,
        metadata=metadata,
        token=token,
        tls=tls,
        limits=limits,
        keepalive=keepalive,
        reconnect=reconnect,
        interceptors=interceptors,
        on_state=on_state,
        on_receipt=on_receipt,
        retry=retry,
        on_retry=on_retry,
        hedge=hedge,
        balance=balance,
        balancing=balancing,
    )
    return SyncClient(client)


class SyncClient(SyncTopics):
    """A blocking client of one or several servers. Made by `connect`."""

    def __init__(self, client: Client, portal: Portal | None = None) -> None:
        self._client = client
        self._portal = portal

    def __repr__(self) -> str:
        return f"<Sync{repr(self._client)[1:]}"

    def __enter__(self) -> Self:
        if self._portal is not None:
            raise ConfigurationError("the client is open already; make another one")
        self._portal = portal = hold()
        try:
            portal.run(self._client.__aenter__())
        except BaseException:
            self._portal = None
            portal.release()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End calls in flight and close the connection. Idempotent.

        In a forked child it does nothing: the connection belongs to the parent.
        """
        portal, self._portal = self._portal, None
        if portal is not None and portal.is_ours():
            try:
                portal.run(self._client.close())
            finally:
                portal.release()

    def _running(self) -> Portal:
        if self._portal is None:
            raise ConfigurationError(
                'the client is not open; use "with framerpc.sync.connect(url) as client:"'
            )
        return self._portal

    def ready(
        self,
        timeout: float | None = None,
        *,
        all: bool = False,  # noqa: A002 - as Client.ready
    ) -> None:
        """Wait until a server has welcomed us; see `Client.ready`."""
        self._running().run(self._client.ready(timeout, all=all))

    @property
    def state(self) -> State:
        """Where the connection is."""
        return self._client.state

    def with_options(
        self,
        *,
        timeout: float | Unchanged | None = UNCHANGED,
        metadata: Mapping[str, str] | None = None,
        routing_key: str | Unchanged | None = UNCHANGED,
        idempotent: bool | Unchanged = UNCHANGED,
        hedge: HedgePolicy | Unchanged | None = UNCHANGED,
    ) -> SyncClient:
        """Return a view of this client with other options; see `Client.with_options`.

        The view ends with the client: it needs no closing of its own.
        """
        view = self._client.with_options(
            timeout=timeout,
            metadata=metadata,
            routing_key=routing_key,
            idempotent=idempotent,
            hedge=hedge,
        )
        return _View(self, view)

    def endpoints(self) -> list[Report]:
        """Return what is known of each server; see `Client.endpoints`."""
        return self._client.endpoints()

    def statistics(self) -> dict[str, int]:
        """Return what is in flight, and what became of cancelled calls."""
        return self._client.statistics()

    def stub(self, service: type[Any]) -> Any:
        """Return an object with the methods of a service, blocking ones.

        It is untyped, because a type checker cannot turn `async def` into plain methods:
        `call(Service.method, …)` is the typed way.

        Raises:
            ConfigurationError: The class is no service.
        """
        return _SyncStub(self, spec_of(service).methods)

    @overload
    def call(self, method: str, /, *args: Any, **kwargs: Any) -> Any: ...
    @overload
    def call(
        self,
        method: Callable[Concatenate[Any, _P], Awaitable[_R]],
        /,
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _R: ...
    @overload
    def call(
        self,
        method: Callable[Concatenate[Any, _P], _R],
        /,
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _R: ...
    def call(self, method: str | Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call a method and return its result; see `Client.call`."""
        portal = self._running()
        args, kwargs = _threaded(args, kwargs)
        call: Any = self._client.call
        return portal.run(call(method, *args, **kwargs))

    @overload
    def stream(self, method: str, /, *args: Any, **kwargs: Any) -> SyncResultStream[Any]: ...
    @overload
    def stream(
        self,
        method: Callable[Concatenate[Any, _P], Watch[_S, _C] | Awaitable[Watch[_S, _C]]],
        /,
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> SyncResultStream[Update[_S, _C]]: ...
    @overload
    def stream(
        self,
        method: Callable[Concatenate[Any, _P], AsyncIterator[_R]],
        /,
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> SyncResultStream[_R]: ...
    @overload
    def stream(
        self,
        method: Callable[Concatenate[Any, _P], Iterator[_R]],
        /,
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> SyncResultStream[_R]: ...
    def stream(
        self, method: str | Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> SyncResultStream[Any]:
        """Call a method whose result is a stream; see `Client.stream`."""
        portal = self._running()
        args, kwargs = _threaded(args, kwargs)
        stream: Any = self._client.stream
        return SyncResultStream(portal, stream(method, *args, **kwargs))

    def notify(self, method: str | Callable[..., Any], /, *args: Any, **kwargs: Any) -> None:
        """Call a method without waiting for an answer; see `Client.notify`."""
        self._running().run(self._client.notify(method, *args, **kwargs))

    def call_spec(self, spec: MethodSpec, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call the method that `spec` declares, single result or stream."""
        portal = self._running()
        args, kwargs = _threaded(args, kwargs)
        if spec.watch:
            return SyncResultStream(portal, self._client.watch_spec(spec, args, kwargs))
        if spec.streams_out:
            return SyncResultStream(portal, self._client.stream_spec(spec, args, kwargs))
        call = self._client.once_spec if spec.once else self._client.call_spec
        return portal.run(call(spec, args, kwargs))


class _View(SyncClient):
    """The same client with other options."""

    def __init__(self, base: SyncClient, client: Client) -> None:
        super().__init__(client)
        self._base = base

    def _running(self) -> Portal:
        return self._base._running()  # noqa: SLF001 - our own base

    def close(self) -> None:
        """Do nothing: the client that this is a view of closes."""


class _SyncStub:
    """Looks like a service, and blocks."""

    def __init__(self, client: SyncClient, methods: Mapping[str, MethodSpec]) -> None:
        self._client = client
        self._methods = methods

    def __getattr__(self, name: str) -> Callable[..., Any]:
        spec = self._methods.get(name)
        if spec is None:
            raise AttributeError(f"the service declares no method {name!r}")

        def call(*args: Any, **kwargs: Any) -> Any:
            return self._client.call_spec(spec, args, kwargs)

        return call


def _threaded(
    args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Let plain iterators among the arguments be streams that the loop can wait for."""

    def threaded(value: Any) -> Any:
        return ThreadedIterator(value) if _is_iterator(value) else value

    return tuple(map(threaded, args)), {key: threaded(value) for key, value in kwargs.items()}


def _is_iterator(value: object) -> TypeGuard[Iterator[Any]]:
    return isinstance(value, Iterator)
