"""The widget that shows rows: it wraps them to its width, scrolls, and lets one be chosen.

Lines are made once for each row and width. At the end it stays at the end; elsewhere what is on
top of the screen stays there, whatever is added above or below.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING, ClassVar, Final

from rich.segment import Segment
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message as Posted
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from examples.chat.terminal.rows import Piece
from examples.chat.terminal.tones import app_of, style_of

if TYPE_CHECKING:
    from rich.console import Console
    from rich.style import Style
    from textual import events

    from examples.chat.terminal.rows import Row

__all__ = ["Timeline"]

_NEAR: Final = 3
"""Lines from an end at which more messages are asked for."""


class Timeline(ScrollView, can_focus=True):
    """Rows, one of which may be chosen with the keys while it has the focus."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "choose(-1)", "Up", show=False),
        Binding("down,j", "choose(1)", "Down", show=False),
        Binding("home,g", "first", "First", show=False),
        Binding("end,G", "last", "Last", show=False),
        Binding("e", "app.edit", "Edit"),
        Binding("d", "app.delete", "Delete"),
        Binding("r", "app.react", "React"),
        Binding("o", "app.download", "Get file"),
        Binding("s", "app.again", "Send again"),
        Binding("x", "app.drop", "Drop"),
        Binding("question_mark", "app.help", "Help", show=False),
    ]

    chosen: reactive[int | str | None] = reactive(None, init=False)

    class Wanted(Posted):
        """Messages beyond an end are wanted.

        Attributes:
            older: Which end: the upper one, else the lower one.
        """

        def __init__(self, *, older: bool) -> None:
            super().__init__()
            self.older = older

    class Reached(Posted):
        """The last line is on the screen."""

    def __init__(self, id: str) -> None:  # noqa: A002 - as textual has it
        super().__init__(id=id)
        self._rows: list[Row] = []
        self._lines: list[list[Strip]] = []
        self._ends: list[int] = []  # where each row ends
        self._kept: dict[Row, list[Strip]] = {}
        self._kept_for: tuple[int, str] = (0, "")
        self._end = True  # whether the last line is to be seen
        self._settled = (Size(), Size())  # the sizes that we have laid out for

    # ------------------------------------------------------------------------- what is shown

    @property
    def at_end(self) -> bool:
        """Whether the last line is on the screen."""
        return self._end

    def show(self, rows: list[Row], *, end: bool = False) -> None:
        """Show these rows from now on.

        Args:
            rows: What to show.
            end: Go to the end, wherever we are.
        """
        anchor = self._anchor()
        self._rows = rows
        if self.chosen is not None and all(row.key != self.chosen for row in rows):
            self.chosen = None
        self._lay_out()
        if end or self._end:
            self.to_end()
        elif anchor is not None:
            self._scroll_to_anchor(anchor)
        self._settled = (self.size, self.virtual_size)
        self.refresh()

    def to_end(self) -> None:
        """Go to the last line, and stay there."""
        self._end = True
        self.scroll_to(y=self._height, animate=False, immediate=True)
        self.post_message(self.Reached())

    def choose(self, key: int | str | None) -> None:
        """Choose a row and bring it onto the screen."""
        self.chosen = key
        for index, row in enumerate(self._rows):
            if row.key == key:
                top = self._ends[index] - len(self._lines[index])
                region = Region(0, top, self._width, len(self._lines[index]))
                self.scroll_to_region(region, animate=False, immediate=True)
                self._end = round(self.scroll_y) >= self.max_scroll_y

    # -------------------------------------------------------------------------------- keys

    def action_choose(self, step: int) -> None:
        """Choose the row before, or after, the chosen one."""
        keys = [row.key for row in self._rows if row.choice]
        if not keys:
            return
        if self.chosen not in keys:
            self.choose(keys[-1])
            return
        index = keys.index(self.chosen) + step
        if 0 <= index < len(keys):
            self.choose(keys[index])
        else:
            self.post_message(self.Wanted(older=step < 0))

    def action_page(self, step: int) -> None:
        """Go up or down by a screen."""
        self.chosen = None
        page = max(1, self.size.height - 2)
        self.scroll_to(y=self.scroll_y + step * page, animate=False, immediate=True)
        self._look_around()

    def action_first(self) -> None:
        """Choose the first row."""
        keys = [row.key for row in self._rows if row.choice]
        self.choose(keys[0] if keys else None)
        self.post_message(self.Wanted(older=True))

    def action_last(self) -> None:
        """Go to the end."""
        self.chosen = None
        self.post_message(self.Wanted(older=False))
        self.to_end()

    # ------------------------------------------------------------------------------- layout

    @property
    def _width(self) -> int:
        return max(10, self.scrollable_content_region.width)

    @property
    def _height(self) -> int:
        return self._ends[-1] if self._ends else 0

    def _anchor(self) -> tuple[int | str, int] | None:
        """Return the row on top of the screen, and how many of its lines are above it."""
        top = round(self.scroll_y)
        index = bisect_right(self._ends, top)
        if index >= len(self._rows):
            return None
        while index + 1 < len(self._rows) and not self._rows[index].choice:
            index += 1  # what stands between messages may change its name
        return self._rows[index].key, top - (self._ends[index] - len(self._lines[index]))

    def _scroll_to_anchor(self, anchor: tuple[int | str, int]) -> None:
        key, above = anchor
        for index, row in enumerate(self._rows):
            if row.key == key:
                top = self._ends[index] - len(self._lines[index]) + above
                self.scroll_to(y=top, animate=False, immediate=True)
                return

    def _lay_out(self) -> None:
        made_for = (self._width, app_of(self).theme)
        kept = self._kept if made_for == self._kept_for else {}
        self._kept_for = made_for
        self._kept = {row: kept.get(row) or self._strips(row) for row in self._rows}
        self._lines = [self._kept[row] for row in self._rows]
        self._ends = list(accumulate(len(lines) for lines in self._lines))
        self.virtual_size = Size(self._width, self._height)

    def _strips(self, row: Row) -> list[Strip]:
        console, width = app_of(self).console, self._width
        if row.rule:
            return [Strip([]), self._rule(console, row, width)]
        texts = [
            Text.assemble(*((piece.text, self._style(piece)) for piece in line))
            for line in row.lines
        ]
        named = len(row.lines) > 0 and row.lines[0][0].tone in {"name", "own"}
        strips = [Strip([])] if named else []
        for number, text in enumerate(texts):
            indent = 1 if named and number == 0 else row.indent + 1
            for line in text.wrap(console, max(4, width - indent - 1), tab_size=4):
                line.rstrip()
                padded = Text(" " * indent).append_text(line)
                strips.append(Strip(list(padded.render(console))))
        return strips

    def _rule(self, console: Console, row: Row, width: int) -> Strip:
        ((piece,),) = row.lines
        style, text = self._style(piece), Text(f" {piece.text} ", self._style(piece))
        text.truncate(max(4, width - 4), overflow="ellipsis")
        left = max(1, (width - text.cell_len) // 2)
        right = max(1, width - text.cell_len - left - 1)
        line = Text.assemble((" " + "─" * (left - 1), style), text, ("─" * right, style))
        return Strip(list(line.render(console)))

    def _style(self, piece: Piece) -> Style:
        return style_of(piece, app_of(self).theme_variables)

    # ------------------------------------------------------------------------------ drawing

    def render_line(self, y: int) -> Strip:
        """Return one line of the screen."""
        base = self.rich_style
        line = y + self.scroll_offset.y
        index = bisect_right(self._ends, line)
        width = self._width
        if index >= len(self._rows):
            return Strip.blank(width, base)
        row, lines = self._rows[index], self._lines[index]
        strip = lines[line - (self._ends[index] - len(lines))]
        if row.key == self.chosen and row.choice and strip.cell_length:
            base += self._style(Piece("", "chosen"))
            strip = Strip([Segment("▌", self._style(Piece("", "accent"))), *strip.crop(1)])
        return strip.adjust_cell_length(width).apply_style(base)

    def watch_chosen(self) -> None:
        """Draw the chosen row as such."""
        self.refresh()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Note whether the end is on the screen."""
        super().watch_scroll_y(old_value, new_value)
        # What moves because sizes change is no wish of anybody's to look elsewhere.
        settled = self._settled == (self.size, self.virtual_size)
        if settled and round(old_value) != round(new_value):
            self._end = round(new_value) >= self.max_scroll_y
            self._look_around()

    def _look_around(self) -> None:
        if self.scroll_y <= _NEAR:
            self.post_message(self.Wanted(older=True))
        if self.scroll_y >= self.max_scroll_y - _NEAR:
            self.post_message(self.Wanted(older=False))
        if self._end:
            self.post_message(self.Reached())

    def on_resize(self, _event: events.Resize) -> None:
        """Wrap everything anew."""
        self.show(self._rows)

    def notify_style_update(self) -> None:
        """Draw everything in the colours of the new theme."""
        super().notify_style_update()
        if self._rows:
            self.show(self._rows)
