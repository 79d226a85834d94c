"""Messages delivered a second beside nats-server with nats-py: `python -m benchmarks.topics`.

Each round measures both, one after the other, so that a machine that changes its speed changes
both. Without nats-server (Debian: `apt install nats-server`) or nats-py (`pip install -e
'.[bench]'`) only framerpc is measured, and that is said.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import shutil
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["TARGET", "main", "measure"]

TARGET = 1.2
"""The least ratio of deliveries a second to those of nats-py."""

_ROOT = Path(__file__).resolve().parent.parent
_SIDE = [sys.executable, "-m", "benchmarks.topic_side"]


@contextlib.contextmanager
def _framerpc() -> Generator[str]:
    process = subprocess.Popen([*_SIDE, "serve"], stdout=subprocess.PIPE, text=True, cwd=_ROOT)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        _end(process)


@contextlib.contextmanager
def _nats(program: str) -> Generator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [program, "-a", "127.0.0.1", "-p", str(port)], stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        yield f"nats://127.0.0.1:{port}"
    finally:
        _end(process)


def _end(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(10)
    if process.stdout is not None:
        process.stdout.close()


def _figures(name: str, url: str, subscribers: int, seconds: float) -> dict[str, float]:
    done = subprocess.run(
        [*_SIDE, name, url, str(subscribers), str(seconds)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
        cwd=_ROOT,
    )
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def measure(rounds: int, subscribers: int, seconds: float) -> dict[str, list[dict[str, float]]]:
    """Return the figures of each round, by side; nats is missing where it cannot run."""
    program = shutil.which("nats-server", path="/usr/sbin:/usr/local/bin:/usr/bin") or ""
    with_nats = bool(program) and importlib.util.find_spec("nats") is not None
    figures: dict[str, list[dict[str, float]]] = {"framerpc": []}
    with contextlib.ExitStack() as stack:
        urls = {"framerpc": stack.enter_context(_framerpc())}
        if with_nats:
            urls["nats"] = stack.enter_context(_nats(program))
            figures["nats"] = []
        for _ in range(rounds):
            for name, url in urls.items():
                figures[name].append(_figures(name, url, subscribers, seconds))
    return figures


def main() -> int:
    """Measure and print; return 1 if the target is missed."""
    parser = argparse.ArgumentParser(prog="benchmarks.topics", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="pairs of runs (5)")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one run (2)")
    parser.add_argument("--subscribers", type=int, default=50, help="connections (50)")
    options = parser.parse_args()
    figures = measure(options.rounds, options.subscribers, options.seconds)
    print(
        f"1 publisher, {options.subscribers} subscriber connections in one process, 128 bytes, "
        "medians\n\n               delivered/s   publish to receipt, median      99 %"
    )
    for name, rounds in figures.items():
        rate, median, p99 = (
            statistics.median(each[key] for each in rounds)
            for key in ("rate", "median_us", "p99_us")
        )
        print(f"{name:12}   {rate:11,.0f}   {median:23,.0f} us   {p99:5,.0f} us")
    if "nats" not in figures:
        print("\nnats: SKIPPED, there is no nats-server or no nats-py here")
        return 0
    ratio = statistics.median(
        ours["rate"] / theirs["rate"]
        for ours, theirs in zip(figures["framerpc"], figures["nats"], strict=True)
    )
    print(f"\nratio {ratio:.2f}, at least {TARGET}")
    return int(ratio < TARGET)


if __name__ == "__main__":
    sys.exit(main())
