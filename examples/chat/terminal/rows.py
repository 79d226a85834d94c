"""The rows of a timeline: what stands there for each message, and between them. No widgets.

A row knows how it looks, in words of the theme; the timeline wraps it to its width and keeps the
result as long as the row stays equal.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from examples.chat.client.wording import clock, plain, size

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from examples.chat.api import Message
    from examples.chat.client.model import Pending

__all__ = ["Piece", "Row", "Tone", "rows_of"]

Text = Literal["text", "own", "name", "dim", "link", "mention"]
Mark = Literal["accent", "error", "warning", "reaction", "mine", "chosen"]
Tone: TypeAlias = Text | Mark
"""What a piece of text is."""

_GROUP: Final = dt.timedelta(minutes=5)
"""Messages of one person that follow each other sooner stand under one name."""

_MARKS: Final = re.compile(r"(?P<link>https?://[^\s<>\"]+)|(?P<mention>@[^\W_][\w-]*)")


@dataclass(frozen=True)
class Piece:
    """A piece of text.

    Attributes:
        text: The text.
        tone: What it is; the theme says how that looks.
        hue: Which of the colours for names, if it is one.
    """

    text: str
    tone: Tone = "text"
    hue: int = 0


@dataclass(frozen=True)
class Row:
    """One row, of one line or several.

    Attributes:
        key: Names it: the number of a message, the key of what is pending, or a word.
        lines: Its lines, before they are wrapped.
        rule: It is a line across, with its text in the middle.
        indent: Cells in front of the lines.
    """

    key: int | str
    lines: tuple[tuple[Piece, ...], ...]
    rule: bool = False
    indent: int = 2
    choice: bool = field(default=False)


def rows_of(
    messages: list[Message], pending: Iterable[Pending], me: str, divider: int
) -> list[Row]:
    """Return the rows of a stretch of messages, and of what was said and is not confirmed.

    Args:
        messages: In order; where a number is missing, it is still to come.
        pending: In order.
        me: Our own name.
        divider: Number of the last message that was read when the room was opened.
    """
    rows: list[Row] = []
    before: Message | None = None
    for message in messages:
        rows += _between(before, message, divider)
        apart = bool(rows) and rows[-1].rule
        rows.append(_message(message, me, named=apart or not _follows(before, message)))
        before = message
    named = before is None or before.who != me
    for number, each in enumerate(pending):
        rows.append(_pending(each, me, named=named and number == 0))
    return rows


def _between(before: Message | None, message: Message, divider: int) -> Iterator[Row]:
    day = message.sent.astimezone().date()
    if before is not None and before.number + 1 < message.number:
        yield _rule(
            f"hole {message.number}",
            f"messages {before.number + 1} to {message.number - 1} are on their way",
            "dim",
        )
    if before is None or before.sent.astimezone().date() != day:
        yield _rule(f"day {message.number}", f"{day:%A, %d %B %Y}".replace(" 0", " "), "dim")
    if before is not None and before.number <= divider < message.number:
        yield _rule("new", "new", "error")


def _rule(key: str, text: str, tone: Tone) -> Row:
    return Row(key, ((Piece(text, tone),),), rule=True)


def _follows(before: Message | None, message: Message) -> bool:
    return (
        before is not None
        and before.who == message.who
        and before.number + 1 == message.number
        and message.sent - before.sent < _GROUP
    )


def _message(message: Message, me: str, *, named: bool) -> Row:
    lines: list[tuple[Piece, ...]] = []
    if named:
        tone: Tone = "own" if message.who == me else "name"
        name = Piece(plain(message.who), tone, sum(message.who.casefold().encode()))
        lines.append((name, Piece(f"  {clock(message.sent)}", "dim")))
    if message.deleted is not None:
        lines.append((Piece(f"deleted by {plain(message.deleted)}", "dim"),))
        return Row(message.number, tuple(lines), choice=True)
    texts = plain(message.text).split("\n") if message.text or message.file is None else []
    lines += [tuple(_marked(line, me)) for line in texts]
    if message.file is not None:
        file = message.file
        lines.append(
            (
                Piece("▤ ", "accent"),
                Piece(plain(file.name), "link"),
                Piece(f"  {size(file.size)}", "dim"),
            )
        )
    if message.edited is not None:
        lines[-1] = (*lines[-1], Piece("  edited", "dim"))
    if message.reactions:
        lines.append(tuple(_reactions(message, me)))
    return Row(message.number, tuple(lines), choice=True)


def _marked(line: str, me: str) -> Iterator[Piece]:
    start = 0
    for match in _MARKS.finditer(line):
        if match["mention"] and match["mention"].casefold() != f"@{me}".casefold():
            continue
        if match.start() > start:
            yield Piece(line[start : match.start()])
        yield Piece(match[0], "link" if match["link"] else "mention")
        start = match.end()
    if start < len(line) or not line:
        yield Piece(line[start:])


def _reactions(message: Message, me: str) -> Iterator[Piece]:
    for number, (emoji, names) in enumerate(message.reactions.items()):
        if number:
            yield Piece(" ")
        yield Piece(f" {plain(emoji)} {len(names)} ", "mine" if me in names else "reaction")


def _pending(pending: Pending, me: str, *, named: bool) -> Row:
    texts = plain(pending.text).split("\n") if pending.text else []
    lines: list[tuple[Piece, ...]] = [(Piece(line, "dim"),) for line in texts]
    if pending.name:
        lines.append((Piece(f"▤ {plain(pending.name)}", "dim"),))
    if pending.why:
        note = Piece(f"  ✗ not sent: {pending.why}  (s: send again, x: drop)", "error")
    else:
        note = Piece("  ◌ not confirmed yet", "warning")
    lines[-1] = (*lines[-1], note)
    if named:
        lines.insert(0, (Piece(plain(me), "own"),))
    return Row(pending.key, tuple(lines), choice=True)
