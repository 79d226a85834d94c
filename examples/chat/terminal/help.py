"""All keys, as the help screen shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["help_text"]

_KEYS: Final = {
    "Everywhere": (
        ("F1, ?", "this help"),
        ("F2", "go to a room by its name"),
        ("Ctrl+N, Ctrl+P", "the next room, the room before"),
        ("Alt+1 … Alt+9", "a room by its number"),
        ("Ctrl+T", "the next room with something unread"),
        ("F3", "search messages"),
        ("F4", "people: talk alone, roles, remove, ban"),
        ("F5", "rooms: join, create, invite, describe, leave"),
        ("F6", "send a file"),
        ("F7", "edit the last message of your own"),
        ("F9", "other colours, dark and light"),
        ("Page up, down", "through the messages"),
        ("Tab", "from part to part of the screen"),
        ("Ctrl+Q", "quit"),
    ),
    "Where you write": (
        ("Enter", "say it"),
        ("Ctrl+J", "a new line"),
        ("Up", "to the messages"),
        ("Escape", "stop editing; back to the last message"),
    ),
    "In the messages": (
        ("Up, Down, K, J", "choose one"),
        ("Home, End", "the first one here, the last one"),
        ("E", "edit it"),
        ("D", "delete it"),
        ("R", "react to it, or take a reaction back"),
        ("O", "get its file"),
        ("S, X", "send again, or drop, what was refused"),
        ("Escape", "back to where you write"),
    ),
    "Signs": (
        ("● ○", "somebody is in the room now, or not"),
        ("★ ☆", "owner, moderator"),
        ("◌", "not confirmed by the server yet"),
        ("✗", "refused by the server"),
    ),
}


def help_text(colours: Mapping[str, str]) -> Text:
    """Return the text, in the colours of a theme."""
    text = Text()
    for title, keys in _KEYS.items():
        text.append(f"{title}\n", f"bold {colours['primary']}")
        for key, what in keys:
            text.append(f"  {key:<16}", "bold").append(f"{what}\n")
        text.append("\n")
    return text
