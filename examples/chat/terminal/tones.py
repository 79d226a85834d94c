"""How each kind of text looks, in the colours of the theme."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from rich.style import Style
from textual.color import Color

if TYPE_CHECKING:
    from collections.abc import Mapping

    from textual.app import App
    from textual.widget import Widget

    from examples.chat.terminal.rows import Piece, Tone

__all__ = ["app_of", "style_of"]

_HUES: Final = ("text-secondary", "text-accent", "text-warning", "text-success", "text-error")
"""Variables of a theme that the names of others are drawn in."""

_INKS: Final[Mapping[Tone, str]] = {
    "text": "foreground",
    "own": "text-primary",
    "link": "text-accent",
    "accent": "text-primary",
    "error": "text-error",
    "warning": "text-warning",
    "mention": "background",
    "mine": "background",
}

_PAPERS: Final[Mapping[Tone, str]] = {
    "mention": "warning",
    "reaction": "panel",
    "mine": "primary",
    "chosen": "panel",
}


def app_of(widget: Widget) -> App[object]:
    """Return the app of a widget; textual does not say what that returns."""
    return cast("App[object]", widget.app)  # pyright: ignore[reportUnknownMemberType]


def style_of(piece: Piece, colours: Mapping[str, str]) -> Style:
    """Return the style of a piece of text.

    Args:
        piece: The text, and what it is.
        colours: The variables of the theme.
    """
    ink = _INKS.get(piece.tone)
    if piece.tone == "name":
        ink = _HUES[piece.hue % len(_HUES)]
    paper = _PAPERS.get(piece.tone)
    return Style(
        color=_muted(colours) if piece.tone == "dim" else ink and _hex(colours[ink]),
        bgcolor=paper and _hex(colours[paper]),
        bold=piece.tone in {"name", "own", "mention"} or None,
        underline=piece.tone == "link" or None,
    )


def _hex(colour: str) -> str:
    return Color.parse(colour).hex6


def _muted(colours: Mapping[str, str]) -> str:
    front, back = Color.parse(colours["foreground"]), Color.parse(colours["background"])
    return front.blend(back, 0.45).hex6
