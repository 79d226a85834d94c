"""Where one writes: Enter says it, Ctrl+J begins a new line, what is pasted stays as it was."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message as Posted
from textual.widgets import TextArea

__all__ = ["Composer"]


class Composer(TextArea):
    """A text that is about to be said, or changed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "say", "Say", priority=True),
        Binding("ctrl+j", "break", "New line", show=False, priority=True),
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

    def action_say(self) -> None:
        """Hand over what was written."""
        self.post_message(self.Said(self.text))

    def action_break(self) -> None:
        """Begin a new line."""
        self.insert("\n")

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
