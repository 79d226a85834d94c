"""The table of README.md: every row of what is survived has tests, and they exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Final

import pytest

HERE: Final = Path(__file__).parent
_TEXT: Final = (HERE / "README.md").read_text(encoding="utf-8")
_HOSTILE, _FAULTS = _TEXT.split("## Faults")
ROW: Final = re.compile(r"^\| (\d+) \|.*\| ([^|]*) \|$", re.MULTILINE)

HOSTILE: Final = {*range(1, 32), *range(37, 44), 46}
"""Those about framing, msgpack, handshake, calls, streams, limits and TLS."""

FAULTS: Final = {1, *range(3, 11), 12, 14, *range(21, 28), 29, 30, 32}
"""Those of one client and one server."""


def rows(part: str) -> dict[int, list[str]]:
    """The tests of each row."""
    return {int(row): re.findall(r"`(test_\w+)`", tests) for row, tests in ROW.findall(part)}


def test_no_row_is_left_out() -> None:
    """Each row in the scope of one client and one server stands there with a test."""
    assert rows(_HOSTILE).keys() >= HOSTILE
    assert rows(_FAULTS).keys() >= FAULTS


@pytest.mark.parametrize("part", [_HOSTILE, _FAULTS], ids=["hostile", "faults"])
def test_each_row_names_tests_that_exist(part: str) -> None:
    """A test that is renamed or removed is missed here."""
    existing = {
        node.name
        for file in HERE.parent.rglob("test_*.py")
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    for row, tests in rows(part).items():
        assert tests, f"row {row} has no test"
        assert set(tests) <= existing, f"row {row}: {set(tests) - existing} do not exist"
