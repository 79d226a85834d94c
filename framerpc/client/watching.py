"""A watch, as its caller has it: snapshot and changes, across lost connections.

This module owns where a watch goes on after its stream has ended. There is no task: whoever asks
for the next update opens the stream again if need be, since nothing that was missed meanwhile is
lost: it is in the history, or in a new snapshot.

Spec: protocol.md, "Watching".
"""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import msgspec

from framerpc.client.following import HoleFound
from framerpc.client.messages import Member, Presence, PresenceChange
from framerpc.contract.watching import Change, Snapshot, Update
from framerpc.errors import FrameRPCError, InvalidResult
from framerpc.protocol.topics import MessageItem, SnapshotItem, Started, decode_item
from framerpc.pubsub.positions import Position

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import TracebackType
    from typing import Self

    from framerpc.call import Buffer
    from framerpc.client.following import Attempts

__all__ = ["PresenceStream", "WatchStream"]

_S = TypeVar("_S")
_C = TypeVar("_C")


class WatchStream(AsyncIterator[Update[_S, _C]], Generic[_S, _C]):
    """A `Snapshot`, then each `Change` after it, in order, with none left out.

    After a lost connection it goes on with the next change, or with another snapshot if the
    server no longer has all changes since. Cancelling a wait loses nothing. One task iterates.
    `aclose()` ends it; so does dropping the last reference to it.

    Args:
        open_: Makes the call, told the position behind which to go on.
        snapshot: Decodes the state.
        change: Decodes a change.
        attempts: What to do when the stream ends.
    """

    def __init__(
        self,
        open_: Callable[[str | None], Awaitable[AsyncIterator[Buffer]]],
        snapshot: Callable[[Buffer], _S],
        change: Callable[[Buffer], _C],
        attempts: Attempts,
    ) -> None:
        self._open = open_
        self._snapshot = snapshot
        self._change = change
        self._attempts = attempts
        self._items: AsyncIterator[Buffer] | None = None
        self._position: Position | None = None  # of the last update that was taken
        self._begin: Position | None = None  # of the snapshot that is to come
        self._ended: FrameRPCError | None = None  # how the stream ended, if the pause is to come
        self._broken = False
        self._closed = False

    def __repr__(self) -> str:
        return f"<WatchStream at {self._position}{', closed' if self._closed else ''}>"

    def __aiter__(self) -> WatchStream[_S, _C]:
        return self

    async def __anext__(self) -> Update[_S, _C]:
        """Return the next update.

        Raises:
            StopAsyncIteration: It was closed.
            FrameRPCError: The server refuses to go on, or the client was closed.
        """
        while not self._closed:
            body = await self._next_body()
            update = None if body is None else await self._update(body)
            if update is not None:
                return update
        raise StopAsyncIteration

    async def _next_body(self) -> Buffer | None:
        """Return the next item; None if the stream has ended, and is to be opened again."""
        if self._broken:  # a cancelled pause is not forgotten
            await self._attempts.after(self._ended)
            self._broken = False
        try:
            if self._items is None:
                self._items = await self._open(str(self._position) if self._position else None)
            return await anext(self._items)
        except StopAsyncIteration:
            await self._break(None)
        except FrameRPCError as error:
            await self._break(error)
        return None

    async def _break(self, error: FrameRPCError | None) -> None:
        """Let go of the stream, so that the next attempt opens another one."""
        self._ended, self._broken = error, True
        items, self._items, self._begin = self._items, None, None
        close = getattr(items, "aclose", None)
        if close is not None:
            await close()

    async def _update(self, body: Buffer) -> Update[_S, _C] | None:
        try:
            item = decode_item(body)
        except ValueError as exc:
            raise InvalidResult(f"the server sent what is no item of a watch: {exc}") from exc
        if type(item) is MessageItem:
            if item.offset is not None and item.epoch is not None:
                position = Position(item.epoch, item.offset)
                if self._position and position != self._position._replace(
                    offset=self._position.offset + 1
                ):
                    await self._break(HoleFound(f"changes before {position} are missing"))
                    return None
                self._position = position
            return Change(self._change(item.data))
        if type(item) is SnapshotItem:
            self._position = self._begin
            return Snapshot(self._snapshot(item.data))
        if type(item) is Started:
            self._attempts.succeeded()
            # Until the snapshot is here, a new attempt must ask for one again.
            first = next(iter(item.positions.values()), None)
            self._begin = None if first is None else Position.parse(first)
            if not item.recovered:
                self._position = None
        return None

    async def aclose(self) -> None:
        """End it. Idempotent."""
        self._closed = True
        close = getattr(self._items, "aclose", None)
        if close is not None:
            await close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


class PresenceStream(WatchStream[Presence, PresenceChange]):
    """Who is on a topic: a `Presence` to await once, or the watch of it to iterate over."""

    def __init__(
        self, open_: Callable[[str | None], Awaitable[AsyncIterator[Buffer]]], attempts: Attempts
    ) -> None:
        super().__init__(open_, _presence, _presence_change, attempts)

    def __await__(self) -> Generator[Any, None, Presence]:
        return self._once().__await__()

    async def _once(self) -> Presence:
        """Return who is there now."""
        try:
            async for update in self:
                if isinstance(update, Snapshot):
                    return update.value
        finally:
            await self.aclose()
        raise InvalidResult("the server has said nothing about the topic")


class _Told(msgspec.Struct):
    """The state behind the watch of a presence: members, by name and time of joining."""

    members: list[tuple[str, int]]
    total: int


_decode_told: Final = msgspec.msgpack.Decoder(_Told).decode
_decode_change: Final = msgspec.msgpack.Decoder(tuple[str, int, str | None]).decode


def _presence(body: Buffer) -> Presence:
    told = _understood(_decode_told, body)
    return Presence(tuple(_member(*each) for each in told.members), told.total)


def _presence_change(body: Buffer) -> PresenceChange:
    name, since_ms, left = _understood(_decode_change, body)
    return PresenceChange(_member(name, since_ms), left)


def _understood(decode: Callable[[Buffer], _S], body: Buffer) -> _S:
    try:
        return decode(body)
    except ValueError as exc:
        raise InvalidResult(f"the server sent what is no presence: {exc}") from exc


def _member(name: str, since_ms: int) -> Member:
    return Member(name, dt.datetime.fromtimestamp(since_ms / 1000, dt.UTC))
