"""Servers and a client in processes of their own, bounded in time: `benchmarks.side`."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["figures", "running"]

_ROOT = Path(__file__).resolve().parent.parent


def _command(role: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "benchmarks.side", role, *arguments]


@contextlib.contextmanager
def running(side: str) -> Generator[str]:
    """Run the server of a side while the block runs; yield where it listens."""
    process = subprocess.Popen(
        _command("server", side), stdout=subprocess.PIPE, text=True, cwd=_ROOT
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(10)
        assert process.stdout is not None
        process.stdout.close()


def figures(*arguments: str, timeout: float = 60.0) -> list[float]:
    """Run the client once and return the figures that it prints."""
    done = subprocess.run(
        _command("client", *arguments),
        check=True,
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=_ROOT,
    )
    return [float(each) for each in done.stdout.split()]
