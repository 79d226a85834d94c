"""Calls per second beside a bare uvloop echo, in short turns, in one run."""

from __future__ import annotations

import statistics
import sys
from dataclasses import dataclass

from benchmarks.processes import figures, running

__all__ = ["TARGETS", "Row", "measure"]

TARGETS = {1: 0.75, 100: 1.0}
"""Calls in flight on one connection, and the least ratio to the yardstick."""


@dataclass(frozen=True)
class Row:
    """One line of the result.

    Attributes:
        in_flight: Calls in flight.
        yardstick: Median calls per second of the bare echo.
        framerpc: The same of framerpc.
        ratio: Median of the ratios of each round.
    """

    in_flight: int
    yardstick: float
    framerpc: float
    ratio: float


def measure(rounds: int = 5, seconds: float = 1.0) -> list[Row]:
    """Measure both sides in `rounds` pairs of processes, each for so many seconds."""
    rows: list[Row] = []
    for in_flight in TARGETS:
        pairs: list[tuple[float, float]] = []
        for number in range(rounds):
            if sys.stderr.isatty():
                sys.stderr.write(f"\r{in_flight} in flight, round {number + 1} of {rounds} ")
            pairs.append(_pair(in_flight, seconds))
        rows.append(
            Row(
                in_flight,
                statistics.median(bare for bare, _ in pairs),
                statistics.median(ours for _, ours in pairs),
                statistics.median(ours / bare for bare, ours in pairs),
            )
        )
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K")
    return rows


def _pair(in_flight: int, seconds: float) -> tuple[float, float]:
    """Measure both sides once, in new processes: how one lies in memory is a matter of luck."""
    with running("yardstick") as echo, running("framerpc") as server:
        bare, ours = figures(echo, server, str(in_flight), str(seconds))
        return bare, ours
