"""The rooms that somebody looks at: their holes are filled, and one is present there.

To be present is to be subscribed to what the server tells of those who are in the room.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from examples.chat.api import Chat, here
from examples.chat.client.insisting import insist
from examples.chat.client.view import PAGE
from framerpc import Client, FrameRPCError, Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from examples.chat.client.model import Model
    from examples.chat.client.view import RoomView

__all__ = ["LAST", "MOST", "Showing", "Window"]

MOST: Final = 1_000
"""Messages of a room that are kept, if nobody looks at more: the server has all of them."""

LAST: Final = 50
"""Messages that come with a room, and that are shown if nobody asks for others."""


@dataclass
class Window:
    """Which messages of a room somebody looks at.

    Attributes:
        low: The first one; None: so many that a screen is full.
        high: The last one; None: whatever is the last one.
    """

    low: int | None = None
    high: int | None = None

    def bounds(self, view: RoomView) -> tuple[int, int]:
        """Return the numbers of the first and the last message in a room."""
        high = view.last if self.high is None else self.high
        return max(1, high - LAST + 1 if self.low is None else self.low), high


class _Shown:
    """A room that somebody looks at."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self.wake = asyncio.Event()
        self.task: asyncio.Task[None] | None = None


class Showing:
    """Keeps the rooms that are shown as they are shown.

    Args:
        model: What is known; it is told what it lacks.
        client: Who asks.
        start: Starts a task that its caller owns.
        changed: Told the room where there is something new to see.
    """

    def __init__(
        self,
        model: Model,
        client: Client,
        start: Callable[[Coroutine[None, None, None]], asyncio.Task[None]],
        changed: Callable[[int], None],
    ) -> None:
        self._model = model
        self._client = client
        self._chat = client.stub(Chat)
        self._start = start
        self._changed = changed
        self._now = asyncio.get_running_loop().time
        self._shown: dict[int, _Shown] = {}

    def show(self, room: int, window: Window) -> None:
        """Look at a room from now on, or at other messages of it."""
        shown = self._shown.setdefault(room, _Shown(window))
        shown.window = window
        self.reconcile()
        shown.wake.set()

    def hide(self, room: int) -> None:
        """Look away."""
        shown = self._shown.pop(room, None)
        if shown is not None and shown.task is not None:
            shown.task.cancel()

    def wake(self, room: int) -> None:
        """Note that a room may have got a hole."""
        shown = self._shown.get(room)
        if shown is not None:
            shown.wake.set()

    def tidy(self, room: int) -> None:
        """Let go of what nobody looks at in a room, once it is much."""
        view = self._model.rooms.get(room)
        if view is not None and len(view.messages) > MOST:
            shown = self._shown.get(room)
            view.forget(*(shown.window if shown is not None else Window()).bounds(view))

    def reconcile(self) -> None:
        """Be in those of the rooms that one is a member of now."""
        for room, shown in self._shown.items():
            view = self._model.rooms.get(room)
            if view is None and shown.task is not None:
                shown.task.cancel()
                shown.task = None
            elif view is not None and shown.task is None:
                shown.task = self._start(self._be_there(view, shown))

    async def _be_there(self, view: RoomView, shown: _Shown) -> None:
        works = (
            lambda: self._fill(view, shown),
            lambda: self._hear_typing(view),
            lambda: self._see_people(view),
        )
        try:
            async with asyncio.TaskGroup() as group:
                for work in works:
                    group.create_task(_until_refused(work))
        finally:
            view.present = set()

    async def _fill(self, view: RoomView, shown: _Shown) -> None:
        room = view.room.id
        while True:
            shown.wake.clear()
            hole = view.hole(*shown.window.bounds(view)) if view.known else None
            if hole is None:
                await shown.wake.wait()
                continue
            ask = self._chat.history
            messages = await ask(room, before=hole.before, after=hole.after, limit=PAGE)
            self._model.page(room, hole, messages)
            self.tidy(room)
            self._changed(room)
            if not messages:  # the server has told of messages that it has not
                await asyncio.sleep(1)

    async def _hear_typing(self, view: RoomView) -> None:
        async with self._client.subscribe(here(view.room.id)) as messages:
            async for message in messages:
                view.types(message.data.name, self._now())
                self._changed(view.room.id)

    async def _see_people(self, view: RoomView) -> None:
        async with self._client.presence(here(view.room.id)) as updates:
            async for update in updates:
                if isinstance(update, Snapshot):
                    view.present = {member.name for member in update.value.members}
                elif update.value.left is None:
                    view.present.add(update.value.member.name)
                else:
                    view.present.discard(update.value.member.name)
                self._changed(view.room.id)


async def _until_refused(work: Callable[[], Coroutine[None, None, None]]) -> None:
    with contextlib.suppress(FrameRPCError):  # the watch of the room tells, and ends it
        await insist(work)
