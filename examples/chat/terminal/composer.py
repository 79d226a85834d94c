"""Where one writes: Enter says it, Ctrl+J begins a new line, what is pasted stays as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message as Posted
from textual.widgets import TextArea

if TYPE_CHECKING:
    from textual import events

__all__ = ["Composer"]


class Composer(TextArea):
    """A text that is about to be said, or changed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "say", "Say"),  # for the footer; see `_on_key`
    ]

    class Said(Posted):
        """Enter was pressed.

        Attributes:
            text: What stands there.
        """

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Back(Posted):
        """Up was pressed where there is nothing above."""

    async def _on_key(self, event: events.Key) -> None:
        """Take Enter and Ctrl+J as two more keys of the text, in their turn.

        A binding with priority would overtake letters that were typed before it, and whoever
        hears of `Said` may do so when the next letters are here already.
        """
        if event.key == "enter":
            event.prevent_default().stop()
            self.action_say()
        elif event.key == "ctrl+j":
            event.prevent_default().stop()
            self.insert("\n")
        else:
            await super()._on_key(event)

    def action_say(self) -> None:
        """Hand over what was written."""
        text = self.text
        self.load_text("")
        self.post_message(self.Said(text))

    def action_cursor_up(self, select: bool = False) -> None:  # noqa: FBT001, FBT002 - as textual has it
        """Go up, or to the messages if this is the first line."""
        if self.cursor_location[0] == 0 and not select:
            self.post_message(self.Back())
        else:
            super().action_cursor_up(select)

    def fill(self, text: str) -> None:
        """Replace what stands there, with the cursor behind it."""
        self.load_text(text)
        self.move_cursor(self.document.end)
