"""The programs that fix the public API, run unchanged where their folder exists."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.complaints import SLOW_STEP

PROGRAMS: Final = Path(__file__).parent.parent.parent / "shared" / "programs"

# Those that this release needs.
NEEDED: Final = (
    "01_hello.py",
    "02_functions.py",
    "03_streams.py",
    "04_errors_and_deadlines.py",
    "05_sync.py",
    "06_pubsub.py",
    "07_reconnect.py",
    "08_balancing.py",
    "09_types.py",
    "10_large_payloads.py",
    "11_cli.sh",
    "12_once.py",
    "13_watch.py",
    "14_security.py",
    "15_sync_topics.py",
    "16_contract.py",
    "17_cli_topics.sh",
)

# 11 and 17 look for this file before the shell's own background job has surely made it.
EARLY_LOOK: Final = re.compile(
    r"^.*: line \d+: (\S+/urls: No such file or directory|\[: : integer expression expected)\n",
    re.MULTILINE,
)

pytestmark = pytest.mark.skipif(not PROGRAMS.is_dir(), reason="the programs are not here")


def _command(name: str) -> list[str]:
    path = str(PROGRAMS / name)
    if name.endswith(".py"):
        return [sys.executable, path]
    bash = shutil.which("bash")
    if bash is None or sys.platform == "win32":
        pytest.skip("needs bash and Unix sockets")
    return [bash, path]


@pytest.mark.timeout(90)  # a program starts several processes, on a machine that is busy
@pytest.mark.parametrize("development", [False, True], ids=["plain", "dev"])
@pytest.mark.parametrize("name", NEEDED)
def test_program_runs(name: str, development: bool, tmp_path: Path) -> None:
    """The program ends with `ok`, says nothing on standard error, and exits with 0."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        # `-X dev`, also for what a shell script starts.
        "PYTHONDEVMODE": "1" if development else "",
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
    complaints = SLOW_STEP.sub("", ended.stderr) if development else ended.stderr
    if name.endswith(".sh"):
        complaints = EARLY_LOOK.sub("", complaints)
    assert (complaints, ended.returncode) == ("", 0), ended.stdout
    assert ended.stdout.splitlines()[-1:] == ["ok"]
