"""Dialogs: a form to fill in, a list to choose from, a text to read. All leave with Escape."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, Label, OptionList, Static
from textual.widgets.option_list import Option

from examples.chat.client.wording import explain
from framerpc import FrameRPCError

__all__ = ["Choose", "Field", "Form", "Read", "Submit"]

Submit: TypeAlias = Callable[[dict[str, str]], Awaitable[None]]
"""Does what a form is for; what it raises is shown there."""


@dataclass(frozen=True)
class Field:
    """One line to fill in.

    Attributes:
        name: How the answer is called.
        label: What is asked.
        value: What stands there at first.
        hint: What may stand there.
    """

    name: str
    label: str
    value: str = ""
    hint: str = ""


class Form(ModalScreen[bool]):
    """Asks for something, does something with it, and says what went wrong."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(False)", "Cancel"),
    ]

    def __init__(self, title: str, fields: Sequence[Field], submit: Submit) -> None:
        super().__init__()
        self._title = title
        self._fields = fields
        self._submit = submit

    def compose(self) -> ComposeResult:
        """Lay it out."""
        with Vertical(classes="dialog"):
            yield Label(self._title, classes="dialog-title", markup=False)
            for field in self._fields:
                yield Label(field.label, classes="dialog-label", markup=False)
                yield Input(field.value, placeholder=field.hint, id=f"field-{field.name}")
            yield Label("", id="problem")
            yield Label("Enter: OK   Tab: next   Escape: cancel", classes="dialog-keys")

    @on(Input.Submitted)
    def _next(self) -> None:
        """Go to the next field, or do it."""
        inputs = list(self.query(Input))
        index = next((i for i, each in enumerate(inputs) if each is self.focused), len(inputs) - 1)
        if index + 1 < len(inputs):
            self.set_focus(inputs[index + 1])  # at once: the next key may be here already
        else:
            self._do()

    @work(exclusive=True)
    async def _do(self) -> None:
        problem = self.query_one("#problem", Label)
        problem.update("…")
        names = [field.name for field in self._fields]
        values = {name: self.query_one(f"#field-{name}", Input).value.strip() for name in names}
        try:
            await self._submit(values)
        except (FrameRPCError, OSError, ValueError, LookupError) as error:
            problem.update(Text(explain(error)))
        else:
            self.dismiss(result=True)


class Choose(ModalScreen[str | None]):
    """Lets one of several be chosen, by its beginning or with the arrows."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Cancel"),
        Binding("down", "move(1)", "Down", show=False, priority=True),
        Binding("up", "move(-1)", "Up", show=False, priority=True),
    ]

    def __init__(
        self, title: str, options: Sequence[tuple[str, str]], *, free: str | None = None
    ) -> None:
        """Make it.

        Args:
            title: What is asked.
            options: What may be chosen: the answer, and how it is shown.
            free: What to call an answer that is not among them; None if there may be none.
        """
        super().__init__()
        self._title = title
        self._options = options
        self._free = free

    def compose(self) -> ComposeResult:
        """Lay it out."""
        with Vertical(classes="dialog"):
            yield Label(self._title, classes="dialog-title", markup=False)
            yield Input(placeholder=self._free or "filter", id="filter")
            yield OptionList(id="options")
            yield Label("Enter: choose   ↑ ↓: move   Escape: cancel", classes="dialog-keys")

    def on_mount(self) -> None:
        """Show all of them."""
        self._fill("")

    @on(Input.Changed)
    def _filter(self, event: Input.Changed) -> None:
        self._fill(event.value)

    def _fill(self, wanted: str) -> None:
        words = wanted.casefold().split()
        found = [
            Option(Text(shown), id=str(index))
            for index, (_, shown) in enumerate(self._options)
            if all(word in shown.casefold() for word in words)
        ]
        options = self.query_one(OptionList)
        options.set_options(found)
        options.highlighted = 0 if found else None

    def action_move(self, step: int) -> None:
        """Move the bar."""
        options = self.query_one(OptionList)
        if options.option_count:
            options.highlighted = ((options.highlighted or 0) + step) % options.option_count

    @on(Input.Submitted)
    def _submit(self) -> None:
        option = self.query_one(OptionList).highlighted_option
        typed = self.query_one(Input).value.strip()
        if option is not None:
            self.dismiss(self._options[int(option.id or 0)][0])
        elif self._free is not None and typed:
            self.dismiss(typed)

    @on(OptionList.OptionSelected)
    def _select(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._options[int(event.option.id or 0)][0])


class Read(ModalScreen[None]):
    """Shows a text."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f1,q,enter", "dismiss(None)", "Close"),
    ]

    def __init__(self, title: str, text: Text) -> None:
        super().__init__()
        self._title = title
        self._text = text

    def compose(self) -> ComposeResult:
        """Lay it out."""
        with Vertical(classes="dialog wide"):
            yield Label(self._title, classes="dialog-title", markup=False)
            with VerticalScroll(can_focus=True):
                yield Static(self._text)
            yield Label("↑ ↓: scroll   Escape: close", classes="dialog-keys")

    def on_mount(self) -> None:
        """Let the keys scroll it."""
        self.query_one(VerticalScroll).focus()
