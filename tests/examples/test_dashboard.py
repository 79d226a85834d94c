"""The dashboard: what it shows, and that it survives its own faults."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import framerpc
from examples.dashboard.screen import Board
from examples.dashboard.service import POLICIES, REPORTS, Fleet, Report
from framerpc import Change, Snapshot
from framerpc.testing import virtual_time

ROOT = Path(__file__).parent.parent.parent


@virtual_time
async def test_the_viewer_sees_what_was_reported() -> None:
    """A snapshot of the last reports, then each new one; machines cannot publish themselves."""
    server = framerpc.Server(Fleet(), topics=POLICIES)
    async with server.listen("memory://fleet"), framerpc.connect("memory://fleet") as client:
        fleet = client.stub(Fleet)
        await fleet.report(Report("ada", 0.5, 10))
        board = Board()
        async with client.stream(Fleet.watch) as updates:
            board.take(await anext(updates))
            await fleet.report(Report("bell", 1.0, 5))
            board.take(await anext(updates))
            with pytest.raises(framerpc.PermissionDenied):
                await client.publish(REPORTS, Report("eve", 0.0, 10**6))
        text = "\n".join(board.lines(colour=False))
        assert "████████████············   50%" in text
        assert "2 machines, 15 requests/s   (1 snapshots, 1 changes)" in text


def test_rows_are_coloured_by_load() -> None:
    """Green, yellow and red: the three ranges of the load."""
    board = Board()
    board.take(Snapshot({"a": Report("a", 0.1, 1), "b": Report("b", 0.7, 1)}))
    board.take(Change(Report("c", 0.9, 1)))
    rows = board.lines(colour=True)[1:4]
    assert ["\033[32m" in rows[0], "\033[33m" in rows[1], "\033[31m" in rows[2]] == [True] * 3


def test_it_runs_without_a_terminal() -> None:
    """For so many seconds, connections cut in between, then the last state and exit status 0."""
    ended = subprocess.run(
        [sys.executable, "-m", "examples.dashboard", "--seconds", "3"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=25,
        check=False,
    )
    assert (ended.stderr, ended.returncode) == ("", 0)
    assert "8 machines" in ended.stdout
    assert "(1 snapshots" in ended.stdout  # it went on where it was
