"""How the dashboard looks: the state in, lines of text out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from framerpc import Change, Snapshot

if TYPE_CHECKING:
    from examples.dashboard.service import Report

__all__ = ["Board"]

_BAR = 24
_GREEN, _YELLOW, _RED, _PLAIN = "\033[32m", "\033[33m", "\033[31m", "\033[0m"


@dataclass
class Board:
    """What the viewer knows.

    Attributes:
        reports: The last report of each machine.
        snapshots: How often all of it was sent.
        changes: How many single reports came.
    """

    reports: dict[str, Report] = field(default_factory=dict[str, "Report"])
    snapshots: int = 0
    changes: int = 0

    def take(self, update: Snapshot[dict[str, Report]] | Change[Report]) -> None:
        """Apply an update of the watch."""
        if isinstance(update, Snapshot):
            self.reports = dict(update.value)
            self.snapshots += 1
        else:
            self.reports[update.value.machine] = update.value
            self.changes += 1

    def lines(self, *, colour: bool) -> list[str]:
        """Return the table, a line each."""
        total = sum(report.requests for report in self.reports.values())
        head = f"{'machine':10}  {'load':{_BAR}}        requests/s"
        rows = [self._row(self.reports[name], colour=colour) for name in sorted(self.reports)]
        foot = (
            f"{len(rows)} machines, {total} requests/s   "
            f"({self.snapshots} snapshots, {self.changes} changes)"
        )
        return [head, *rows, "", foot]

    @staticmethod
    def _row(report: Report, *, colour: bool) -> str:
        filled = round(report.load * _BAR)
        bar = "█" * filled + "·" * (_BAR - filled)
        if colour:
            shade = _GREEN if report.load < 0.6 else _YELLOW if report.load < 0.85 else _RED  # noqa: PLR2004
            bar = f"{shade}{bar}{_PLAIN}"
        return f"{report.machine:10}  {bar}  {report.load:4.0%}  {report.requests:10}"
