"""The demo, as a newcomer runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.timeout(60)  # seven processes, and a short measurement
def test_demo_succeeds_on_an_old_terminal() -> None:
    """The demo checks itself and exits with 0, also where only ASCII can be printed."""
    ended = subprocess.run(
        [sys.executable, "-m", "examples.demo"],
        cwd=Path(__file__).parent.parent.parent,
        env={**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C"},
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )
    assert (ended.stderr, ended.returncode) == ("", 0)
    assert "every message reached everybody" in ended.stdout
