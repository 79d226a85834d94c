"""Type checkers accept the right uses of the public names, and reject the wrong ones."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parent.parent

pytestmark = pytest.mark.timeout(120)  # they read the whole package, on a machine that is busy


def _mypy(path: Path, cache: Path) -> set[int]:
    """Return the lines of a file in which mypy finds errors."""
    pytest.importorskip("mypy")
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--no-error-summary",
        "--hide-error-context",
    ]
    ended = subprocess.run(
        [*command, "--no-pretty", f"--cache-dir={cache}", str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode in {0, 1}, ended.stderr
    found = re.findall(rf"{re.escape(path.name)}:(\d+).*: error:", ended.stdout)
    return set(map(int, found))


def _pyright(path: Path, settings: Path) -> set[int]:
    """Return the lines of a file in which pyright finds errors, as strict as it can be."""
    pytest.importorskip("pyright")
    settings.write_text(
        json.dumps(
            {
                "include": [str(path)],
                "typeCheckingMode": "strict",
                "reportMissingTypeStubs": False,
                "reportUnusedExpression": False,
                "extraPaths": [str(ROOT)],
            }
        )
    )
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
    ended = subprocess.run(
        [*command, "--project", str(settings)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    found = json.loads(ended.stdout)["generalDiagnostics"]
    return {each["range"]["start"]["line"] + 1 for each in found if each["severity"] == "error"}


@pytest.fixture
def misuses(tmp_path: Path) -> Path:
    """The wrong uses, under a name that a type checker reads."""
    path = tmp_path / "misuses.py"
    shutil.copy(HERE / "misuses.pyt", path)
    return path


def _expected(path: Path) -> set[int]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return {number for number, line in enumerate(lines, 1) if line.endswith("# error")}


def test_mypy_accepts_the_uses(tmp_path: Path) -> None:
    """Mypy finds nothing wrong with the right uses, and takes each result for what it is."""
    assert _mypy(HERE / "uses.py", tmp_path / "cache") == set()


def test_mypy_rejects_the_misuses(misuses: Path, tmp_path: Path) -> None:
    """Mypy finds an error in each marked line, and in no other."""
    assert _mypy(misuses, tmp_path / "cache") == _expected(misuses)


def test_pyright_accepts_the_uses(tmp_path: Path) -> None:
    """Pyright finds nothing wrong with the right uses."""
    assert _pyright(HERE / "uses.py", tmp_path / "pyrightconfig.json") == set()


def test_pyright_rejects_the_misuses(misuses: Path, tmp_path: Path) -> None:
    """Pyright finds an error in each marked line, and in no other."""
    assert _pyright(misuses, tmp_path / "pyrightconfig.json") == _expected(misuses)
