"""What people read: errors, times, sizes, and what others said, with nothing in it that acts.

A message may hold any character. Control characters would move the cursor of a terminal, and
marks of direction would turn what follows: both are replaced.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Final

from examples.chat import api

if TYPE_CHECKING:
    from examples.chat.api import Message

__all__ = ["body", "clock", "explain", "plain", "seconds", "size"]

_ACTING: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

_RULES: Final = (
    (re.compile("Expected `str` of length >= 1$"), "it is empty"),
    (re.compile(r"Expected `str` of length <= (\d+)$"), r"it is longer than \1 characters"),
    (
        re.compile("Expected `str` matching regex .*"),
        "it has something that may not stand there; letters and digits may",
    ),
)
"""The rules of the contract that people break, as the contract says it and as people do."""


def plain(text: str) -> str:
    """Return a text in which every character is one that can be seen, or a blank."""
    return _ACTING.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n"))


def explain(error: BaseException) -> str:
    """Return what went wrong in one sentence, on one line."""
    match error:
        case api.NameTaken():
            text = f"the name {error.name} is taken"
        case api.NoSuchAccount():
            text = f"nobody is called {error.name}"
        case api.NoSuchRoom():
            text = "there is no such room, or you are no member of it"
        case api.NoSuchMessage():
            text = f"message {error.number} does not exist any more"
        case api.NoSuchFile():
            text = f"there is no file {error.file} where you are a member"
        case api.NotAllowed():
            text = error.why
        case api.TooMany():
            text = f"there are too many {error.what}: the limit is {error.limit}"
        case _:
            text = getattr(error, "detail", "") or str(error) or type(error).__name__
    for rule, words in _RULES:
        text = rule.sub(words, text)
    return plain(" ".join(text.split()))


def size(count: int) -> str:
    """Return a number of bytes as people read it."""
    number = float(count)
    for unit in ("bytes", "kB", "MB"):
        if number < 1000:  # noqa: PLR2004 - as the units have it
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} GB"


def seconds(duration: float) -> str:
    """Return a duration as people read it: seconds, or minutes from two on."""
    return f"{duration:.0f} s" if duration < 120 else f"{duration // 60:.0f} min"  # noqa: PLR2004


def clock(moment: dt.datetime) -> str:
    """Return the time of day where we are."""
    return f"{moment.astimezone():%H:%M}"


def body(message: Message) -> str:
    """Return what was said, with a word about a file, an edit or a deletion."""
    if message.deleted is not None:
        return f"(deleted by {message.deleted})"
    file = message.file
    parts = [plain(message.text)] if message.text else []
    if file is not None:
        parts.append(f"[file {file.id}: {plain(file.name)}, {size(file.size)}]")
    if message.edited is not None:
        parts.append("(edited)")
    return " ".join(parts)
