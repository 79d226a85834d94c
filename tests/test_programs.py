"""The programs that fix the public API, run unchanged where their folder exists."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

PROGRAMS: Final = Path(__file__).parent.parent.parent / "shared" / "programs"

# Those that this release needs.
NEEDED: Final = (
    "01_hello.py",
    "02_functions.py",
    "03_streams.py",
    "04_errors_and_deadlines.py",
    "05_sync.py",
    "09_types.py",
    "10_large_payloads.py",
    "11_cli.sh",
    "16_contract.py",
)

pytestmark = pytest.mark.skipif(not PROGRAMS.is_dir(), reason="the programs are not here")


def _command(name: str) -> list[str]:
    path = str(PROGRAMS / name)
    if name.endswith(".py"):
        return [sys.executable, "-X", "dev", path]
    bash = shutil.which("bash")
    if bash is None or sys.platform == "win32":
        pytest.skip("needs bash and Unix sockets")
    return [bash, path]


@pytest.mark.timeout(90)  # a program starts several processes, on a machine that is busy
@pytest.mark.parametrize("name", NEEDED)
def test_program_runs(name: str, tmp_path: Path) -> None:
    """The program ends with `ok`, says nothing on standard error, and exits with 0."""
    binaries = Path(sys.executable).parent
    environment = {
        **os.environ,
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
        "PYTHONDEVMODE": "1",  # also for what a shell script starts
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    ended = subprocess.run(
        _command(name),
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=80,
        check=False,
    )
    assert (ended.stderr, ended.returncode) == ("", 0), ended.stdout
    assert ended.stdout.splitlines()[-1:] == ["ok"]
