"""The server: what it offers, where it listens, how it starts and how it stops.

Stopping is graceful by default: no new connections, no new calls, those in flight finish
within the grace, then everything is closed and nothing is left running.

Spec: protocol.md, "Drain".
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, overload

from framerpc.concurrency import check_concurrency
from framerpc.config import Keepalive, Limits, Watchdog
from framerpc.connection.listen import Entrance, Listener, listen, parse_place
from framerpc.contract.service import bound_methods, function_spec
from framerpc.errors import ConfigurationError
from framerpc.given import check, check_seconds
from framerpc.server.ageing import Ageing
from framerpc.server.authorizing import authorizing
from framerpc.server.builtin import add_builtin_methods
from framerpc.server.complaints import Complaints
from framerpc.server.counters import Counters
from framerpc.server.dispatcher import Dispatcher
from framerpc.server.hooks import Hooks
from framerpc.server.listening import Listening
from framerpc.server.options import check_options
from framerpc.server.peers import Credentials, Peers
from framerpc.server.server_topics import ServerTopics
from framerpc.server.sessions import Sessions
from framerpc.server.signals import until_signalled
from framerpc.server.statistics import statistics_of
from framerpc.server.topics import Topics
from framerpc.server.trust import trusting
from framerpc.server.watchdog import Blocks, watch
from framerpc.server.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from framerpc.call import CallContext, Interceptor
    from framerpc.concurrency import ConcurrencyLimit
    from framerpc.contract.service import MethodSpec
    from framerpc.pubsub.store import Store
    from framerpc.server.ageing import ConnectionAge
    from framerpc.server.reply_store import ReplyStore
    from framerpc.server.topics import Rule
    from framerpc.topic_config import TopicLimits, TopicPolicy

__all__ = ["Server"]

_logger: Final = logging.getLogger("framerpc.server")

_ARRIVAL: Final = 0.5
"""Seconds for those who were connecting when the server was told to stop: TLS takes a while."""

_Function = TypeVar("_Function", bound="Callable[..., Any]")
_Hook = TypeVar("_Hook", bound="Callable[[], Awaitable[None] | None]")


_WATCHDOG: Final = Watchdog()


class Server(ServerTopics):
    """Offers the methods of services and functions to clients.

    Args:
        services: Instances of classes decorated with `framerpc.service`.
        limits: Bounds on what clients can cost.
        keepalive: When to suspect a silent client.
        authenticate: Called once per connection, before anything else, with `Credentials`;
            returns the caller's identity (any object). Whatever it raises is a refusal; only
            the text of `Unauthenticated` is told, and logged: keep the token out of it. May be
            `async`.
        authorize: Called before every call with its `CallContext`; raises to refuse it, usually
            `PermissionDenied`. May be `async`.
        interceptors: Around every call; the first is the outermost. They run inside `authorize`.
        trusted: Who may see tracebacks: everybody (True), nobody, or whoever this says of.
        replies: Where the answers of `once` calls survive the process, such as `SQLiteReplies`;
            None keeps them in memory only.
        topics: What is kept of which topic; the first policy whose pattern matches holds. A topic
            that none matches has no history.
        topic_limits: Bounds on what topics, and those who subscribe to them, can cost.
        store: Where the history of topics is kept; in memory by default.
        authorize_topic: Whether this identity may publish, subscribe, or read history or presence
            of this topic, or this pattern as it is written; None: it may. May be `async`.
        watchdog: When to warn of what blocks the event loop; None for never.

    Attributes:
        blocks: What has blocked the event loop.
        max_concurrency: How many calls run at once, or an `AdaptiveConcurrency`; None for as many
            as come. A call beyond that gets `ResourceExhausted` at once. Fair between clients.
        connection_age: How old a connection may become; None for any age.

    Raises:
        ConfigurationError: A service cannot be registered, or an option is of the wrong kind;
            the text says which, and why.
    """

    def __init__(
        self,
        *services: object,
        limits: Limits | None = None,
        keepalive: Keepalive | None = None,
        authenticate: Callable[[Credentials], Awaitable[Any] | Any] | None = None,
        authorize: Callable[[CallContext], Awaitable[None] | None] | None = None,
        interceptors: Sequence[Interceptor] = (),
        trusted: bool | Callable[[CallContext], bool] = False,
        replies: ReplyStore | None = None,
        topics: Sequence[TopicPolicy] = (),
        topic_limits: TopicLimits | None = None,
        store: Store | None = None,
        authorize_topic: Rule | None = None,
        watchdog: Watchdog | None = _WATCHDOG,
        max_concurrency: ConcurrencyLimit | None = None,
        connection_age: ConnectionAge | None = None,
    ) -> None:
        check_concurrency(max_concurrency)
        check_options(
            limits=limits,
            keepalive=keepalive,
            authenticate=authenticate,
            authorize=authorize,
            interceptors=interceptors,
            trusted=trusted,
            replies=replies,
            topics=topics,
            topic_limits=topic_limits,
            store=store,
            authorize_topic=authorize_topic,
            watchdog=watchdog,
            connection_age=connection_age,
        )
        self.limits = limits or Limits()
        self.keepalive = keepalive or Keepalive()
        self.counters = Counters()
        self.blocks = Blocks()
        self.complaints = Complaints(self.counters)
        self.draining = False
        self.trusts = trusting(trusted)
        self._watchdog = watchdog
        self._unwatch = watch(None, None, self.blocks.add)
        around = tuple(interceptors)
        if authorize is not None:
            around = (authorizing(authorize), *around)
        self.workers = Workers(self.limits)
        self.topics = Topics(topics, topic_limits, store, authorize_topic)
        self.dispatcher = Dispatcher(around, self.workers, self.topics.watch, max_concurrency)
        self._ageing = Ageing.of(connection_age, self.limits.cancel_grace)
        self.peers = Peers(self, authenticate, self._ageing)
        self.sessions = Sessions(self, replies)
        self._listeners: list[Listener] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = 0  # of the process that the loop runs in
        self._stopped: asyncio.Event | None = None
        self._hooks = Hooks()
        add_builtin_methods(self)
        for service in services:
            self.add(service)

    def __repr__(self) -> str:
        where = ", ".join(self.urls) if self._listeners else "not listening"
        return f"<Server {where}, {len(self.peers.welcome)} clients>"

    # --------------------------------------------------------------- registration

    def add(self, service: object) -> None:
        """Offer the methods of a service.

        Args:
            service: An instance of a class decorated with `framerpc.service`.

        Raises:
            ConfigurationError: It is none, a name is taken, or the wire cannot carry a signature.
        """
        for spec, function in bound_methods(service):
            self.dispatcher.add(spec, function)

    @overload
    def method(self, function: _Function, /) -> _Function: ...
    @overload
    def method(
        self,
        *,
        name: str | None = None,
        idempotent: bool = False,
        once: bool = False,
        run: Literal["loop", "thread", "process"] | None = None,
        resume: str | None = None,
        max_concurrency: ConcurrencyLimit | None = None,
    ) -> Callable[[_Function], _Function]: ...
    def method(  # type: ignore[misc] # mypy looks for the names that **options takes
        self, function: Any = None, /, **options: Any
    ) -> Any:
        """Offer a function as a method; use it as a decorator, with or without options.

        Args:
            function: The function; its name is the method's unless `name` says otherwise.
            options: As for `framerpc.method`; only what is given overrules the function's own.

        Raises:
            ConfigurationError: The name is taken, or the wire cannot carry the signature.
        """

        def register(function: _Function) -> _Function:
            self.dispatcher.add(function_spec(function, **options), function)
            return function

        return register if function is None else register(function)

    def require_token(self, authenticate: Callable[[Credentials], Any]) -> None:
        """Let `authenticate` decide who may connect, as if it had been passed to the constructor.

        Raises:
            ConfigurationError: Something decides already.
        """
        self.peers.decide_by(authenticate)

    def specs(self) -> Iterable[MethodSpec]:
        """Return the declarations of all methods that can be called."""
        return self.dispatcher.specs()

    def on_start(self, hook: _Hook) -> _Hook:
        """Call `hook` before the server listens; use it as a decorator. May be `async`."""
        self._hooks.start.append(hook)
        return hook

    def on_stop(self, hook: _Hook) -> _Hook:
        """Call `hook` after the last call has ended; use it as a decorator. May be `async`."""
        self._hooks.stop.append(hook)
        return hook

    # ------------------------------------------------------------------ listening

    @property
    def urls(self) -> list[str]:
        """Where it listens, as clients can dial it; ports are the real ones."""
        return [str(listener.address) for listener in self._listeners]

    @property
    def serving(self) -> bool:
        """Whether clients should come: it listens and does not drain."""
        return bool(self._listeners) and not self.draining

    @property
    def url(self) -> str:
        """The first of `urls`.

        Raises:
            ConfigurationError: It does not listen.
        """
        if not self._listeners:
            raise ConfigurationError(
                'the server does not listen; use "async with server.listen(url):"'
            )
        return self.urls[0]

    def listen(
        self, *urls: str | Entrance, tls: ssl.SSLContext | None = None, grace: float = 10.0
    ) -> Listening:
        """Listen at these addresses while an `async with` block runs, then drain and close.

        It touches no signal handlers; `serve` and `run` do.

        Args:
            urls: `tcp://host:port`, `tls://host:port`, `unix:///path`, `memory://name`; port 0
                takes any free one, see `urls`. A gateway (`framerpc.gateway`) is one as well.
            tls: The certificate for `tls://`, and whether clients must show one.
            grace: Seconds that calls in flight get when the block is left.

        Raises:
            ConfigurationError: `grace` is none; on entering: an address is impossible, `tls` is no
                context, or it listens already.
            OSError: On entering: the system refuses an address.
        """
        return Listening(self, urls, tls, grace)

    async def start(self, *urls: str | Entrance, tls: ssl.SSLContext | None = None) -> None:
        """Listen at these addresses until `close` is called; see `listen`."""
        if self._loop is not None:
            raise ConfigurationError("the server listens already; pass all addresses at once")
        if not urls:
            raise ConfigurationError('no address to listen at; pass one, "tcp://127.0.0.1:0"')
        addresses = [parse_place(url) for url in urls]
        check("tls", tls, (ssl.SSLContext, type(None)), "an ssl.SSLContext, or None")
        self._loop = asyncio.get_running_loop()
        self._pid = os.getpid()
        self._stopped = asyncio.Event()
        self.draining = False
        self._unwatch = watch(self._loop, self._watchdog, self.blocks.add)
        try:
            await self.sessions.start()
            await self.topics.open()
            await self._hooks.started()
            for address in addresses:
                patience = self.limits.handshake_timeout
                factory = self.peers.factory
                listener = await listen(
                    address, factory, tls=tls, timeout=patience, paused=self._accept_paused
                )
                self._listeners.append(listener)
        except BaseException as exc:
            try:
                await self.close(grace=0)
            except Exception as second:  # noqa: BLE001 - the first is the one that matters
                exc.add_note(f"besides, stopping failed: {second!r}")
            raise
        _logger.info("= listening at %s", ", ".join(self.urls))

    async def close(self, grace: float = 10.0) -> None:
        """Stop: accept nothing more, let calls in flight finish, close. Idempotent.

        Calls that were sent before the client has heard of it are served as well. A connection
        closes as soon as nothing is in flight on it.

        Cancelling it stops waiting for calls; they are then cut. In a forked child it does
        nothing: the connections belong to the parent.

        Args:
            grace: Seconds that calls in flight get; 0 cancels them at once.

        Raises:
            ConfigurationError: `grace` is no number of seconds >= 0; nothing was stopped.
            Exception: What the first `on_stop` hook that failed raised, after all have run.
        """
        check_seconds("grace", grace)
        if self._loop is None or self._stopped is None or self._pid != os.getpid():
            return
        if self.draining:
            await self._stopped.wait()
            return
        self.draining = True
        for listener in self._listeners:
            listener.close()
        arrival = min(grace, _ARRIVAL)
        try:
            await asyncio.gather(*(each.arrived(arrival) for each in self._listeners))
            if grace > 0:
                await self.peers.drain(grace)
        finally:
            await self._finish()

    async def _finish(self) -> None:
        try:
            await self.peers.close()
            await self.sessions.close()
            await self.workers.close()
            await self.topics.close()
            failures = await self._hooks.stopped()
        finally:
            self._unwatch()
            self.complaints.close()
            self._listeners.clear()
            self._loop = None
            if self._stopped is not None:
                self._stopped.set()
        if failures:
            raise failures[0]

    async def serve_forever(self) -> None:
        """Wait until the server is closed. Cancelling it only stops waiting."""
        if self._stopped is None:
            raise ConfigurationError('the server does not listen; use "await server.serve(url)"')
        await self._stopped.wait()

    async def serve(
        self,
        *urls: str | Entrance,
        tls: ssl.SSLContext | None = None,
        grace: float = 10.0,
        ready: Callable[[Server], None] | None = None,
    ) -> None:
        """Listen until SIGTERM or SIGINT, then drain. A second signal cancels what still runs.

        Cancelling it cancels calls in flight, and closes.

        Args:
            urls: As for `listen`.
            tls: As for `listen`.
            grace: Seconds that calls in flight get.
            ready: Called once the server listens.

        Raises:
            ConfigurationError: `grace` is no finite number of seconds >= 0; otherwise as `listen`.
        """
        check_seconds("grace", grace)
        await self.start(*urls, tls=tls)
        await until_signalled(self, grace, ready)

    def run(
        self,
        *urls: str | Entrance,
        tls: ssl.SSLContext | None = None,
        grace: float = 10.0,
        ready: Callable[[Server], None] | None = None,
    ) -> None:
        """Serve in a loop of its own (uvloop's where there is one) until SIGTERM or SIGINT.

        Args: as for `serve`.

        Raises:
            ConfigurationError: A loop is running here already; `serve` is for that.
        """
        from framerpc.adapters.uvloop import run  # noqa: PLC0415 - only who runs a loop needs it

        if asyncio._get_running_loop() is not None:  # noqa: SLF001
            raise ConfigurationError(
                "run() starts an event loop of its own, and one is running here; "
                'use "await server.serve(url)"'
            )
        run(self.serve(*urls, tls=tls, grace=grace, ready=ready))

    # -------------------------------------------------------------------- counting

    def _accept_paused(self) -> None:
        self.counters.accept_pauses += 1

    def statistics(self) -> dict[str, int]:
        """Return what was counted, and what is there now, by name."""
        return statistics_of(self, self._ageing)

    def concurrency(self) -> dict[str, dict[str, int]]:
        """Return each limit of calls at once: what it is now, calls in flight, calls refused.

        By the names of methods; "" stands for the server.
        """
        return {name: each.statistics() for name, each in self.dispatcher.limiters.items()}
