"""The client: what users hold. Calls by name or by function, streams, notifications, stubs.

It encodes and decodes, and leaves everything else to the channel below it. A client belongs
to the event loop that it was entered on; used from another one, or in a forked child, it says
so at once. (`framerpc.sync` is for threads.)
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
from asyncio import get_running_loop
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar, overload

from framerpc.call import CallContext, Handler, Stream, current_context, inherit
from framerpc.client.answers import encoded
from framerpc.client.core import Core, single
from framerpc.client.options import (
    UNCHANGED,
    CallOptions,
    Unchanged,
)
from framerpc.client.results import ResultStream
from framerpc.client.resuming import Resuming
from framerpc.client.state import State
from framerpc.client.stub import make_stub, spec_for
from framerpc.client.topics import ClientTopics
from framerpc.contract import plain
from framerpc.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import (
        AsyncIterator,
        Awaitable,
        Callable,
        Iterator,
        Mapping,
    )
    from types import TracebackType

    from framerpc.balancing.candidate import Report
    from framerpc.call import Buffer
    from framerpc.client.watching import WatchStream
    from framerpc.config import HedgePolicy
    from framerpc.contract.service import MethodSpec
    from framerpc.contract.watching import Watch

__all__ = ["Client"]

_P = ParamSpec("_P")
_R = TypeVar("_R")
_T = TypeVar("_T")
_S = TypeVar("_S")
_C = TypeVar("_C")


class Client(ClientTopics):
    """A client of one or several servers. Made by `connect`; `with_options` makes further views of it."""

    __slots__ = ("_core", "_options", "_special")

    def __init__(self, core: Core, options: CallOptions) -> None:
        self._core = core
        self._options = options
        self._special = bool(options.routing_key or options.idempotent or options.hedge)

    def __repr__(self) -> str:
        pool = self._core.pool
        where = self._core.resolver if pool is None else pool.where()
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
        """End calls in flight with `Unavailable` or `ConnectionLost`, and close. Idempotent.

        In a forked child it does nothing: the connection belongs to the parent.
        """
        if self._core.pool is not None and self._core.pid == os.getpid():
            await self._core.start().close()

    async def ready(
        self,
        timeout: float | None = None,
        *,
        all: bool = False,  # noqa: A002 - it reads well where it is used
    ) -> None:
        """Wait until a server has welcomed us.

        Args:
            timeout: Seconds to wait; None waits as long as a call would.
            all: Wait for all servers, not for the first.

        Raises:
            Unauthenticated: The credentials were refused.
            ConnectionFailed: The server can never be used (certificate, version).
            DeadlineExceeded: It took too long.
        """
        pool = self._core.start()
        limit = timeout if timeout is not None else self._options.timeout
        try:
            async with asyncio.timeout(limit):
                await pool.ready(all_of_them=all)
        except TimeoutError:
            raise pool.too_late(limit) from None

    @property
    def state(self) -> State:
        """Where the connections are, the best of them."""
        pool = self._core.pool
        return pool.state if pool is not None else State.CONNECTING

    async def drop_connections(self) -> None:
        """Cut all connections as a fault would, and dial again; for tests."""
        self._core.start().drop()
        await asyncio.sleep(0)

    def with_options(
        self,
        *,
        timeout: float | Unchanged | None = UNCHANGED,
        metadata: Mapping[str, str] | None = None,
        routing_key: str | Unchanged | None = UNCHANGED,
        idempotent: bool | Unchanged = UNCHANGED,
        hedge: HedgePolicy | Unchanged | None = UNCHANGED,
    ) -> Client:
        """Return a view of this client with other options for its calls.

        Args:
            timeout: Seconds for each call, and for each stream as a whole. None: no limit.
            metadata: String pairs, added to those that go already.
            routing_key: What decides which server gets the calls, if the balancing is sticky.
            idempotent: Calls by name may be sent again when it is not known what became of
                them. Methods that are declared need not be told.
            hedge: When idempotent calls go to a second server as well.

        Raises:
            ConfigurationError: An option is impossible.
        """
        options = self._options
        if not isinstance(timeout, Unchanged):
            options = dataclasses.replace(options, timeout=timeout, stream_timeout=timeout)
        if metadata is not None:
            more = CallOptions(metadata=metadata).metadata
            options = dataclasses.replace(options, metadata={**options.metadata, **more})
        given = {"routing_key": routing_key, "idempotent": idempotent, "hedge": hedge}
        changes: dict[str, Any] = {
            name: value for name, value in given.items() if not isinstance(value, Unchanged)
        }
        return Client(self._core, dataclasses.replace(options, **changes))

    def statistics(self) -> dict[str, int]:
        """Return what is in flight, and what became of cancelled calls."""
        pool = self._core.pool
        return {} if pool is None else pool.statistics()

    def endpoints(self) -> list[Report]:
        """Return what is known of each server: how it stands, its load, and why."""
        pool = self._core.pool
        return [] if pool is None else pool.explain()

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
        spec = spec_for(method, streams=False)
        return await (self.once_spec if spec.once else self.call_spec)(spec, args, kwargs)

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
        options, call = self._options, None
        if options.simple and current_context.get(None) is None:
            call = core.begin(spec.name, body, options.timeout, options.timeout_ms)
        if call is None:
            context = self._context(spec.name, options.timeout)
            context.idempotent = spec.idempotent or context.idempotent
            return spec.decode_result(single(await core.handler(context, body), spec.name))
        result: Buffer
        try:
            result = await call.future
        except BaseException as error:  # noqa: BLE001 - again() raises it
            context = self._context(spec.name, call.timeout, call.sent)
            context.idempotent = spec.idempotent
            result = single(await core.again(context, body, call, error), spec.name)
        return spec.decode_result(result)

    async def once_spec(
        self, spec: MethodSpec, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Call the `once` method that `spec` declares; see `call`."""
        body, _ = spec.encode_arguments(args, kwargs)
        handler = self._handler()
        context = self._context(spec.name, self._options.timeout)
        context.once, context.idempotent = True, spec.idempotent or context.idempotent
        return spec.decode_result(single(await handler(context, body), spec.name))

    @overload
    def stream(self, method: str, /, *args: Any, **kwargs: Any) -> ResultStream[Any]: ...
    @overload
    def stream(
        self,
        method: Callable[Concatenate[Any, _P], Watch[_S, _C] | Awaitable[Watch[_S, _C]]],
        /,
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> WatchStream[_S, _C]: ...
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
    ) -> ResultStream[Any] | WatchStream[Any, Any]:
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
        spec = spec_for(method, streams=True)
        return (self.watch_spec if spec.watch else self.stream_spec)(spec, args, kwargs)

    def stream_spec(
        self, spec: MethodSpec, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> ResultStream[Any]:
        """Call the streaming method that `spec` declares; see `stream`."""
        if spec.resume is not None:
            return self._resumed_stream(spec, spec.resume, args, kwargs)
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
            spec = spec_for(method, streams=False)
            name = spec.name
            body, stream = spec.encode_arguments(args, kwargs)
        if stream is not None:
            raise ConfigurationError(f"{name}: a notification cannot carry a stream; use call()")
        self._core.start()
        await self._core.notify(self._context(name, self._options.timeout), body)

    # ------------------------------------------------------------------- one level down

    async def unary(
        self,
        name: str,
        body: bytes,
        items: AsyncIterator[Buffer] | None,
        *,
        idempotent: bool = False,
    ) -> Buffer:
        """Make one call with encoded arguments and return the encoded result."""
        handler = self._handler()
        context = self._context(name, self._options.timeout)
        if idempotent:
            context.idempotent = True
        result = await handler(context, body if items is None else Stream(items, body))
        return single(result, name)

    def _handler(self) -> Handler:
        self._core.start()  # or says why not
        return self._core.handler

    def _context(self, name: str, timeout: float | None, began: float | None = None) -> CallContext:
        clock = self._core.clock
        now = clock() if began is None else began
        metadata = self._options.metadata
        context = CallContext(
            name,
            clock,
            now,
            None if timeout is None else now + timeout,
            timeout,
            dict(metadata) if metadata else {},
        )
        if self._special:
            self._specialise(context)
        parent = current_context.get(None)
        if parent is not None:
            inherit(context, parent)
        return context

    def _specialise(self, context: CallContext) -> None:
        """Tell a context of the options that few calls have."""
        options = self._options
        context.routing_key = options.routing_key
        context.idempotent = options.idempotent
        context.hedge = options.hedge

    def _result_stream(
        self,
        name: str,
        body: bytes,
        items: AsyncIterator[Buffer] | None,
        decode: Callable[[Buffer], Any],
    ) -> ResultStream[Any]:
        async def begin() -> AsyncIterator[Buffer]:
            self._core.start()  # or says why not
            context = self._context(name, self._options.stream_timeout)
            context.streams = True
            return await self._core.items(context, body if items is None else Stream(items, body))

        return ResultStream(name, begin, decode)

    def _resumed_stream(
        self, spec: MethodSpec, parameter: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> ResultStream[Any]:
        """Return a stream that goes on after a lost connection, all within one timeout."""
        spec.encode_arguments(args, kwargs)  # what is wrong with them is said at once
        first: int = kwargs.get(parameter, 0)

        async def begin() -> AsyncIterator[Buffer]:
            self._core.start()  # or says why not
            whole = self._context(spec.name, self._options.stream_timeout)

            async def call(taken: int) -> AsyncIterator[Buffer]:
                more = {parameter: first + taken} if taken else {}
                body, _ = spec.encode_arguments(args, {**kwargs, **more})
                context = self._context(spec.name, None)
                context.streams = True
                context.deadline, context.timeout = whole.deadline, whole.timeout
                return await self._core.items(context, body)

            return Resuming(call, self._core.options.limits.max_resumes)

        return ResultStream(spec.name, begin, spec.decode_result)
