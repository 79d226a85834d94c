"""Server and client in processes of their own, bounded in time.

A side is a module of this package with two coroutines, `server()` that prints where it listens
and never returns, and `client(where, *arguments)` that returns a figure.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["figure", "running"]

_ROOT = Path(__file__).resolve().parent.parent


def _command(side: str, role: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "benchmarks.side", side, role, *arguments]


@contextlib.contextmanager
def running(side: str) -> Generator[str]:
    """Run the server of a side while the block runs; yield where it listens."""
    process = subprocess.Popen(
        _command(side, "server"), stdout=subprocess.PIPE, text=True, cwd=_ROOT
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(10)
        assert process.stdout is not None
        process.stdout.close()


def figure(side: str, where: str, *arguments: str, timeout: float = 60.0) -> float:
    """Run the client of a side once and return the figure that it prints."""
    done = subprocess.run(
        _command(side, "client", where, *arguments),
        check=True,
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=_ROOT,
    )
    return float(done.stdout)
