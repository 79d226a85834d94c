"""What stands around the timeline: the header, the rooms, the people, and who types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from examples.chat.client.wording import plain, seconds
from examples.chat.terminal.tones import app_of

if TYPE_CHECKING:
    from examples.chat.client.session import Link
    from examples.chat.client.view import RoomView

__all__ = ["Header", "People", "Rooms", "Status", "state_of"]

_SIGNS: Final = {
    "connecting": ("◌", "text-warning"),
    "online": ("●", "text-success"),
    "slow": ("◐", "text-warning"),
    "offline": ("○", "text-error"),
    "refused": ("✗", "text-error"),
}

_ROLES: Final = {"owner": " ★", "moderator": " ☆"}


def state_of(link: Link, now: float) -> str:
    """Return how the connection stands, in words."""
    match link.kind:
        case "connecting":
            return "connecting"
        case "online":
            return "online"
        case "slow":
            return f"no answer for {seconds(now - link.since)}"
        case "offline":
            return f"reconnecting for {seconds(now - link.since)}"
        case "refused":
            return f"refused: {link.why}"


class _Line(Static):
    """A line that is drawn only when it changes; it never changes its size."""

    _text: Text | None = None

    def put(self, text: Text) -> None:
        """Show a text."""
        if text != self._text:
            self._text = text
            self.update(text, layout=False)


class Header(_Line):
    """Which room this is, what for, and how the connection stands."""

    def tell(self, title: str, about: str, link: Link, now: float) -> None:
        """Show it."""
        sign, tone = _SIGNS[link.kind]
        colour = app_of(self).theme_variables[tone]
        right = Text.assemble((f"{sign} ", colour), (state_of(link, now), colour))
        width = max(20, self.size.width)
        if right.cell_len > width - 4:  # why it was refused matters more than the rest
            right.truncate(width - 4, overflow="ellipsis")
        left = Text.assemble((plain(title), "bold"))
        if about:
            left.append(f"  {plain(about)}", "dim")
        left.truncate(max(3, width - right.cell_len - 2), overflow="ellipsis", pad=True)
        self.put(Text.assemble(left, "  ", right, no_wrap=True))


class _Pane(OptionList):
    """A list that is rebuilt only when it changes."""

    _shown: list[tuple[Text, str]] | None = None

    def show(self, lines: list[tuple[Text, str]]) -> None:
        """Show these lines, each with its id; what was highlighted stays so."""
        if lines == self._shown:
            return
        self._shown = lines
        before = self.highlighted_option
        self.set_options([Option(text, id=key) for text, key in lines])
        if before is not None and any(key == before.id for _, key in lines):
            self.highlighted = self.get_option_index(before.id or "")


class Rooms(_Pane):
    """The rooms, numbered, with how many messages are unread."""

    def tell(self, views: list[RoomView], me: str, current: int | None) -> None:
        """Show them."""
        colours = app_of(self).theme_variables
        width = max(12, self.scrollable_content_region.width)
        lines: list[tuple[Text, str]] = []
        for number, view in enumerate(views, 1):
            here, unread = view.room.id == current, view.unread
            count = f" {unread if unread < 1000 else '999+'} " if unread and not here else ""  # noqa: PLR2004 - three digits fit
            line = Text(f"{number:>2} " if number < 10 else "   ", "dim")  # noqa: PLR2004 - one key
            style = f"bold {colours['text-primary']}" if here else "bold" if count else ""
            line.append(plain(view.title(me)), style)
            line.truncate(max(4, width - len(count) - 1), overflow="ellipsis", pad=True)
            if count:
                line.append(count, f"bold {colours['background']} on {colours['primary']}")
            lines.append((line, str(view.room.id)))
        self.show(lines)


class People(_Pane):
    """Who is a member, who of them is here now, and who may do more than others."""

    def tell(self, view: RoomView | None, *, online: bool) -> None:
        """Show them; nobody knows who is here while we are not."""
        colours = app_of(self).theme_variables
        lines: list[tuple[Text, str]] = []
        for member in view.people if view is not None else []:
            here = view is not None and online and member.name in view.present
            line = Text.assemble(
                ("● ", colours["text-success"]) if here else ("○ ", "dim"),
                (plain(member.name), "" if here else "dim"),
                (_ROLES.get(member.role, ""), "dim"),
            )
            lines.append((line, member.name))
        self.show(sorted(lines, key=lambda line: not line[0].plain.startswith("●")))


class Status(_Line):
    """Who types, how far files are, and what there is to read further down."""

    def tell(self, typing: list[str], news: int, transfers: list[str]) -> None:
        """Show it."""
        parts = [*transfers]
        if news:
            parts.append(f"↓ {news} new below (End)")
        if typing:
            names = " and ".join(map(plain, typing)) if len(typing) < 3 else f"{len(typing)} people"  # noqa: PLR2004 - two names fit
            parts.append(f"{names} {'types' if len(typing) == 1 else 'type'} …")
        self.put(Text("  ".join(parts), "italic dim", no_wrap=True, overflow="ellipsis"))
