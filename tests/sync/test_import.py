"""What `import framerpc` brings along."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "name",
    [
        "framerpc.sync",
        "framerpc.cli",
        "framerpc.testing",
        "asyncio",
        "multiprocessing",
        "ssl",
        "tenacity",
        "uvloop",
    ],
)
def test_import_leaves_it_out(name: str) -> None:
    """Importing framerpc does not load what a mere contract has no use for."""
    code = f"import framerpc, sys; sys.exit({name!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_blocking_client_does_not_load_the_server() -> None:
    """Neither does the blocking client load the server, nor what starts processes."""
    code = (
        "import framerpc.sync, sys; "
        "sys.exit(bool({'framerpc.server.server', 'multiprocessing'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
