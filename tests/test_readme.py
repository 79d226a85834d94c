"""The README keeps its promises: its Python compiles, and its programs run."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.complaints import SLOW_STEP
from tests.markdown import Block, blocks

README: Final = Path(__file__).parent.parent / "README.md"

# A program: it runs its own loop, or says on its first line that it can be run.
RUNNABLE: Final = re.compile(r"\A# run|^asyncio\.run\(", re.MULTILINE)

BLOCKS: Final = [
    block for block in blocks(README.read_text(encoding="utf-8")) if block.language == "python"
]
PROGRAMS: Final = [block for block in BLOCKS if RUNNABLE.search(block.text)]


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_block_compiles(block: Block) -> None:
    """A Python block is Python; `await` may stand outside a function."""
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    assert compile(block.text, str(README), "exec", flags, dont_inherit=True)


@pytest.mark.parametrize("block", PROGRAMS, ids=str)
def test_program_in_readme_runs(block: Block, tmp_path: Path) -> None:
    """A program of the README ends with exit status 0 and an empty standard error."""
    program = tmp_path / "program.py"
    program.write_text(block.text, encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, "-X", "dev", str(program)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=25,
        check=False,
    )
    complaints = SLOW_STEP.sub("", ended.stderr)
    assert (complaints, ended.returncode) == ("", 0), ended.stdout


def test_readme_has_a_program() -> None:
    """At least one block of the README is a program that the suite runs."""
    assert PROGRAMS
