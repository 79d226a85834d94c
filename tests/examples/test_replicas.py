"""The example with three replicas, as a newcomer runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(sys.platform == "win32", reason="needs Unix signals")
@pytest.mark.timeout(60)  # four processes
def test_no_caller_notices_that_a_replica_is_killed() -> None:
    """The example checks itself, and exits with 0."""
    ended = subprocess.run(
        [sys.executable, "-m", "examples.replicas", "--seconds", "0.7"],
        cwd=Path(__file__).parent.parent.parent,
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )
    assert (ended.stderr, ended.returncode) == ("", 0), ended.stdout
    assert "no caller noticed" in ended.stdout
