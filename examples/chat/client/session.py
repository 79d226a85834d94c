"""One account's chat over one connection: a model that is kept current, and what one may do.

It follows the list of rooms and each room on it, fills holes where somebody looks, is present in
the rooms that are shown, and sends what was said until it is taken or refused. It outlives lost
connections and restarts of the server. What there is to see stands in `model`; `changes` says
when to look again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Self

import framerpc
from examples.chat.api import Chat, NoSuchRoom
from examples.chat.client import transfers
from examples.chat.client.changes import Changes
from examples.chat.client.insisting import insist
from examples.chat.client.model import Model, Pending
from examples.chat.client.outbox import Outbox
from examples.chat.client.showing import LAST, Showing, Window
from examples.chat.client.wording import explain
from framerpc import FrameRPCError, Keepalive, PermissionDenied, Snapshot, State

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine, Iterable
    from pathlib import Path
    from types import TracebackType

    from examples.chat.client.view import RoomView

__all__ = ["Link", "Session"]

_TYPING: Final = 2.0
"""Seconds between two calls of `typing`, as the contract has it."""

_KEEPALIVE: Final = Keepalive(interval=10, timeout=5)
"""A person in front of it wants to know soon that nobody hears them."""


@dataclass(frozen=True)
class Link:
    """How the connection stands.

    Attributes:
        kind: "connecting" for the first time; "online"; "slow": an answer is overdue; "offline":
            it was lost, and is dialled again; "refused": for good.
        since: When that began, in seconds of the loop's clock.
        why: Why it was refused.
    """

    kind: Literal["connecting", "online", "slow", "offline", "refused"]
    since: float
    why: str = ""


class Session:
    """A chat as one account has it. Use it as `async with Session(url, token=…) as session:`.

    Leaving the block, or cancelling what is in it, loses nothing that the server has confirmed;
    what it has not stands in `unsent`.

    Args:
        url: Where the server is.
        token: Proves who we are.
        keepalive: When to suspect a silent server.
        keys: What the keys of messages begin with, for those who want to say the same messages
            again after a restart; by default nobody else has it.
        unsent: What an earlier session has left.

    Attributes:
        client: The client; valid inside of the block.
        chat: The service, for calls that need nothing else: `session.chat.join(room)`.
        model: What there is to see.
        link: How the connection stands.
        notices: What people should be told, the oldest first; take what you have shown.
    """

    client: framerpc.Client
    chat: Chat
    link: Link

    def __init__(
        self,
        url: str,
        *,
        token: str,
        keepalive: Keepalive = _KEEPALIVE,
        keys: str = "",
        unsent: Iterable[Pending] = (),
    ) -> None:
        self.model = Model(pending=list(unsent))
        self.notices: deque[str] = deque(maxlen=50)
        self._url = url
        self._token = token
        self._keepalive = keepalive
        self._keys = keys
        self._tasks: set[asyncio.Task[None]] = set()
        self._watches: dict[int, asyncio.Task[None]] = {}
        self._marks: dict[int, int] = {}
        self._typed: dict[int, float] = {}
        self._changes = Changes()
        self._closing = False

    # ------------------------------------------------------------------------- life cycle

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._now = loop.time
        self.link = Link("connecting", loop.time())
        self.client = framerpc.connect(
            self._url, token=self._token, keepalive=self._keepalive, on_state=self._enter
        )
        self.chat = self.client.stub(Chat)
        self.outbox = Outbox(self.model, self.chat, self._start, self._changed, self._keys)
        self._showing = Showing(self.model, self.client, self._start, self._changed)
        await self.client.__aenter__()
        self._group = await asyncio.TaskGroup().__aenter__()
        self._start(self._follow_mine())
        for room in {each.room for each in self.model.pending}:
            self.outbox.send(room)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closing = True
        for task in self._tasks:
            task.cancel()
        # What the block raises stays what it is; only a failure of our own comes as a group.
        outcome = (kind, error, traceback)
        cancelled = isinstance(error, asyncio.CancelledError)
        try:
            await self._group.__aexit__(*(outcome if cancelled else (None, None, None)))
        finally:
            await self.client.close()

    def _start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def changes(self) -> AsyncGenerator[int | None, None]:
        """Say when to look again: at a room, by its id, or at everything else (None).

        Several changes of the same may be told as one. It begins with everything.
        """
        return self._changes.follow([None, *self.model.rooms])

    async def started(self) -> None:
        """Wait until the rooms are known.

        Raises:
            PermissionError: The server refuses us; the text says why.
        """
        async with contextlib.aclosing(self.changes()) as changes:
            async for _ in changes:
                if self.link.kind == "refused":
                    raise PermissionError(self.link.why)
                if self.model.account is not None:
                    return

    @property
    def unsent(self) -> list[Pending]:
        """What was said and is not confirmed."""
        return list(self.model.pending)

    # ---------------------------------------------------------------------- what one may do

    def say(self, room: int, text: str, file: int | None = None, name: str = "") -> Pending:
        """Say something; see `Outbox.say`."""
        return self.outbox.say(room, text, file, name)

    async def send_file(
        self, room: int, path: Path, text: str = "", told: transfers.Progress = transfers.silent
    ) -> Pending:
        """Upload a file, then say it. Cancelling it before that leaves nothing on the server.

        Raises:
            OSError: It cannot be read.
            FrameRPCError: It was refused.
        """
        file = await transfers.upload(self.client, room, path, told)
        return self.say(room, text, file.id, file.name)

    def show(self, room: int, low: int | None = None, high: int | None = None) -> None:
        """Look at a room: be present there, and have these messages (see `Window`)."""
        self._showing.show(room, Window(low, high))

    def hide(self, room: int) -> None:
        """Look away."""
        self._showing.hide(room)

    def mark_read(self, room: int, number: int) -> None:
        """Note that everything up to a message was read."""
        view = self.model.rooms.get(room)
        if view is None or number <= view.read:
            return
        view.read = number
        self._changed(room)
        if not self._marks:
            self._marks[room] = number
            self._start(self._mark())
        self._marks[room] = number

    def typing(self, room: int) -> None:
        """Tell the others that one types; call it with each key."""
        now = self._now()
        if self.link.kind == "online" and now - self._typed.get(room, -_TYPING) >= _TYPING:
            self._typed[room] = now
            self._start(self._type(room))

    async def _mark(self) -> None:
        while self._marks:
            room, number = next(iter(self._marks.items()))
            with contextlib.suppress(FrameRPCError):  # the place that comes says how it is
                await insist(lambda: self.chat.read(room, number))  # noqa: B023 - awaited here
            if self._marks.get(room) == number:
                del self._marks[room]

    async def _type(self, room: int) -> None:
        with contextlib.suppress(FrameRPCError):  # a moment later it would be wrong anyway
            await self.client.notify(Chat.typing, room)

    # ------------------------------------------------------------------------ the connection

    def _enter(self, state: State) -> None:
        if self._closing:
            return
        now = asyncio.get_running_loop().time()
        if state is State.CLOSED:
            self._start(self._learn_why())
        elif state is State.READY:
            self.link = Link("online", now)
        elif state is State.DEGRADED:
            self.link = Link("slow", now)
        elif self.link.kind != "connecting":
            self.link = Link("offline", now)
        self._changed(None)

    async def _learn_why(self) -> None:
        try:
            await self.client.ready()
        except FrameRPCError as error:
            self._refuse(error)

    def _refuse(self, error: FrameRPCError) -> None:
        self.link = Link("refused", self._now(), explain(error))
        self._changed(None)

    def _changed(self, room: int | None) -> None:
        if room is not None:
            self._showing.wake(room)
        self._changes.tell(room)

    def _notice(self, text: str) -> None:
        self.notices.append(text)
        self._changed(None)

    # ------------------------------------------------------------------------------ following

    async def _follow_mine(self) -> None:
        """Know the rooms, until that is refused."""
        try:
            await insist(self._watch_mine)
        except FrameRPCError as error:
            self._refuse(error)

    async def _watch_mine(self) -> None:
        async with self.client.stream(Chat.mine) as updates:
            async for update in updates:
                if isinstance(update, Snapshot):
                    gone = self.model.mine(update.value)
                else:
                    left = self.model.place(update.value)
                    gone = [] if left is None else [left]
                    self._changed(update.value.room.id)
                for view in gone:
                    self._say_goodbye(view)
                self._reconcile()

    def _say_goodbye(self, view: RoomView) -> None:
        self._notice(f"you are no member of {view.title(self.model.me)} any more")

    def _reconcile(self) -> None:
        """Follow what is on the list, and nothing else."""
        for room in self._watches.keys() - self.model.rooms.keys():
            self._watches.pop(room).cancel()
        for room in self.model.rooms.keys() - self._watches.keys():
            self._watches[room] = self._start(self._follow(room))
        self._showing.reconcile()
        self._changed(None)

    async def _follow(self, room: int) -> None:
        """Know what happens in a room, until one is no member any more."""
        while True:
            entered = self.model.rooms[room].revision
            try:
                await insist(lambda: self._watch(room))
            except (NoSuchRoom, PermissionDenied):
                if self.model.rooms[room].revision > entered:
                    continue  # left, and joined again before we heard of either
                self._say_goodbye(self.model.rooms.pop(room))
                self._reconcile()
            except FrameRPCError as error:
                self._notice(f"{self.model.rooms[room].title(self.model.me)}: {explain(error)}")
            return

    async def _watch(self, room: int) -> None:
        async with self.client.stream(Chat.room, room, LAST) as updates:
            async for update in updates:
                if isinstance(update, Snapshot):
                    self.model.snapshot(update.value)
                else:
                    self.model.event(update.value)
                    self._showing.tidy(room)
                self._changed(room)
