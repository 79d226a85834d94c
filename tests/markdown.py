"""The fenced blocks of a Markdown document, for tests that keep its promises."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

__all__ = ["Block", "blocks"]

_FENCED: Final = re.compile(
    r"(?P<lead>[^\n]*)\n\n```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes:
        line: Where it begins: the line of its fence, counted from 1.
        language: What stands behind the opening fence.
        text: What is inside, with the newline at its end.
        lead: The last line of the paragraph before it.
    """

    line: int
    language: str
    text: str
    lead: str

    def __str__(self) -> str:
        return f"line {self.line}"


def blocks(document: str, first_line: int = 1) -> list[Block]:
    """Return the blocks of a document, or of a part of one that begins at `first_line`."""
    return [
        Block(
            first_line + document.count("\n", 0, found.start("text")) - 1,
            found["language"],
            found["text"],
            found["lead"],
        )
        for found in _FENCED.finditer(document)
    ]
