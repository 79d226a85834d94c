"""The tutorial keeps its promises: whoever follows it sees what it says."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.walkthrough import Step, Walk, file_named, steps

ROOT: Final = Path(__file__).parent.parent
DOCUMENT: Final = ROOT / "docs" / "tutorial.md"
STEPS: Final = [step for step in steps(DOCUMENT.read_text(encoding="utf-8")) if step.blocks]

# Commands that go on until they are stopped.
LASTING: Final = ("framerpc serve", "python listen.py", "python member.py")


def _node_is_missing() -> str:
    """Return why JavaScript cannot be run here; "" if it can."""
    node = shutil.which("node")
    if node is None:
        return "there is no node"
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.lstrip("v").split(".")[0]) < 20:
        return f"node is {version.strip()}, older than 20"
    if not (ROOT / "js" / "node_modules").exists():
        return "js/node_modules is missing: make js"
    return ""


@pytest.mark.parametrize("step", STEPS, ids=str)
def test_step_shows_what_it_says(step: Step, tmp_path: Path) -> None:
    """The commands of a step print what stands below them, with the files of all steps so far."""
    if "js" in step.languages:
        if missing := _node_is_missing():
            pytest.skip(missing)
        shutil.copy(ROOT / "js" / "framerpc.js", tmp_path)
        (tmp_path / "package.json").write_text('{"type": "module"}', encoding="utf-8")
        (tmp_path / "node_modules").symlink_to(ROOT / "js" / "node_modules")
    with Walk(tmp_path, LASTING) as walk:
        for earlier in STEPS[: STEPS.index(step)]:
            walk.write(earlier)
        walk.follow(step)


def test_links_lead_somewhere() -> None:
    """What the tutorial links to is in the project."""
    links = re.findall(r"\]\((\.\./[^)#]+)", DOCUMENT.read_text(encoding="utf-8"))
    assert links
    assert not [link for link in links if not (DOCUMENT.parent / link).exists()]


def test_nothing_is_left_out() -> None:
    """Every block is a file, a change of one, or commands with what they print."""
    left = [
        f"{block}: {block.language}"
        for step in STEPS
        for block in step.blocks
        if block.language not in {"console", "diff", "js", "python"}
        or (block.language != "console" and file_named(block) is None)
    ]
    assert not left
