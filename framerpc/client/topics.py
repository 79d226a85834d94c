"""What a client can do with topics: subscribe, publish, and ask for history and presence.

This module owns how the calls for it are made, through the client's own Handler as all others;
what arrives is the business of `subscription` and `watching`.

Spec: protocol.md, "Topics".
"""

# pyright: reportPrivateUsage=false
# The part of a `Client` that is about topics: its private names are our own.

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, get_args, overload

import msgspec

from framerpc.call import CallContext, Stream
from framerpc.client.following import Attempts
from framerpc.client.messages import History, Message
from framerpc.client.retry import Pauses
from framerpc.client.state import State
from framerpc.client.subscription import Subscription
from framerpc.client.watching import PresenceStream, WatchStream
from framerpc.contract import values
from framerpc.contract.topic import Topic, encode_message, topic_of
from framerpc.errors import ConfigurationError, InvalidArgument, InvalidResult
from framerpc.protocol.topics import (
    HISTORY,
    POLICIES,
    PRESENCE,
    PUBLISH,
    SINCE,
    SUBSCRIBE,
    HistoryOptions,
    HistoryPage,
    MessageItem,
    PublishOptions,
    Receipt,
    SubscribeOptions,
    decode_item,
)
from framerpc.pubsub.events import Published
from framerpc.pubsub.positions import Position
from framerpc.pubsub.topics import check_pattern, check_topic, is_pattern

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from typing import TypeAlias

    from framerpc.call import Buffer, Handler
    from framerpc.client.core import Core
    from framerpc.client.options import CallOptions
    from framerpc.contract.method import MethodSpec

__all__ = ["ClientTopics"]

_T = TypeVar("_T")

if TYPE_CHECKING:
    Since: TypeAlias = Position | str | int | dt.datetime | Mapping[str, Position | str] | None
    Policy: TypeAlias = Literal["disconnect", "drop_oldest", "drop_newest", "latest"]

_decode_receipt: Final = msgspec.msgpack.Decoder(Receipt).decode
_decode_page: Final = msgspec.msgpack.Decoder(HistoryPage).decode


class ClientTopics:
    """The topics part of a `Client`: a class of its own for the reader, not for use."""

    __slots__ = ()

    _core: Core
    _options: CallOptions

    # What the rest of the client has.
    if TYPE_CHECKING:
        state: Any
        _handler: Callable[[], Handler]
        unary: Callable[..., Awaitable[Buffer]]
        _context: Callable[[str, float | None], CallContext]

    # ------------------------------------------------------------------ publishing

    @overload
    async def publish(
        self,
        topic: Topic[_T],
        data: _T,
        *,
        key: str | None = None,
        conflate: str = "",
        ack: Literal[True] = True,
    ) -> Published: ...
    @overload
    async def publish(
        self,
        topic: str,
        data: Any,
        *,
        key: str | None = None,
        conflate: str = "",
        ack: Literal[True] = True,
    ) -> Published: ...
    @overload
    async def publish(
        self,
        topic: str | Topic[Any],
        data: Any,
        *,
        key: str | None = None,
        conflate: str = "",
        ack: bool,
    ) -> Published | None: ...
    async def publish(
        self,
        topic: str | Topic[Any],
        data: Any,
        *,
        key: str | None = None,
        conflate: str = "",
        ack: bool = True,
    ) -> Published | None:
        """Publish a message.

        Cancelling it leaves open whether the message was published.

        Args:
            topic: Where.
            data: Anything that can be an argument of a call.
            key: Names this message, at most 255 characters: when it is published again with the
                same key, nothing happens. So it is published again by itself when the connection
                died before the receipt was here, as often as the `RetryPolicy` says.
            conflate: Names what the message is about, at most 255 characters: where only the
                latest messages are kept, it takes the place of the one before it about the same.
            ack: Wait for the receipt. Without it, the message is lost silently if the server does
                not take it, or the connection dies.

        Returns:
            Where it stands and how many subscribers of this server it went to; None without `ack`.

        Raises:
            PermissionDenied: We may not publish there.
            InvalidArgument: The topic, a key or the data is impossible.
            CallError: The server could not take it; the subclass says why.
            ConnectionLost: The connection died with the message in flight; with a `key`, it may
                be published again.
            MessageTooLarge: It is over a limit; nothing was sent.
        """
        named = topic_of(topic)
        check_topic(named.name)
        options = PublishOptions(key, conflate) if key is not None or conflate else None
        body = values.encode((named.name, encode_message(data), options))
        if not ack:
            self._core.start()
            await self._core.notify(self._context(PUBLISH, self._options.timeout), body)
            return None
        answer = await self.unary(PUBLISH, body, None, idempotent=key is not None)
        receipt = _decoded(_decode_receipt, answer)
        position = None
        if receipt.epoch is not None and receipt.offset is not None:
            position = Position(receipt.epoch, receipt.offset)
        return Published(receipt.offset, position, receipt.subscribers, receipt.duplicate)

    # ----------------------------------------------------------------- subscribing

    @overload
    def subscribe(
        self,
        pattern: Topic[_T],
        *,
        since: Since = None,
        group: str | None = None,
        policy: Policy | None = None,
        max_queue: int | None = None,
        on_message: Callable[[Message[_T]], Awaitable[None] | None] | None = None,
        on_resume: Callable[[Subscription[_T]], None] | None = None,
    ) -> Subscription[_T]: ...
    @overload
    def subscribe(
        self,
        pattern: str,
        *,
        type: type[_T],
        since: Since = None,
        group: str | None = None,
        policy: Policy | None = None,
        max_queue: int | None = None,
        on_message: Callable[[Message[_T]], Awaitable[None] | None] | None = None,
        on_resume: Callable[[Subscription[_T]], None] | None = None,
    ) -> Subscription[_T]: ...
    @overload
    def subscribe(
        self,
        pattern: str,
        *,
        since: Since = None,
        group: str | None = None,
        policy: Policy | None = None,
        max_queue: int | None = None,
        on_message: Callable[[Message[Any]], Awaitable[None] | None] | None = None,
        on_resume: Callable[[Subscription[Any]], None] | None = None,
    ) -> Subscription[Any]: ...
    def subscribe(
        self,
        pattern: str | Topic[Any],
        *,
        type: Any = None,  # noqa: A002 - what users look for
        since: Since = None,
        group: str | None = None,
        policy: Policy | None = None,
        max_queue: int | None = None,
        on_message: Callable[[Message[Any]], Awaitable[None] | None] | None = None,
        on_resume: Callable[[Subscription[Any]], None] | None = None,
    ) -> Subscription[Any]:
        """Return a subscription: enter it with `async with`, then iterate.

        Args:
            pattern: A topic, or a pattern: `*` stands for one token, `>` for the rest.
            type: The type of the messages. One that does not fit raises InvalidArgument where it
                is taken, and costs nothing else.
            since: Where to begin: None with what comes; "start" with what is kept; a number of
                messages of each topic; a time with a zone; behind a `Position`, or its text; or
                what `Subscription.positions` said, for a pattern.
            group: A queue group: each message goes to one of its members.
            policy: What the server does when more than `max_queue` bytes wait for us: "disconnect"
                (we come again, and get from the history what we missed), "drop_oldest",
                "drop_newest", or "latest" (keep the last message of each topic). By default the
                first where the history can serve, the second elsewhere.
            max_queue: Bytes that may wait for us on the server, besides a window of the connection.
            on_message: Called with each message, one at a time, instead of iterating; may be
                `async`. What it raises is logged.
            on_resume: Called with the subscription each time it was made again, when its
                `recovered` says whether something is missing.

        Raises:
            InvalidArgument: The pattern or an option is impossible.
            ConfigurationError: The type cannot cross the wire.
        """
        topic = topic_of(pattern, type)
        topic.prepare()
        check_pattern(topic.name)
        if policy is not None and policy not in POLICIES:
            raise InvalidArgument(f"policy is one of {', '.join(POLICIES)}, got {policy!r}")
        resume, stamp_ms = _since(topic.name, since)
        options = SubscribeOptions(resume, stamp_ms, "", group, policy, max_queue)

        async def open_(options: SubscribeOptions) -> AsyncIterator[Buffer]:
            return await self._open(SUBSCRIBE, values.encode((topic.name, options)))

        return Subscription(
            topic,
            options,
            open_,
            self._attempts(),
            timeout=self._options.timeout,
            on_message=on_message,
            on_resume=on_resume,
        )

    # ------------------------------------------------------------ history, presence

    @overload
    async def history(
        self, topic: Topic[_T], *, since: Since = "start", limit: int | None = None
    ) -> History[_T]: ...
    @overload
    async def history(
        self, topic: str, *, type: type[_T], since: Since = "start", limit: int | None = None
    ) -> History[_T]: ...
    @overload
    async def history(
        self, topic: str, *, since: Since = "start", limit: int | None = None
    ) -> History[Any]: ...
    async def history(
        self,
        topic: str | Topic[Any],
        *,
        type: Any = None,  # noqa: A002 - as for subscribe
        since: Since = "start",
        limit: int | None = None,
    ) -> History[Any]:
        """Return a page of the messages that a topic has kept.

        Args:
            topic: The topic.
            type: The type of its messages.
            since: Where to begin, as for `subscribe`.
            limit: Messages at most; the server may send fewer.

        Raises:
            PermissionDenied: We may not read it.
            InvalidArgument: The topic or an option is impossible, or a message does not fit.
        """
        named = topic_of(topic, type)
        check_topic(named.name)
        resume, stamp_ms = _since(named.name, since)
        body = values.encode((named.name, HistoryOptions(resume, stamp_ms, limit)))
        page = _decoded(_decode_page, await self.unary(HISTORY, body, None, idempotent=True))
        messages = tuple(_message(named, each) for each in page.messages)
        top = None if page.top is None else Position.parse(page.top)
        return History(messages, page.recovered, top, page.more)

    def presence(self, topic: str | Topic[Any]) -> PresenceStream:
        """Return who is on a topic: await it once, or iterate to follow.

        `await client.presence("rooms.a")` is a `Presence`; `async for update in` it yields a
        `Snapshot` of one, and then a `Change` for everybody who comes and goes.

        Raises:
            InvalidArgument: It is no topic.
            PermissionDenied: We may not know (raised by awaiting, or iterating).
        """
        named = topic_of(topic)
        check_topic(named.name)
        body = values.encode((named.name,))

        async def open_(position: str | None) -> AsyncIterator[Buffer]:
            return await self._open(PRESENCE, body, position)

        return PresenceStream(open_, self._attempts())

    # ---------------------------------------------------------------- one level down

    def watch_spec(
        self, spec: MethodSpec, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> WatchStream[Any, Any]:
        """Call the method that `spec` declares, whose result is a watch."""
        body, _ = spec.encode_arguments(args, kwargs)
        state, change = get_args(spec.result)

        async def open_(position: str | None) -> AsyncIterator[Buffer]:
            return await self._open(spec.name, body, position)

        return WatchStream(
            open_,
            Topic(f"{spec.name}, its state", state).decode,
            Topic(f"{spec.name}, its changes", change).decode,
            self._attempts(),
        )

    async def _open(
        self, method: str, body: bytes, position: str | None = None
    ) -> AsyncIterator[Buffer]:
        """Begin a call whose result is a stream of items that may stand still."""
        handler = self._handler()
        clock = asyncio.get_running_loop().time
        metadata = dict(self._options.metadata)
        if position is not None:
            metadata[SINCE] = position
        context = CallContext(method, clock, clock(), metadata=metadata, streams=True, quiet=True)
        result = await handler(context, body)
        if not isinstance(result, Stream):
            raise ConfigurationError(f"{method}: an interceptor returned no stream for one")
        return result.items

    def _attempts(self) -> Attempts:
        pauses = Pauses(self._core.options.reconnect)
        return Attempts(pauses, lambda: self.state is State.CLOSED)


def _decoded(decode: Callable[[Buffer], _T], body: Buffer) -> _T:
    try:
        return decode(body)
    except Exception as exc:
        _, text = values.explain(exc)
        raise InvalidResult(f"the server's answer is {text}") from exc


def _message(topic: Topic[_T], body: Buffer) -> Message[_T]:
    item = _decoded(decode_item, body)
    if type(item) is not MessageItem:
        raise InvalidResult("the server sent what is no message")
    return Message(topic.decode(item.data), item.topic, item.offset, item.epoch, item.stamp_ms)


def _since(pattern: str, since: Since) -> tuple[dict[str, str] | str | int | None, int | None]:
    """Return the options `since` and `since_ms` for what the user wrote.

    Raises:
        InvalidArgument: It is nothing to begin with.
    """
    if since is None or since == "start":
        return since, None  # type: ignore[return-value] # no other text is left
    if isinstance(since, dt.datetime):
        if since.tzinfo is None:
            raise InvalidArgument("since: a time needs a zone, such as datetime.now(UTC)")
        return None, max(0, int(since.timestamp() * 1000))
    if isinstance(since, int) and not isinstance(since, bool) and since >= 0:
        return since, None
    if isinstance(since, Mapping):
        return {str(name): str(position) for name, position in since.items()}, None
    if not isinstance(since, (Position, str)):
        raise InvalidArgument(f"since: {since!r} says nowhere to begin")
    if is_pattern(pattern):
        raise InvalidArgument(
            f"since: a position belongs to one topic, and {pattern} is a pattern; pass what "
            "Subscription.positions said"
        )
    return {pattern: str(since if isinstance(since, Position) else Position.parse(since))}, None
