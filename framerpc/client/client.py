"""The client: what users hold. Calls by name or by function, streams, notifications, stubs.

It encodes and decodes, and leaves everything else to the channel below it. A client belongs
to the event loop that it was entered on; used from another one, or in a forked child, it says
so at once. (`framerpc.sync` is for threads.)
"""

from __future__ import annotations

import asyncio
import dataclasses
from asyncio import get_running_loop
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar, overload

from framerpc.call import CallContext, Handler, Stream, current_context, inherit
from framerpc.client.answers import encoded
from framerpc.client.core import Core, single
from framerpc.client.options import (
    UNCHANGED,
    CallOptions,
    ChannelOptions,
    Unchanged,
    guarded,
    token_source,
)
from framerpc.client.results import ResultStream
from framerpc.client.retry import DEFAULT_RECONNECT
from framerpc.client.state import State
from framerpc.client.stub import make_stub
from framerpc.config import Keepalive, Limits
from framerpc.connection.addresses import parse_address
from framerpc.contract import plain
from framerpc.contract.service import MethodSpec, method_spec_of
from framerpc.errors import ConfigurationError

if TYPE_CHECKING:
    import ssl
    from collections.abc import (
        AsyncIterator,
        Awaitable,
        Callable,
        Iterator,
        Mapping,
        Sequence,
    )
    from types import TracebackType

    from framerpc.call import Body, Buffer, Interceptor
    from framerpc.client.retry import Wait
    from framerpc.protocol.frames import Outcome

__all__ = ["Client", "connect"]

_P = ParamSpec("_P")
_R = TypeVar("_R")
_T = TypeVar("_T")


def connect(
    *urls: str,
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
) -> Client:
    """Return a client of a server. It dials in the background once it is entered.

    Use it as `async with framerpc.connect(url) as client:`. Leaving the block ends calls in
    flight and closes the connection.

    Args:
        urls: `tcp://host:port`, `tls://host:port`, `unix:///path` or `memory://name`. With
            several, each dial tries them in order and keeps the first that answers.
        timeout: Seconds for a single call, waiting for a connection included. None: no limit.
            Streams have no total limit, see `with_options`; `Limits.stream_idle` goes for them.
        metadata: String pairs that travel with each call.
        token: Proves who we are, or a callable that returns it (may be `async`), asked at each
            dial. Over `tcp://` it travels in the clear.
        tls: For `tls://`: which certificates to trust, and our own if the server wants one.
        limits: Bounds.
        keepalive: When to suspect a silent server.
        reconnect: How long to wait before dialling again: any of tenacity's `wait_*` objects.
        interceptors: Around every call; the first is the outermost.
        on_state: Told each new `State`, from the event loop.
        on_receipt: Told what became of each cancelled call: its method and an `Outcome`.

    Raises:
        ConfigurationError: An address or an option is impossible.
    """
    if not urls:
        raise ConfigurationError('no address to connect to; pass one, "tcp://127.0.0.1:7000"')
    channel = ChannelOptions(
        limits=limits or Limits(),
        keepalive=keepalive or Keepalive(),
        reconnect=reconnect if reconnect is not None else DEFAULT_RECONNECT,
        tls=tls,
        token=token_source(token, urls[0]),
        on_state=guarded(on_state),
        on_receipt=guarded(on_receipt),
    )
    options = CallOptions(timeout=timeout, metadata=metadata or {})
    core = Core(tuple(map(parse_address, urls)), channel, tuple(interceptors))
    return Client(core, options)


class Client:
    """A client of one server. Made by `connect`; `with_options` makes further views of it."""

    __slots__ = ("_core", "_options")

    def __init__(self, core: Core, options: CallOptions) -> None:
        self._core = core
        self._options = options

    def __repr__(self) -> str:
        where = ", ".join(map(str, self._core.addresses))
        return f"<Client of {where}, {self.state.value}>"

    # ------------------------------------------------------------------ life cycle

    async def __aenter__(self) -> Self:
        self._core.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End calls in flight with `Unavailable` or `ConnectionLost`, and close. Idempotent."""
        if self._core.channel is not None:
            await self._core.start().close()

    async def ready(self, timeout: float | None = None) -> None:
        """Wait until the server has welcomed us.

        Args:
            timeout: Seconds to wait; None waits as long as a call would.

        Raises:
            Unauthenticated: The credentials were refused.
            ConnectionFailed: The server can never be used (certificate, version).
            DeadlineExceeded: It took too long.
        """
        channel = self._core.start()
        limit = timeout if timeout is not None else self._options.timeout
        try:
            async with asyncio.timeout(limit):
                await channel.ready()
        except TimeoutError:
            raise channel.too_late(limit) from None

    @property
    def state(self) -> State:
        """Where the connection is."""
        channel = self._core.channel
        return channel.state if channel is not None else State.CONNECTING

    async def drop_connections(self) -> None:
        """Cut the connection as a fault would, and dial again; for tests."""
        self._core.start().drop()
        await asyncio.sleep(0)

    def with_options(
        self,
        *,
        timeout: float | Unchanged | None = UNCHANGED,
        metadata: Mapping[str, str] | None = None,
    ) -> Client:
        """Return a view of this client with other options for its calls.

        Args:
            timeout: Seconds for each call, and for each stream as a whole. None: no limit.
            metadata: String pairs, added to those that go already.

        Raises:
            ConfigurationError: An option is impossible.
        """
        options = self._options
        if not isinstance(timeout, Unchanged):
            options = dataclasses.replace(options, timeout=timeout, stream_timeout=timeout)
        if metadata is not None:
            more = CallOptions(metadata=metadata).metadata
            options = dataclasses.replace(options, metadata={**options.metadata, **more})
        return Client(self._core, options)

    def statistics(self) -> dict[str, int]:
        """Return what is in flight, and what became of cancelled calls."""
        channel = self._core.channel
        return {} if channel is None else channel.statistics()

    # ----------------------------------------------------------------------- calls

    def stub(self, service: type[_T]) -> _T:
        """Return an object with the methods of a service; type checkers see the service itself.

        For its `async def` methods and its streams. A plain `def` method is typed as what it
        returns, while a stub's must be awaited: use `call(Service.method, ...)` for those.

        Args:
            service: A class decorated with `framerpc.service`; its code is not run here.

        Raises:
            ConfigurationError: The class is no service.
        """
        return make_stub(self, service)

    @overload
    async def call(self, method: str, /, *args: Any, **kwargs: Any) -> Any: ...
    @overload
    async def call(
        self,
        method: Callable[Concatenate[Any, _P], Awaitable[_R]],
        /,
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _R: ...
    @overload
    async def call(
        self,
        method: Callable[Concatenate[Any, _P], _R],
        /,
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _R: ...
    async def call(self, method: str | Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call a method and return its result.

        Cancelling it cancels the handler on the server as well.

        Args:
            method: Its name, "Service/method", with untyped arguments and result; or the
                function as it stands in the service class, which is typed.
            args: Its arguments. An async iterator among them is sent as a stream.
            kwargs: Its arguments by name.

        Raises:
            CallError: The call ended badly; the subclass says how.
            ConnectionLost: The connection died with the call in flight.
            MessageTooLarge: The arguments are over a limit; nothing was sent.
        """
        if isinstance(method, str):
            body, stream = plain.encode_arguments(args, kwargs)
            items = None if stream is None else encoded(stream, plain.encode_value)
            return plain.decode_value(await self.unary(method, body, items))
        return await self.call_spec(_spec(method, streams=False), args, kwargs)

    async def call_spec(
        self, spec: MethodSpec, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Call the method that `spec` declares; see `call`."""
        body, stream = spec.encode_arguments(args, kwargs)
        if stream is not None:
            items = encoded(stream, spec.encode_item)
            return spec.decode_result(await self.unary(spec.name, body, items))
        # `unary`, without its coroutines: this is the hot path.
        core = self._core
        try:
            here = get_running_loop() is core.loop
        except RuntimeError:  # as in Core.is_here
            here = False
        if not here:
            core.start()  # or says why not
        context = self._context(spec.name, self._options.timeout)
        call = core.begin(context, body)
        if call is None:
            return spec.decode_result(single(await core.handler(context, body), spec.name))
        try:
            result: Any = await call.future  # type: ignore[misc] # one was asked for
        except BaseException as error:  # noqa: BLE001 - again() raises it
            result = await core.again(context, body, call, error)
        return spec.decode_result(result)

    @overload
    def stream(self, method: str, /, *args: Any, **kwargs: Any) -> ResultStream[Any]: ...
    @overload
    def stream(
        self,
        method: Callable[Concatenate[Any, _P], AsyncIterator[_R]],
        /,
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> ResultStream[_R]: ...
    @overload
    def stream(
        self,
        method: Callable[Concatenate[Any, _P], Iterator[_R]],
        /,
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> ResultStream[_R]: ...
    def stream(
        self, method: str | Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> ResultStream[Any]:
        """Call a method whose result is a stream; iterate over what is returned.

        The call starts with the first item that is asked for. After leaving the iteration early,
        `aclose()` stops the producer; so does dropping the last reference.

        Args:
            method: As for `call`.
            args: As for `call`.
            kwargs: As for `call`.
        """
        if isinstance(method, str):
            body, stream = plain.encode_arguments(args, kwargs)
            items = None if stream is None else encoded(stream, plain.encode_value)
            return self._result_stream(method, body, items, plain.decode_value)
        return self.stream_spec(_spec(method, streams=True), args, kwargs)

    def stream_spec(
        self, spec: MethodSpec, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> ResultStream[Any]:
        """Call the streaming method that `spec` declares; see `stream`."""
        body, stream = spec.encode_arguments(args, kwargs)
        items = None if stream is None else encoded(stream, spec.encode_item)
        return self._result_stream(spec.name, body, items, spec.decode_result)

    async def notify(self, method: str | Callable[..., Any], /, *args: Any, **kwargs: Any) -> None:
        """Call a method without waiting for an answer; there is none, not even an error.

        Returns as soon as the call is on its way to the server.

        Args:
            method: As for `call`.
            args: As for `call`; no streams.
            kwargs: As for `call`.

        Raises:
            DeadlineExceeded: There was no connection in time.
            MessageTooLarge: The arguments are over a limit; nothing was sent.
        """
        if isinstance(method, str):
            name = method
            body, stream = plain.encode_arguments(args, kwargs)
        else:
            spec = _spec(method, streams=False)
            name = spec.name
            body, stream = spec.encode_arguments(args, kwargs)
        if stream is not None:
            raise ConfigurationError(f"{name}: a notification cannot carry a stream; use call()")
        self._core.start()
        await self._core.notify(self._context(name, self._options.timeout), body)

    # ------------------------------------------------------------------- one level down

    async def unary(self, name: str, body: bytes, items: AsyncIterator[Buffer] | None) -> Buffer:
        """Make one call with encoded arguments and return the encoded result."""
        handler = self._handler()
        context = self._context(name, self._options.timeout)
        result = await handler(context, body if items is None else Stream(items, body))
        return single(result, name)

    def _handler(self) -> Handler:
        self._core.start()  # or says why not
        return self._core.handler

    def _context(self, name: str, timeout: float | None, *, streams: bool = False) -> CallContext:
        clock = self._core.clock
        now = clock()
        metadata = self._options.metadata
        context = CallContext(
            name,
            clock,
            now,
            None if timeout is None else now + timeout,
            timeout,
            dict(metadata) if metadata else {},
        )
        context.streams = streams
        parent = current_context.get(None)
        if parent is not None:
            inherit(context, parent)
        return context

    def _result_stream(
        self,
        name: str,
        body: bytes,
        items: AsyncIterator[Buffer] | None,
        decode: Callable[[Buffer], Any],
    ) -> ResultStream[Any]:
        async def begin() -> AsyncIterator[Buffer]:
            handler = self._handler()
            context = self._context(name, self._options.stream_timeout, streams=True)
            result: Body = await handler(context, body if items is None else Stream(items, body))
            if not isinstance(result, Stream):
                raise ConfigurationError(f"{name}: an interceptor returned no stream for one")
            return result.items

        return ResultStream(name, begin, decode)


def _spec(method: Callable[..., Any], *, streams: bool) -> MethodSpec:
    spec = method_spec_of(method)
    if spec is None:
        raise ConfigurationError(
            f"{method!r} is no method of a service; decorate it with @framerpc.method in a class "
            "with @framerpc.service, or call it by its name"
        )
    if spec.streams_out is not streams:
        advice = "a stream: use stream()" if spec.streams_out else "a single value: use call()"
        raise ConfigurationError(f"the result of {spec.name} is {advice}")
    return spec
