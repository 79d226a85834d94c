"""The rows of a timeline, whatever was said."""

from __future__ import annotations

import datetime as dt

from examples.chat.api import Message
from examples.chat.terminal.rows import rows_of

NOW = dt.datetime(2024, 5, 6, 7, 8, tzinfo=dt.UTC)


def test_a_message_with_nothing_in_it_has_a_row() -> None:
    """It stands under the name of the one before, and says that it was edited."""
    first = Message(1, 1, "ada", "hi", NOW, "1", 1)
    empty = Message(1, 2, "ada", "", NOW, "2", 3, edited=NOW)
    row = rows_of([first, empty], [], "bob", -1)[-1]
    assert (row.key, [piece.text for line in row.lines for piece in line]) == (2, ["", "  edited"])
