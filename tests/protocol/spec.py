"""protocol.md as data: its tables, its hex, its requirements."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, TypeAlias

__all__ = ["HEADINGS", "REQUIREMENTS", "TEXT", "Table", "blocks", "number", "section", "tables"]

Table: TypeAlias = list[dict[str, str]]

TEXT: Final = (Path(__file__).parent.parent.parent / "protocol.md").read_text(encoding="utf-8")

HEADINGS: Final = re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)

REQUIREMENTS: Final = re.findall(r"^\*\*(R-[A-Z]+-\d+)\*\*", TEXT, re.MULTILINE)
"""The numbers of the requirements, in the order of the text."""


def section(heading: str) -> str:
    """Return what stands under a heading, up to the next one of the same level or above."""
    found = re.search(rf"^(#+) {re.escape(heading)}$", TEXT, re.MULTILINE)
    assert found, heading
    rest = TEXT[found.end() :]
    end = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def tables(heading: str) -> list[Table]:
    """Return the tables under a heading, a row as a dictionary by column, without markup."""
    found: list[Table] = []
    for text in re.findall(r"(?:^\|.*\|$\n?)+", section(heading), re.MULTILINE):
        head, _, *rows = ([cell.strip().strip("*`") for cell in line[1:-1].split("|")]
                          for line in text.splitlines())  # fmt: skip
        found.append([dict(zip(head, row, strict=True)) for row in rows])
    return found


def blocks(language: str, heading: str | None = None) -> list[str]:
    """Return the fenced blocks of a language, without the fences."""
    text = TEXT if heading is None else section(heading)
    return re.findall(rf"^```{re.escape(language)}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def number(cell: str) -> float | None:
    """Return the number in a cell, whatever its unit; None if there is none."""
    found = re.fullmatch(r"([\d,]+(?:\.\d+)?)( s)?", cell)
    return float(found[1].replace(",", "")) if found else None
