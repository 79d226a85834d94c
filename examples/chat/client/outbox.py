"""What was said here, on its way: in order, one a room at a time, until it is taken or refused.

A message keeps its key however often it is sent, so that the server takes it once. What is on
its way stands in the model as pending, and stays there if this is cancelled: sent again later,
by another outbox even, it is still the same message.
"""

from __future__ import annotations

import itertools
import secrets
from functools import partial
from typing import TYPE_CHECKING

from examples.chat.client.insisting import insist
from examples.chat.client.model import Model, Pending
from examples.chat.client.wording import explain
from framerpc import FrameRPCError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine

    from examples.chat.api import Chat

__all__ = ["Outbox"]


class Outbox:
    """Sends what is pending in a model.

    Args:
        model: What is pending; it is told of what was taken.
        chat: Takes it.
        start: Starts a task that its caller owns.
        changed: Told the room where something was sent, taken or refused.
        keys: What the keys of new messages begin with; by default nobody else has it.
    """

    def __init__(
        self,
        model: Model,
        chat: Chat,
        start: Callable[[Coroutine[None, None, None]], asyncio.Task[None]],
        changed: Callable[[int], None],
        keys: str = "",
    ) -> None:
        self._model = model
        self._chat = chat
        self._start = start
        self._changed = changed
        self._sending: dict[int, asyncio.Task[None]] = {}
        prefix = keys or secrets.token_hex(8)
        self._keys = (f"{prefix}-{number}" for number in itertools.count(1))

    def say(self, room: int, text: str, file: int | None = None, name: str = "") -> Pending:
        """Say something; return at once.

        Args:
            room: Where.
            text: What.
            file: The id of a file that was uploaded for it.
            name: The name of that file, to be shown meanwhile.
        """
        pending = Pending(room, next(self._keys), text, file, name)
        self._model.pending.append(pending)
        self.send(room)
        return pending

    def again(self, pending: Pending) -> None:
        """Send something again that was refused."""
        pending.why = ""
        self.send(pending.room)

    def drop(self, pending: Pending) -> None:
        """Forget something that was refused."""
        if pending.why and pending in self._model.pending:
            self._model.pending.remove(pending)
            self._changed(pending.room)

    def send(self, room: int) -> None:
        """Send what is pending in a room, if that is not under way."""
        self._changed(room)
        task = self._sending.get(room)
        if task is None or task.done():
            self._sending[room] = self._start(self._send_all(room))

    async def _send_all(self, room: int) -> None:
        while pending := self._next(room):
            say = partial(self._chat.say, room, pending.text, pending.key, pending.file)
            try:
                message = await insist(say)
            except FrameRPCError as error:
                pending.why = explain(error)
            else:
                self._model.event(message)
                if pending in self._model.pending:  # nobody knows yet who we are
                    self._model.pending.remove(pending)
            self._changed(room)

    def _next(self, room: int) -> Pending | None:
        return next((each for each in self._model.pending_in(room) if not each.why), None)
