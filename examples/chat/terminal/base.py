"""What all parts of the app stand on: the session, the room on show, and how a call is made."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from textual.app import App

from examples.chat.client.wording import explain
from framerpc import FrameRPCError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Generator

    from examples.chat.client.model import Model
    from examples.chat.client.session import Session
    from examples.chat.client.view import RoomView

__all__ = ["Base"]


class Base(App[int]):
    """An app with a session.

    Attributes:
        session: The session, once there is one.
        room: The id of the room on show.
    """

    session: Session | None = None
    room: int | None = None

    @property
    def model(self) -> Model | None:
        """What is known; None before the session."""
        return self.session.model if self.session is not None else None

    @property
    def view(self) -> RoomView | None:
        """The room on show."""
        if self.model is None or self.room is None:
            return None
        return self.model.rooms.get(self.room)

    @property
    def me(self) -> str:
        """Our own name."""
        return self.model.me if self.model is not None else ""

    def open_room(self, room: int, number: int | None = None) -> None:
        """Show a room: its end, or one of its messages."""
        raise NotImplementedError

    def do(self, call: Awaitable[object], done: str = "") -> None:
        """Make a call in the background; say if it fails.

        Args:
            call: The call.
            done: What to say if it does not.
        """
        self.run_worker(self._do(call, done))

    async def _do(self, call: Awaitable[object], done: str) -> None:
        with self.reporting():
            await call
            if done:
                self.notify(done, timeout=3, markup=False)

    @contextlib.contextmanager
    def reporting(self, what: str = "") -> Generator[None]:
        """Say what goes wrong in a block, instead of raising it.

        Args:
            what: What it is about, to begin the sentence with.
        """
        try:
            yield
        except (FrameRPCError, OSError, ValueError) as error:
            self.problem(f"{what}{': ' if what else ''}{explain(error)}")

    def problem(self, text: str) -> None:
        """Say what went wrong."""
        self.notify(text, severity="error", timeout=8, markup=False)
