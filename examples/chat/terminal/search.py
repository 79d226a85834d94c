"""The search: words in, messages out, the newest first; choosing one leads to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Label, OptionList
from textual.widgets.option_list import Option

from examples.chat.client.wording import body, explain, plain
from framerpc import FrameRPCError

if TYPE_CHECKING:
    from examples.chat.api import Message
    from examples.chat.client.session import Session

__all__ = ["Search"]


class Search(ModalScreen[tuple[int, int] | None]):
    """Finds messages in all rooms, or in one; returns the room and the number of one of them."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Close"),
        Binding("down", "down", "Results", show=False),
        Binding("ctrl+t", "everywhere", "Here or everywhere", priority=True),
    ]

    def __init__(self, session: Session, room: int | None) -> None:
        super().__init__()
        self._session = session
        self._room = room
        self._only_here = False
        self._found: list[Message] = []
        self._more: int | None = None

    def compose(self) -> ComposeResult:
        """Lay it out."""
        with Vertical(classes="dialog wide"):
            yield Label("Search", classes="dialog-title")
            yield Input(placeholder="words, or how they begin", id="words")
            yield OptionList(id="found")
            yield Label("", id="problem")
            yield Label(
                "Enter: search, then go there   ↓: results   Ctrl+T: here or everywhere"
                "   Escape: close",
                classes="dialog-keys",
            )

    def action_down(self) -> None:
        """Go to the results."""
        self.query_one(OptionList).focus()

    def action_everywhere(self) -> None:
        """Search in this room only, or in all again."""
        self._only_here = not self._only_here and self._room is not None
        where = "Search in this room" if self._only_here else "Search"
        self.query_one(".dialog-title", Label).update(where)
        self._ask(None)

    @on(Input.Submitted)
    def _begin(self) -> None:
        self._ask(None)

    @work(exclusive=True)
    async def _ask(self, before: int | None) -> None:
        words = self.query_one(Input).value.strip()
        problem = self.query_one("#problem", Label)
        if not words:
            return
        problem.update("…")
        room = self._room if self._only_here else None
        try:
            found = await self._session.chat.search(words, room=room, before=before)
        except FrameRPCError as error:
            problem.update(Text(explain(error)))
            return
        self._found = (self._found if before is not None else []) + found.messages
        self._more = found.more
        problem.update("" if self._found else "nothing was found")
        self._show(before is None)

    def _show(self, first: bool) -> None:  # noqa: FBT001 - whether this is the first page
        options = self.query_one(OptionList)
        kept = None if first else options.highlighted
        options.clear_options()
        options.add_options(Option(self._line(each)) for each in self._found)
        if self._more is not None:
            options.add_option(Option("… more", id="more"))
        if self._found:
            options.highlighted = kept or 0
            options.focus()

    def _line(self, message: Message) -> Text:
        view = self._session.model.rooms.get(message.room)
        room = view.title(self._session.model.me) if view is not None else "?"
        when = f"{message.sent.astimezone():%Y-%m-%d %H:%M}"
        line = Text.assemble((f"{plain(room)} ", "bold"), (f"{when} ", "dim"))
        text = body(message).replace("\n", " ")
        return line.append(f"{plain(message.who)}: ", "bold").append(text)

    @on(OptionList.OptionSelected)
    def _go(self, event: OptionList.OptionSelected) -> None:
        if event.option.id == "more":
            self._ask(self._more)
            return
        message = self._found[event.option_index]
        self.dismiss((message.room, message.number))
