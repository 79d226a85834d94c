"""The registry of methods, and for each the Handler that runs it.

A Handler here decodes the arguments, runs the function where its declaration says (on the
loop, in a thread, in a process), and encodes what it returns. Only what was registered can be
called: a name is looked up whole, never taken apart. It knows no connection; what an exception
means on the wire is decided in `failure`.

Spec: protocol.md, "Arguments and results".
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator
from functools import partial
from typing import TYPE_CHECKING, Any

from framerpc.call import Body, CallContext, Handler, Interceptor, Stream, chain
from framerpc.contract.names import RESERVED_PREFIX
from framerpc.contract.values import encode
from framerpc.contract.watching import Watch
from framerpc.errors import ConfigurationError, InvalidArgument, InvalidResult
from framerpc.protocol.frames import Flag
from framerpc.server.overload import Limiter, limited
from framerpc.server.threads import blocking_iterator

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from framerpc.call import Buffer
    from framerpc.concurrency import ConcurrencyLimit
    from framerpc.contract.service import MethodSpec
    from framerpc.server.workers import Workers

    Follow = Callable[[CallContext, Watch[Any, Any], Callable[[Any], bytes]], Awaitable[Stream]]

__all__ = ["Dispatcher", "Method"]


class Method:
    """A registered method.

    Attributes:
        spec: Its declaration.
        handler: Runs it, interceptors included.
        flags: The flags a REQUEST for it must carry.
    """

    __slots__ = ("flags", "handler", "spec")

    def __init__(self, spec: MethodSpec, handler: Handler) -> None:
        self.spec = spec
        self.handler = handler
        self.flags = int(spec.streams_out * Flag.WANTS_STREAM | spec.streams_in * Flag.SENDS_STREAM)

    def __repr__(self) -> str:
        return f"<Method {self.spec.name}{self.spec.signature}>"


class Dispatcher:
    """All methods of one server, by name.

    Args:
        interceptors: Around every handler; the first is the outermost.
        workers: The threads and processes of the server.
        watch: Follows the watch that a method has returned.
        max_concurrency: How many calls of all methods run at once, or None.

    Attributes:
        methods: The methods.
        limiters: The limits of calls at once: of methods by name, of the server by "".
    """

    def __init__(
        self,
        interceptors: tuple[Interceptor, ...],
        workers: Workers,
        watch: Follow,
        max_concurrency: ConcurrencyLimit | None = None,
    ) -> None:
        self.methods: dict[str, Method] = {}
        self.limiters: dict[str, Limiter] = {}
        if max_concurrency is not None:
            self.limiters[""] = Limiter(max_concurrency, "the server")
        self._interceptors = interceptors
        self._workers = workers
        self._watch = watch

    def add(self, spec: MethodSpec, function: Callable[..., Any]) -> None:
        """Register one method.

        Raises:
            ConfigurationError: The name is taken, or the method cannot run as declared.
        """
        self.add_handler(spec, self._handler(spec, function))

    def add_handler(self, spec: MethodSpec, handler: Handler) -> None:
        """Register one method that decodes its arguments, and encodes its result, itself.

        Raises:
            ConfigurationError: The name is taken.
        """
        if spec.name in self.methods:
            raise ConfigurationError(
                f"two methods are named {spec.name!r}; give one of them another name"
            )
        handler = chain(self._interceptors, handler)
        limiters = self._limiters_for(spec)
        if limiters:
            handler = limited(handler, limiters)
        self.methods[spec.name] = Method(spec, handler)

    def _limiters_for(self, spec: MethodSpec) -> tuple[Limiter, ...]:
        """Return the limits that go for a method: its own, then the server's."""
        if spec.name.startswith(RESERVED_PREFIX):
            return ()  # whether a server is well can be asked when it is overloaded, above all
        if spec.max_concurrency is not None:
            self.limiters[spec.name] = Limiter(spec.max_concurrency, spec.name)
        found = (self.limiters.get(name) for name in (spec.name, ""))
        return tuple(limiter for limiter in found if limiter is not None)

    def specs(self) -> Iterable[MethodSpec]:
        """Return the declarations of all methods."""
        return [method.spec for method in self.methods.values()]

    def _handler(self, spec: MethodSpec, function: Callable[..., Any]) -> Handler:
        if spec.run == "process":
            return self._workers.process_handler(spec, function)
        if spec.run == "thread":
            return _in_thread(spec, function, self._workers)
        if spec.watch:
            return _watch_on_loop(spec, function, self._watch)
        if spec.streams_out:
            return _stream_on_loop(spec, function)
        return _on_loop(spec, function)


def _on_loop(spec: MethodSpec, function: Callable[..., Any]) -> Handler:
    """Return the Handler of a method that runs on the loop and has one result."""
    decode = spec.decode_arguments
    exact = spec.exact
    waits = _is_async(function)  # not with `run="loop"` on a plain `def`

    async def handle(context: CallContext, body: Body) -> Body:
        if body.__class__ is Stream:
            args, kwargs = _with_stream(spec, body)
        else:
            args, kwargs = decode(body)  # type: ignore[arg-type] # no stream
        context.started = context.now()
        result = function(*args, **kwargs)
        if waits:
            result = await result
        if exact is None or type(result) in exact:
            try:
                return encode(result)
            except Exception:  # noqa: BLE001 - which says what is wrong
                return spec.encode_result(result)
        return spec.encode_result(result)

    return handle


def _is_async(function: Callable[..., Any]) -> bool:
    """Return whether calling it makes a coroutine: an `async def`, or an object with one."""
    call: object = getattr(function, "__call__", None)  # noqa: B004 - it is callable for sure
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def _stream_on_loop(spec: MethodSpec, function: Callable[..., Any]) -> Handler:
    """Return the Handler of a method that is an asynchronous generator."""

    async def handle(context: CallContext, body: Body) -> Body:
        args, kwargs = _with_stream(spec, body)
        context.started = context.now()
        items = function(*args, **kwargs)
        if inspect.isawaitable(items):  # an `async def` that returns an iterator
            items = await items
        return Stream(_Encoded(items, spec))

    return handle


def _watch_on_loop(spec: MethodSpec, function: Callable[..., Any], follow: Follow) -> Handler:
    """Return the Handler of a method that returns a watch."""

    async def handle(context: CallContext, body: Body) -> Body:
        args, kwargs = _with_stream(spec, body)
        context.started = context.now()
        watch = function(*args, **kwargs)
        if inspect.isawaitable(watch):
            watch = await watch
        if not isinstance(watch, Watch):
            raise InvalidResult(f"the method declares a Watch and returned {type(watch).__name__}")
        return await follow(context, watch, spec.encode_result)  # pyright: ignore[reportUnknownArgumentType]

    return handle


def _in_thread(spec: MethodSpec, function: Callable[..., Any], workers: Workers) -> Handler:
    """Return the Handler of a plain `def`: it may block, so it runs in a worker thread."""
    threads = workers.threads

    async def handle(context: CallContext, body: Body) -> Body:
        if not isinstance(body, Stream) and not spec.streams_out:
            # Decoding and encoding happen in the thread as well: they may be long.
            work = partial(_decode_run_encode, context, spec, function, body)
            return await threads.run(context, work, (), {})  # type: ignore[no-any-return]
        args, kwargs = _with_stream(spec, body, blocking=True)
        if spec.streams_out:
            return Stream(threads.stream(context, function, args, kwargs, spec.encode_result))
        return spec.encode_result(await threads.run(context, function, args, kwargs))

    return handle


def _decode_run_encode(
    context: CallContext, spec: MethodSpec, function: Callable[..., Any], body: Buffer
) -> bytes:
    """Do all there is to do for a call of a plain function; runs in a worker thread."""
    try:
        args, kwargs = spec.decode_arguments(body)
    except InvalidArgument:
        context.started = None  # the function was not entered
        raise
    return spec.encode_result(function(*args, **kwargs))


def _with_stream(
    spec: MethodSpec, body: Body, *, blocking: bool = False
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Decode arguments of which one may be a stream."""
    if not isinstance(body, Stream):
        return spec.decode_arguments(body)
    items: Any = _Decoded(body.items, spec.decode_item)
    if blocking:
        items = blocking_iterator(items, asyncio.get_running_loop())
    return spec.decode_arguments(body.head, items)


class _Encoded(AsyncIterator["Buffer"]):
    """The items of a handler's stream, encoded as they are asked for."""

    __slots__ = ("_items", "_spec")

    def __init__(self, items: Any, spec: MethodSpec) -> None:
        self._items = aiter(items)
        self._spec = spec

    async def __anext__(self) -> Buffer:
        return self._spec.encode_result(await anext(self._items))

    async def aclose(self) -> None:
        """Close the handler's generator: its `finally` runs."""
        close = getattr(self._items, "aclose", None)
        if close is not None:
            await close()


class _Decoded(AsyncIterator[Any]):
    """The items of the caller's stream, as the types that were declared."""

    __slots__ = ("_decode", "_items")

    def __init__(self, items: AsyncIterator[Buffer], decode: Callable[[Buffer], Any]) -> None:
        self._items = items
        self._decode = decode

    async def __anext__(self) -> Any:
        body = await anext(self._items)
        try:
            return self._decode(body)
        except InvalidArgument as exc:
            exc.method = ""  # raised by this call, not by one that the handler made
            raise

    async def aclose(self) -> None:
        """Take no more items."""
        close = getattr(self._items, "aclose", None)
        if close is not None:
            await close()
